//! What a source reads: from where, once, in order, and by whom.

use std::time::{Duration, Instant};

use arrow_array::{
    Array, ArrayRef,
    cast::AsArray,
    types::{Int64Type, TimestampMillisecondType},
};
use rdkafka::{message::Header, message::OwnedHeaders, producer::BaseRecord};
use riverhook_connectors::{error::ErrorKind, position::Position};

use crate::cluster::{Cluster, Task, read_context, source, until};

fn settings(cluster: &Cluster, topic: &str, more: &str) -> String {
    format!("brokers: {}\ntopic: {topic}\n{more}", cluster.brokers)
}

fn names(range: std::ops::Range<usize>) -> Vec<String> {
    let mut names: Vec<_> = range.map(|n| format!("r{n}")).collect();
    names.sort();
    names
}

#[test]
fn all_records_come_in_order_and_a_restart_goes_on_behind_what_was_committed() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("copy", 4, &[]);
    cluster.fill(&topic, 4, 0, 40_000);
    let source = source(&topic, &settings(&cluster, &topic, "")).unwrap();
    let folder = tempfile::tempdir().unwrap();

    let mut task = Task::open(&*source, read_context(&topic, folder.path(), 2)).unwrap();
    assert_eq!(task.readers.len(), 2);
    task.read(40_000).unwrap();
    for (partition, values) in task.values() {
        let number: usize = partition.as_str().rsplit('-').next().unwrap().parse().unwrap();
        let expected: Vec<_> = (number..40_000).step_by(4).map(|n| format!("r{n}")).collect();
        let wrong = values.iter().zip(&expected).position(|(value, expected)| value != expected);
        assert!(wrong.is_none() && values.len() == expected.len(), "{partition}: {wrong:?} of {}", values.len());
    }
    assert!(task.readers.iter().flat_map(|reader| reader.lag()).all(|(_, lag)| lag == 0));
    task.commit();
    until("what is durable is committed", || cluster.committed(&topic, &topic, 4) == [Some(10_000); 4]);
    cluster.fill(&topic, 4, 40_000, 4);
    task.read(40_004).unwrap();
    task.commit();
    until("and so is what comes later", || cluster.committed(&topic, &topic, 4) == [Some(10_001); 4]);
    task.close();

    cluster.fill(&topic, 4, 40_004, 400);
    let mut task = Task::open(&*source, read_context(&topic, folder.path(), 2)).unwrap();
    task.read(400).unwrap();
    task.idle(Duration::from_millis(300)).unwrap();
    assert_eq!(task.all(), names(40_004..40_404));
    task.close();
}

#[test]
fn several_topics_are_read_as_one_source() {
    let Some(cluster) = Cluster::get() else { return };
    let (one, two) = (cluster.topic("several-one", 2, &[]), cluster.topic("several-two", 1, &[]));
    cluster.fill(&one, 2, 0, 100);
    cluster.fill(&two, 1, 100, 50);
    let text = format!("brokers: {}\ntopic: [{one}, {two}]", cluster.brokers);
    let source = source(&one, &text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut task = Task::open(&*source, read_context(&one, folder.path(), 2)).unwrap();
    task.read(150).unwrap();
    assert_eq!(task.all(), names(0..150));
    let partitions: Vec<String> = task.values().keys().map(ToString::to_string).collect();
    assert_eq!(partitions, [format!("{one}-0"), format!("{one}-1"), format!("{two}-0")]);
    task.commit();
    until("both topics are committed", || {
        cluster.committed(&one, &one, 2) == [Some(50); 2] && cluster.committed(&one, &two, 1) == [Some(50)]
    });
    task.close();
}

#[test]
fn what_was_not_acknowledged_is_read_again() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("again", 1, &[]);
    cluster.fill(&topic, 1, 0, 100);
    let source = source(&topic, &settings(&cluster, &topic, "")).unwrap();
    let folder = tempfile::tempdir().unwrap();

    let mut task = Task::open(&*source, read_context(&topic, folder.path(), 1)).unwrap();
    task.read(100).unwrap();
    let half = task.readers[0].positions().into_keys().map(|partition| (partition, Position::Offset(50))).collect();
    task.readers[0].commit(&half).unwrap();
    task.close();

    let mut task = Task::open(&*source, read_context(&topic, folder.path(), 1)).unwrap();
    task.read(50).unwrap();
    assert_eq!(task.all(), names(50..100));
    task.close();
}

