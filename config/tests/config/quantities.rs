//! Durations, ranges and sizes.

use std::time::Duration;

use expect_test::expect;
use riverhook_config::{ByteSize, DurationRange, Setting};

use crate::{check, read_ok};

#[test]
fn durations_have_a_unit() {
    let read: Vec<Duration> = read_ok("[5s, 100ms, 2m, 1h, 7d, 0s]\n");
    let millis: Vec<u128> = read.iter().map(Duration::as_millis).collect();
    assert_eq!(millis, [5000, 100, 120_000, 3_600_000, 604_800_000, 0]);
}

#[test]
fn sizes_have_a_unit() {
    let read: Vec<ByteSize> = read_ok("[64MiB, 10MB, 512KiB, 1GiB, 100B, 2kB, 0B]\n");
    let bytes: Vec<u64> = read.iter().map(|size| size.0).collect();
    assert_eq!(bytes, [64 << 20, 10_000_000, 512 << 10, 1 << 30, 100, 2000, 0]);
}

#[test]
fn what_is_written_is_read_again() {
    for text in ["5s", "100ms", "2m", "36h", "7d", "0s", "1500ms"] {
        let read: Vec<Duration> = read_ok(&format!("[{text}]\n"));
        assert_eq!(read.written().unwrap(), serde_json::json!([text]));
    }
    for text in ["64MiB", "10MB", "100B", "0B", "1025B"] {
        let read: Vec<ByteSize> = read_ok(&format!("[{text}]\n"));
        assert_eq!(read.written().unwrap(), serde_json::json!([text]));
    }
    let read: Vec<DurationRange> = read_ok("[100ms..5s]\n");
    assert_eq!(read.written().unwrap(), serde_json::json!(["100ms..5s"]));
}

#[test]
fn a_bare_number_shows_the_right_form() {
    check(
        "sources: { a: { topic: t, connect_timeout: 30, ahead: 64, backoff: 5 } }\n",
        expect![[r#"
        error: this number has no unit
         --> pipeline.yaml:1:44
          |
        1 | sources: { a: { topic: t, connect_timeout: 30, ahead: 64, backoff: 5 } }
          |                                            ^^ expected a duration such as 5s, 100ms, 2m, 1h or 7d
          |
          = field: sources.a.connect_timeout
          = help: write `30ms` or `30s`

        error: this number has no unit
         --> pipeline.yaml:1:55
          |
        1 | sources: { a: { topic: t, connect_timeout: 30, ahead: 64, backoff: 5 } }
          |                                                       ^^ expected a size such as 64MiB, 10MB or 512KiB
          |
          = field: sources.a.ahead
          = help: write `64B` or `64MiB`

        error: `backoff` cannot be a whole number
         --> pipeline.yaml:1:68
          |
        1 | sources: { a: { topic: t, connect_timeout: 30, ahead: 64, backoff: 5 } }
          |                                                                    ^ expected two durations such as 100ms..5s
          |
          = field: sources.a.backoff

    "#]],
    );
}

#[test]
fn what_is_no_quantity() {
    check(
        "sources:
  a: { topic: t, connect_timeout: 5 s, ahead: 64mb, backoff: 5s..100ms }
  b: { topic: t, connect_timeout: -5s, ahead: 1.5MiB, backoff: 5s }
  c: { topic: t, connect_timeout: 99999999999999999999d, ahead: 99999999999TiB, backoff: [1s, 2s] }
",
        expect![[r#"
            error: this unit is not known
             --> pipeline.yaml:2:35
              |
            2 |   a: { topic: t, connect_timeout: 5 s, ahead: 64mb, backoff: 5s..100ms }
              |                                   ^^^ expected a duration such as 5s, 100ms, 2m, 1h or 7d
              |
              = field: sources.a.connect_timeout
              = help: did you mean `5s`?

            error: this unit is not known
             --> pipeline.yaml:2:47
              |
            2 |   a: { topic: t, connect_timeout: 5 s, ahead: 64mb, backoff: 5s..100ms }
              |                                               ^^^^ expected a size such as 64MiB, 10MB or 512KiB
              |
              = field: sources.a.ahead
              = help: did you mean `64MB`?

            error: `backoff` cannot have this value
             --> pipeline.yaml:2:62
              |
            2 |   a: { topic: t, connect_timeout: 5 s, ahead: 64mb, backoff: 5s..100ms }
              |                                                              ^^^^^^^^^ expected the shorter duration first
              |
              = field: sources.a.backoff

            error: `connect_timeout` cannot have this value
             --> pipeline.yaml:3:35
              |
            3 |   b: { topic: t, connect_timeout: -5s, ahead: 1.5MiB, backoff: 5s }
              |                                   ^^^ expected a duration such as 5s, 100ms, 2m, 1h or 7d
              |
              = field: sources.b.connect_timeout

            error: `ahead` cannot have this value
             --> pipeline.yaml:3:47
              |
            3 |   b: { topic: t, connect_timeout: -5s, ahead: 1.5MiB, backoff: 5s }
              |                                               ^^^^^^ expected a size such as 64MiB, 10MB or 512KiB
              |
              = field: sources.b.ahead

            error: `backoff` cannot have this value
             --> pipeline.yaml:3:64
              |
            3 |   b: { topic: t, connect_timeout: -5s, ahead: 1.5MiB, backoff: 5s }
              |                                                                ^^ expected two durations such as 100ms..5s
              |
              = field: sources.b.backoff

            error: `connect_timeout` cannot have this value
             --> pipeline.yaml:4:35
              |
            4 |   c: { topic: t, connect_timeout: 99999999999999999999d, ahead: 99999999999TiB, backoff: [1s, 2s] }
              |                                   ^^^^^^^^^^^^^^^^^^^^^ expected a duration such as 5s, 100ms, 2m, 1h or 7d
              |
              = field: sources.c.connect_timeout

            error: `ahead` cannot have this value
             --> pipeline.yaml:4:65
              |
            4 |   c: { topic: t, connect_timeout: 99999999999999999999d, ahead: 99999999999TiB, backoff: [1s, 2s] }
              |                                                                 ^^^^^^^^^^^^^^ expected a size such as 64MiB, 10MB or 512KiB
              |
              = field: sources.c.ahead

            error: `backoff` cannot be a list
             --> pipeline.yaml:4:90
              |
            4 |   c: { topic: t, connect_timeout: 99999999999999999999d, ahead: 99999999999TiB, backoff: [1s, 2s] }
              |                                                                                          ^^^^^^^^^ expected two durations such as 100ms..5s
              |
              = field: sources.c.backoff

        "#]],
    );
}
