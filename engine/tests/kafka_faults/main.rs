//! Kafka in trouble, end to end: what the process says, what `/readyz` says, and how it ends.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]

#[path = "../kafka_delivery/broker.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod broker;
#[path = "../support/mod.rs"]
mod support;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use support::{Folder, eventually, free_port, get};

fn pipeline(name: &str, brokers: &str, more: &str) -> String {
    format!(
        r#"
name: {name}
connections:
  main: {{ type: kafka, brokers: "{brokers}", connect_timeout: 3s }}
sources:
  numbers: {{ connection: main, topic: {name}.in, start: earliest, schema: {{ n: int64! }}, on_error: dead_letter }}
transforms:
  same: {{ sql: "SELECT n FROM numbers" }}
sinks:
  out: {{ from: same, connection: main, topic: {name}.out }}
dead_letters: {{ connection: main, topic: {name}.dead }}
checkpoint: {{ every: 100ms }}
{more}
"#
    )
}

fn unique(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

#[test]
fn kafka_down_at_start_is_waited_for_and_then_given_up() {
    let (kafka, metrics) = (free_port(), free_port());
    let text =
        pipeline("down", &format!("127.0.0.1:{kafka}"), &format!("server: {{ listen: \"127.0.0.1:{metrics}\" }}"));
    let folder = Folder::with_pipeline(&text);
    let started = Instant::now();
    let running = folder.start(&["run", "pipeline.yaml"]);
    eventually("the server answers", || status(metrics, "/readyz").is_some());
    assert_eq!(status(metrics, "/readyz"), Some(503));
    assert_eq!(status(metrics, "/healthz"), Some(200));
    let ran = running.wait(Duration::from_secs(30)).expect(1);
    assert!(started.elapsed() >= Duration::from_secs(3), "it must wait for connect_timeout");
    ran.says(&format!("127.0.0.1:{kafka}"));
}

fn status(port: u16, path: &str) -> Option<u16> {
    get(port, path).map(|(status, _)| status)
}

#[test]
fn kafka_down_at_start_does_not_keep_the_process_when_it_is_told_to_stop() {
    let text = pipeline("down", &format!("127.0.0.1:{}", free_port()), "");
    let folder = Folder::with_pipeline(&text.replace("connect_timeout: 3s", "connect_timeout: 60s"));
    let running = folder.start(&["run", "pipeline.yaml"]);
    std::thread::sleep(Duration::from_secs(1));
    let told = Instant::now();
    running.signal("TERM");
    running.wait(Duration::from_secs(30)).expect(0);
    assert!(told.elapsed() < Duration::from_secs(3), "it took {:?}", told.elapsed());
}

#[test]
fn kafka_topic_that_is_missing_is_named() {
    let Some(brokers) = broker::address("kafka_faults") else { return };
    let name = unique("missing");
    broker::create_topic(&brokers, &format!("{name}.inn"), 1);
    broker::create_topic(&brokers, &format!("{name}.out"), 1);
    broker::create_topic(&brokers, &format!("{name}.dead"), 1);
    let folder = Folder::with_pipeline(&pipeline(&name, &brokers, ""));
    folder.run(&["run", "pipeline.yaml"]).expect(2).says(&format!("{name}.in")).says(&format!("{name}.inn"));
    folder.run(&["validate", "--connect", "pipeline.yaml"]).expect(1);
}

#[test]
fn kafka_bad_records_become_letters_in_a_topic_and_good_ones_pass() {
    let Some(brokers) = broker::address("kafka_faults") else { return };
    let name = unique("letters");
    for topic in ["in", "out", "dead"] {
        broker::create_topic(&brokers, &format!("{name}.{topic}"), 1);
    }
    let feed = broker::Feed::new(&brokers);
    let payloads = ["{\"n\":1}", "{\"n\":2}{\"n\":3}", "{\"n\":", "{\"n\":4}", "", "\u{0}"];
    payloads.iter().for_each(|payload| feed.send(&format!("{name}.in"), "k\0ey", payload));
    feed.flush();
    let folder = Folder::with_pipeline(&pipeline(&name, &brokers, ""));
    folder.run(&["run", "--until-idle", "2s", "pipeline.yaml"]).expect(0);
    let mut good = Vec::new();
    broker::read_all(&brokers, &format!("{name}.out"), 1, |_, _, payload| {
        good.push(String::from_utf8(payload.to_vec()).unwrap())
    });
    assert_eq!(good, ["{\"n\":1}", "{\"n\":4}"]);
    let mut letters = Vec::new();
    broker::read_all(&brokers, &format!("{name}.dead"), 1, |_, _, payload| {
        letters.push(serde_json::from_slice::<serde_json::Value>(payload).unwrap())
    });
    let positions: Vec<&str> = letters.iter().map(|letter| letter["position"].as_str().unwrap()).collect();
    assert_eq!(positions, ["1", "2", "4", "5"]);
    assert!(
        letters
            .iter()
            .all(|letter| letter["key"] == "k\u{0}ey" && letter["partition"] == format!("{name}.in-0").as_str())
    );
    assert_eq!(broker::committed(&brokers, &name, &format!("{name}.in"), 1), [(0, 6)].into());
}

#[test]
fn kafka_wrong_password_stops_with_a_clear_error() {
    let Ok(brokers) = std::env::var("RIVERHOOK_TEST_KAFKA_SCRAM") else {
        assert!(broker::address("kafka_faults").is_none(), "the SCRAM listener's address is missing");
        return;
    };
    let folder = Folder::with_pipeline(&pipeline("scram", &brokers, "").replace(
        "connect_timeout: 3s",
        "connect_timeout: 10s, sasl: { mechanism: SCRAM-SHA-256, username: alice, password: hunter2hunter2 }",
    ));
    let ran = folder.run(&["run", "pipeline.yaml"]).expect(1);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    assert!(ran.stderr.to_lowercase().contains("authenticat"), "{}", ran.stderr);
}

#[test]
fn kafka_stops_at_once_on_a_second_signal_while_a_sink_is_down() {
    let Some(brokers) = broker::address("kafka_faults") else { return };
    let name = unique("stuck");
    broker::create_topic(&brokers, &format!("{name}.in"), 1);
    let feed = broker::Feed::new(&brokers);
    feed.send(&format!("{name}.in"), "k", "{\"n\":1}");
    feed.flush();
    let port = free_port();
    let text = pipeline(&name, &brokers, "shutdown_timeout: 60s")
        .replace(
            &format!("out: {{ from: same, connection: main, topic: {name}.out }}"),
            &format!("out: {{ from: same, type: http, url: \"http://127.0.0.1:{port}/\" }}"),
        )
        .replace(
            &format!("dead_letters: {{ connection: main, topic: {name}.dead }}"),
            "dead_letters: { type: file, path: dead/ }",
        );
    let folder = Folder::with_pipeline(&text);
    let running = folder.start(&["run", "pipeline.yaml"]);
    std::thread::sleep(Duration::from_secs(3));
    running.signal("TERM");
    std::thread::sleep(Duration::from_millis(500));
    let second = Instant::now();
    running.signal("TERM");
    running.wait(Duration::from_secs(30)).expect(1);
    assert!(second.elapsed() < Duration::from_secs(2));
    let committed = broker::committed(&brokers, &name, &format!("{name}.in"), 1);
    assert!(committed.values().all(|offset| *offset == 0), "what no sink has must not be committed: {committed:?}");
}

#[test]
fn kafka_clickstream_example() {
    let Some(brokers) = broker::address("kafka_faults") else { return };
    // The example's topics have fixed names: this is the one test that uses them.
    for topic in ["clicks", "clicks.enriched", "clicks.alerts", "clicks.dead"] {
        broker::create_topic(&brokers, topic, 4);
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let clicks = std::fs::read_to_string(examples.join("clickstream/data/clicks-1.jsonl")).unwrap();
    let feed = broker::Feed::new(&brokers);
    clicks.lines().for_each(|line| feed.send("clicks", "", line));
    feed.flush();
    let folder = Folder::new();
    let port = free_port();
    let file = examples.join("clickstream-kafka/pipeline.yaml");
    let text = std::fs::read_to_string(file).unwrap().replace("127.0.0.1:9464", &format!("127.0.0.1:{port}"));
    let text = text.replace("../clickstream/functions", examples.join("clickstream/functions").to_str().unwrap());
    folder.write("pipeline.yaml", text);
    let mut command = folder.command(&["run", "--until-idle", "3s", "pipeline.yaml"]);
    let output = command.env("KAFKA_BROKERS", &brokers).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let count = |topic: &str| {
        let mut rows = 0;
        broker::read_all(&brokers, topic, 4, |_, _, _| rows += 1);
        rows
    };
    assert_eq!(count("clicks.dead"), 4);
    assert!(count("clicks.enriched") > 2_200 && count("clicks.alerts") > 3);
}