#[test]
fn a_restart_is_quick_because_the_group_takes_the_process_for_the_same_member() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("static", 2, &[]);
    cluster.fill(&topic, 2, 0, 100);
    let source = source(&topic, &settings(&cluster, &topic, "")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut task = Task::open(&*source, read_context(&topic, folder.path(), 1)).unwrap();
    task.read(100).unwrap();
    task.close();
    // Without a name of its own the new member would wait until the old one's session of 10 s is over.
    let begun = Instant::now();
    let mut task = Task::open(&*source, read_context(&topic, folder.path(), 1)).unwrap();
    task.read(100).unwrap();
    let took = begun.elapsed();
    task.close();
    assert!(took < Duration::from_secs(4), "the first records came after {took:?}");
}

#[test]
fn a_second_process_takes_half_of_the_partitions_and_nothing_is_lost() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("rebalance", 4, &[]);
    cluster.fill(&topic, 4, 0, 4_000);
    let source = source(&topic, &settings(&cluster, &topic, "")).unwrap();
    // One folder: the second member finds the first slot locked.
    let folder = tempfile::tempdir().unwrap();

    let mut first = Task::open(&*source, read_context(&topic, folder.path(), 2)).unwrap();
    first.read(4_000).unwrap();
    let mut second = Task::open(&*source, read_context(&topic, folder.path(), 2)).unwrap();
    let (mut next, deadline) = (4_000, Instant::now() + Duration::from_secs(30));
    while second.count() == 0 && Instant::now() < deadline {
        cluster.fill(&topic, 4, next, 4);
        next += 4;
        first.step().unwrap();
        second.step().unwrap();
    }
    assert!(first.barriers > 0, "a revoked partition asks for a barrier");
    let before = second.count();
    cluster.fill(&topic, 4, 100_000, 4_000);
    until("both have read everything", || {
        first.step().unwrap();
        second.step().unwrap();
        let late = |task: &Task| task.all().iter().filter(|value| value.len() == 7).count();
        late(&first) + late(&second) == 4_000
    });
    assert!(second.count() - before >= 1_000, "the second process reads a share");
    // Everything that was read of the moved partitions was acknowledged in time, so nothing came twice.
    let mut all = [first.all(), second.all()].concat();
    let read = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), read);
    let positions =
        |task: &Task| task.readers.iter().flat_map(|reader| reader.positions().into_keys()).collect::<Vec<_>>();
    let moved = positions(&second);
    assert!(
        positions(&first).iter().all(|partition| !moved.contains(partition)),
        "a revoked partition has no position"
    );
    first.close();
    second.close();
}

#[test]
fn start_says_where_a_new_group_begins() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("start", 2, &[]);
    for n in 0..10_usize {
        let (value, partition) = (format!("r{n}"), i32::try_from(n % 2).unwrap());
        let time = 1_700_000_000_000 + i64::try_from(n).unwrap() * 1000;
        cluster.send(BaseRecord::to(&topic).partition(partition).payload(value.as_bytes()).timestamp(time));
    }
    let begins = |start: &str, expected: &[&str]| {
        let group = format!("{topic}-{}", start.len());
        let text = settings(&cluster, &topic, &format!("group: {group}\nstart: {start}"));
        let source = source("p", &text).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut task = Task::open(&*source, read_context(&group, folder.path(), 1)).unwrap();
        until("the group began", || {
            task.step().unwrap();
            cluster.committed(&group, &topic, 2).iter().all(Option::is_some)
        });
        task.idle(Duration::from_millis(300)).unwrap();
        assert_eq!(task.all(), expected, "{start}");
        task.close();
    };
    begins("earliest", &["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9"]);
    begins("latest", &[]);
    begins("{ offset: 4 }", &["r8", "r9"]);
    begins("{ timestamp: 2023-11-14T22:13:26Z }", &["r6", "r7", "r8", "r9"]);
    begins("{ timestamp: 1700000009000 }", &["r9"]);
}

