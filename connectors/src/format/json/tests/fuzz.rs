//! Damaged messages: never a panic, a row or a failure for each, good neighbours unharmed, and what is JSON at all
//! decided as `serde_json` decides it.

use std::{collections::HashMap, time::Instant};

use serde::de::IgnoredAny;

use crate::format::{
    Decoder,
    json::JsonDecoder,
    test_support::{Random, assert_alone, fuzz_time, mutate, schema},
};

const SAMPLES: [&str; 8] = [
    r#"{"auction":1007,"bidder":1001,"price":123456789,"channel":"apple","url":"https://example.com/a?b=1","date_time":1700000000000,"extra":"abcdefgh"}"#,
    r#"{ "auction" : -12, "price": null, "tags": ["a", "b\n\u00e4\ud83d\ude00", null], "geo": {"lat": 52.5, "lon": -1.3e1} }"#,
    r#"{"unknown":{"deep":[[[{"x":[]}]]],"s":"\\\"\/"},"f":0.1,"d":"12.34","t":"2024-05-01T12:00:00.5+02:00"}"#,
    r#"{"m":{"a":1,"b":2},"j":{"any":[1,2,{"x":null}]},"b":"aGVsbG8=","date":"2024-02-29","flag":true}"#,
    r#"{"auction":9223372036854775807,"u":18446744073709551615,"f":1.7976931348623157e308,"d":99999999.99}"#,
    r#"{"auction":1,"auction":2,"tags":[],"tags":["x"],"geo":{},"geo":null,"m":{}}"#,
    "{\"url\":\"ä€😀 längere Zeichenkette mit Umlauten\",\"extra\":\"\u{7f}\"}",
    "{}",
];

const SYNTAX: [&[u8]; 24] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\"",
    b"\\",
    b"null",
    b"true",
    b"-",
    b"0",
    b"1e999",
    b".5",
    b"\\u",
    b"\\ud800",
    b"\\u0000",
    b"\xff",
    b"\xc3",
    b"\0",
    b" ",
    b"\n",
    b"{\"a\":",
    b"18446744073709551616",
];

fn decoder() -> Box<dyn Decoder> {
    let schema = schema(&[
        ("auction", "int64"),
        ("price", "int32"),
        ("channel", "string"),
        ("url", "string"),
        ("date_time", "timestamp(ms)"),
        ("tags", "list<string>"),
        ("geo", "struct<lat: float64, lon: float64!>"),
        ("f", "float32"),
        ("d", "decimal(10,2)"),
        ("t", "timestamp(us,UTC)"),
        ("m", "map<string,int64>"),
        ("j", "json"),
        ("b", "bytes"),
        ("date", "date"),
        ("flag", "bool"),
        ("u", "uint64"),
    ]);
    Box::new(JsonDecoder::new(schema, false).unwrap())
}

/// Whether the bytes are one JSON object, by another's judgement. Values are not looked at, so that numbers may be of
/// any size and strings hold halves of surrogate pairs, as in the fields that no column takes.
fn is_object(message: &[u8]) -> bool {
    std::str::from_utf8(message).is_ok_and(|text| serde_json::from_str::<HashMap<String, IgnoredAny>>(text).is_ok())
}

#[test]
fn damaged_messages_fail_alone() {
    let (started, time) = (Instant::now(), fuzz_time());
    let mut random = Random(3);
    let (mut rows, mut failures) = (0u64, 0u64);
    while started.elapsed() < time {
        let messages: Vec<Vec<u8>> = (0..16)
            .map(|_| {
                let sample = *random.pick(&SAMPLES);
                mutate(&mut random, sample.as_bytes(), &SYNTAX)
            })
            .collect();
        for (message, result) in messages.iter().zip(assert_alone(&decoder, &messages)) {
            if result.starts_with("decode.") {
                failures += 1
            } else {
                rows += 1
            }
            check_validity(message, &result);
        }
    }
    assert!(rows > 0 && failures > 0, "{rows} rows, {failures} failures");
}

/// Rows only from JSON; syntax errors only from what is not. The two places where we differ on purpose are keys and
/// strings with halves of surrogate pairs, and Confluent's header.
fn check_validity(message: &[u8], result: &str) {
    let text = String::from_utf8_lossy(message);
    if message.first() == Some(&0) || result.contains("surrogate") {
        return;
    }
    let valid = is_object(message);
    if result.starts_with("decode.json.syntax") || result.starts_with("decode.utf8") {
        assert!(!valid, "{result}: {text}");
    } else if !result.starts_with("decode.") {
        assert!(valid || text.contains("\\ud") || text.contains("\\uD"), "{result}: {text}");
    }
}
