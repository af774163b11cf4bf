//! What a call costs: `cargo test --release -p riverhook-udf --test boundary -- --ignored --nocapture`.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{Int64Array, RecordBatch, StringArray};
use riverhook_udf::{Caller, Function as _, Instance, Invocation, Limits};
use support::{function, numbers, prebuilt};

/// The median time of a call.
fn median(instance: &mut dyn Instance, batch: &RecordBatch, calls: usize) -> Duration {
    let mut times: Vec<_> = (0..calls)
        .map(|_| {
            let begun = Instant::now();
            instance.call(batch, &Invocation::default()).result.unwrap();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[calls / 2]
}

#[test]
#[ignore = "a benchmark: it prints, and only its order of magnitude is checked"]
fn cost_of_the_boundary() {
    let rows = 8192;
    let integers = || Arc::new(Int64Array::from_iter_values(0..rows)) as Arc<dyn arrow_array::Array>;
    let texts = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("text {row:8}"))));
    let two = RecordBatch::try_from_iter([("a", integers()), ("b", integers())]).unwrap();
    let three = RecordBatch::try_from_iter([("a", integers()), ("b", integers()), ("c", texts)]).unwrap();
    let bids = ["auction", "bidder", "price", "date_time"].map(|name| (name, integers()));
    let bids = RecordBatch::try_from_iter(bids).unwrap();

    for (name, guest, batch) in [
        ("identity of (int64, int64)", "echo", two),
        ("identity of (int64, int64, utf8(13))", "echo", three),
        ("the benchmarks' map of bids", "bid_map", bids),
    ] {
        let function = function(&prebuilt(guest), Limits::default());
        let mut instance = function.instance(batch.schema(), &Caller::default()).unwrap();
        let time = median(instance.as_mut(), &batch, 4_000);
        let per_row = time.as_nanos() as f64 / rows as f64;
        println!("{name}: {time:?} a call of {rows} rows, {per_row:.2} ns a row");
        assert!(per_row < 50.0);
    }
    let echo = function(&prebuilt("echo"), Limits::default());
    let mut instance = support::open(&echo);
    println!("identity of one row: {:?}", median(instance.as_mut(), &numbers([1]), 20_000));
}