#[test]
fn a_partition_that_is_added_later_is_read_from_its_beginning() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("added", 1, &[]);
    cluster.fill(&topic, 1, 0, 10);
    let text = settings(&cluster, &topic, "start: latest");
    let source = source(&topic, &text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut task = Task::open(&*source, read_context(&topic, folder.path(), 1)).unwrap();
    until("the group began", || {
        task.step().unwrap();
        cluster.committed(&topic, &topic, 1) == [Some(10)]
    });
    task.close();

    cluster.add_partitions(&topic, 2);
    until("the partition can be written", || {
        cluster.send(BaseRecord::to(&topic).partition(1).payload(b"new".as_slice()));
        !cluster.records(&topic).iter().all(|record| record.partition == 0)
    });
    let mut task = Task::open(&*source, read_context(&topic, folder.path(), 1)).unwrap();
    task.read(1).unwrap();
    assert_eq!(task.all()[0], "new");
    task.close();
}

#[test]
fn tombstones_headers_nul_and_metadata_columns_arrive() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("metadata", 1, &[]);
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some("abc") })
        .insert(Header { key: "none", value: None::<&str> });
    cluster
        .send(BaseRecord::to(&topic).key(b"a\0b".as_slice()).payload(b"\xff".as_slice()).timestamp(1_700_000_000_123));
    cluster.send(BaseRecord::to(&topic).key(b"".as_slice()));
    cluster.send(BaseRecord::to(&topic).payload(b"{}".as_slice()).headers(headers));
    let text = settings(
        &cluster,
        &topic,
        "metadata: { topic: t, partition: p, offset: o, timestamp: ts, key: k, headers: h }",
    );
    let source = source(&topic, &text).unwrap();
    let fields: Vec<_> = source.metadata().iter().map(|field| field.name().clone()).collect();
    assert_eq!(fields, ["t", "p", "o", "ts", "k", "h"]);
    let folder = tempfile::tempdir().unwrap();
    let mut task = Task::open(&*source, read_context(&topic, folder.path(), 1)).unwrap();
    task.read(3).unwrap();
    let values = joined(task.read.iter().map(|payloads| &payloads.values as &dyn Array));
    let values: Vec<_> = values.as_binary::<i32>().iter().collect();
    assert_eq!(values, [Some(b"\xff".as_slice()), None, Some(b"{}")]);
    for (n, field) in source.metadata().iter().enumerate() {
        assert!(task.read.iter().all(|payloads| payloads.metadata[n].data_type() == field.data_type()));
    }
    let column = |n: usize| joined(task.read.iter().map(|payloads| &*payloads.metadata[n]));
    assert_eq!(column(0).as_string::<i32>().value(2), topic);
    assert_eq!(column(2).as_primitive::<Int64Type>().values(), &[0, 1, 2]);
    assert_eq!(column(3).as_primitive::<TimestampMillisecondType>().value(0), 1_700_000_000_123);
    let keys: Vec<_> = column(4).as_binary::<i32>().iter().map(|key| key.map(<[u8]>::to_vec)).collect();
    assert_eq!(keys, [Some(b"a\0b".to_vec()), Some(Vec::new()), None]);
    let headers = column(5);
    let headers = headers.as_list::<i32>();
    assert_eq!((headers.value_length(0), headers.value_length(2)), (0, 2));
    let third = headers.value(2);
    assert_eq!(third.as_struct().column(0).as_string::<i32>().value(0), "trace");
    assert!(third.as_struct().column(1).is_null(1));
    let last = task.read.last().unwrap();
    assert!(last.input.headers.is_some(), "dead letters get the headers");
    assert!(task.read[0].input.keys.is_some(), "dead letters get the keys");
    task.close();
}

fn joined<'a>(arrays: impl Iterator<Item = &'a dyn Array>) -> ArrayRef {
    arrow_select::concat::concat(&arrays.collect::<Vec<_>>()).unwrap()
}

