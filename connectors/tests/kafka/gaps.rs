//! Records that are gone before they were read: faults.md calls it retention that overtook the committed offset.

use std::time::Duration;

use riverhook_connectors::error::{Error, ErrorKind};

use crate::cluster::{Cluster, PATIENCE, Task, read_context, source, until};

fn settings(cluster: &Cluster, topic: &str, more: &str) -> String {
    format!("brokers: {}\ntopic: {topic}\n{more}", cluster.brokers)
}

fn committed_at(cluster: &Cluster, topic: &str, count: usize, folder: &std::path::Path) {
    cluster.fill(topic, 1, 0, count);
    let source = source(topic, &settings(cluster, topic, "")).unwrap();
    let mut task = Task::open(&*source, read_context(topic, folder, 1)).unwrap();
    task.read(count).unwrap();
    task.commit();
    task.close();
    assert_eq!(cluster.committed(topic, topic, 1), [Some(count.try_into().unwrap())]);
}

fn failure(task: &mut Task) -> Error {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Err(error) = task.step() {
            return error;
        }
        assert!(std::time::Instant::now() < deadline, "the source did not stop; it read {:?}", task.all());
    }
}

#[test]
fn retention_that_overtook_the_commit_stops_with_the_number_of_lost_records() {
    let Some(cluster) = Cluster::get() else { return };
    let (topic, folder) = (cluster.topic("retention", 1, &[]), tempfile::tempdir().unwrap());
    committed_at(&cluster, &topic, 100, folder.path());
    cluster.fill(&topic, 1, 100, 50);
    cluster.delete_records(&topic, 0, 130);

    let stopping = source(&topic, &settings(&cluster, &topic, "")).unwrap();
    let mut task = Task::open(&*stopping, read_context(&topic, folder.path(), 1)).unwrap();
    let error = failure(&mut task);
    assert_eq!(error.kind(), ErrorKind::Fatal);
    let text = error.to_string();
    assert!(text.contains("30 records are lost") && text.contains("on_gap: continue"), "{text}");
    task.close();

    let going_on = source(&topic, &settings(&cluster, &topic, "on_gap: continue")).unwrap();
    let mut task = Task::open(&*going_on, read_context(&topic, folder.path(), 1)).unwrap();
    task.read(20).unwrap();
    assert_eq!(task.all()[0], "r130");
    task.close();
}

#[test]
fn a_topic_that_was_made_anew_stops_the_source() {
    let Some(cluster) = Cluster::get() else { return };
    let (topic, folder) = (cluster.topic("anew", 1, &[]), tempfile::tempdir().unwrap());
    committed_at(&cluster, &topic, 100, folder.path());
    cluster.delete(&topic);
    cluster.create(&topic, 1, &[]);
    cluster.fill(&topic, 1, 0, 10);
    // Deleting a topic deletes its committed offsets too, unless another cluster's tools keep them: put them back.
    let stopping = source(&topic, &settings(&cluster, &topic, "")).unwrap();
    if cluster.committed(&topic, &topic, 1) == [None] {
        let positions =
            [(riverhook_connectors::position::Partition::new(format!("{topic}-0")), "100".parse().unwrap())];
        until("the offset is back", || {
            stopping.move_committed(&positions.clone().into(), Duration::from_secs(5)).is_ok()
        });
    }
    let mut task = Task::open(&*stopping, read_context(&topic, folder.path(), 1)).unwrap();
    let text = failure(&mut task).to_string();
    assert!(text.contains("at least 90 records are lost"), "{text}");
    task.close();
}

