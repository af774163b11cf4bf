//! The examples that need a broker, on a real one.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]

#[path = "../kafka_delivery/broker.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod broker;
#[path = "../support/mod.rs"]
mod support;

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::Value;
use support::{Folder, eventually};

const PARTITIONS: i32 = 2;

/// The example, with names of topics that no other run has.
fn address_check(name: &str) -> Folder {
    let folder = Folder::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/address-check");
    std::fs::copy(example.join("check.wasm"), folder.file("check.wasm")).unwrap();
    let pipeline = std::fs::read_to_string(example.join("pipeline.yaml")).unwrap();
    let pipeline = pipeline.replace("name: address-check", &format!("name: {name}"));
    folder.write("pipeline.yaml", pipeline.replace("topic: addresses", &format!("topic: {name}")));
    std::fs::copy(example.join("addresses.jsonl"), folder.file("addresses.jsonl")).unwrap();
    folder
}

#[test]
fn kafka_bad_addresses_are_dead_letters_and_alerts() {
    let Some(brokers) = broker::address("kafka_examples") else { return };
    let name = format!("address-check-{}", std::process::id());
    let folder = address_check(&name);
    let topic = |part: &str| format!("{name}{part}");
    for part in ["", ".checked", ".rejected", ".alerts"] {
        broker::create_topic(&brokers, &topic(part), PARTITIONS);
    }
    let feed = broker::Feed::new(&brokers);
    folder.read("addresses.jsonl").lines().for_each(|line| feed.send(&topic(""), line, line));
    feed.flush();
    let running = folder.start_with(&[("KAFKA_BROKERS", &brokers)], &["run", "pipeline.yaml"]);
    let count = |part: &str| broker::ends(&brokers, &topic(part), PARTITIONS).values().sum::<i64>();
    eventually("the alerts have come", || count(".checked") >= 5 && count(".rejected") >= 3 && count(".alerts") >= 2);
    running.signal("TERM");
    running.wait(Duration::from_secs(30)).expect(0);

    let rows = |part: &str| {
        let mut rows: Vec<Value> = Vec::new();
        broker::read_all(&brokers, &topic(part), PARTITIONS, |_, _, payload| {
            rows.push(serde_json::from_slice(payload).unwrap());
        });
        rows
    };
    let good: BTreeMap<String, (String, bool)> = rows(".checked")
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            (
                text("id"),
                (format!("{}, {} {}", text("street"), text("postcode"), text("city")), row["corrected"] == true),
            )
        })
        .collect();
    let expected = [
        ("a1", "Lange Gasse 5, 1080 Wien", false),
        ("a2", "Unter den Linden 77, 10117 Berlin", true),
        ("a4", "10 Downing Street, SW1A 2AA London", true),
        ("a6", "Prinsengracht 263, 1016 GV Amsterdam", true),
        ("a8", "Museumplein 6, 1071DJ Amsterdam", false),
    ];
    assert_eq!(good, expected.map(|(id, line, corrected)| (id.to_owned(), (line.to_owned(), corrected))).into());
    let codes = |rows: &[Value], key: &str| {
        let mut codes: Vec<_> = rows.iter().map(|row| row[key].as_str().unwrap().to_owned()).collect();
        codes.sort();
        codes
    };
    let letters = rows(".rejected");
    assert_eq!(codes(&letters, "stage"), ["decode", "function", "function"]);
    let alerts = rows(".alerts");
    assert_eq!(codes(&alerts, "key"), ["Address.BadPostcode", "Address.NoHouseNumber"]);
    for alert in alerts {
        let message = alert["message"].as_str().unwrap();
        assert!(message.contains(", such as record ") && !message.contains("Rivoli"), "{message}");
    }
}
