//! Where reading begins: at the committed offset, at what `start:` says, or nowhere because records are gone.
//!
//! librdkafka could do that itself (`auto.offset.reset`), but then a committed offset that retention overtook would jump
//! silently, and a partition added later would begin at its end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer, ConsumerContext, base_consumer::BaseConsumer},
    error::{KafkaError, KafkaResult},
};

/// What `start:` says about partitions that were never committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Earliest,
    Latest,
    Offset(i64),
    /// The first record with this time or a later one: milliseconds since 1970-01-01 UTC.
    Timestamp(i64),
}

/// What to do when records between the committed offset and the first existing one are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnGap {
    Stop,
    Continue,
}

/// What is known of one partition when it is assigned.
#[derive(Clone, Copy, Debug)]
struct Known {
    committed: Option<i64>,
    low: i64,
    high: i64,
    /// The offset that `start: {timestamp}` leads to.
    at_time: Option<i64>,
}

/// Why no starting point was found.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The brokers did not tell; ask again.
    Later(KafkaError),
    /// Records are gone: a person must decide.
    Gap(String),
}

impl From<KafkaError> for Trouble {
    fn from(error: KafkaError) -> Self {
        Self::Later(error)
    }
}

pub(super) type Partitions = BTreeMap<(String, i32), i64>;

/// Finds where each partition of `assigned` begins. `left_at` counts as committed where the brokers know of no commit: we
/// had those partitions before. For a topic that the group never committed, the starting points of
/// all its partitions are committed first, so that one that appears later is told from one that had no records yet;
/// unless nothing may be left with the brokers.
pub(super) fn find<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    assigned: &TopicPartitionList,
    left_at: &Partitions,
    start: Start,
    on_gap: OnGap,
    leaves_nothing: bool,
    timeout: Duration,
) -> Result<Partitions, Trouble> {
    let ours: BTreeSet<_> = assigned.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
    // A member that joins gets nothing at first, and questions about nothing are never answered.
    if ours.is_empty() {
        return Ok(Partitions::new());
    }
    let topics: BTreeSet<_> = ours.iter().map(|(topic, _)| topic.clone()).collect();
    let mut all = BTreeSet::new();
    for topic in &topics {
        all.extend(partitions_of(consumer, topic, timeout)?);
    }
    all.extend(ours.iter().cloned());
    let mut committed = committed(consumer, &all, timeout)?;
    for (partition, offset) in left_at.iter().filter(|(partition, _)| ours.contains(*partition)) {
        committed.entry(partition.clone()).or_insert(*offset);
    }
    let fresh: BTreeSet<_> =
        topics.iter().filter(|topic| !committed.keys().any(|(known, _)| known == *topic)).collect();
    let asked: BTreeSet<_> = all.iter().filter(|p| ours.contains(p) || fresh.contains(&p.0)).cloned().collect();

    let low = offsets_at(consumer, &asked, Offset::Beginning, timeout)?;
    let high = offsets_at(consumer, &asked, Offset::End, timeout)?;
    let at_time = match start {
        Start::Timestamp(millis) => offsets_at(consumer, &asked, Offset::Offset(millis), timeout)?,
        _ => Partitions::new(),
    };

    let (mut begin, mut first) = (Partitions::new(), Partitions::new());
    for partition in asked {
        let missing = || KafkaError::OffsetFetch(rdkafka::error::RDKafkaErrorCode::LeaderNotAvailable);
        let known = Known {
            committed: committed.get(&partition).copied(),
            low: *low.get(&partition).ok_or_else(missing)?,
            high: *high.get(&partition).ok_or_else(missing)?,
            at_time: at_time.get(&partition).copied(),
        };
        let policy = if fresh.contains(&partition.0) { start } else { Start::Earliest };
        let offset = choose(&partition, known, policy, on_gap)?;
        if fresh.contains(&partition.0) {
            first.insert(partition.clone(), offset);
        }
        if ours.contains(&partition) {
            begin.insert(partition, offset);
        }
    }
    if !first.is_empty() && !leaves_nothing {
        consumer.commit(&list(&first, Offset::Offset)?, CommitMode::Sync)?;
    }
    Ok(begin)
}

/// The offset to begin at: pure, so that every case is tested.
fn choose(partition: &(String, i32), known: Known, start: Start, on_gap: OnGap) -> Result<i64, Trouble> {
    let Known { committed, low, high, at_time } = known;
    match committed {
        Some(offset) if (low..=high).contains(&offset) => Ok(offset),
        Some(offset) => match (gap(&partition.0, partition.1, offset, low, high), on_gap) {
            (message, OnGap::Stop) => Err(Trouble::Gap(message)),
            (message, OnGap::Continue) => {
                tracing::warn!("{message}; going on at offset {low}, as `on_gap: continue` says");
                Ok(low)
            }
        },
        None => Ok(match start {
            Start::Earliest => low,
            Start::Latest => high,
            Start::Offset(offset) => offset.clamp(low, high),
            Start::Timestamp(_) => at_time.unwrap_or(high),
        }),
    }
}

