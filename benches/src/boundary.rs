//! What it costs to hand a batch to a WebAssembly function and take one back: a function that answers what it got.

use std::{fs, hint::black_box, sync::Arc, time::Instant};

use anyhow::{Context, Result};
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use riverhook_udf::{Caller, Function, Invocation, LogSink, Runtime, Settings};

use crate::{
    bench::Bench,
    table::{Row, Spread, Target},
};

const ROWS: i64 = 8192;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let runtime = Runtime::new(None)?;
    let path = bench.guest("echo");
    let code = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let echo = runtime.load("echo", &code, Settings::default(), LogSink::none())?;
    let column = || Arc::new(Int64Array::from_iter_values(0..ROWS)) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("a", column()), ("b", column())])?;
    let mut instance = echo.instance(batch.schema(), &Caller::default())?;

    let mut calls = Vec::new();
    let mut copies = Vec::new();
    let bytes = vec![1u8; batch.num_rows() * 16];
    for _ in 0..bench.choose(5000, 500) {
        let begun = Instant::now();
        instance.call(&batch, &Invocation::default()).result?;
        calls.push(per_row(begun));
        // There and back, into memory that nobody has used yet, as an answer's is.
        let begun = Instant::now();
        black_box(black_box(&bytes).clone());
        black_box(black_box(&bytes).clone());
        copies.push(per_row(begun));
    }
    // One call takes 20 µs: of thousands, some are interrupted by other work, which is not what is asked.
    let middle = |values| Spread::of(vec![Spread::of(values).median]);
    Ok(vec![
        Row::new("WASM boundary, 8,192 × (int64, int64) there and back", middle(calls), "ns a row")
            .target(Target::AtMost(3.0))
            .beside(format!("two copies of the bytes {}", middle(copies).show("ns"))),
    ])
}

fn per_row(begun: Instant) -> f64 {
    begun.elapsed().as_nanos() as f64 / ROWS as f64
}
