//! Dead letters in a topic run again: by no member of the pipeline's group, with keys and metadata as they were.

use std::{collections::BTreeMap, path::Path, process::Command};

use crate::broker;

fn pipeline(folder: &Path, brokers: &str, name: &str, kind: &str) {
    let text = format!(
        r#"
name: {name}
max_payload: 64B
connections:
  main: {{ type: kafka, brokers: "{brokers}" }}
sources:
  numbers:
    connection: main
    topic: {name}.in
    start: earliest
    metadata: {{ key: who, offset: at }}
    schema: {{ n: {kind} }}
    on_error: dead_letter
transforms:
  named: {{ sql: "SELECT CAST(who AS VARCHAR) AS who, at, CAST(n AS VARCHAR) AS n FROM numbers" }}
sinks:
  out: {{ from: named, connection: main, topic: {name}.out, key: who }}
dead_letters: {{ connection: main, topic: {name}.dead }}
checkpoint: {{ every: 200ms }}
"#
    );
    std::fs::write(folder.join("pipeline.yaml"), text).unwrap();
}

fn riverhook(folder: &Path, arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_riverhook")).args(arguments).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(0), "{said}");
    said
}

#[test]
fn kafka_letters_in_a_topic_run_again() {
    let Some(brokers) = broker::address("kafka_letters_in_a_topic_run_again") else { return };
    let name = format!("replay-{}", std::process::id());
    let topic = |kind: &str| format!("{name}.{kind}");
    ["in", "out", "dead"].iter().for_each(|kind| broker::create_topic(&brokers, &topic(kind), 2));
    let folder = tempfile::tempdir().unwrap();
    pipeline(folder.path(), &brokers, &name, "int64!");
    // The longest is cut in its letter.
    let long = "x".repeat(500);
    let feed = broker::Feed::new(&brokers);
    for n in 0..200 {
        let value = match n % 20 {
            7 => format!("{{\"n\":\"bad {n}\"}}"),
            13 if n == 113 => format!("{{\"n\":\"{long}\"}}"),
            _ => format!("{{\"n\":{n}}}"),
        };
        feed.send(&topic("in"), &format!("key {n}"), &value);
    }
    feed.flush();
    riverhook(folder.path(), &["run", "--until-idle", "2s", "pipeline.yaml"]);
    let group = || broker::committed(&brokers, &name, &topic("in"), 2);
    let (before, letters) = (group(), broker::ends(&brokers, &topic("dead"), 2));
    assert_eq!((before.values().sum::<i64>(), letters.values().sum::<i64>()), (200, 11));

    pipeline(folder.path(), &brokers, &name, "string!");
    let said = riverhook(folder.path(), &["replay", "pipeline.yaml"]);
    assert!(said.contains("replayed 11 letters of `numbers`, 11 delivered"), "{said}");
    let said = riverhook(folder.path(), &["replay", "pipeline.yaml"]);
    assert!(said.contains("replayed 0 letters") && said.contains("11 skipped"), "{said}");
    assert_eq!(group(), before, "the group has not moved");

    let mut inputs: BTreeMap<String, (i32, i64)> = BTreeMap::new();
    let mut offsets: BTreeMap<i32, i64> = BTreeMap::new();
    broker::read_all(&brokers, &topic("in"), 2, |partition, key, _| {
        let offset = offsets.entry(partition).or_default();
        inputs.insert(String::from_utf8(key.to_vec()).unwrap(), (partition, *offset));
        *offset += 1;
    });
    let mut outputs: BTreeMap<String, String> = BTreeMap::new();
    broker::read_all(&brokers, &topic("out"), 2, |partition, key, payload| {
        let row: serde_json::Value = serde_json::from_slice(payload).unwrap();
        let key = String::from_utf8(key.to_vec()).unwrap();
        assert_eq!((row["who"].as_str(), row["at"].as_i64()), (Some(key.as_str()), Some(inputs[&key].1)));
        assert_eq!(partition, inputs[&key].0, "keys go to the partition they came from");
        assert!(outputs.insert(key, row["n"].as_str().unwrap().to_owned()).is_none(), "each once");
    });
    assert_eq!(outputs.len(), 200);
    assert_eq!((&*outputs["key 27"], &*outputs["key 28"], &*outputs["key 113"]), ("bad 27", "28", &*long));
}
