//! Settings that are wrong, found without a broker.

use crate::cluster::{sink, source};

fn wrong(settings: &str, text: &str) {
    let settings = format!("brokers: localhost:9092\ntopic: clicks\n{settings}");
    let Err(found) = source("p", &settings) else { panic!("{settings} is fine") };
    assert!(found.contains(text), "{found}");
}

#[test]
fn options_that_would_break_delivery_are_refused_by_name_with_the_reason() {
    wrong(
        "options: { enable.auto.commit: true }",
        "`enable.auto.commit` cannot be set here offsets are committed when every sink",
    );
    wrong("options: { group.instance.id: a }", "a name of its own in the group");
    wrong("options: { auto.offset.reset: latest }", "use `start`");
    wrong("options: { sasl.password: hush }", "use `sasl:");
    for option in
        ["acks: 1", "enable.idempotence: false", "partitioner: random", "max.in.flight: 10", "message.timeout.ms: 1"]
    {
        let settings = format!("brokers: localhost:9092\ntopic: out\noptions: {{ {option} }}");
        let Err(found) = sink(&settings) else { panic!("{option} is fine") };
        assert!(found.contains("cannot be set here"), "{found}");
    }
}

#[test]
fn options_are_checked_without_showing_their_values() {
    wrong("options: { socket.timeout.sm: 1 }", "librdkafka has no property `socket.timeout.sm`");
    wrong("options: { socket.timeout.ms: hush }", "the option `socket.timeout.ms` cannot have this value");
    let Err(found) = source("p", "brokers: b\ntopic: t\noptions: { socket.timeout.ms: hush }") else {
        panic!("it is fine")
    };
    assert!(!found.contains("hush"), "{found}");
}

#[test]
fn plain_passwords_need_a_word_about_encryption() {
    wrong("sasl: { mechanism: PLAIN, username: a, password: b }", "say whether to encrypt");
}

#[test]
fn metadata_columns_are_known_and_do_not_clash() {
    wrong("metadata: [ofset]", "did you mean `offset`?");
    wrong("metadata: { key: a, offset: a }", "two metadata columns are called `a`");
}

#[test]
fn starting_points_are_words_numbers_or_times() {
    wrong("start: newest", "`newest` is not known here");
    wrong("start: { timestamp: yesterday }", "cannot have this value");
    wrong("start: { offset: 1, timestamp: 2 }", "cannot have this value");
    for start in [
        "earliest",
        "latest",
        "{ offset: 5 }",
        "{ timestamp: 1700000000000 }",
        "{ timestamp: 2026-01-31T12:00:00+01:00 }",
    ] {
        assert!(source("p", &format!("brokers: b\ntopic: t\nstart: {start}")).is_ok(), "{start}");
    }
}

#[test]
fn keys_and_headers_are_checked_against_the_columns() {
    let schema = arrow_schema::Schema::new(vec![arrow_schema::Field::new("url", arrow_schema::DataType::Utf8, true)]);
    let sink = |key: &str| sink(&format!("brokers: b\ntopic: t\nkey: \"{key}\"\nheaders: {{ a: \"{{url}}\" }}"));
    assert_eq!(sink("url").unwrap().check(&schema), Ok(()));
    assert_eq!(sink("{url}:x").unwrap().check(&schema), Ok(()));
    assert_eq!(
        sink("ulr").unwrap().check(&schema).unwrap_err(),
        ["key: there is no column `ulr`; did you mean `url`?"]
    );
    let Err(found) = sink("{url") else { panic!("it is fine") };
    assert!(found.contains("key"), "{found}");
}