#[test]
fn retention_that_overtakes_a_running_source_stops_it_or_is_skipped() {
    let Some(cluster) = Cluster::get() else { return };
    for (on_gap, stops) in [("stop", true), ("continue", false)] {
        let (topic, folder) = (cluster.topic("overtaken", 1, &[]), tempfile::tempdir().unwrap());
        cluster.fill(&topic, 1, 0, 100);
        // So little is fetched ahead that the rest can be deleted under the reader.
        let options =
            "options: { queued.min.messages: 1, queued.max.messages.kbytes: 1, fetch.message.max.bytes: 100 }";
        let text = settings(&cluster, &topic, &format!("on_gap: {on_gap}\n{options}"));
        let source = source(&topic, &text).unwrap();
        let mut context = read_context(&topic, folder.path(), 1);
        context.limits.rows = 1;
        let mut task = Task::open(&*source, context).unwrap();
        task.read(1).unwrap();
        for n in 0..100 {
            cluster.send(rdkafka::producer::BaseRecord::to(&topic).payload(format!("late{n}").as_bytes()));
        }
        cluster.delete_records(&topic, 0, 199);
        if stops {
            let text = failure(&mut task).to_string();
            assert!(text.contains("records are lost") && text.contains("begins at 199"), "{text}");
        } else {
            until("the record behind the gap is read", || {
                task.step().unwrap();
                task.all().contains(&"late99".to_owned())
            });
        }
        task.close();
    }
}

#[test]
fn a_topic_that_is_deleted_under_a_running_source_is_told_and_then_stops_it() {
    let Some(cluster) = Cluster::get() else { return };
    let (topic, folder) = (cluster.topic("deleted", 1, &[]), tempfile::tempdir().unwrap());
    cluster.fill(&topic, 1, 0, 10);
    let source = source(&topic, &settings(&cluster, &topic, "connect_timeout: 8s")).unwrap();
    let context = read_context(&topic, folder.path(), 1);
    let status = context.status.clone();
    let mut task = Task::open(&*source, context).unwrap();
    task.read(10).unwrap();
    task.commit();
    assert_eq!(status.trouble(), None);
    cluster.delete(&topic);
    let deleted = std::time::Instant::now();
    until("the status tells of the topic", || {
        task.step().unwrap();
        status.trouble().is_some_and(|trouble| trouble.contains(&topic) && trouble.contains("is gone"))
    });
    assert!(deleted.elapsed() < Duration::from_secs(7), "{:?}", deleted.elapsed());
    let error = failure(&mut task);
    assert_eq!(error.kind(), ErrorKind::Fatal);
    let text = error.to_string();
    assert!(text.contains(&topic) && text.contains("connect_timeout"), "{text}");
    task.close();
}

#[test]
fn a_topic_that_comes_back_with_its_records_unread_is_no_longer_told() {
    let Some(cluster) = Cluster::get() else { return };
    let (topic, folder) = (cluster.topic("back", 1, &[]), tempfile::tempdir().unwrap());
    let source = source(&topic, &settings(&cluster, &topic, "")).unwrap();
    let context = read_context(&topic, folder.path(), 1);
    let status = context.status.clone();
    let mut task = Task::open(&*source, context).unwrap();
    until("the source is up", || {
        task.step().unwrap();
        status.trouble().is_none()
    });
    cluster.delete(&topic);
    until("the topic is gone", || status.trouble().is_some());
    cluster.create(&topic, 1, &[]);
    until("the topic is back", || status.trouble().is_none());
    task.close();
}

#[test]
fn a_topic_that_is_made_anew_under_a_running_source_stops_it() {
    let Some(cluster) = Cluster::get() else { return };
    // At once; and late enough that the group has noticed that the topic is gone.
    for gone_for in [Duration::ZERO, Duration::from_secs(3)] {
        let (topic, folder) = (cluster.topic("anew-running", 1, &[]), tempfile::tempdir().unwrap());
        cluster.fill(&topic, 1, 0, 100);
        let quick = "options: { topic.metadata.propagation.max.ms: 100, topic.metadata.refresh.interval.ms: 200 }";
        let source = source(&topic, &settings(&cluster, &topic, quick)).unwrap();
        let mut task = Task::open(&*source, read_context(&topic, folder.path(), 1)).unwrap();
        task.read(100).unwrap();
        task.commit();
        cluster.delete(&topic);
        task.idle(gone_for).unwrap();
        cluster.create(&topic, 1, &[]);
        cluster.fill(&topic, 1, 0, 10);
        let text = failure(&mut task).to_string();
        assert!(text.contains("records are lost") && text.contains("on_gap: continue"), "{text}");
        task.close();
    }
}
