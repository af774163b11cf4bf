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
    check("sources: { a: { topic: t, connect_timeout: 30, ahead: 64, backoff: 5 } }\n", expect![[r#""#]]);
}

#[test]
fn what_is_no_quantity() {
    check(
        "sources:
  a: { topic: t, connect_timeout: 5 s, ahead: 64mb, backoff: 5s..100ms }
  b: { topic: t, connect_timeout: -5s, ahead: 1.5MiB, backoff: 5s }
  c: { topic: t, connect_timeout: 99999999999999999999d, ahead: 99999999999TiB, backoff: [1s, 2s] }
",
        expect![[r#""#]],
    );
}
