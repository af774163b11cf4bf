//! From the start of the process to its first output: files to the console, and Kafka to Kafka.

use std::{
    fs,
    io::Read,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};

use crate::{
    bench::Bench,
    bids::{SCHEMA, SQL, bids},
    contest::{Contestant, Program, contest},
    loops::Kind,
    table::{Row, Spread, Target},
    w1::{Input, native},
};

/// Few records: it is the first that counts.
const RECORDS: u64 = 1000;

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let runs = bench.choose(11, 3);
    let embedded = (0..runs).map(|_| embedded(bench)).collect::<Result<Vec<_>>>()?;
    let input = Input::fill(bench.broker()?, RECORDS)?;
    let pinned = true;
    let contestants = [
        Contestant { name: "copy", program: Program::Loop(Kind::Copy), expected: Some(input.copied), pinned },
        Contestant { name: "riverhook", program: native(SCHEMA), expected: Some(input.mapped), pinned },
    ];
    let figures = contest(bench, &input.topic, RECORDS, &contestants, runs)?;
    let [copy, ours] = &figures[..] else { unreachable!("two took part") };
    Ok(vec![
        Row::new("start to first output, file to console", Spread::of(embedded), "s").target(Target::AtMost(0.5)),
        Row::new("start to first output, Kafka to Kafka", ours.start, "s")
            .target(Target::AtMost(0.5))
            .beside(format!("copy loop {}", copy.start.show(""))),
    ])
}

fn embedded(bench: &Bench) -> Result<f64> {
    let folder = bench.pipeline(&format!(
        "name: start
sources:
  bids: {{ type: file, path: bids.jsonl, schema: {SCHEMA} }}
transforms:
  mapped: {{ sql: \"{SQL}\" }}
sinks:
  out: {{ from: mapped, type: stdout, style: json }}
"
    ))?;
    let (mut lines, mut line) = (Vec::new(), Vec::new());
    for bid in bids().take(RECORDS as usize) {
        bid.json(&mut line);
        lines.extend_from_slice(&line);
        lines.push(b'\n');
    }
    fs::write(folder.path().join("bids.jsonl"), lines)?;

    let mut command = Command::new(&bench.engine);
    let command = bench.in_folder(command.args(["run", "--quiet", "pipeline.yaml"]), folder.path());
    let begun = Instant::now();
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut output = child.stdout.take().context("standard output was asked for")?;
    let first = output.read(&mut [0])?;
    let seconds = begun.elapsed().as_secs_f64();
    // To the end, so that the process is not stopped by a closed pipe.
    std::io::copy(&mut output, &mut std::io::sink())?;
    let ended = child.wait_with_output()?;
    ensure!(ended.status.success() && first == 1, "the run failed: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(seconds)
}
