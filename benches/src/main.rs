//! `cargo run --release -p riverhook-benches`: measures Riverhook and prints each figure with its target and, beside it,
//! the ceiling measured in the same run.
//!
//! The engine is driven from outside, through a pipeline file and the binary, as its users do.

mod bench;
mod bids;
mod boundary;
mod burst;
mod contest;
mod decode;
mod drain;
mod gcd;
mod idle;
mod invoke;
mod kafka;
mod lambda;
mod latency;
mod loops;
mod machine;
mod process;
mod start;
mod table;
mod validate;
mod w1;
mod wasm;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::{bench::Bench, table::Row};

/// Measures Riverhook: every figure with its target and the ceiling beside it.
#[derive(Parser)]
#[command(name = "riverhook-benches", bin_name = "cargo run --release -p riverhook-benches --")]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// Less input and fewer runs: to see that it works, not to quote
    #[arg(long, global = true)]
    quick: bool,
    /// Write the whole page to this file, such as docs/benchmarks.md
    #[arg(long, global = true, value_name = "FILE")]
    write: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Part {
    /// The map W1 from Kafka to Kafka: processor time, throughput, memory
    W1,
    /// JSON to Arrow
    Decode,
    /// W1 with the map in WebAssembly
    Wasm,
    /// From producer to consumer through W1 at 10,000 records a second
    Latency,
    /// Memory while draining 10 million records
    Drain,
    /// From the start of the process to its first output
    Start,
    /// `riverhook validate`
    Validate,
    /// Handing a batch to a WebAssembly function and back
    Boundary,
    /// gcd of two columns in WebAssembly
    Gcd,
    /// The first call of a compiled component, and warm calls with one record
    Invoke,
    /// Handlers behind the Lambda Runtime API
    Lambda,
    /// 1,000 functions that nobody calls
    Idle,
    /// Copies when 1 event a second becomes 1,000, and 1 again
    Burst,
    /// A first call's process
    #[command(hide = true)]
    First(invoke::First),
    /// A ceiling's process
    #[command(hide = true)]
    Loop(loops::Arguments),
}

type Measure = fn(&Bench) -> Result<Vec<Row>>;

/// All parts, those that need no broker first.
const ALL: [(&str, Measure); 13] = [
    ("decode", decode::run),
    ("boundary", boundary::run),
    ("gcd", gcd::run),
    ("invoke", invoke::run),
    ("lambda", lambda::run),
    ("idle", idle::run),
    ("burst", burst::run),
    ("validate", validate::run),
    ("w1", w1::run),
    ("wasm", wasm::run),
    ("latency", latency::run),
    ("start", start::run),
    ("drain", drain::run),
];

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let wanted = match &arguments.part {
        Some(Part::Loop(arguments)) => return loops::run(arguments),
        Some(Part::First(arguments)) => return invoke::first(arguments),
        Some(part) => Some(part.name()),
        None => None,
    };
    let load = machine::load();
    let bench = Bench::new(arguments.quick)?;
    let mut rows = Vec::new();
    for (name, measure) in ALL.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name)) {
        eprintln!("{name}");
        rows.extend(measure(&bench).with_context(|| format!("the part `{name}`"))?);
    }
    let results = format!("{}\n{}", machine::about(&bench, load)?, table::markdown(&rows));
    println!("{results}");
    if let Some(path) = &arguments.write {
        let page = format!("{}{results}", include_str!("method.md"));
        fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

impl Part {
    /// Its name in [`ALL`], the same as on the command line.
    fn name(&self) -> &'static str {
        match self {
            Self::W1 => "w1",
            Self::Decode => "decode",
            Self::Wasm => "wasm",
            Self::Latency => "latency",
            Self::Drain => "drain",
            Self::Start => "start",
            Self::Validate => "validate",
            Self::Boundary => "boundary",
            Self::Gcd => "gcd",
            Self::Invoke => "invoke",
            Self::Lambda => "lambda",
            Self::Idle => "idle",
            Self::Burst => "burst",
            Self::First(_) => "first",
            Self::Loop(_) => "loop",
        }
    }
}
