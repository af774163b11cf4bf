//! JSON to Arrow on one core: the engine's decoder beside arrow-json on the same bytes, all columns and four of them.
//!
//! Processor time of the thread is measured, not wall time, so that other work on the machine counts less.

use std::{fs, hint::black_box, sync::Arc};

use anyhow::{Context, Result, ensure};
use arrow_array::BinaryArray;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use riverhook_connectors::{
    batch::{Input, Payloads},
    format::Format,
    position::{Partition, Position},
};

use crate::{
    bench::Bench,
    bids::bids,
    table::{Row, Spread, Target},
};

/// Records in a batch: what a source gives at most, unless told otherwise.
const BATCH: usize = 8192;
const BATCHES: usize = 12;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let batches = batches();
    let bytes: usize = batches.iter().map(|batch| batch.values.value_data().len()).sum();
    let columns = ["auction", "bidder", "price", "channel", "url", "date_time", "extra"];
    let mut rows = Vec::new();
    for (title, columns, target) in [
        ("JSON decode, all 7 columns", &columns[..], Some(Target::AtLeast(350.0))),
        ("JSON decode, 4 columns of 7", &["auction", "bidder", "price", "date_time"][..], None),
    ] {
        let schema = schema(columns);
        let mut rates: [Vec<f64>; 2] = Default::default();
        for round in 0..bench.choose(20, 6) {
            for which in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
                let seconds =
                    if which == 0 { decode(&schema, &batches)? } else { decode_with_arrow(&schema, &batches)? };
                rates[which].push(bytes as f64 / 1e6 / seconds);
            }
        }
        let [ours, theirs] = rates;
        let row = Row::new(title, Spread::of(ours), "MB/s a core");
        let row = row.beside(format!("arrow-json {}", Spread::of(theirs).show("")));
        rows.push(match target {
            Some(target) => row.target(target),
            None => row,
        });
    }
    Ok(rows)
}

fn schema(columns: &[&str]) -> SchemaRef {
    let text = |name: &str| matches!(name, "channel" | "url" | "extra");
    let field = |name: &&str| Field::new(*name, if text(name) { DataType::Utf8 } else { DataType::Int64 }, true);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

fn batches() -> Vec<Payloads> {
    let mut bids = bids();
    let mut batch = || {
        let mut buffer = Vec::new();
        let record = |bid: crate::bids::Bid| {
            bid.json(&mut buffer);
            buffer.clone()
        };
        let input = Input {
            source: "bids".into(),
            partition: Partition::new("bids/0"),
            positions: (0..BATCH as u64).map(Position::Offset).collect(),
            keys: None,
            headers: None,
            times: None,
            read_at: 0,
        };
        let values = BinaryArray::from_iter_values(bids.by_ref().take(BATCH).map(record));
        Payloads { values, metadata: Vec::new(), input: Arc::new(input) }
    };
    (0..BATCHES).map(|_| batch()).collect()
}

/// The seconds that the engine's decoder takes.
fn decode(schema: &SchemaRef, batches: &[Payloads]) -> Result<f64> {
    let mut decoder = Format::default().decoder(Arc::clone(schema))?;
    let begun = processor_seconds()?;
    for batch in batches {
        let decoded = decoder.decode(batch);
        ensure!(decoded.records.num_rows() == BATCH, "the decoder gave {} rows", decoded.records.num_rows());
        black_box(decoded);
    }
    Ok(processor_seconds()? - begun)
}

/// The seconds that arrow-json takes. It is given the records back to back, which it takes for one stream: it need not
/// check that each message is exactly one record.
fn decode_with_arrow(schema: &SchemaRef, batches: &[Payloads]) -> Result<f64> {
    let mut decoder = arrow_json::ReaderBuilder::new(Arc::clone(schema)).with_batch_size(BATCH).build_decoder()?;
    let begun = processor_seconds()?;
    for batch in batches {
        decoder.decode(batch.values.value_data())?;
        let rows = decoder.flush()?.map_or(0, |records| black_box(records).num_rows());
        ensure!(rows == BATCH, "arrow-json gave {rows} rows");
    }
    Ok(processor_seconds()? - begun)
}

/// What this thread has used of its core so far.
fn processor_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("cannot read a thread's processor time")?;
    let nanos: f64 = text.split(' ').next().unwrap_or_default().parse().context("a number of nanoseconds")?;
    Ok(nanos / 1e9)
}
