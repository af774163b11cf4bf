//! How long a record is on its way through W1 at half load: from its producer's call to the hands of a consumer.
//!
//! Ten records go out each millisecond, each with the microsecond of its sending in place of `date_time`, which W1 keeps.
//! The bare copy loop with the same linger stands beside. Producer, broker and consumer share the other cores.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use rdkafka::{
    Message,
    consumer::BaseConsumer,
    producer::{BaseProducer, BaseRecord, Producer},
};
use serde::Deserialize;

use crate::{
    bench::Bench,
    bids::{SCHEMA, bids},
    contest::{Place, Program},
    kafka::{PARTITIONS, send},
    loops::Kind,
    process::Started,
    table::{Row, Spread, Target, number},
    w1::native,
};

/// Records sent each millisecond.
const EACH_MILLISECOND: u64 = 10;
/// How long the last records may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// One run's p50, p99 and greatest latency, in milliseconds.
type Latencies = [f64; 3];

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let (mut copies, mut ours): (Vec<Latencies>, Vec<Latencies>) = (Vec::new(), Vec::new());
    for round in 0..bench.choose(5, 1) {
        let copy = Program::Loop(Kind::Copy);
        let order = if round % 2 == 0 { [copy, native(SCHEMA)] } else { [native(SCHEMA), copy] };
        for program in order {
            let (name, runs) = match program {
                Program::Loop(_) => ("copy", &mut copies),
                Program::Pipeline(_) => ("riverhook", &mut ours),
            };
            let latencies = measure(bench, &program).with_context(|| format!("the run of {name}"))?;
            eprintln!("  {name}: p50, p99, max {latencies:.1?} ms");
            runs.push(latencies);
        }
    }
    let spread = |runs: &[Latencies], figure: usize| Spread::of(runs.iter().map(|run| run[figure]).collect());
    let row = |what: &str, figure| {
        let beside = format!("copy loop {}", number(spread(&copies, figure).median));
        Row::new(format!("W1 at 10,000 records/s, linger 5 ms: {what}"), spread(&ours, figure), "ms").beside(beside)
    };
    Ok(vec![row("p50", 0), row("p99", 1).target(Target::AtMost(9.0)), row("greatest", 2)])
}

fn measure(bench: &Bench, program: &Program) -> Result<Latencies> {
    let (warm_up, measured) = (Duration::from_secs(bench.choose(10, 3)), Duration::from_secs(bench.choose(15, 5)));
    let count = u64::try_from((warm_up + measured).as_millis())? * EACH_MILLISECOND;
    let broker = bench.broker()?;
    let (input, output) = (broker.topic("paced")?, broker.topic("output")?);
    let place = Place { brokers: &broker.address, input: &input.name, output: &output.name };
    let folder;
    let mut running = match program {
        Program::Loop(kind) => {
            let mut command = bench.cores.pinned(&env::current_exe()?);
            Started::new(command.args(kind.arguments(place.brokers, place.input, place.output, count)))?
        }
        Program::Pipeline(text) => {
            folder = bench.pipeline(&text(&place))?;
            let mut command = bench.cores.pinned(&bench.engine);
            Started::new(bench.in_folder(command.args(["run", "pipeline.yaml"]), folder.path()))?
        }
    };
    // So that the start of the process is not part of the first records' latency.
    thread::sleep(Duration::from_secs(1));
    running.must_run()?;

    let expected = Arc::new(AtomicU64::new(u64::MAX));
    let pacing = {
        let (producer, topic, expected) = (broker.producer("0")?, input.name.clone(), Arc::clone(&expected));
        let all = matches!(program, Program::Loop(_));
        thread::spawn(move || pace(&producer, &topic, count, all, &expected))
    };
    let counted_from = micros() + i64::try_from(warm_up.as_micros())?;
    let latencies = receive(&output.consumer()?, &expected, counted_from);
    pacing.join().map_err(|_| anyhow::anyhow!("the thread that sends panicked"))??;
    let latencies = latencies?;
    match program {
        Program::Loop(_) => running.wait()?,
        Program::Pipeline(_) => running.stop()?,
    };
    Ok(quantiles(latencies))
}

/// Sends the records, and says at the end how many of them must come back: all, or those that W1 keeps.
fn pace(producer: &BaseProducer, topic: &str, count: u64, all: bool, expected: &AtomicU64) -> Result<()> {
    let begun = Instant::now();
    let (mut buffer, mut kept) = (Vec::new(), 0);
    for (number, mut bid) in (0..count).zip(bids()) {
        if number % EACH_MILLISECOND == 0 {
            let due = Duration::from_millis(number / EACH_MILLISECOND);
            thread::sleep(due.saturating_sub(begun.elapsed()));
            producer.poll(Duration::ZERO);
        }
        kept += u64::from(all || bid.map().is_some());
        bid.date_time = micros();
        bid.json(&mut buffer);
        // All of a millisecond to one partition: spread over all, they would be four times the requests, and the core
        // that the broker shares could do no more.
        let partition = i32::try_from(number / EACH_MILLISECOND % PARTITIONS as u64)?;
        send(producer, BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(&buffer))?;
    }
    expected.store(kept, Ordering::Release);
    producer.flush(PATIENCE).context("Kafka does not take the input")
}

/// The latencies, in milliseconds, of the records sent at or after `counted_from`.
fn receive(consumer: &BaseConsumer, expected: &AtomicU64, counted_from: i64) -> Result<Vec<f64>> {
    #[derive(Deserialize)]
    struct Sent {
        date_time: i64,
    }
    let (mut received, mut latencies, mut silent_since) = (0, Vec::new(), Instant::now());
    while received < expected.load(Ordering::Acquire) {
        let Some(record) = consumer.poll(Duration::from_millis(100)) else {
            let silent = silent_since.elapsed();
            ensure!(silent < PATIENCE, "no record came out for {} s; {received} did before", silent.as_secs());
            continue;
        };
        let record = record?;
        let now = micros();
        let Sent { date_time } = serde_json::from_slice(record.payload().unwrap_or_default())?;
        if date_time >= counted_from {
            latencies.push((now - date_time) as f64 / 1e3);
        }
        received += 1;
        silent_since = Instant::now();
    }
    Ok(latencies)
}

fn quantiles(mut latencies: Vec<f64>) -> Latencies {
    latencies.sort_by(f64::total_cmp);
    let last = latencies.len() - 1;
    [latencies[last / 2], latencies[last * 99 / 100], latencies[last]]
}

fn micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    i64::try_from(since.as_micros()).expect("the clock is before the year 294247")
}

#[cfg(test)]
mod tests {
    #[test]
    fn quantiles_are_of_the_sorted_latencies() {
        assert_eq!(super::quantiles((1..=101).rev().map(f64::from).collect()), [51.0, 100.0, 101.0]);
    }
}
