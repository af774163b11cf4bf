//! The sink: a configured topic, opened and probed.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use arrow_schema::{DataType, Schema};
use parking_lot::Mutex;

use super::{
    client,
    health::Health,
    look::KafkaLook,
    producer::Producer,
    settings::{KafkaConnection, KafkaSink},
    topics,
    writer::{KafkaWriter, Layout},
};
use crate::{
    error::Error,
    format::Format,
    sink::{ReadBack, Sink, WriteContext, Writer},
    status::Status,
};

/// A configured Kafka sink.
pub(super) struct KafkaTopic {
    pub(super) connection: KafkaConnection,
    pub(super) settings: KafkaSink,
    pub(super) layout: Layout,
    pub(super) format: Format,
    /// The producer of the writers that are open.
    pub(super) producer: Mutex<Weak<Producer>>,
}

impl KafkaTopic {
    fn connect(&self, status: Status, timeout: Duration) -> Result<(Producer, usize), Error> {
        let health = Arc::new(Health::new(status, self.connection.brokers.as_slice().join(",")));
        let producer =
            Producer::start(&client::writing(&self.connection, &self.settings), &self.settings.topic, health)?;
        let core = producer.core();
        let topic = std::slice::from_ref(&self.settings.topic);
        let found = topics::partitions(&**core, topic, &core.health, timeout)?;
        let partitions = found.values().sum();
        Ok((producer, partitions))
    }

    /// The producer that all open writers share.
    fn producer(&self, status: &Status) -> Result<Arc<Producer>, Error> {
        let mut shared = self.producer.lock();
        if let Some(producer) = shared.upgrade() {
            return Ok(producer);
        }
        let (producer, _) = self.connect(status.clone(), self.connection.connect_timeout)?;
        producer.core().hasten();
        let producer = Arc::new(producer);
        *shared = Arc::downgrade(&producer);
        Ok(producer)
    }
}

impl Sink for KafkaTopic {
    fn check(&self, schema: &Schema) -> Result<(), Vec<String>> {
        let mut problems = self.format.check_write(schema).err().unwrap_or_default();
        if let Some(key) = &self.layout.key {
            problems.extend(key.problems("key", schema));
        }
        for (name, label) in &self.layout.headers {
            problems.extend(label.problems(&format!("header `{name}`"), schema));
        }
        if let Some(name) = &self.layout.timestamp {
            match schema.field_with_name(name).map(|field| field.data_type()) {
                Ok(DataType::Timestamp(..)) => {}
                Ok(other) => problems.push(format!("timestamp: the column `{name}` is {other}, not a timestamp")),
                Err(_) => problems.push(format!("timestamp: there is no column `{name}`")),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn probe(&self, timeout: Duration) -> Result<String, Error> {
        let (_, partitions) = self.connect(Status::starting("probing"), timeout)?;
        let brokers = self.connection.brokers.as_slice().join(",");
        Ok(format!("kafka at {brokers} has `{}` with {partitions} partitions", self.settings.topic))
    }

    fn open(&self, context: WriteContext) -> Result<Box<dyn Writer>, Error> {
        let producer = self.producer(&context.status)?;
        let encoder = self.format.encoder(context.schema)?;
        Ok(Box::new(KafkaWriter::new(producer, encoder, self.layout.clone(), context.inflight_bytes)))
    }

    fn read_back(&self) -> Option<ReadBack> {
        let source = KafkaLook { connection: self.connection.clone(), topic: self.settings.topic.clone() };
        Some(ReadBack { source: Box::new(source), format: self.format.clone() })
    }
}
