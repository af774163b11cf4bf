//! What happens to our member of the consumer group: partitions come and go, commits are answered, errors occur.
//!
//! All of it runs on the coordinator's thread, inside its poll.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext, Offset, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{CommitMode, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult},
    types::RDKafkaRespErr,
};

use super::{
    assignment::Assigned,
    group::{AGAIN, COVER, Group, GroupConsumer},
    health::log,
    queue::PartitionQueue,
    start::{self, Trouble},
};

/// For how long one question to the brokers may take during a rebalance, before it is asked again.
const ASK: Duration = Duration::from_secs(5);

/// The consumer's callbacks.
pub(super) struct Member(pub(super) Arc<Group>);

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.0.health.error(code, reason);
            if self.0.health.failure().is_some() {
                self.0.wake();
            }
        }
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for Member {
    fn rebalance(&self, consumer: &GroupConsumer, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let incremental = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let result = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.gained(consumer, partitions, incremental)
        } else {
            self.lost(consumer, partitions, incremental)
        };
        if let Err(error) = result {
            self.0.fail(format!("the consumer group cannot go on: {error}; start the pipeline again"));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        self.0.commit.lock().answer_by = None;
        let failed = result.err().or_else(|| offsets.elements().iter().find_map(|element| element.error().err()));
        match failed {
            Some(error) => self.0.commit_failed(&error),
            None => {
                let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
                let stored = offsets
                    .elements()
                    .iter()
                    .filter_map(|e| Some(((e.topic().to_owned(), e.partition()), offset(e.offset())?)))
                    .collect();
                self.0.committed(&stored);
                self.0.health.up();
            }
        }
    }
}

impl Member {
    fn gained(&self, consumer: &GroupConsumer, list: &TopicPartitionList, incremental: bool) -> KafkaResult<()> {
        let group = &self.0;
        let begin = self.begin(consumer, list);
        let (Some(owner), Some(begin)) = (group.consumer.get().and_then(Weak::upgrade), begin) else {
            // Closing, or the pipeline ends with an error: take part in the rebalance, but read nothing.
            return if incremental {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.unassign()
            };
        };
        let mut gained = Vec::new();
        let mut taken = group.taken_seats();
        for ((topic, number), offset) in &begin {
            let seat = (0..taken.len()).min_by_key(|seat| taken[*seat]).unwrap_or(0);
            taken[seat] += 1;
            let waker = Arc::clone(&group.seats[seat].waker);
            if let Some(queue) = PartitionQueue::split(Arc::clone(&owner), topic, *number, waker) {
                gained.push((seat, Arc::new(Assigned::new(topic.as_str().into(), *number, *offset, queue))));
            }
        }
        let list = start::list(&begin, Offset::Offset)?;
        if incremental {
            consumer.incremental_assign(&list)?
        } else {
            consumer.assign(&list)?
        }
        tracing::info!(partitions = ?names(gained.iter().map(|(_, partition)| partition)), "partitions assigned");
        gained.into_iter().for_each(|(seat, partition)| group.seat(partition, seat));
        *group.cover_at.lock() = Instant::now() + COVER.0;
        group.health.up();
        Ok(())
    }

    /// Where the partitions begin; `None` if the pipeline ends before that is known.
    fn begin(&self, consumer: &GroupConsumer, list: &TopicPartitionList) -> Option<BTreeMap<(String, i32), i64>> {
        let group = &self.0;
        while !group.is_stopping() && group.health.failure().is_none() {
            match self.find(consumer, list) {
                Ok(begin) => return Some(begin),
                Err(Trouble::Gap(message)) => group.fail(message),
                Err(Trouble::Later(error)) => {
                    group.health.unanswered(&error);
                    // One that is gone is a reason not to find its partitions.
                    group.missing.look(group, consumer);
                    thread::sleep(AGAIN);
                }
            }
        }
        None
    }

    fn find(&self, consumer: &GroupConsumer, list: &TopicPartitionList) -> Result<start::Partitions, Trouble> {
        let group = &self.0;
        start::find(consumer, list, &group.left_at(), group.start, group.on_gap, group.leaves_nothing, ASK)
    }

    fn lost(&self, consumer: &GroupConsumer, list: &TopicPartitionList, incremental: bool) -> KafkaResult<()> {
        let group = &self.0;
        let named = |partition: &Assigned| list.find_partition(&partition.topic, partition.number).is_some();
        let gone: Vec<_> = group.assigned().into_iter().filter(|partition| named(partition)).collect();
        if !gone.is_empty() {
            tracing::info!(partitions = ?names(gone.iter()), "partitions revoked");
            // When the group has given them to somebody already, nothing can be committed any more.
            if !consumer.assignment_lost() && !group.is_stopping() {
                gone.iter().for_each(|partition| partition.state().revoking = true);
                group.wake();
                group.settle(&gone);
                group.commit(consumer, CommitMode::Sync, &gone);
            }
            group.release(&gone);
        }
        if incremental { consumer.incremental_unassign(list) } else { consumer.unassign() }
    }
}

fn names<'a>(partitions: impl Iterator<Item = &'a Arc<Assigned>>) -> Vec<&'a str> {
    partitions.map(|partition| partition.name.as_str()).collect()
}
