//! A handler that hangs for longer than a consumer may be silent: the consumers are polled all the while, and another
//! function of the same pipeline gets its records on time.

#![cfg(target_os = "linux")]
#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]

#[path = "../kafka_delivery/broker.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod broker;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Folder, eventually};

/// How long the handler hangs. A consumer that is silent for six seconds is put out of its group.
const HANG: Duration = Duration::from_secs(9);

fn pipeline(name: &str, brokers: &str) -> String {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../udf/tests").canonicalize().unwrap();
    let options = r#"options: { "max.poll.interval.ms": 6000, "session.timeout.ms": 6000 }"#;
    format!(
        r#"
name: {name}
connections:
  main: {{ type: kafka, brokers: "{brokers}" }}
sources:
  good: {{ connection: main, topic: {name}.good, start: earliest, schema: {{ n: int64! }}, {options} }}
  bad: {{ connection: main, topic: {name}.bad, start: earliest, schema: {{ n: int64!, do: string }}, {options} }}
functions:
  good: {{ wasm: {} }}
  hostile:
    process: [python3, -S, hostile.py]
    working_dir: {}
    payload: records
    output: {{ n: int64! }}
    timeout: {}s
    init_timeout: 30s
    retries: {{ attempts: 1 }}
transforms:
  mapped: {{ from: good, call: good }}
  harmed: {{ from: bad, call: hostile, on_error: dead_letter }}
sinks:
  out: {{ from: mapped, connection: main, topic: {name}.out, linger: 0ms }}
  rest: {{ from: harmed, connection: main, topic: {name}.rest }}
dead_letters: {{ connection: main, topic: {name}.dead }}
checkpoint: {{ every: 100ms }}
"#,
        json!(tests.join("guests/echo.wasm")),
        json!(tests.join("handlers")),
        HANG.as_secs(),
    )
}

#[test]
fn kafka_is_polled_and_other_records_flow_while_a_handler_hangs() {
    let Some(brokers) = broker::address("kafka_hostile") else { return };
    let name = format!("hostile-{}", std::process::id());
    for topic in ["good", "bad", "out", "rest", "dead"] {
        broker::create_topic(&brokers, &format!("{name}.{topic}"), 1);
    }
    let folder = Folder::with_pipeline(&pipeline(&name, &brokers));
    let engine = folder.start(&["run", "pipeline.yaml"]);
    let feed = broker::Feed::new(&brokers);
    let out = broker::Tail::new(&brokers, &format!("{name}.out"));
    // How long one record takes from topic to topic.
    let mut sent = 0;
    let mut pass = || {
        let begun = Instant::now();
        feed.send(&format!("{name}.good"), "", &json!({ "n": sent }).to_string());
        feed.flush();
        let came: Value = serde_json::from_slice(&out.next(Duration::from_secs(30)).expect("no record came")).unwrap();
        assert_eq!(came["n"], sent);
        sent += 1;
        begun.elapsed()
    };
    pass();
    let harm = |record: Value| {
        feed.send(&format!("{name}.bad"), "", &record.to_string());
        feed.flush();
    };
    harm(json!({ "n": 1 }));
    let rest = broker::Tail::new(&brokers, &format!("{name}.rest"));
    assert!(rest.next(Duration::from_secs(30)).is_some(), "the handler did not start");
    let mut members = broker::members(&brokers, &name);
    eventually("both consumers are in the group", || {
        members = broker::members(&brokers, &name);
        !members.is_empty()
    });

    let dead = broker::Tail::new(&brokers, &format!("{name}.dead"));
    let begun = Instant::now();
    harm(json!({ "n": 2, "do": "loop" }));
    let mut letter = None;
    let mut times = Vec::new();
    while letter.is_none() {
        assert!(begun.elapsed() < HANG * 4, "the call did not end");
        times.push(pass());
        letter = dead.next(Duration::ZERO);
    }
    assert!(begun.elapsed() >= HANG, "it did not hang");
    let letter: Value = serde_json::from_slice(&letter.unwrap()).unwrap();
    assert_eq!(letter["error_code"], "Sandbox.Timedout");
    times.sort();
    let longest = times[times.len() - 1];
    println!(
        "{} records passed meanwhile, half of them in {:?}, all in {longest:?}",
        times.len(),
        times[times.len() / 2]
    );
    assert!(longest < HANG / 4, "a record waited for the handler that hangs: {longest:?}");
    assert_eq!(broker::members(&brokers, &name), members, "a consumer was put out of its group");

    harm(json!({ "n": 3 }));
    assert!(rest.next(Duration::from_secs(30)).is_some(), "the record after it did not come");
    let committed = || broker::committed(&brokers, &name, &format!("{name}.bad"), 1);
    eventually("all is committed", || committed().get(&0) == Some(&3));
    engine.signal("TERM");
    let ran = engine.wait(Duration::from_secs(30)).expect(0);
    assert!(!ran.stderr.contains("max.poll"), "{}", ran.stderr);
}
