//! What was written reads back as the same, for rows of every type.

use std::fmt::Write;

use crate::format::{
    Decoder, Encoded, Encoder,
    json::{JsonDecoder, JsonEncoder},
    test_support::{Random, payloads, schema},
};

const COLUMNS: [(&str, &str); 20] = [
    ("bool", "bool"),
    ("i8", "int8"),
    ("i16", "int16"),
    ("i32", "int32"),
    ("i64", "int64!"),
    ("u8", "uint8"),
    ("u16", "uint16"),
    ("u32", "uint32"),
    ("u64", "uint64"),
    ("f32", "float32"),
    ("f64", "float64"),
    ("decimal", "decimal(38,10)"),
    ("text \"quoted\"", "string"),
    ("bytes", "bytes"),
    ("date", "date"),
    ("s", "timestamp(s)"),
    ("ns", "timestamp(ns,America/New_York)"),
    ("json", "json"),
    ("nested", "list<struct<a: list<int64!>, m: map<string,float64>>>"),
    ("struct", "struct<x: string!, y: struct<z: uint8>>"),
];

fn text(random: &mut Random) -> String {
    let characters = ['a', '"', '\\', '\n', '\u{0}', '\u{1f}', 'ä', '😀', '/', '\u{7f}', '\u{2028}', 'z'];
    let length = random.below(24);
    let text: String = (0..length).map(|_| *random.pick(&characters)).collect();
    serde_json::Value::from(text).to_string()
}

fn signed(random: &mut Random, bits: u32) -> i64 {
    // Sizes of every magnitude, not only the greatest.
    let shift = 64 - bits + u32::try_from(random.below(bits as usize)).unwrap();
    (random.next() as i64) >> shift
}

fn value(random: &mut Random, column: &str) -> String {
    match column {
        "bool" => random.pick(&["true", "false"]).to_string(),
        "i8" => signed(random, 8).to_string(),
        "i16" => signed(random, 16).to_string(),
        "i32" => signed(random, 32).to_string(),
        "i64" => signed(random, 64).to_string(),
        "u8" => (random.next() as u8).to_string(),
        "u16" => (random.next() as u16).to_string(),
        "u32" => (random.next() as u32).to_string(),
        "u64" => (random.next() >> random.below(64)).to_string(),
        "f32" => Some(f32::from_bits(random.next() as u32))
            .filter(|float| float.is_finite())
            .map_or("null".into(), |float| format!("{float:e}")),
        "f64" => Some(f64::from_bits(random.next()))
            .filter(|float| float.is_finite())
            .map_or("null".into(), |float| format!("{float:e}")),
        "decimal" => format!("\"{}.{:010}\"", signed(random, 64), random.below(10_000_000_000)),
        "bytes" => format!("\"{}\"", ["", "AA==", "AAE=", "AAEC", "/+8="][random.below(5)]),
        "date" => format!("\"{:04}-{:02}-{:02}\"", random.below(10_000), random.below(12) + 1, random.below(28) + 1),
        "s" => (signed(random, 37)).to_string(),
        "ns" => signed(random, 64).to_string(),
        "json" => format!("{{\"k\": [{}, {}]}}", text(random), signed(random, 64)),
        "nested" => format!("[{{\"a\":[1,{}],\"m\":{{{}:0.5}}}},null,{{}}]", signed(random, 64), text(random)),
        "struct" => format!("{{\"x\":{},\"y\":{{\"z\":{}}}}}", text(random), random.next() as u8),
        _ => text(random),
    }
}

fn message(random: &mut Random) -> String {
    let mut message = String::from("{");
    let mut separator = "";
    for (name, kind) in COLUMNS {
        if !kind.ends_with('!') && random.below(4) == 0 {
            continue;
        }
        let key = serde_json::Value::from(name).to_string();
        let value = value(random, name);
        write!(message, "{separator}{key}:{value}").unwrap();
        separator = ",";
    }
    message + "}"
}

#[test]
fn rows_of_every_type_read_back_as_written() {
    let mut random = Random(1);
    let schema = schema(&COLUMNS);
    let mut decoder = JsonDecoder::new(schema.clone(), false).unwrap();
    let mut encoder = JsonEncoder::new(&schema).unwrap();
    for _ in 0..50 {
        let messages: Vec<String> = (0..40).map(|_| message(&mut random)).collect();
        let first = decoder.decode(&payloads(&messages));
        assert_eq!(first.failed, vec![]);
        let mut out = Encoded::default();
        encoder.encode(&first.records, &mut out);
        let written: Vec<&[u8]> = (0..out.len()).map(|row| out.row(row)).collect();
        for row in &written {
            serde_json::from_slice::<serde_json::Value>(row).unwrap();
        }
        let second = decoder.decode(&payloads(&written));
        assert_eq!(second.failed, vec![]);
        assert_eq!(first.records, second.records);
        // A slice is written like the rows it holds.
        let mut slice = Encoded::default();
        encoder.encode(&first.records.slice(7, 13), &mut slice);
        let rows: Vec<&[u8]> = (0..slice.len()).map(|row| slice.row(row)).collect();
        assert_eq!(rows, written[7..20]);
    }
}
