//! Memory while a long backlog of small records is drained as fast as it goes, on all cores.

use std::io::Write;

use anyhow::{Context, Result};
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    bench::Bench,
    bids::Digest,
    contest::{Contestant, Expected, Place, Program, contest},
    loops::Kind,
    table::{Row, Target},
    w1::pipeline,
};

const SCHEMA: &str = "{ id: int64, value: float64 }";
const TRANSFORM: &str = "transforms:\n  doubled: { sql: \"SELECT id, value * 2 AS value FROM readings\" }";

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.choose(10_000_000, 1_000_000);
    let input = bench.broker()?.topic("readings")?;
    let (mut digest, mut id) = (Digest::default(), 0);
    input.fill(count, |buffer| {
        buffer.clear();
        write!(buffer, "{{\"id\":{id},\"value\":{}.5}}", id % 1000).expect("memory can be written to");
        digest.add(hash(id));
        id += 1;
    })?;
    let (expected, pinned) = (Some(Expected { digest, hash: hash_record }), false);
    let ours = |place: &Place<'_>| pipeline(place, ("readings", SCHEMA), TRANSFORM, "doubled");
    let contestants = [
        Contestant { name: "copy", program: Program::Loop(Kind::Copy), expected, pinned },
        Contestant { name: "riverhook", program: Program::Pipeline(Box::new(ours)), expected, pinned },
    ];
    let figures = contest(bench, &input, count, &contestants, bench.choose(5, 1))?;
    let [copy, ours] = &figures[..] else { unreachable!("two took part") };
    let title = format!("draining {} million small records: peak memory", count / 1_000_000);
    Ok(vec![
        Row::new(title, ours.peak, "MiB").target(Target::AtMost(256.0)).beside(format!("copy {}", copy.peak.show(""))),
        Row::new("the same: throughput on all cores", ours.throughput, "K records/s")
            .beside(format!("copy {}", copy.throughput.show(""))),
    ])
}

fn hash(id: u64) -> u64 {
    xxh3_64(&id.to_le_bytes())
}

/// By the number alone, so that the copy and the doubled record have the same.
fn hash_record(record: &[u8]) -> Result<u64> {
    #[derive(Deserialize)]
    struct Reading {
        id: u64,
    }
    let reading: Reading = serde_json::from_slice(record).context("an output record is not what was written")?;
    Ok(hash(reading.id))
}
