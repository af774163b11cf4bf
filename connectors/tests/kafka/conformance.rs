//! The suites that every connector passes.

use std::time::SystemTime;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use riverhook_connectors::{
    conformance::{Row, SinkHarness, SourceHarness, check_sink, check_source},
    sink::Sink,
    source::Source,
};

use crate::cluster::{Cluster, PATIENCE, sink, source};

/// A new topic, and a new group, for each check.
struct Topic {
    cluster: Cluster,
    name: String,
}

impl SourceHarness for Topic {
    fn create(&mut self, partitions: usize) -> Box<dyn Source> {
        self.name = self.cluster.topic("conformance", partitions.try_into().unwrap(), &[]);
        let nanos = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let text = format!("brokers: {}\ntopic: {}\ngroup: group-{nanos}", self.cluster.brokers, self.name);
        source("conformance", &text).unwrap()
    }

    fn put(&mut self, partition: usize, records: &[Vec<u8>]) {
        let producer: BaseProducer = self.cluster.config().set("enable.idempotence", "true").create().unwrap();
        for record in records {
            let record = BaseRecord::<[u8], _>::to(&self.name).payload(record).partition(partition.try_into().unwrap());
            producer.send(record).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }
}

#[test]
fn the_source_keeps_its_contract() {
    let Some(cluster) = Cluster::get() else { return };
    check_source(&mut Topic { cluster, name: String::new() });
}

impl SinkHarness for Topic {
    fn create(&mut self) -> Box<dyn Sink> {
        self.name = self.cluster.topic("conformance", 2, &[]);
        sink(&format!("brokers: {}\ntopic: {}\nmax_record: 900KiB", self.cluster.brokers, self.name)).unwrap()
    }

    fn read(&mut self) -> Vec<Vec<Row>> {
        let mut parts = vec![Vec::new(), Vec::new()];
        for record in self.cluster.records(&self.name) {
            let row: serde_json::Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
            let (id, text) = (row["id"].as_i64().unwrap(), row["text"].as_str().unwrap().to_owned());
            parts[usize::try_from(record.partition).unwrap()].push(Row { id, text });
        }
        parts
    }

    fn refused(&self) -> Option<String> {
        Some("x".repeat(1 << 20))
    }
}

#[test]
fn the_sink_keeps_its_contract() {
    let Some(cluster) = Cluster::get() else { return };
    check_sink(&mut Topic { cluster, name: String::new() });
}
