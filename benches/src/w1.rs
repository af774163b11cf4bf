//! W1 of JSON to JSON from Kafka to Kafka: the engine beside librdkafka alone and beside a loop written by hand.

use anyhow::Result;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    bench::Bench,
    bids::{Digest, SCHEMA, SQL, bids, hash_bytes, hash_mapped},
    contest::{Contestant, Expected, Place, Program, contest},
    kafka::{Broker, Topic},
    loops::Kind,
    table::{Row, Target},
};

/// A topic of bids, and what must come of them.
pub(crate) struct Input<'b> {
    pub(crate) topic: Topic<'b>,
    pub(crate) count: u64,
    /// The bids themselves.
    pub(crate) copied: Expected,
    /// W1 of them.
    pub(crate) mapped: Expected,
}

impl<'b> Input<'b> {
    pub(crate) fn fill(broker: &'b Broker, count: u64) -> Result<Self> {
        let topic = broker.topic("bids")?;
        let (mut copied, mut mapped, mut bytes) = (Digest::default(), Digest::default(), 0);
        let mut bids = bids();
        topic.fill(count, |buffer| {
            let bid = bids.next().expect("there is always another bid");
            bid.json(buffer);
            bytes += buffer.len() as u64;
            copied.add(xxh3_64(buffer));
            mapped.add_mapped(bid.map().as_ref());
        })?;
        eprintln!("  {count} bids of {} bytes; W1 keeps {:.1} %", bytes / count, percent(mapped.records, count));
        let copied = Expected { digest: copied, hash: hash_bytes };
        Ok(Self { topic, count, copied, mapped: Expected { digest: mapped, hash: hash_mapped } })
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}

/// A pipeline that reads `source` (its name and its schema) and writes the node `from`, which `middle` defines.
pub(crate) fn pipeline(place: &Place<'_>, source: (&str, &str), middle: &str, from: &str) -> String {
    let (Place { brokers, input, output }, (source, schema)) = (place, source);
    // The name is the consumer group's too, and must be new for each run.
    format!(
        "name: {output}
connections:
  bench: {{ type: kafka, brokers: \"{brokers}\" }}
sources:
  {source}: {{ connection: bench, topic: {input}, start: earliest, schema: {schema} }}
{middle}
sinks:
  out: {{ from: {from}, connection: bench, topic: {output}, linger: 5ms }}
"
    )
}

/// W1 as a pipeline, on bids with the columns `schema`.
pub(crate) fn native(schema: &'static str) -> Program {
    let middle = format!("transforms:\n  mapped: {{ sql: \"{SQL}\" }}");
    Program::Pipeline(Box::new(move |place: &Place<'_>| pipeline(place, ("bids", schema), &middle, "mapped")))
}

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let input = Input::fill(bench.broker()?, bench.choose(2_000_000, 400_000))?;
    let pinned = true;
    let contestants = [
        Contestant { name: "consume", program: Program::Loop(Kind::Consume), expected: None, pinned },
        Contestant { name: "copy", program: Program::Loop(Kind::Copy), expected: Some(input.copied), pinned },
        Contestant { name: "typed", program: Program::Loop(Kind::Typed), expected: Some(input.mapped), pinned },
        Contestant { name: "riverhook", program: native(SCHEMA), expected: Some(input.mapped), pinned },
    ];
    let figures = contest(bench, &input.topic, input.count, &contestants, bench.choose(5, 2))?;
    let [consume, copy, typed, ours] = &figures[..] else { unreachable!("four took part") };
    let ratio = |better: f64| crate::table::Spread::of(vec![better / ours.cpu.median]);
    let beside = |what: &dyn Fn(&crate::contest::Figures) -> String| {
        format!("copy {}; hand-written {}; consume only {}", what(copy), what(typed), what(consume))
    };
    Ok(vec![
        Row::new("W1, CPU-seconds for a million records", ours.cpu, "s").beside(beside(&|of| of.cpu.show(""))),
        Row::new("W1, records a CPU-second beside the copy loop's", ratio(copy.cpu.median), "")
            .target(Target::AtLeast(0.6))
            .beside(format!("hand-written {}", crate::table::number(copy.cpu.median / typed.cpu.median))),
        Row::new("W1, throughput on one core", ours.throughput, "K records/s")
            .beside(beside(&|of| crate::table::number(of.throughput.median))),
        Row::new("W1, peak memory", ours.peak, "MiB")
            .target(Target::AtMost(150.0))
            .beside(beside(&|of| crate::table::number(of.peak.median))),
    ])
}
