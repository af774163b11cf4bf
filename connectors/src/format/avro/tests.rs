//! What Avro becomes, and what is refused.

use super::*;
use crate::format::{
    Decoder as _,
    test_support::{optional_payloads, payloads, results},
};

const SCHEMA: &str = r#"{"type":"record","name":"Click","fields":[
    {"name":"id","type":"long"},
    {"name":"user","type":["null","string"]},
    {"name":"kind","type":{"type":"enum","name":"Kind","symbols":["view","buy"]}},
    {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"tags","type":{"type":"array","items":"string"}}
]}"#;

/// A datum by hand: zigzag varints below 64 are twice themselves, strings have their length before them.
fn datum(id: u8, user: Option<&str>, tags: &[&str]) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8 * 2], text.as_bytes()].concat();
    let mut bytes = vec![id * 2];
    bytes.extend(user.map_or(vec![0], |user| [vec![2], text(user)].concat()));
    bytes.extend([2, 120]);
    if !tags.is_empty() {
        bytes.push(tags.len() as u8 * 2);
        bytes.extend(tags.iter().flat_map(|tag| text(tag)));
    }
    bytes.push(0);
    bytes
}

fn columns() -> AvroColumns {
    AvroColumns::parse(SCHEMA.into()).unwrap()
}

fn decoder(names: &[&str]) -> AvroDecoder {
    let all = columns().schema();
    let wanted: Vec<_> = names.iter().map(|name| all.field_with_name(name).unwrap().clone()).collect();
    AvroDecoder::new(columns(), Schema::new(wanted).into()).unwrap()
}

#[test]
fn the_schema_comes_from_the_file() {
    let text = crate::format::schema::schema_text(&columns().schema(), 0);
    assert_eq!(
        text,
        "id: int64!\nuser: string\nkind: string!\nat: \"timestamp(ms,+00:00)!\"\ntags: \"list<string!>!\"\n"
    );
    assert!(AvroColumns::parse("{}".into()).is_err());
    assert!(AvroColumns::parse(r#"{"type":"record","name":"R","fields":[]}"#.into()).is_err());
}

#[test]
fn datums_with_and_without_confluents_header() {
    let header = [0, 0, 0, 0, 9];
    let messages = [datum(1, Some("ann"), &["a", "b"]), [&header[..], &datum(2, None, &[])].concat()];
    let all = [
        r#"{"id":1,"user":"ann","kind":"buy","at":"1970-01-01T00:00:00.060Z","tags":["a","b"]}"#,
        r#"{"id":2,"user":null,"kind":"buy","at":"1970-01-01T00:00:00.060Z","tags":[]}"#,
    ];
    assert_eq!(results(&mut decoder(&["id", "user", "kind", "at", "tags"]), &payloads(&messages)), all);
    assert_eq!(
        results(&mut decoder(&["tags", "id"]), &payloads(&messages)),
        [r#"{"tags":["a","b"],"id":1}"#, r#"{"tags":[],"id":2}"#]
    );
    assert_eq!(results(&mut decoder(&[]), &payloads(&messages)), ["{}", "{}"]);
}

#[test]
fn a_bad_datum_fails_alone() {
    let good = datum(3, Some("bob"), &["x"]);
    let bad = "decode.avro: the record is not one datum of the Avro schema";
    let row = r#"{"id":3,"user":"bob"}"#;
    let cases: [(Option<Vec<u8>>, &str); 8] = [
        (Some(good.clone()), row),
        (Some(good[..good.len() - 3].to_vec()), bad),
        (Some([&good[..], &good].concat()), bad),
        (Some(vec![]), bad),
        (None, "decode.empty: the record has no value"),
        // An id of 0 looks like Confluent's header.
        (Some(datum(0, Some("bob"), &[])), r#"{"id":0,"user":"bob"}"#),
        (Some(vec![6, 2, 255, 255, 255, 255, 15]), bad),
        (Some(good.clone()), row),
    ];
    let messages: Vec<_> = cases.iter().map(|(message, _)| message.clone()).collect();
    let expected: Vec<_> = cases.iter().map(|(_, expected)| *expected).collect();
    let mut decoder = decoder(&["id", "user"]);
    assert_eq!(results(&mut decoder, &optional_payloads(&messages)), expected);
    assert_eq!(results(&mut decoder, &payloads(&[&good])), [row]);
}

#[test]
fn a_datum_that_begins_like_a_header_is_read_as_it_is() {
    let schema =
        r#"{"type":"record","name":"R","fields":[{"name":"n","type":"long"},{"name":"text","type":"string"}]}"#;
    let columns = AvroColumns::parse(schema.into()).unwrap();
    let mut decoder = AvroDecoder::new(columns.clone(), columns.schema()).unwrap();
    // Without its first five bytes each is another datum, or none.
    let own = [
        (&b"\x00\x0aabc\x04\x00"[..], r#"{"n":0,"text":"abc\u0004\u0000"}"#),
        (b"\x00\x06abc", r#"{"n":0,"text":"abc"}"#),
        (b"\x00\x08\x00\x00\x02\x04", "{\"n\":0,\"text\":\"\\u0000\\u0000\\u0002\\u0004\"}"),
        (b"\x00\x00", r#"{"n":0,"text":""}"#),
    ];
    let headed = [
        (&b"\x00\x00\x00\x00\x07\x04\x00"[..], r#"{"n":2,"text":""}"#),
        (b"\x00\x7f\x00\x00\x07\x04\x02a", r#"{"n":2,"text":"a"}"#),
        (b"\x00\x00\x00\x00\x00\x04\x02a", r#"{"n":2,"text":"a"}"#),
    ];
    let all = own.iter().chain(&headed);
    let (messages, expected): (Vec<&[u8]>, Vec<&str>) = all.copied().unzip();
    assert_eq!(results(&mut decoder, &payloads(&messages)), expected);
    for (message, expected) in messages.iter().zip(&expected) {
        assert_eq!(results(&mut decoder, &payloads(&[message])), [*expected]);
    }
}

#[test]
fn nothing_is_nothing() {
    assert_eq!(results(&mut decoder(&["id"]), &payloads::<&[u8]>(&[])), [""; 0]);
    let decoded = decoder(&["id"]).decode(&payloads::<&[u8]>(&[b"\xff"]));
    assert_eq!((decoded.records.num_rows(), decoded.failed.len()), (0, 1));
}
