//! `riverhook validate` of a pipeline with SQL and a WebAssembly function: what an editor or a hook waits for.

use std::{path::Path, process::Command, time::Instant};

use anyhow::{Context, Result, ensure};

use crate::{
    bench::Bench,
    bids::SCHEMA,
    contest::Place,
    table::{Row, Spread, Target, number},
    w1::pipeline,
};

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let middle = format!(
        "functions:\n  bid_map: {{ wasm: \"{}\" }}
transforms:
  dear: {{ sql: \"SELECT * FROM bids WHERE price > 100\" }}
  mapped: {{ from: dear, call: bid_map }}",
        bench.guest("bid_map").display()
    );
    // Nothing is connected to.
    let place = Place { brokers: "127.0.0.1:9092", input: "bids", output: "mapped" };
    let folder = bench.pipeline(&pipeline(&place, ("bids", SCHEMA), &middle, "mapped"))?;

    // Compiles the function, which the cache then keeps.
    let cold = time(bench, folder.path(), &["validate", "pipeline.yaml"])?;
    let (mut warm, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..bench.choose(31, 7) {
        warm.push(time(bench, folder.path(), &["validate", "pipeline.yaml"])?);
        bare.push(time(bench, folder.path(), &["--version"])?);
    }
    Ok(vec![
        Row::new("`validate` with SQL and a function, warm", Spread::of(warm), "ms")
            .target(Target::AtMost(100.0))
            .beside(format!("cold {}; `--version` {}", number(cold), Spread::of(bare).show(""))),
    ])
}

/// Milliseconds that the engine takes for a command line. Its cache is in the folder.
fn time(bench: &Bench, folder: &Path, arguments: &[&str]) -> Result<f64> {
    let mut command = Command::new(&bench.engine);
    command.args(arguments).current_dir(folder).env("XDG_CACHE_HOME", folder);
    let begun = Instant::now();
    let output = command.output().context("cannot run the engine")?;
    let millis = begun.elapsed().as_secs_f64() * 1e3;
    ensure!(output.status.success(), "it failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(millis)
}