/// What is lost between the offset to go on at and what the partition still has, and the ways out.
pub(super) fn gap(topic: &str, partition: i32, offset: i64, low: i64, high: i64) -> String {
    let ways = "to go on at the first record there is, set `on_gap: continue` on the source, or move the position with `riverhook positions`";
    if offset < low {
        format!(
            "topic `{topic}`, partition {partition}: {lost} records are lost: the next record to read was at offset {offset}, but the \
             topic now begins at {low} (its retention deleted them before they were read); {ways}",
            lost = low - offset
        )
    } else {
        format!(
            "topic `{topic}`, partition {partition}: at least {lost} records are lost: the next record to read was at offset {offset}, but \
             the topic ends at {high} (it was made anew, or its data was lost); {ways}",
            lost = offset - high
        )
    }
}

fn partitions_of<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    timeout: Duration,
) -> KafkaResult<Vec<(String, i32)>> {
    let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
    let partitions = metadata.topics().iter().flat_map(rdkafka::metadata::MetadataTopic::partitions);
    Ok(partitions.map(|partition| (topic.to_owned(), partition.id())).collect())
}

/// The committed offsets of those partitions that have one.
pub(super) fn committed<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &BTreeSet<(String, i32)>,
    timeout: Duration,
) -> KafkaResult<Partitions> {
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        asked.add_partition(topic, *partition);
    }
    offsets_in(&consumer.committed_offsets(asked, timeout)?)
}

/// The offset of the first record at `time` or later (`Beginning` and `End` are special times); none if there is none.
pub(super) fn offsets_at<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &BTreeSet<(String, i32)>,
    time: Offset,
    timeout: Duration,
) -> KafkaResult<Partitions> {
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for (topic, partition) in partitions {
        asked.add_partition_offset(topic, *partition, time)?;
    }
    offsets_in(&consumer.offsets_for_times(asked, timeout)?)
}

fn offsets_in(list: &TopicPartitionList) -> KafkaResult<Partitions> {
    let mut offsets = Partitions::new();
    for element in list.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert((element.topic().to_owned(), element.partition()), offset);
        }
    }
    Ok(offsets)
}

/// A list for librdkafka.
pub(super) fn list(partitions: &Partitions, offset: impl Fn(i64) -> Offset) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for ((topic, partition), value) in partitions {
        list.add_partition_offset(topic, *partition, offset(*value))?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(committed: Option<i64>, start: Start, on_gap: OnGap) -> Result<i64, String> {
        let known = Known { committed, low: 10, high: 20, at_time: Some(15) };
        choose(&("clicks".to_owned(), 3), known, start, on_gap).map_err(|trouble| match trouble {
            Trouble::Gap(message) => message,
            Trouble::Later(error) => error.to_string(),
        })
    }

    #[test]
    fn a_committed_offset_wins_over_start() {
        assert_eq!(begins(Some(12), Start::Latest, OnGap::Stop), Ok(12));
        assert_eq!(begins(Some(20), Start::Earliest, OnGap::Stop), Ok(20));
    }

    #[test]
    fn start_says_where_an_uncommitted_partition_begins() {
        assert_eq!(begins(None, Start::Earliest, OnGap::Stop), Ok(10));
        assert_eq!(begins(None, Start::Latest, OnGap::Stop), Ok(20));
        assert_eq!(begins(None, Start::Offset(14), OnGap::Stop), Ok(14));
        assert_eq!(begins(None, Start::Offset(3), OnGap::Stop), Ok(10));
        assert_eq!(begins(None, Start::Timestamp(1), OnGap::Stop), Ok(15));
    }

    #[test]
    fn a_gap_stops_with_the_number_of_lost_records() {
        let retention = begins(Some(4), Start::Earliest, OnGap::Stop).unwrap_err();
        assert!(retention.contains("6 records are lost") && retention.contains("partition 3"), "{retention}");
        let anew = begins(Some(25), Start::Earliest, OnGap::Stop).unwrap_err();
        assert!(anew.contains("at least 5 records are lost") && anew.contains("on_gap: continue"), "{anew}");
    }

    #[test]
    fn a_gap_goes_on_at_the_first_record_when_told_to() {
        assert_eq!(begins(Some(4), Start::Latest, OnGap::Continue), Ok(10));
        assert_eq!(begins(Some(25), Start::Latest, OnGap::Continue), Ok(10));
    }
}
