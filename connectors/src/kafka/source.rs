//! The source: a configured consumer group, opened, probed and moved.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use arrow_schema::FieldRef;
use rdkafka::{
    Offset,
    config::ClientConfig,
    consumer::{CommitMode, Consumer, ConsumerContext, base_consumer::BaseConsumer},
    error::KafkaResult,
    metadata::Metadata as ClusterMetadata,
};

use super::{
    client,
    coordinator::Coordinator,
    group::{Group, GroupConsumer},
    health::{Health, Watch},
    look::KafkaLook,
    member::Member,
    reader::{KafkaReader, Reading},
    settings::{KafkaConnection, KafkaSource},
    slot::Slot,
    start,
    topics::{self, Ask},
};
use crate::{
    error::Error,
    position::{Partition, Position, Positions},
    source::{Keeper, ReadContext, Reader, Source},
    status::Status,
};

/// Events looked at after a question that was not answered.
const EVENTS: usize = 32;

/// A configured Kafka source.
pub(super) struct KafkaTopics {
    pub(super) connection: KafkaConnection,
    pub(super) settings: KafkaSource,
    /// The consumer group.
    pub(super) group: String,
    /// Whether nothing is committed: a group without commits is gone with its last member.
    pub(super) leaves_nothing: bool,
}

impl<C: ConsumerContext> Ask for BaseConsumer<C> {
    fn metadata(&self, topic: Option<&str>, timeout: Duration) -> KafkaResult<ClusterMetadata> {
        self.fetch_metadata(topic, timeout)
    }

    fn serve(&self) {
        // Errors come through the callbacks, one event a call, and there is nothing to read.
        for _ in 0..EVENTS {
            let _ = self.poll(Duration::ZERO);
        }
    }
}

impl KafkaTopics {
    fn brokers(&self) -> String {
        self.connection.brokers.as_slice().join(",")
    }

    fn client(&self, config: &ClientConfig, health: &Arc<Health>) -> Result<BaseConsumer<Watch>, Error> {
        config.create_with_context(Watch(Arc::clone(health))).map_err(client::unusable)
    }

    fn topics(&self) -> &[String] {
        self.settings.topic.as_slice()
    }

    /// A client for questions, and every topic's number of partitions.
    fn reach(
        &self,
        status: Status,
        timeout: Duration,
    ) -> Result<(BaseConsumer<Watch>, BTreeMap<String, usize>), Error> {
        let health = Arc::new(Health::new(status, self.brokers()));
        let client = self.client(client::asking(&self.connection).set("group.id", &self.group), &health)?;
        let found = topics::partitions(&client, self.topics(), &health, timeout)?;
        Ok((client, found))
    }

    /// What the group committed, after whether it has members.
    fn ask_group(&self, timeout: Duration) -> Result<(BaseConsumer<Watch>, Found), Error> {
        let (client, topics) = self.reach(Status::starting("asking"), timeout)?;
        let numbered = |(topic, count): (&String, &usize)| {
            let topic = topic.clone();
            (0..*count).map(move |number| (topic.clone(), i32::try_from(number).unwrap_or(i32::MAX)))
        };
        let partitions: BTreeSet<_> =
            topics.iter().flat_map(|(topic, count)| numbered((topic, count)).collect::<Vec<_>>()).collect();
        let committed = start::committed(&client, &partitions, timeout).map_err(|error| self.unanswered(error))?;
        Ok((client, Found { partitions, committed }))
    }

    fn unanswered(&self, error: rdkafka::error::KafkaError) -> Error {
        Error::unavailable(format!("kafka at {} did not answer about the group `{}`", self.brokers(), self.group))
            .caused_by(error)
    }
}

/// The partitions of the topics, and where the group is in them.
struct Found {
    partitions: BTreeSet<(String, i32)>,
    committed: BTreeMap<(String, i32), i64>,
}

fn name((topic, number): &(String, i32)) -> Partition {
    Partition::new(format!("{topic}-{number}"))
}

impl Source for KafkaTopics {
    fn keeper(&self) -> Keeper {
        Keeper::Server
    }

    fn metadata(&self) -> Vec<FieldRef> {
        self.settings.metadata.0.iter().map(|(column, name)| column.field(name)).collect()
    }

