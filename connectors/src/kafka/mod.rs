//! The `kafka` connector: consumer groups in, idempotent records out.
//!
//! Reading: `source` opens a `group`, which a `coordinator` serves on a thread of its own and whose `member` gains
//! and loses partitions; each `reader` takes records from its partitions' `queue`s and copies them into Arrow arrays
//! (`records`). `start` decides where a partition begins and what a gap means, `slot` what the process is called
//! in its group, `coverage` that no partition is left over.
//!
//! Writing: `sink` opens `writer`s, which share a `producer`; `inflight` turns deliveries into durable barriers;
//! `alone` finds the one bad record among many.
//!
//! Both: `settings` is what the file says, `client` makes librdkafka's properties of it, `topics` asks whether the
//! topics are there, `health` decides what an error means, and `look` reads records again without a group.

mod alone;
mod assignment;
mod client;
mod coordinator;
mod coverage;
mod group;
mod health;
mod inflight;
mod labels;
mod look;
mod member;
mod missing;
mod producer;
mod queue;
mod reader;
mod records;
mod settings;
mod sink;
mod slot;
mod source;
mod start;
mod topics;
mod writer;

use riverhook_config::{MapReader, Reading, Setting, Shape};

use self::{
    settings::{KafkaConnection, KafkaSink, KafkaSource},
    sink::KafkaTopic,
    source::KafkaTopics,
    writer::Layout,
};
use crate::{
    registry::{Connector, Setup, SinkEntry, SourceEntry},
    sink::Sink,
    source::Source,
};

/// The connector, for the registry.
pub const CONNECTOR: Connector = Connector {
    name: "kafka",
    source: Some(SourceEntry { shape: source_shape, read: read_source }),
    sink: Some(SinkEntry { shape: sink_shape, read: read_sink }),
};

fn source_shape() -> Shape {
    KafkaSource::shape().merge(KafkaConnection::shape())
}

fn sink_shape() -> Shape {
    KafkaSink::shape().merge(KafkaConnection::shape())
}

fn read_source(map: &mut MapReader<'_>, cx: &mut Reading<'_>, setup: &Setup) -> Option<Box<dyn Source>> {
    let settings = KafkaSource::read_fields(map, cx);
    let connection = KafkaConnection::read_fields(map, cx);
    let connection = client::check(connection?, &setup.base, cx);
    let settings = settings?;
    let clashes = clashes(&settings, setup);
    for clash in &clashes {
        let node = map.node();
        cx.push(
            node.get("metadata")
                .unwrap_or(node)
                .error(clash)
                .help("give it another name, as in `metadata: { key: kafka_key }`"),
        );
    }
    let group = settings.group.clone().unwrap_or_else(|| setup.pipeline.to_string());
    let source = KafkaTopics { connection: connection?, settings, group, leaves_nothing: setup.is_look() };
    clashes.is_empty().then(|| Box::new(source) as Box<dyn Source>)
}

/// Metadata columns whose names are taken.
fn clashes(settings: &KafkaSource, setup: &Setup) -> Vec<String> {
    let names: Vec<_> = settings.metadata.0.iter().map(|(_, name)| name).collect();
    let payload = |name: &&&String| setup.schema.as_ref().is_some_and(|schema| schema.field_with_name(name).is_ok());
    let twice = |(at, name): &(usize, &&String)| names[..*at].contains(*name);
    let clash = |name: &&String| format!("the payload has a column `{name}` too");
    let double = |(_, name): (usize, &&String)| format!("two metadata columns are called `{name}`");
    let with_payload = names.iter().filter(payload).map(clash);
    with_payload.chain(names.iter().enumerate().filter(twice).map(double)).collect()
}

fn read_sink(map: &mut MapReader<'_>, cx: &mut Reading<'_>, setup: &Setup) -> Option<Box<dyn Sink>> {
    let settings = KafkaSink::read_fields(map, cx);
    let connection = KafkaConnection::read_fields(map, cx);
    let connection = client::check(connection?, &setup.base, cx);
    let settings = settings?;
    let sink = KafkaTopic {
        connection: connection?,
        layout: layout(&settings),
        format: setup.format.clone(),
        producer: Default::default(),
        settings,
    };
    Some(Box::new(sink))
}

fn layout(settings: &KafkaSink) -> Layout {
    Layout {
        key: settings.key.as_ref().map(|key| key.0.clone()),
        headers: settings.headers.iter().map(|(name, label)| (name.to_owned(), label.clone())).collect(),
        timestamp: settings.timestamp.clone(),
    }
}
