//! Keys that are wrong, missing or of the wrong kind.

use std::time::Duration;

use expect_test::expect;
use riverhook_config::{
    Diagnostics, FixedEnvironment, MapReader, Reading, Setting, SourceFile, nearest, parse, settings,
};

use crate::{Pipeline, Source, Start, check, read_ok};

#[test]
fn what_is_right_is_read() {
    let pipeline: Pipeline = read_ok(
        "name: clicks
sources:
  clicks: { topic: [a, b], start: latest, batch: { rows: 10 }, password: 0123 }
",
    );
    let clicks = pipeline.sources.get("clicks").unwrap();
    assert_eq!(clicks.topic.as_slice(), ["a", "b"]);
    assert_eq!(clicks.start, Start::Latest);
    assert_eq!((clicks.batch.rows, clicks.batch.r#for), (10, Duration::from_millis(5)));
    assert_eq!(clicks.connect_timeout, Duration::from_secs(30));
    assert_eq!(clicks.password.as_ref().unwrap().expose(), "0123");
    assert!(!format!("{clicks:?}").contains("0123"));
    assert!(clicks.group.is_none());
}

#[test]
fn all_errors_come_at_once() {
    check(
        "name: 7
sources:
  clicks:
    topc: clicks
    port: 70000
    start: first
    batch: { rows: many, every: 5s }
  views: kafka
  empty:
",
        expect![[r#""#]],
    );
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    check("sources: {}\nsuorces: {}\n", expect![[r#""#]]);
}

#[test]
fn an_unknown_key_like_no_other_names_all() {
    check("sources: { clicks: { topic: a, zookeeper: b } }\n", expect![[r#""#]]);
}

#[test]
fn kinds_are_told_apart() {
    check(
        "sources:
  clicks:
    topic: { name: clicks }
    group: [a]
    port: '9092'
    share: much
    counted: yes
    start: [latest]
    options: .nan
",
        expect![[r#""#]],
    );
}

#[test]
fn a_number_in_quotes_is_text_and_text_without_quotes_is_a_number() {
    check("sources: { clicks: { topic: 007, port: \"1\" } }\n", expect![[r#""#]]);
}

#[test]
fn a_list_instead_of_the_file() {
    check("- name: clicks\n", expect![[r#""#]]);
}

#[test]
fn numbers_name_their_range() {
    check("sources: { clicks: { topic: a, port: -1, share: .inf, batch: { rows: 1.5 } } }\n", expect![[r#""#]]);
}

#[test]
fn names_are_like_when_a_letter_or_two_differ() {
    assert_eq!(nearest("Topic", ["topic"]), Some("topic"));
    assert_eq!(nearest("tpoic", ["tonic", "topic"]), Some("topic"));
    assert_eq!(nearest("conect_timeout", ["connect_timeout", "timeout"]), Some("connect_timeout"));
    assert_eq!(nearest("x", ["yes"]), None);
    assert_eq!(nearest("", ["a"]), Some("a"));
    assert_eq!(nearest("topic", []), None);
}

settings! {
    /// What every node says.
    struct General {
        /// Its inputs.
        from: Option<String>,
    }

    /// What is said of a server.
    struct Server {
        /// Where it is.
        brokers: String,
    }
}

/// Reads `node` as a source with general keys, with `connection` behind it.
fn composed(yaml: &str) -> (Option<(General, Server, Source)>, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let file = SourceFile::new("pipeline.yaml", yaml);
    let root = parse(&file, &mut diagnostics).unwrap();
    let environment = FixedEnvironment::new();
    let mut cx = Reading::new(&environment, &mut diagnostics);
    let mut map = MapReader::with_fallback(root.get("node").unwrap(), root.get("connection").unwrap());
    map.know(&["on_error"]);
    let general = General::read_fields(&mut map, &mut cx);
    let server = Server::read_fields(&mut map, &mut cx);
    let source = Source::read_fields(&mut map, &mut cx);
    map.finish(&mut cx);
    (general.zip(server).zip(source).map(|((general, server), source)| (general, server, source)), diagnostics)
}

#[test]
fn several_settings_share_a_map_and_a_connection() {
    let (read, diagnostics) = composed(
        "connection: { brokers: a, port: 1, unused: x }
node: { from: here, topic: t, port: 2, on_error: skip }
",
    );
    assert!(diagnostics.is_empty(), "{}", diagnostics.render(false));
    let (general, server, source) = read.unwrap();
    assert_eq!(general.from.as_deref(), Some("here"));
    assert_eq!(server.brokers, "a");
    assert_eq!(source.port, 2);
}

#[test]
fn what_nobody_takes_is_said_once_with_the_names_of_all() {
    let (_, diagnostics) = composed(
        "connection: { port: 1, unused: x }
node: { form: here, topic: t, broker: b }
",
    );
    expect![[r#""#]].assert_eq(&diagnostics.render(false));
}

#[test]
fn settings_without_required_keys_may_be_left_out() {
    assert!(crate::Batch::absent().is_some());
    assert!(Source::absent().is_none());
}
