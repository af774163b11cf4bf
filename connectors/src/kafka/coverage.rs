//! Whether the group has given every partition to somebody.
//!
//! A partition that is added while no process runs would never be read: a static member that comes back gets its old
//! partitions without a rebalance, and librdkafka asks for one only when it sees a topic change. So each member looks at
//! what the group has assigned, and joins anew when something is left over, which makes the group assign everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rdkafka::{
    consumer::{Consumer, ConsumerContext, base_consumer::BaseConsumer},
    error::KafkaResult,
};

/// Whether a partition of the topics belongs to no member of a group that has settled.
pub(super) fn is_incomplete<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
    topics: &[String],
    timeout: Duration,
) -> KafkaResult<bool> {
    let groups = consumer.fetch_group_list(Some(group), timeout)?;
    let Some(group) = groups.groups().iter().find(|found| found.name() == group && found.state() == "Stable") else {
        return Ok(false);
    };
    let mut taken = BTreeSet::new();
    for member in group.members() {
        match member.assignment().map(assignment) {
            None => {}
            Some(Some(partitions)) => taken.extend(partitions),
            // Not one of ours: it is not for us to judge.
            Some(None) => return Ok(false),
        }
    }
    let mut partitions = BTreeMap::new();
    for topic in topics {
        let metadata = consumer.fetch_metadata(Some(topic), timeout)?;
        let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        partitions.insert(topic.as_str(), count);
    }
    let all =
        partitions.iter().flat_map(|(topic, count)| (0_i32..).take(*count).map(|number| (topic.to_string(), number)));
    Ok(all.into_iter().any(|partition| !taken.contains(&partition)))
}

/// The partitions in a member's assignment, which is in Kafka's own encoding: a version, then topics with partitions.
/// `None` if it is not that.
fn assignment(bytes: &[u8]) -> Option<Vec<(String, i32)>> {
    let mut rest = bytes.get(2..)?;
    let mut partitions = Vec::new();
    for _ in 0..int(&mut rest)? {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let topic = std::str::from_utf8(after.get(..length)?).ok()?;
        rest = &after[length..];
        for _ in 0..int(&mut rest)? {
            partitions.push((topic.to_owned(), int(&mut rest)?));
        }
    }
    Some(partitions)
}

fn int(rest: &mut &[u8]) -> Option<i32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::assignment;

    #[test]
    fn assignments_are_read_and_garbage_is_not() {
        let bytes = [&[0, 1, 0, 0, 0, 1, 0, 2][..], b"ab", &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0]].concat();
        assert_eq!(assignment(&bytes), Some(vec![("ab".to_owned(), 0), ("ab".to_owned(), 7)]));
        assert_eq!(assignment(&bytes[..12]), None);
        assert_eq!(assignment(&[]), None);
    }
}