    fn probe(&self, timeout: Duration) -> Result<String, Error> {
        let (_, found) = self.reach(Status::starting("probing"), timeout)?;
        let topics = found.iter().map(|(topic, count)| format!("`{topic}` with {count} partitions"));
        Ok(format!("kafka at {} has {}", self.brokers(), topics.collect::<Vec<_>>().join(", ")))
    }

    fn open(&self, context: ReadContext) -> Result<Vec<Box<dyn Reader>>, Error> {
        let health = Arc::new(Health::new(context.status.clone(), self.brokers()));
        let found = {
            let client = self.client(&client::asking(&self.connection), &health)?;
            topics::partitions(&client, self.topics(), &health, self.connection.connect_timeout)?
        };
        let partitions: usize = found.values().sum();
        let readers = context.parallelism.min(partitions).max(1);
        let slot = Slot::claim(&context.state_dir, &context.pipeline, &context.source)?;
        let config = client::reading(&self.connection, &self.group, &slot.name, context.prefetch_bytes, partitions);

        let group = Arc::new(Group::new(self, health, readers));
        let consumer: GroupConsumer =
            config.create_with_context(Member(Arc::clone(&group))).map_err(client::unusable)?;
        let consumer = Arc::new(consumer);
        let _ = group.consumer.set(Arc::downgrade(&consumer));
        let topics: Vec<&str> = self.topics().iter().map(String::as_str).collect();
        consumer
            .subscribe(&topics)
            .map_err(|error| Error::config(format!("cannot subscribe to {topics:?}")).caused_by(error))?;
        let coordinator = Coordinator::start(Arc::clone(&group), consumer, slot)
            .map_err(|error| Error::unavailable("no thread for the kafka consumer").caused_by(error))?;
        let shared = Arc::new(Reading {
            source: context.source,
            group,
            coordinator,
            limits: context.limits,
            metadata: self.settings.metadata.0.iter().map(|(column, _)| *column).collect(),
            clock: context.clock,
        });
        Ok((0..readers).map(|seat| Box::new(KafkaReader::new(Arc::clone(&shared), seat)) as Box<dyn Reader>).collect())
    }

    fn again(&self, partition: &Partition, position: Position, patience: Duration) -> Result<Option<Vec<u8>>, Error> {
        let of_topic = |topic: &String| {
            let number = partition.as_str().strip_prefix(topic.as_str())?.strip_prefix('-')?.parse().ok()?;
            Some((topic.clone(), number))
        };
        let Some((topic, number)) = self.topics().iter().find_map(of_topic) else { return Ok(None) };
        let Position::Offset(offset) = position;
        KafkaLook { connection: self.connection.clone(), topic }.record(number, offset, patience)
    }

    fn committed(&self, timeout: Duration) -> Result<Positions, Error> {
        let (_, found) = self.ask_group(timeout)?;
        let position =
            |(partition, offset): (&(String, i32), &i64)| (name(partition), Position::Offset(offset.unsigned_abs()));
        Ok(found.committed.iter().map(position).collect())
    }

    fn move_committed(&self, positions: &Positions, timeout: Duration) -> Result<(), Error> {
        let (client, found) = self.ask_group(timeout)?;
        let groups = client.fetch_group_list(Some(&self.group), timeout).map_err(|error| self.unanswered(error))?;
        let members = groups.groups().iter().map(|group| group.members().len()).sum::<usize>();
        if members > 0 {
            return Err(Error::config(format!(
                "the consumer group `{}` has {members} running members; stop the pipeline first (a member that was killed counts for 10 more seconds)",
                self.group
            )));
        }
        let mut moved = BTreeMap::new();
        for (wanted, Position::Offset(offset)) in positions {
            let known = found.partitions.iter().find(|partition| name(partition) == *wanted);
            let partition = known.ok_or_else(|| {
                let all = found.partitions.iter().map(|partition| name(partition).to_string()).collect::<Vec<_>>();
                Error::config(format!("there is no partition `{wanted}`; there are {}", all.join(", ")))
            })?;
            moved.insert(partition.clone(), offset.cast_signed());
        }
        let list = start::list(&moved, Offset::Offset).map_err(|error| self.unanswered(error))?;
        client.commit(&list, CommitMode::Sync).map_err(|error| self.unanswered(error))
    }
}
