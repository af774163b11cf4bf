//! What a sink writes: keys, headers, partitions, and what it hands back.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use riverhook_connectors::error::ErrorKind;

use crate::cluster::{Cluster, Record, batch, rows, sink, write_all};

fn settings(cluster: &Cluster, topic: &str, more: &str) -> String {
    format!("brokers: {}\ntopic: {topic}\n{more}", cluster.brokers)
}

fn has(record: &Record, text: &str) -> bool {
    String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).contains(text)
}

#[test]
fn keys_go_where_java_would_put_them() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("murmur2", 100, &[]);
    let sink = sink(&settings(&cluster, &topic, "key: id")).unwrap();
    // toPositive(Utils.murmur2(key)) of org.apache.kafka.common.utils, as its own UtilsTest gives murmur2:
    // "21" → -973932308, "foobar" → -790332482, "a-little-bit-long-string" → -985981536.
    let known = [("21", -973_932_308_i32), ("foobar", -790_332_482), ("a-little-bit-long-string", -985_981_536)];
    let ids = known.iter().map(|(key, _)| Some(*key)).collect();
    write_all(&*sink, &[rows(&[("id", ids)])]).unwrap();
    let records = cluster.records(&topic);
    for (key, hash) in known {
        let record = records.iter().find(|record| record.key.as_deref() == Some(key.as_bytes())).unwrap();
        assert_eq!(record.partition, (hash & 0x7fff_ffff) % 100, "{key}");
    }
}

#[test]
fn keys_may_be_null_empty_or_contain_nul_and_headers_are_templates() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("keys", 1, &[]);
    let more = "key: k\nheaders: { who: \"{id}\", kind: \"row {id} of {k}\", k: \"{k}\" }";
    let sink = sink(&settings(&cluster, &topic, more)).unwrap();
    let ids = vec![Some("a"), Some("b"), Some("c")];
    write_all(&*sink, &[rows(&[("id", ids), ("k", vec![Some("x\0y"), Some(""), None])])]).unwrap();
    let records = cluster.records(&topic);
    let keys: Vec<_> = records.iter().map(|record| record.key.clone()).collect();
    assert_eq!(keys, [Some(b"x\0y".to_vec()), Some(Vec::new()), None]);
    let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
    assert_eq!(records[1].headers, [header("who", "b"), header("kind", "row b of "), header("k", "")]);
    assert_eq!(records[2].headers, [header("who", "c"), header("kind", "row c of null")]);
    assert!(has(&records[0], "a"));
}

#[test]
fn the_time_of_a_record_may_be_a_column() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("times", 1, &[]);
    let sink = sink(&settings(&cluster, &topic, "timestamp: ts")).unwrap();
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(StringArray::from(vec!["a"]))),
        ("ts", Arc::new(TimestampMicrosecondArray::from(vec![1_700_000_000_123_456]))),
    ];
    let records = RecordBatch::try_from_iter(columns).unwrap();
    assert!(sink.check(&records.schema()).is_ok());
    write_all(&*sink, &[batch(records)]).unwrap();
    assert_eq!(cluster.records(&topic)[0].timestamp, Some(1_700_000_000_123));
}

#[test]
fn records_too_large_for_the_producer_come_back_and_the_others_arrive() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("local", 1, &[]);
    let sink = sink(&settings(&cluster, &topic, "max_record: 2KiB")).unwrap();
    let large = "x".repeat(3_000);
    let progress = write_all(&*sink, &[rows(&[("id", vec![Some("a"), Some(&large), Some("c")])])]).unwrap();
    rejects(&progress, 1, 1);
    assert_eq!(cluster.records(&topic).len(), 2);
}

#[test]
fn a_record_too_large_for_the_topic_comes_back_and_the_others_arrive() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("remote", 1, &[("max.message.bytes", "2000")]);
    let sink = sink(&settings(&cluster, &topic, "linger: 50ms")).unwrap();
    let large = "x".repeat(3_000);
    let batch = rows(&[("id", vec![Some("a"), Some(&large), Some("c")])]);
    let progress = write_all(&*sink, std::slice::from_ref(&batch)).unwrap();
    rejects(&progress, 1, 2);
    let records = cluster.records(&topic);
    assert!(records.len() == 2 && has(&records[0], "a") && has(&records[1], "c"), "{records:?}");
}

#[test]
fn records_that_a_compacted_topic_refuses_come_back() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("compacted", 1, &[("cleanup.policy", "compact")]);
    let sink = sink(&settings(&cluster, &topic, "key: k")).unwrap();
    let batch = rows(&[("id", vec![Some("a"), Some("b"), Some("c")]), ("k", vec![Some("1"), None, Some("3")])]);
    let progress = write_all(&*sink, &[batch]).unwrap();
    assert_eq!(progress.rejected[0].failures[0].row, 1);
    assert_eq!(progress.rejected[0].failures[0].code, "sink.kafka.invalid_record");
    assert_eq!(cluster.records(&topic).len(), 2);
}

fn rejects(progress: &riverhook_connectors::sink::Progress, row: u32, attempts: u32) {
    assert_eq!(progress.durable, 1);
    let [rejected] = progress.rejected.as_slice() else { panic!("{progress:?}") };
    let failures: Vec<_> = rejected.failures.iter().map(|failure| (failure.row, failure.code)).collect();
    assert_eq!(failures, [(row, "sink.kafka.too_large")]);
    assert_eq!(rejected.attempts, attempts);
    assert!(!rejected.failures[0].message.contains("xxx"));
}

#[test]
fn a_topic_that_does_not_exist_is_told() {
    let Some(cluster) = Cluster::get() else { return };
    let sink = sink(&settings(&cluster, "no-such-topic", "")).unwrap();
    let error = write_all(&*sink, &[rows(&[("id", vec![Some("1")])])]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("no topic `no-such-topic`"), "{error}");
}

#[test]
fn what_is_in_flight_is_bounded_and_all_of_it_arrives() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic("many", 4, &[]);
    let sink = sink(&settings(&cluster, &topic, "key: id\ncompression: lz4")).unwrap();
    let text = "x".repeat(1_000);
    let batches: Vec<_> = (0..20).map(|_| rows(&[("id", vec![Some(text.as_str()); 2_000])])).collect();
    let progress = write_all(&*sink, &batches).unwrap();
    assert!(progress.durable == 1 && progress.rejected.is_empty());
    assert_eq!(cluster.records(&topic).len(), 40_000);
}

#[test]
fn every_compression_is_written_and_can_be_read() {
    let Some(cluster) = Cluster::get() else { return };
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = cluster.topic("packed", 1, &[]);
        let sink = sink(&settings(&cluster, &topic, &format!("compression: {compression}"))).unwrap();
        let texts: Vec<String> = (0..1000).map(|n| format!("the same words again and again {n}")).collect();
        let column = texts.iter().map(|text| Some(text.as_str())).collect();
        write_all(&*sink, &[rows(&[("id", column)])]).unwrap();
        let records = cluster.records(&topic);
        assert_eq!(records.len(), 1000, "{compression}");
        assert!(records.iter().zip(&texts).all(|(record, text)| has(record, text)), "{compression}");
    }
}