#[test]
fn a_batch_ends_by_rows_and_by_bytes() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("limits", 1, &[]);
    cluster.fill(&topic, 1, 0, 1_000);
    let big = vec![b'x'; 5_000];
    cluster.send(BaseRecord::to(&topic).payload(big.as_slice()));
    let source = source(&topic, &settings(&cluster, &topic, "")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut context = read_context(&topic, folder.path(), 1);
    context.limits.rows = 64;
    context.limits.bytes = 200;
    let mut task = Task::open(&*source, context).unwrap();
    task.read(1_001).unwrap();
    for payloads in &task.read {
        let bytes = payloads.values.values().len() + payloads.input.keys.as_ref().map_or(0, |keys| keys.values().len());
        assert!(payloads.input.len() <= 64 && (bytes <= 200 || payloads.input.len() == 1), "{bytes} bytes");
    }
    task.close();
}

#[test]
fn an_idle_reader_answers_at_once_when_a_record_arrives() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("idle", 1, &[]);
    cluster.fill(&topic, 1, 0, 1);
    let source = source(&topic, &settings(&cluster, &topic, "")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut task = Task::open(&*source, read_context(&topic, folder.path(), 1)).unwrap();
    task.read(1).unwrap();
    let producer = cluster.clone_for_sending();
    let mut reader = task.readers.pop().unwrap();
    let waiting = std::thread::spawn(move || {
        let polled = reader.poll(Duration::from_secs(20)).unwrap();
        (Instant::now(), format!("{polled:?}").starts_with("Payloads"))
    });
    std::thread::sleep(Duration::from_millis(300));
    producer(&topic);
    let sent = Instant::now();
    let (arrived, is_payloads) = waiting.join().unwrap();
    assert!(is_payloads);
    assert!(arrived.saturating_duration_since(sent) < Duration::from_millis(200));
}

#[test]
fn a_missing_topic_is_told_with_the_nearest_name() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("orders", 1, &[]);
    let wrong = topic.replace("orders", "ordres");
    let source = source("p", &settings(&cluster, &wrong, "")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = Task::open(&*source, read_context("p", folder.path(), 1)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains(&wrong) && error.to_string().contains("did you mean `orders-"), "{error}");
}

#[test]
fn positions_are_shown_and_moved_only_while_nobody_reads() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("moved", 2, &[]);
    cluster.fill(&topic, 2, 0, 20);
    let source = source(&topic, &settings(&cluster, &topic, "options: { session.timeout.ms: 6000 }")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let wait = Duration::from_secs(10);
    let mut task = Task::open(&*source, read_context(&topic, folder.path(), 1)).unwrap();
    task.read(20).unwrap();
    task.commit();
    until("it is committed", || source.committed(wait).unwrap().values().all(|at| *at == Position::Offset(10)));
    let mut positions = source.committed(wait).unwrap();
    positions.values_mut().for_each(|at| *at = Position::Offset(7));
    let refused = source.move_committed(&positions, wait).unwrap_err();
    assert!(refused.to_string().contains("1 running members"), "{refused}");
    task.close();

    until("the member is gone", || source.move_committed(&positions, wait).is_ok());
    assert_eq!(source.committed(wait).unwrap(), positions);
    let probe = source.probe(wait).unwrap();
    assert!(probe.contains(&format!("`{topic}` with 2 partitions")), "{probe}");
}

#[test]
fn a_look_leaves_no_commits_behind() {
    let Some(cluster) = Cluster::get() else { return };
    let (topic, folder) = (cluster.topic("look", 2, &[]), tempfile::tempdir().unwrap());
    cluster.fill(&topic, 2, 0, 10);
    let name = riverhook_connectors::registry::Setup::look_at(&topic);
    let source = source(&name, &format!("brokers: {}\ntopic: {topic}", cluster.brokers)).unwrap();
    let mut task = Task::open(&*source, read_context(&name, folder.path(), 1)).unwrap();
    task.read(10).unwrap();
    task.commit();
    task.idle(Duration::from_millis(200)).unwrap();
    task.close();
    // Brokers keep a group without members only for its commits.
    assert_eq!(cluster.committed(&name, &topic, 2), [None, None]);
}
