//! The greatest common divisor of two columns in WebAssembly, beside the same loop in this program: the comparison that
//! others publish for their functions (<https://github.com/arrow-udf/arrow-udf> gives 15.5 µs in WebAssembly, 1.5 native).

use std::{fs, hint::black_box, sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use arrow_array::{ArrayRef, Int32Array, RecordBatch};
use riverhook_udf::{Caller, Function, Invocation, LogSink, Runtime, Settings};

use crate::{
    bench::Bench,
    table::{Row, Spread, Target},
};

const ROWS: i32 = 1024;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let runtime = Runtime::new(None)?;
    let path = bench.guest("gcd");
    let code = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let function = runtime.load("gcd", &code, Settings::default(), LogSink::none())?;
    let (a, b) = (Int32Array::from_iter_values(0..ROWS), Int32Array::from_iter_values((0..ROWS).map(|i| 2 * i)));
    let batch =
        RecordBatch::try_from_iter([("a", Arc::new(a.clone()) as ArrayRef), ("b", Arc::new(b.clone()) as ArrayRef)])?;
    let mut instance = function.instance(batch.schema(), &Caller::default())?;

    let (mut calls, mut loops) = (Vec::new(), Vec::new());
    for _ in 0..bench.choose(10_000, 1000) {
        let begun = Instant::now();
        let answered = instance.call(&batch, &Invocation::default()).result?.output;
        calls.push(begun.elapsed().as_nanos() as f64 / 1e3);
        let begun = Instant::now();
        let expected = divisors(black_box(&a), black_box(&b));
        loops.push(begun.elapsed().as_nanos() as f64 / 1e3);
        ensure!(answered.column(0).as_ref() == &expected as &dyn arrow_array::Array, "it answers other numbers");
    }
    // Of thousands of calls some are interrupted by other work, which is not what is asked.
    let middle = |values| Spread::of(vec![Spread::of(values).median]);
    Ok(vec![
        Row::new("gcd of 1,024 × (int32, int32) in WASM", middle(calls), "µs a call")
            .target(Target::AtMost(15.0))
            .beside(format!("the same loop in Rust {}", middle(loops).show("µs"))),
    ])
}

fn divisors(a: &Int32Array, b: &Int32Array) -> Int32Array {
    Int32Array::from_iter_values(a.values().iter().zip(b.values()).map(|(&a, &b)| gcd(a, b)))
}

fn gcd(mut a: i32, mut b: i32) -> i32 {
    while b != 0 {
        (a, b) = (b, a.wrapping_rem(b));
    }
    a
}
