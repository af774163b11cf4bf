//! The keys of a `generate` source.

use std::time::Duration;

use chrono::DateTime;
use riverhook_config::{Map, Node, Reading, Setting, Shape, Spanned, choices, settings};

settings! {
    /// Made-up rows: columns of seeded random values, or the events of the NEXMark benchmark. The same seed gives the
    /// same rows, also after a restart.
    pub struct GenerateSettings {
        /// The columns, each with how its values are made.
        pub fields: Option<Map<Spanned<FieldSettings>>>,
        /// NEXMark events instead of `fields`.
        pub nexmark: Option<Spanned<NexmarkSettings>>,
        /// Rows a second, all partitions together; as fast as the pipeline takes them unless set.
        pub rate: Option<Spanned<f64>>,
        /// Rows at all; without end unless set.
        pub count: Option<u64>,
        /// Where the randomness of `fields` begins. NEXMark events are the same for everybody.
        pub seed: u64 = 0,
        /// Into how many partitions the rows are dealt in turn, up to 1024: as many tasks can make them. 1 unless set.
        pub partitions: Option<Spanned<u32>>,
    }

    /// How a column's values are made: exactly one of the ways, and what may be added to each.
    pub struct FieldSettings {
        /// Whole numbers in order.
        pub sequence: Option<SequenceSettings>,
        /// One of these values.
        pub choice: Option<Vec<serde_json::Value>>,
        /// How often each value of `choice` comes, in proportion.
        pub weights: Option<Vec<f64>>,
        /// Random UUIDs (version 4), as text.
        pub uuid: Option<bool>,
        /// Numbers of a normal distribution.
        pub normal: Option<NormalSettings>,
        /// Numbers between two, all as likely: whole ones if both are.
        pub uniform: Option<UniformSettings>,
        /// Ranks from 1 to `n`, the first ones much more often: pages, products, users.
        pub zipf: Option<ZipfSettings>,
        /// Times that go forward, as `timestamp(ms)`.
        pub timestamp: Option<TimestampSettings>,
        /// True with this probability.
        pub bool: Option<f64>,
        /// Always this value.
        pub r#const: Option<serde_json::Value>,
        /// Text around a whole number: `user-{}`. The column is text then.
        pub format: Option<String>,
        /// With which probability a value is null.
        pub nulls: Option<f64>,
    }

    /// Whole numbers in order.
    pub struct SequenceSettings {
        /// The first.
        pub start: i64 = 0,
        /// From one to the next.
        pub step: i64 = 1,
    }

    /// A normal distribution.
    pub struct NormalSettings {
        /// Its middle.
        pub mean: f64 = 0.0,
        /// Its standard deviation: two thirds of the values are nearer to the middle.
        pub stddev: f64 = 1.0,
    }

    /// Numbers between two.
    pub struct UniformSettings {
        /// The least.
        pub min: serde_json::Value,
        /// The greatest; for fractions, just above it.
        pub max: serde_json::Value,
    }

    /// A Zipf distribution.
    pub struct ZipfSettings {
        /// The last rank.
        pub n: u64,
        /// How much more often the first ranks come.
        pub exponent: f64 = 1.0,
    }

    /// Times that go forward.
    pub struct TimestampSettings {
        /// The first: `now`, or a time such as 2026-01-31T12:00:00Z.
        pub start: Start = Start::Now,
        /// From one row to the next; what fits `rate` unless set, else 1ms.
        pub step: Option<Duration>,
        /// Up to how much a row may be late.
        pub disorder: Duration = Duration::ZERO,
    }

    /// Events of the NEXMark benchmark: an auction house.
    pub struct NexmarkSettings {
        /// Which events.
        pub events: NexmarkEvents = NexmarkEvents::Bids,
        /// The first event's time: `now`, or a time such as 2026-01-31T12:00:00Z.
        pub base_time: Start = Start::At(1_436_918_400_000_000),
        /// Events a second in event time, of all kinds together: 1 in 50 is a person, 3 are auctions, 46 are bids.
        pub events_per_second: u64 = 10_000,
    }
}

choices! {
    /// Kinds of NEXMark events.
    pub enum NexmarkEvents {
        /// Bids: columns auction, bidder, price, channel, url, date_time, extra.
        Bids = "bids",
        /// Auctions: columns id, item_name, description, initial_bid, reserve, date_time, expires, seller, category, extra.
        Auctions = "auctions",
        /// Persons: columns id, name, email_address, credit_card, city, state, date_time, extra.
        Persons = "persons",
        /// All of them in their order: columns event_type, date_time, and for each kind a struct.
        All = "all",
    }
}

/// When time begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// When the pipeline starts, also when it starts again.
    Now,
    /// Microseconds since 1970-01-01 UTC.
    At(i64),
}

impl Setting for Start {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        const EXPECTED: &str = "now, or a time such as 2026-01-31T12:00:00Z";
        let text = cx.text(node, EXPECTED)?;
        if text == "now" {
            return Some(Self::Now);
        }
        match DateTime::parse_from_rfc3339(&text) {
            Ok(time) => Some(Self::At(time.timestamp_micros())),
            Err(_) => {
                cx.wrong_value(node, EXPECTED);
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Str
    }

    fn written(&self) -> Option<serde_json::Value> {
        match self {
            Self::Now => Some("now".into()),
            Self::At(micros) => {
                let time = DateTime::from_timestamp_micros(*micros)?;
                Some(time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true).into())
            }
        }
    }
}
