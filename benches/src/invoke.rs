//! Calls with one record: the first one of a component that was compiled earlier, in a process of its own, and those of a
//! copy that is warm. For both worlds: Arrow batches, and records as JSON.

use std::{env, hint::black_box, path::PathBuf, process::Command, sync::Arc, time::Instant};

use anyhow::{Context, Result, ensure};
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use clap::Args;
use riverhook::functions::{PASSTHROUGH, PipelineJson};
use riverhook_connectors::format::schema::json_field;
use riverhook_udf::{Caller, Function, Instance, Invocation, LogSink, Records, Runtime, Settings};
use serde::{Deserialize, Serialize};

use crate::{
    bench::Bench,
    table::{Row, Spread, Target, number},
};

/// Of each world a function: one that answers what it got, and one that makes an order its total.
const WORLDS: [(&str, &str); 2] = [("batch", "echo"), ("record", "orders")];
const WARM_UP: usize = 1000;

/// The first call of a component, which a process of its own measures.
#[derive(Args)]
pub(crate) struct First {
    /// The folder of compiled code
    cache: PathBuf,
    /// The component
    component: PathBuf,
}

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let cold = WORLDS.iter().map(|(world, guest)| cold(bench, world, guest));
    let warm = WORLDS.iter().map(|(world, guest)| warm(bench, world, guest));
    cold.chain(warm).collect()
}

fn cold(bench: &Bench, world: &str, guest: &str) -> Result<Row> {
    let cache = bench.folder()?;
    let first = || {
        let mut command = Command::new(env::current_exe()?);
        let output = command.arg("first").arg(cache.path().join("compiled")).arg(bench.guest(guest)).output()?;
        let (said, printed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "the first call failed: {printed}");
        said.trim().parse::<f64>().context("a number of milliseconds")
    };
    let compiling = first()?;
    let calls = (0..bench.choose(31, 7)).map(|_| first()).collect::<Result<_>>()?;
    Ok(Row::new(format!("WASM, {world} world: first result of a cold component"), Spread::of(calls), "ms")
        .target(Target::AtMost(5.0))
        .beside(format!("compiled anew {}", number(compiling))))
}

/// Prints how many milliseconds the first call takes, from nothing to its result.
pub(crate) fn first(arguments: &First) -> Result<()> {
    let batch = order()?;
    let begun = Instant::now();
    let runtime = Runtime::new(Some(&arguments.cache))?;
    let function = runtime.load_file("first", &arguments.component, settings(), LogSink::none())?;
    let mut instance = function.instance(batch.schema(), &Caller::default())?;
    let answered = instance.call(&batch, &Invocation::default()).result?.output;
    let millis = begun.elapsed().as_secs_f64() * 1e3;
    ensure!(answered.num_rows() == 1, "it answered {} rows", answered.num_rows());
    println!("{millis}");
    Ok(())
}

fn warm(bench: &Bench, world: &str, guest: &str) -> Result<Row> {
    let runtime = Runtime::new(None)?;
    let function = runtime.load_file(guest, &bench.guest(guest), settings(), LogSink::none())?;
    let batch = order()?;
    let mut instance = function.instance(batch.schema(), &Caller::default())?;
    let (mut p50, mut p99, mut native) = (Vec::new(), Vec::new(), Vec::new());
    call(instance.as_mut(), &batch, WARM_UP)?;
    for _ in 0..bench.choose(7, 3) {
        let mut times = call(instance.as_mut(), &batch, bench.choose(20_000, 4000))?;
        times.sort_by(f64::total_cmp);
        p50.push(times[times.len() / 2]);
        p99.push(times[times.len() * 99 / 100]);
        native.push(total()?);
    }
    let mut beside = format!("p50 {}", Spread::of(p50).show("µs"));
    if world == "record" {
        beside += &format!("; the same of JSON in Rust {}", Spread::of(native).show("µs"));
    }
    Ok(Row::new(format!("WASM, {world} world: a warm call with one record, p99"), Spread::of(p99), "µs")
        .target(Target::AtMost(100.0))
        .beside(beside))
}

/// The microseconds of each call.
fn call(instance: &mut dyn Instance, batch: &RecordBatch, calls: usize) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let begun = Instant::now();
        instance.call(batch, &Invocation::default()).result?;
        times.push(begun.elapsed().as_nanos() as f64 / 1e3);
    }
    Ok(times)
}

/// One order.
fn order() -> Result<RecordBatch> {
    let column = |array: ArrayRef| array;
    Ok(RecordBatch::try_from_iter([
        ("id", column(Arc::new(Int64Array::from(vec![1])))),
        ("price", column(Arc::new(Float64Array::from(vec![2.5])))),
        ("quantity", column(Arc::new(Int64Array::from(vec![4])))),
    ])?)
}

/// As a pipeline would run it. A function over batches knows its columns itself.
fn settings() -> Settings {
    let columns = [("id", DataType::Int64), ("total", DataType::Float64), ("currency", DataType::Utf8)];
    let fields = columns.map(|(name, data_type)| Field::new(name, data_type, true));
    let records = Records {
        codecs: Arc::new(PipelineJson),
        output: Some(Arc::new(Schema::new(fields.to_vec()))),
        passthrough: Arc::new(json_field(PASSTHROUGH, false)),
    };
    Settings { records: Some(records), ..Settings::default() }
}

/// The microseconds that it takes to read an order, and to write its total, without a function.
fn total() -> Result<f64> {
    #[derive(Deserialize)]
    struct Order {
        id: u64,
        price: f64,
        quantity: i64,
    }
    #[derive(Serialize)]
    struct Total {
        id: u64,
        total: f64,
        currency: &'static str,
    }
    const CALLS: usize = 1000;
    let begun = Instant::now();
    for _ in 0..CALLS {
        let Order { id, price, quantity } = serde_json::from_str(black_box(r#"{"id":1,"price":2.5,"quantity":4}"#))?;
        let total = Total { id, total: price * quantity as f64, currency: "EUR" };
        black_box(serde_json::to_string(&total)?);
    }
    Ok(begun.elapsed().as_nanos() as f64 / 1e3 / CALLS as f64)
}
