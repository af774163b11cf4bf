//! The bids of NEXMark that the benchmarks run on, the map W1 that they go through, and what must come out of it.
//!
//! Everything is a function of a bid's number: each run, on each machine, reads and expects the same bytes.

use std::sync::Arc;

use anyhow::{Context, Result};
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use nexmark::{
    EventGenerator,
    config::NexmarkConfig,
    event::{Event, EventType},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

/// The price above which W1 keeps a bid. It keeps 72 % of them. The prebuilt function `bid_map` has the same.
const THRESHOLD: i64 = 5000;
/// What W1 multiplies prices by.
const RATE: f64 = 0.908;
/// The time of the first event: a fixed one, so that every run has the same bytes.
const BASE_TIME: u64 = 1_700_000_000_000;

/// W1 as SQL over the node `bids`.
pub(crate) const SQL: &str = "SELECT auction, bidder, price * 0.908 AS price, date_time FROM bids WHERE price > 5000";

/// All columns of a bid, as a pipeline file's schema.
pub(crate) const SCHEMA: &str =
    "{ auction: int64, bidder: int64, price: int64, channel: string, url: string, date_time: int64, extra: string }";

/// The columns that W1 needs.
pub(crate) const SCHEMA_OF_FOUR: &str = "{ auction: int64, bidder: int64, price: int64, date_time: int64 }";

/// A bid, as JSON about 250 bytes.
#[derive(Serialize)]
pub(crate) struct Bid {
    auction: i64,
    bidder: i64,
    price: i64,
    channel: String,
    url: String,
    /// Milliseconds since 1970, unless a benchmark puts another number here.
    pub(crate) date_time: i64,
    extra: String,
}

/// The columns that W1 reads.
#[derive(Deserialize)]
pub(crate) struct Taken {
    auction: i64,
    bidder: i64,
    price: i64,
    date_time: i64,
}

/// A row that W1 writes.
#[derive(Serialize, Deserialize)]
pub(crate) struct Mapped {
    auction: i64,
    bidder: i64,
    #[serde(deserialize_with = "exactly")]
    price: f64,
    /// As in the bid.
    pub(crate) date_time: i64,
}

/// The bids from number 0 on, without end.
pub(crate) fn bids() -> impl Iterator<Item = Bid> {
    let config = NexmarkConfig { base_time: BASE_TIME, ..NexmarkConfig::default() };
    EventGenerator::new(config).with_type_filter(EventType::Bid).filter_map(|event| match event {
        Event::Bid(bid) => Some(Bid {
            auction: bid.auction as i64,
            bidder: bid.bidder as i64,
            price: bid.price as i64,
            channel: bid.channel,
            url: bid.url,
            date_time: bid.date_time as i64,
            extra: bid.extra,
        }),
        Event::Person(_) | Event::Auction(_) => None,
    })
}

/// The first bids as columns: those that W1 reads.
pub(crate) fn columns(count: usize) -> RecordBatch {
    let bids: Vec<Bid> = bids().take(count).collect();
    let column = |of: fn(&Bid) -> i64| Arc::new(bids.iter().map(of).map(Some).collect::<Int64Array>()) as ArrayRef;
    let columns = [
        ("auction", column(|bid| bid.auction)),
        ("bidder", column(|bid| bid.bidder)),
        ("price", column(|bid| bid.price)),
        ("date_time", column(|bid| bid.date_time)),
    ];
    RecordBatch::try_from_iter(columns).expect("the columns are equally long")
}

impl Bid {
    /// The bid as JSON, in place of what was in `into`.
    pub(crate) fn json(&self, into: &mut Vec<u8>) {
        into.clear();
        serde_json::to_writer(into, self).expect("a bid is JSON, and memory can be written to");
    }

    /// W1.
    pub(crate) fn map(&self) -> Option<Mapped> {
        Taken { auction: self.auction, bidder: self.bidder, price: self.price, date_time: self.date_time }.map()
    }
}

impl Taken {
    /// W1.
    pub(crate) fn map(&self) -> Option<Mapped> {
        (self.price > THRESHOLD).then_some(Mapped {
            auction: self.auction,
            bidder: self.bidder,
            price: self.price as f64 * RATE,
            date_time: self.date_time,
        })
    }
}

impl Mapped {
    /// A hash of the values, whatever the text they were written as.
    fn hash(&self) -> u64 {
        let words = [
            self.auction.cast_unsigned(),
            self.bidder.cast_unsigned(),
            self.price.to_bits(),
            self.date_time.cast_unsigned(),
        ];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        xxh3_64(&bytes)
    }
}

/// A number of records and a hash of them that does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) records: u64,
    hash: u64,
}

impl Digest {
    /// Adds a record by its hash.
    pub(crate) fn add(&mut self, hash: u64) {
        self.records += 1;
        self.hash = self.hash.wrapping_add(hash);
    }

    /// Adds a row of W1, if the bid gives one.
    pub(crate) fn add_mapped(&mut self, row: Option<&Mapped>) {
        if let Some(row) = row {
            self.add(row.hash());
        }
    }
}

/// The hash of a record by its bytes.
pub(crate) fn hash_bytes(record: &[u8]) -> Result<u64> {
    Ok(xxh3_64(record))
}

/// The number that a text stands for: serde_json's own way is quicker, and the last bit is sometimes another.
fn exactly<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?.get();
    text.parse().map_err(D::Error::custom)
}

/// The hash of a JSON record that W1 wrote, by its values.
pub(crate) fn hash_mapped(record: &[u8]) -> Result<u64> {
    let row: Mapped = serde_json::from_slice(record).context("an output record is not a row of W1")?;
    Ok(row.hash())
}
