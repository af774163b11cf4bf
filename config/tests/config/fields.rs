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
        expect![[r#"
            error: this is a whole number, not text
             --> pipeline.yaml:1:7
              |
            1 | name: 7
              |       ^ expected text
              |
              = field: name
              = help: put it in quotes: `"7"`

            error: the key `topic` is missing here
             --> pipeline.yaml:3:3
              |
            3 |   clicks:
              |   ^^^^^^
              |
              = field: sources.clicks.topic

            error: there is no key `topc` here
             --> pipeline.yaml:4:5
              |
            4 |     topc: clicks
              |     ^^^^
              |
              = field: sources.clicks.topc
              = expected: `ahead`, `backoff`, `batch`, `connect_timeout`, `counted`, `group`, `options`, `password`, `port`, `share`, `start` or `topic`
              = help: did you mean `topic`?

            error: `port` cannot have this value
             --> pipeline.yaml:5:11
              |
            5 |     port: 70000
              |           ^^^^^ expected a whole number from 0 to 65535
              |
              = field: sources.clicks.port

            error: `first` is not known here
             --> pipeline.yaml:6:12
              |
            6 |     start: first
              |            ^^^^^ expected `earliest` or `latest`
              |
              = field: sources.clicks.start

            error: `rows` cannot be text
             --> pipeline.yaml:7:20
              |
            7 |     batch: { rows: many, every: 5s }
              |                    ^^^^ expected a whole number of at least 0
              |
              = field: sources.clicks.batch.rows

            error: there is no key `every` here
             --> pipeline.yaml:7:26
              |
            7 |     batch: { rows: many, every: 5s }
              |                          ^^^^^ expected `for` or `rows`
              |
              = field: sources.clicks.batch.every

            error: `views` cannot be text
             --> pipeline.yaml:8:10
              |
            8 |   views: kafka
              |          ^^^^^ expected a map of keys and values
              |
              = field: sources.views

            error: the key `topic` is missing here
             --> pipeline.yaml:9:3
              |
            9 |   empty:
              |   ^^^^^
              |
              = field: sources.empty.topic

        "#]],
    );
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    check(
        "sources: {}\nsuorces: {}\n",
        expect![[r#"
        error: there is no key `suorces` here
         --> pipeline.yaml:2:1
          |
        2 | suorces: {}
          | ^^^^^^^ expected `name` or `sources`
          |
          = field: suorces
          = help: did you mean `sources`?

    "#]],
    );
}

#[test]
fn an_unknown_key_like_no_other_names_all() {
    check(
        "sources: { clicks: { topic: a, zookeeper: b } }\n",
        expect![[r#"
        error: there is no key `zookeeper` here
         --> pipeline.yaml:1:32
          |
        1 | sources: { clicks: { topic: a, zookeeper: b } }
          |                                ^^^^^^^^^
          |
          = field: sources.clicks.zookeeper
          = expected: `ahead`, `backoff`, `batch`, `connect_timeout`, `counted`, `group`, `options`, `password`, `port`, `share`, `start` or `topic`

    "#]],
    );
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
        expect![[r#"
            error: `topic` cannot be a map
             --> pipeline.yaml:3:12
              |
            3 |     topic: { name: clicks }
              |            ^^^^^^^^^^^^^^^^ expected text
              |
              = field: sources.clicks.topic

            error: `group` cannot be a list
             --> pipeline.yaml:4:12
              |
            4 |     group: [a]
              |            ^^^ expected text
              |
              = field: sources.clicks.group

            error: `port` cannot be text
             --> pipeline.yaml:5:11
              |
            5 |     port: '9092'
              |           ^^^^^^ expected a whole number from 0 to 65535
              |
              = field: sources.clicks.port
              = help: did you mean `9092`, without quotes?

            error: `share` cannot be text
             --> pipeline.yaml:6:12
              |
            6 |     share: much
              |            ^^^^ expected a number
              |
              = field: sources.clicks.share

            error: `counted` cannot be text
             --> pipeline.yaml:7:14
              |
            7 |     counted: yes
              |              ^^^ expected true or false
              |
              = field: sources.clicks.counted

            error: `start` cannot be a list
             --> pipeline.yaml:8:12
              |
            8 |     start: [latest]
              |            ^^^^^^^^ expected `earliest` or `latest`
              |
              = field: sources.clicks.start

            error: `options` cannot have this value
             --> pipeline.yaml:9:14
              |
            9 |     options: .nan
              |              ^^^^ expected a finite number
              |
              = field: sources.clicks.options

        "#]],
    );
}

#[test]
fn a_number_in_quotes_is_text_and_text_without_quotes_is_a_number() {
    check(
        "sources: { clicks: { topic: 007, port: \"1\" } }\n",
        expect![[r#"
        error: this is a whole number, not text
         --> pipeline.yaml:1:29
          |
        1 | sources: { clicks: { topic: 007, port: "1" } }
          |                             ^^^ expected text
          |
          = field: sources.clicks.topic
          = help: put it in quotes: `"007"`

        error: `port` cannot be text
         --> pipeline.yaml:1:40
          |
        1 | sources: { clicks: { topic: 007, port: "1" } }
          |                                        ^^^^ expected a whole number from 0 to 65535
          |
          = field: sources.clicks.port
          = help: did you mean `1`, without quotes?

    "#]],
    );
}

#[test]
fn a_list_instead_of_the_file() {
    check(
        "- name: clicks\n",
        expect![[r#"
        error: this file cannot be a list
         --> pipeline.yaml:1:1
          |
        1 | - name: clicks
          | ^^^^^^^^^^^^^^ expected a map of keys and values

    "#]],
    );
}

#[test]
fn numbers_name_their_range() {
    check(
        "sources: { clicks: { topic: a, port: -1, share: .inf, batch: { rows: 1.5 } } }\n",
        expect![[r#"
        error: `port` cannot have this value
         --> pipeline.yaml:1:38
          |
        1 | sources: { clicks: { topic: a, port: -1, share: .inf, batch: { rows: 1.5 } } }
          |                                      ^^ expected a whole number from 0 to 65535
          |
          = field: sources.clicks.port

        error: `share` cannot have this value
         --> pipeline.yaml:1:49
          |
        1 | sources: { clicks: { topic: a, port: -1, share: .inf, batch: { rows: 1.5 } } }
          |                                                 ^^^^ expected a finite number
          |
          = field: sources.clicks.share

        error: `rows` cannot be a number
         --> pipeline.yaml:1:70
          |
        1 | sources: { clicks: { topic: a, port: -1, share: .inf, batch: { rows: 1.5 } } }
          |                                                                      ^^^ expected a whole number of at least 0
          |
          = field: sources.clicks.batch.rows

    "#]],
    );
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
    expect![[r#"
        error: the key `brokers` is missing here
         --> pipeline.yaml:2:1
          |
        2 | node: { form: here, topic: t, broker: b }
          | ^^^^
          |
          = field: node.brokers

        error: there is no key `form` here
         --> pipeline.yaml:2:9
          |
        2 | node: { form: here, topic: t, broker: b }
          |         ^^^^
          |
          = field: node.form
          = expected: `ahead`, `backoff`, `batch`, `brokers`, `connect_timeout`, `counted`, `from`, `group`, `on_error`, `options`, `password`, `port`, `share`, `start` or `topic`
          = help: did you mean `from`?

        error: there is no key `broker` here
         --> pipeline.yaml:2:31
          |
        2 | node: { form: here, topic: t, broker: b }
          |                               ^^^^^^
          |
          = field: node.broker
          = expected: `ahead`, `backoff`, `batch`, `brokers`, `connect_timeout`, `counted`, `from`, `group`, `on_error`, `options`, `password`, `port`, `share`, `start` or `topic`
          = help: did you mean `brokers`?

    "#]].assert_eq(&diagnostics.render(false));
}

#[test]
fn settings_without_required_keys_may_be_left_out() {
    assert!(crate::Batch::absent().is_some());
    assert!(Source::absent().is_none());
}
