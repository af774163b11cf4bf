//! The ceilings: what librdkafka alone costs, and what a program costs that somebody wrote by hand for W1 and nothing
//! else. Each runs in a process of its own, pinned as the engine is, and is measured from outside as the engine is.
//!
//! They deliver as the engine's sink does (idempotent, same linger), and leave librdkafka's buffers at their defaults.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use rdkafka::{
    ClientConfig, Message,
    producer::{BaseProducer, BaseRecord, Producer},
};

use crate::{
    bids::Taken,
    kafka::{consumer, send},
};

/// Which loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Read, and drop what was read.
    Consume,
    /// Read, and write the same bytes.
    Copy,
    /// W1 with serde_json and a struct.
    Typed,
}

/// What a loop's process is told.
#[derive(Args)]
pub(crate) struct Arguments {
    kind: Kind,
    brokers: String,
    input: String,
    output: String,
    /// How many records to read.
    count: u64,
}

impl Kind {
    /// The command line of a loop's process.
    pub(crate) fn arguments(self, brokers: &str, input: &str, output: &str, count: u64) -> Vec<String> {
        let kind = match self {
            Self::Consume => "consume",
            Self::Copy => "copy",
            Self::Typed => "typed",
        };
        ["loop", kind, brokers, input, output, &count.to_string()].map(str::to_owned).into()
    }
}

/// Runs a loop to its end.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &arguments.brokers);
    let consumer = consumer(config.clone(), &arguments.input)?;
    config.set("enable.idempotence", "true").set("linger.ms", "5");
    let producer: BaseProducer = config.create()?;
    let mut row = Vec::new();
    for number in 0..arguments.count {
        let record = consumer.poll(Duration::from_secs(60)).context("no record for a minute")??;
        let bid = record.payload().unwrap_or_default();
        let output = match arguments.kind {
            Kind::Consume => None,
            Kind::Copy => Some(bid),
            Kind::Typed => map(bid, &mut row)?.then_some(&*row),
        };
        if let Some(output) = output {
            send(&producer, BaseRecord::<[u8], [u8]>::to(&arguments.output).payload(output))?;
        }
        // So that the reports of deliveries do not pile up.
        if number % 1000 == 0 {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(60)).context("Kafka does not take the output")
}

/// W1 on one record; whether it gives a row.
fn map(bid: &[u8], row: &mut Vec<u8>) -> Result<bool> {
    let bid: Taken = serde_json::from_slice(bid)?;
    let Some(mapped) = bid.map() else { return Ok(false) };
    row.clear();
    serde_json::to_writer(row, &mapped)?;
    Ok(true)
}
