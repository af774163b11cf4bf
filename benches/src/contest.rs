//! Several programs do the same work from topic to topic in turn (A B B A …), each alone on one core, and are compared.
//!
//! Each run writes to a topic of its own, which is then read back, counted and hashed: a run that lost, doubled or
//! changed a record fails the benchmark.

use std::{env, path::Path, process::Command, time::SystemTime};

use anyhow::{Context, Result, ensure};

use crate::{
    bench::Bench,
    bids::Digest,
    kafka::Topic,
    loops::Kind,
    process::{Started, Used},
    table::Spread,
};

/// Where a program reads and writes.
pub(crate) struct Place<'p> {
    pub(crate) brokers: &'p str,
    pub(crate) input: &'p str,
    pub(crate) output: &'p str,
}

/// What a contestant runs.
pub(crate) enum Program {
    /// A bare loop.
    Loop(Kind),
    /// The engine with the pipeline that this writes.
    Pipeline(Box<dyn Fn(&Place<'_>) -> String>),
}

/// What must be in the output, and how a record of it is hashed.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) digest: Digest,
    pub(crate) hash: fn(&[u8]) -> Result<u64>,
}

/// One who takes part.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) program: Program,
    /// None if it writes nothing.
    pub(crate) expected: Option<Expected>,
    /// Whether it has a core to itself, or all of them.
    pub(crate) pinned: bool,
}

/// What a contestant needed, over all runs.
pub(crate) struct Figures {
    /// Processor seconds for a million records read.
    pub(crate) cpu: Spread,
    /// Thousand records read a second, from the first output to the last (from start to end without output).
    pub(crate) throughput: Spread,
    /// MiB resident at most.
    pub(crate) peak: Spread,
    /// Seconds from the start of the process to its first output; zero without output.
    pub(crate) start: Spread,
}

/// Runs all contestants `rounds` times on the `count` records of `input`. The figures come in the contestants' order.
pub(crate) fn contest(
    bench: &Bench,
    input: &Topic<'_>,
    count: u64,
    contestants: &[Contestant],
    rounds: usize,
) -> Result<Vec<Figures>> {
    let mut runs: Vec<Vec<[f64; 4]>> = contestants.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..contestants.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let contestant = &contestants[index];
            let run =
                run(bench, input, count, contestant).with_context(|| format!("the run of {}", contestant.name))?;
            let [cpu, throughput, peak, start] = run;
            eprintln!(
                "  {}: {cpu:.2} CPU-s per million, {throughput:.0} K/s, {peak:.0} MiB, first output after {start:.2} s",
                contestant.name
            );
            runs[index].push(run);
        }
    }
    let spread = |runs: &[[f64; 4]], figure: usize| Spread::of(runs.iter().map(|run| run[figure]).collect());
    let figures = |runs: &Vec<[f64; 4]>| Figures {
        cpu: spread(runs, 0),
        throughput: spread(runs, 1),
        peak: spread(runs, 2),
        start: spread(runs, 3),
    };
    Ok(runs.iter().map(figures).collect())
}

fn run(bench: &Bench, input: &Topic<'_>, count: u64, contestant: &Contestant) -> Result<[f64; 4]> {
    let broker = bench.broker()?;
    let output = broker.topic("output")?;
    let place = Place { brokers: &broker.address, input: &input.name, output: &output.name };
    let (started, used) = match &contestant.program {
        Program::Loop(kind) => {
            let this = env::current_exe()?;
            let mut command = start(bench, contestant, &this);
            finish(command.args(kind.arguments(place.brokers, place.input, place.output, count)))?
        }
        Program::Pipeline(text) => {
            let folder = bench.pipeline(&text(&place))?;
            let mut command = start(bench, contestant, &bench.engine);
            command.args(["run", "pipeline.yaml", "--limit", &count.to_string()]);
            finish(bench.in_folder(&mut command, folder.path()))?
        }
    };
    let millions = count as f64 / 1e6;
    let (seconds, first) = match &contestant.expected {
        None => (used.wall, 0.0),
        Some(expected) => {
            let held = output.read(expected.hash)?;
            let (is, must) = (held.digest, expected.digest);
            ensure!(is.records == must.records, "it wrote {} records instead of {}", is.records, must.records);
            ensure!(is == must, "it wrote as many records as it should, but not the right ones");
            let between = held.last.duration_since(held.first).unwrap_or_default();
            (between.as_secs_f64(), held.first.duration_since(started).unwrap_or_default().as_secs_f64())
        }
    };
    Ok([used.cpu / millions, count as f64 / 1e3 / seconds.max(1e-3), used.peak as f64 / f64::from(1 << 20), first])
}

fn start(bench: &Bench, contestant: &Contestant, program: &Path) -> Command {
    if contestant.pinned { bench.cores.pinned(program) } else { bench.cores.anywhere(program) }
}

fn finish(command: &mut Command) -> Result<(SystemTime, Used)> {
    let started = Started::new(command)?;
    let at = started.at;
    Ok((at, started.wait()?))
}
