//! What the delivery tests do with the real broker: topics, records in, records out, committed offsets.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    message::Message,
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};

const TIMEOUT: Duration = Duration::from_secs(30);

/// The broker's address; `None`, said loudly, when there is none to be had.
pub fn address(test: &str) -> Option<String> {
    let address = std::env::var("RIVERHOOK_TEST_KAFKA").ok();
    if address.is_none() {
        let _ = writeln!(std::io::stderr(), "LEFT OUT: {test} needs Kafka: run `cargo xtask test`");
    }
    address
}

pub fn create_topic(brokers: &str, topic: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = config(brokers).create().unwrap();
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let created =
        runtime.block_on(admin.create_topics([&new], &AdminOptions::new().request_timeout(Some(TIMEOUT)))).unwrap();
    created.into_iter().for_each(|topic| {
        topic.unwrap();
    });
}

fn config(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// A producer that blocks when it is ahead of the broker.
pub struct Feed(ThreadedProducer<DefaultProducerContext>);

impl Feed {
    pub fn new(brokers: &str) -> Self {
        let mut config = config(brokers);
        config.set("linger.ms", "5").set("partitioner", "murmur2_random").set("enable.idempotence", "true");
        Self(config.create().unwrap())
    }

    pub fn send(&self, topic: &str, key: &str, payload: &str) {
        let mut record = BaseRecord::to(topic).key(key).payload(payload);
        loop {
            match self.0.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => panic!("cannot produce: {error}"),
            }
        }
    }

    pub fn flush(&self) {
        self.0.flush(TIMEOUT).unwrap();
    }
}

/// The end of each partition.
pub fn ends(brokers: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
    let consumer: BaseConsumer = config(brokers).create().unwrap();
    (0..partitions)
        .map(|partition| (partition, consumer.fetch_watermarks(topic, partition, TIMEOUT).unwrap().1))
        .collect()
}

/// What a group has committed, for partitions where it has.
pub fn committed(brokers: &str, group: &str, topic: &str, partitions: i32) -> BTreeMap<i32, i64> {
    let consumer: BaseConsumer = config(brokers).set("group.id", group).create().unwrap();
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition_range(topic, 0, partitions - 1);
    let committed = consumer.committed_offsets(wanted, TIMEOUT).unwrap();
    let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => Some((element.partition(), offset)),
        _ => None,
    };
    committed.elements().iter().filter_map(offset).collect()
}

/// Everything in a topic, in order within each partition.
pub fn read_all(brokers: &str, topic: &str, partitions: i32, mut each: impl FnMut(i32, &[u8], &[u8])) {
    let consumer: BaseConsumer =
        config(brokers).set("group.id", "reader").set("enable.auto.commit", "false").create().unwrap();
    let ends = ends(brokers, topic, partitions);
    let mut assigned = TopicPartitionList::new();
    for partition in 0..partitions {
        assigned.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assigned).unwrap();
    let mut left: i64 = ends.values().sum();
    let patience = Instant::now();
    while left > 0 {
        assert!(patience.elapsed() < Duration::from_secs(120), "{left} records of {topic} did not come");
        let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
        let message = message.unwrap();
        each(message.partition(), message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        left -= 1;
    }
}

/// The members of a consumer group, by the ids that the broker gave them when they joined.
#[allow(dead_code, reason = "each test program uses a part of it")]
pub fn members(brokers: &str, group: &str) -> BTreeSet<String> {
    let consumer: BaseConsumer = config(brokers).create().unwrap();
    let groups = consumer.fetch_group_list(Some(group), TIMEOUT).unwrap();
    groups.groups().iter().flat_map(|group| group.members().iter().map(|member| member.id().to_owned())).collect()
}

/// What comes into partition 0 of a topic, one after the other.
#[allow(dead_code, reason = "each test program uses a part of it")]
pub struct Tail(BaseConsumer);

#[allow(dead_code, reason = "each test program uses a part of it")]
impl Tail {
    pub fn new(brokers: &str, topic: &str) -> Self {
        let mut config = config(brokers);
        config.set("group.id", "reader").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "10");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut assigned = TopicPartitionList::new();
        assigned.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&assigned).unwrap();
        Self(consumer)
    }

    /// The next record, if one comes in time.
    pub fn next(&self, within: Duration) -> Option<Vec<u8>> {
        let message = self.0.poll(within)?.unwrap();
        Some(message.payload().unwrap_or_default().to_vec())
    }
}
