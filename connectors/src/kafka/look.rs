//! Reads a topic from its beginning to its present end, or one record of it, as no member of any group: what was written
//! can be looked at again while others read and write. Commits nothing.

use std::{
    collections::BTreeSet,
    slice,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::BinaryArray;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{Consumer, base_consumer::BaseConsumer},
    error::KafkaError,
    message::OwnedMessage,
};

use super::{
    client,
    health::{Health, Watch},
    settings::KafkaConnection,
    topics,
};
use crate::{
    batch::{Input, Payloads},
    error::Error,
    position::{Partition, Position, Positions},
    source::{Keeper, Polled, ReadContext, Reader, Source},
    status::Status,
};

/// A topic as it is now.
pub(super) struct KafkaLook {
    pub(super) connection: KafkaConnection,
    pub(super) topic: String,
}

impl KafkaLook {
    fn consumer(&self, status: Status) -> Result<(BaseConsumer<Watch>, Arc<Health>), Error> {
        let health = Arc::new(Health::new(status, self.connection.brokers.as_slice().join(",")));
        let mut config = client::asking(&self.connection);
        // The library wants the name of a group; nobody joins it.
        config.set("group.id", format!("riverhook~look-{}", std::process::id()));
        config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
        // What retention has deleted is not there to be looked at: that is no gap.
        config.set("auto.offset.reset", "earliest").set("enable.partition.eof", "true");
        let consumer = config.create_with_context(Watch(Arc::clone(&health))).map_err(client::unusable)?;
        Ok((consumer, health))
    }

    /// Begins to read; gives the numbers of the topic's partitions.
    fn assign(
        &self,
        consumer: &BaseConsumer<Watch>,
        health: &Health,
        only: Option<(i32, u64)>,
        patience: Duration,
    ) -> Result<BTreeSet<i32>, Error> {
        let found = topics::partitions(consumer, slice::from_ref(&self.topic), health, patience)?;
        let count = i32::try_from(found.values().sum::<usize>()).unwrap_or(i32::MAX);
        let places: Vec<(i32, Offset)> = match only {
            None => (0..count).map(|number| (number, Offset::Beginning)).collect(),
            Some((number, offset)) if number < count => vec![(number, Offset::Offset(offset.cast_signed()))],
            Some(_) => Vec::new(),
        };
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (number, offset) in &places {
            list.add_partition_offset(&self.topic, *number, *offset).map_err(|error| self.unread(error))?;
        }
        consumer.assign(&list).map_err(|error| self.unread(error))?;
        Ok(places.into_iter().map(|(number, _)| number).collect())
    }

    fn unread(&self, error: KafkaError) -> Error {
        Error::unavailable(format!("the topic `{}` cannot be read", self.topic)).caused_by(error)
    }

    /// The value of one record, if it is still there.
    pub(super) fn record(&self, number: i32, offset: u64, patience: Duration) -> Result<Option<Vec<u8>>, Error> {
        let (consumer, health) = self.consumer(Status::starting("asking"))?;
        if self.assign(&consumer, &health, Some((number, offset)), patience)?.is_empty() {
            return Ok(None);
        }
        let begun = Instant::now();
        while begun.elapsed() < patience {
            match consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(message)) => {
                    let is_it = message.offset() == offset.cast_signed();
                    return Ok(message.payload().filter(|_| is_it).map(<[u8]>::to_vec));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                Some(Err(error)) => health.unanswered(&error),
            }
            health.failure().map_or(Ok(()), Err)?;
        }
        Err(health.unavailable(patience))
    }
}

impl Source for KafkaLook {
    fn keeper(&self) -> Keeper {
        Keeper::Nobody
    }

    fn is_finite(&self) -> bool {
        true
    }

    fn probe(&self, timeout: Duration) -> Result<String, Error> {
        let (consumer, health) = self.consumer(Status::starting("probing"))?;
        let found = topics::partitions(&consumer, slice::from_ref(&self.topic), &health, timeout)?;
        Ok(format!(
            "kafka at {} has `{}` with {} partitions",
            health.brokers(),
            self.topic,
            found.values().sum::<usize>()
        ))
    }

    fn open(&self, context: ReadContext) -> Result<Vec<Box<dyn Reader>>, Error> {
        let (consumer, health) = self.consumer(context.status.clone())?;
        let unfinished = self.assign(&consumer, &health, None, self.connection.connect_timeout)?;
        let topic = self.topic.clone();
        Ok(vec![Box::new(LookReader {
            consumer,
            health,
            topic,
            unfinished,
            held: None,
            next: Positions::new(),
            context,
        })])
    }
}

struct LookReader {
    consumer: BaseConsumer<Watch>,
    health: Arc<Health>,
    topic: String,
    /// The partitions whose end was not reached.
    unfinished: BTreeSet<i32>,
    /// A record of another partition than those that were gathered before it.
    held: Option<OwnedMessage>,
    next: Positions,
    context: ReadContext,
}

impl LookReader {
    /// The next record; nothing when none came in time.
    fn next(&mut self, wait: Duration) -> Result<Option<OwnedMessage>, Error> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => {
                self.health.up();
                Ok(Some(message.detach()))
            }
            Some(Err(KafkaError::PartitionEOF(number))) => {
                self.unfinished.remove(&number);
                Ok(None)
            }
            Some(Err(error)) => {
                self.health.unanswered(&error);
                self.health.failure().map_or(Ok(None), Err)
            }
        }
    }

    fn finish(&mut self, number: i32, records: &[OwnedMessage]) -> Payloads {
        let partition = Partition::new(format!("{}-{number}", self.topic));
        let position = |record: &OwnedMessage| Position::Offset(record.offset().unsigned_abs());
        let positions: Vec<Position> = records.iter().map(position).collect();
        if let Some(Position::Offset(last)) = positions.last() {
            self.next.insert(partition.clone(), Position::Offset(last + 1));
        }
        Payloads {
            values: records.iter().map(|record| record.payload()).collect::<BinaryArray>(),
            metadata: Vec::new(),
            input: Arc::new(Input {
                source: Arc::clone(&self.context.source),
                partition,
                positions,
                keys: None,
                headers: None,
                times: None,
                read_at: self.context.clock.now_micros(),
            }),
        }
    }
}

impl Reader for LookReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        if self.unfinished.is_empty() && self.held.is_none() {
            return Ok(Polled::End);
        }
        let Some(first) = self.next(wait)? else { return Ok(Polled::Idle) };
        let number = first.partition();
        let mut bytes = first.payload().map_or(0, <[u8]>::len);
        let mut records = vec![first];
        while records.len() < self.context.limits.rows && bytes < self.context.limits.bytes {
            match self.next(Duration::ZERO)? {
                None => break,
                Some(record) if record.partition() != number => {
                    self.held = Some(record);
                    break;
                }
                Some(record) => {
                    bytes += record.payload().map_or(0, <[u8]>::len);
                    records.push(record);
                }
            }
        }
        Ok(Polled::Payloads(self.finish(number, &records)))
    }

    fn positions(&self) -> Positions {
        self.next.clone()
    }

    fn commit(&mut self, _positions: &Positions) -> Result<(), Error> {
        Ok(())
    }
}
