//! What CSV becomes: quotes, types, and rows that are wrong.

use std::time::Instant;

use arrow_schema::SchemaRef;

use super::{settings::Character, *};
use crate::format::{
    Decoder, Encoded, Encoder,
    test_support::{Random, assert_alone, fuzz_time, mutate, payloads, results, schema},
};

fn headerless() -> CsvSettings {
    CsvSettings { header: false, ..CsvSettings::default() }
}

/// What each record gives: its row as JSON, or its failure. Without a header.
#[track_caller]
fn check(settings: &CsvSettings, columns: &[(&str, &str)], cases: &[(&str, &str)]) {
    let schema = schema(columns);
    let messages: Vec<&str> = cases.iter().map(|(message, _)| *message).collect();
    let mut decoder = CsvDecoder::new(schema.clone(), settings, Some(&schema)).unwrap();
    let got = results(&mut decoder, &payloads(&messages));
    for ((message, expected), got) in cases.iter().zip(&got) {
        assert_eq!(got, expected, "{message}");
    }
}

#[test]
fn fields_quotes_and_nulls() {
    check(
        &headerless(),
        &[("a", "int64"), ("b", "string"), ("c", "string!")],
        &[
            ("1,x,y", r#"{"a":1,"b":"x","c":"y"}"#),
            ("1,x,y\r\n", r#"{"a":1,"b":"x","c":"y"}"#),
            (" 007 ,\"x, \"\"y\"\"\nz\", y ", r#"{"a":7,"b":"x, \"y\"\nz","c":" y "}"#),
            (",,\"\"", r#"{"a":null,"b":null,"c":""}"#),
            (",\"\",ä", r#"{"a":null,"b":"","c":"ä"}"#),
            (",a\"b,c", r#"{"a":null,"b":"a\"b","c":"c"}"#),
            (",,", "decode.csv.missing: field c: the field has no value, and its type is `string!`"),
            ("1,x", "decode.csv.columns: the record has 2 fields, expected 3 fields"),
            ("1,x,y,z", "decode.csv.columns: the record has 4 fields, expected 3 fields"),
            ("one,x,y", "decode.csv.type: field a, byte 0: expected int64"),
            ("99999999999999999999,x,y", "decode.csv.range: field a, byte 0: the value does not fit int64"),
            ("1,\"x,y", "decode.csv.syntax: byte 2: the quote is never closed"),
            ("1,\"x\"y,z", "decode.csv.syntax: byte 5: a delimiter must follow the closing quote"),
            ("1,x,y\n2,x,y", "decode.csv.syntax: byte 5: the record goes on behind a line end that is not in quotes"),
            ("", "decode.empty: the record is empty"),
            ("2,x,y", r#"{"a":2,"b":"x","c":"y"}"#),
        ],
    );
}

#[test]
fn other_dialects() {
    let character = |text: &str| Character(text.as_bytes()[0]);
    let settings = CsvSettings {
        delimiter: character("\t"),
        quote: character("'"),
        escape: Some(character("\\")),
        header: false,
        null: "\\N".into(),
    };
    check(
        &settings,
        &[("a", "string"), ("b", "string")],
        &[
            ("'it\\'s\t\\\\'\t\\N", r#"{"a":"it's\t\\","b":null}"#),
            ("\t'\\N'", r#"{"a":"","b":"N"}"#),
            ("'a''b'\tc", "decode.csv.syntax: byte 3: a delimiter must follow the closing quote"),
        ],
    );
}

#[test]
fn every_type_has_a_text() {
    check(
        &headerless(),
        &[
            ("t", "timestamp(ms)"),
            ("d", "decimal(6,2)"),
            ("f", "float64"),
            ("l", "list<int64>"),
            ("b", "bool"),
            ("j", "json"),
            ("y", "bytes"),
            ("e", "date"),
        ],
        &[
            (
                "2014-02-14 14:30:00,1.5,-1e3,\"[1, 2]\",TRUE,\"{\"\"a\"\": 1}\",aGk=,2024-02-29",
                r#"{"t":"2014-02-14T14:30:00.000Z","d":"1.50","f":-1000.0,"l":[1,2],"b":true,"j":{"a": 1},"y":"aGk=","e":"2024-02-29"}"#,
            ),
            (
                "60000,,NaN,,,,,",
                r#"{"t":"1970-01-01T00:01:00.000Z","d":null,"f":null,"l":null,"b":null,"j":null,"y":null,"e":null}"#,
            ),
            ("noon,,,,,,,", "decode.csv.type: field t, byte 0: expected timestamp(ms)"),
            (",1.555,,,,,,", "decode.csv.range: field d, byte 1: the value does not fit decimal(6,2)"),
            (",,,\"[1,\",,,,", "decode.json.syntax: field l[1], byte 3: the message ends where a value was expected"),
            (",,,[1] 2,,,,", "decode.json.syntax: field l, byte 4: something follows the value"),
            (",,,,yes,,,", "decode.csv.type: field b, byte 4: expected bool"),
        ],
    );
}

#[test]
fn a_number_is_infinite_only_where_that_is_written() {
    check(
        &headerless(),
        &[("a", "float64"), ("b", "float32")],
        &[
            ("1e308,1e38", r#"{"a":1.0e308,"b":1.0e38}"#),
            ("1e400,", "decode.csv.range: field a, byte 0: the value does not fit float64"),
            ("-1e400,", "decode.csv.range: field a, byte 0: the value does not fit float64"),
            (",1e39", "decode.csv.range: field b, byte 1: the value does not fit float32"),
            // JSON has no infinity: these are infinite in the column.
            ("inf,-Infinity", r#"{"a":null,"b":null}"#),
            ("1e-400,-0", r#"{"a":0.0,"b":-0.0}"#),
        ],
    );
}

#[test]
fn decimals_of_38_digits_never_wrap() {
    let columns = [("w", "decimal(38,0)"), ("f", "decimal(38,37)")];
    let refused = |field: &str, at: usize, scale: u8| {
        format!("decode.csv.range: field {field}, byte {at}: the value does not fit decimal(38,{scale})")
    };
    let (most, digits) = ("9".repeat(38), format!("9.{}", "9".repeat(37)));
    // Ten times 3.5e37 is more than an `i128` holds.
    let too_long = format!("35{}", "0".repeat(37));
    let cases = [
        (format!("{most},{digits}"), format!(r#"{{"w":"{most}","f":"{digits}"}}"#)),
        (format!("-{most},-{digits}"), format!(r#"{{"w":"-{most}","f":"-{digits}"}}"#)),
        (format!("{too_long},"), refused("w", 0, 0)),
        (format!("-{too_long},"), refused("w", 0, 0)),
        ("35e37,".into(), refused("w", 0, 0)),
        (format!("1{},", "0".repeat(38)), refused("w", 0, 0)),
        (",35".into(), refused("f", 1, 37)),
        (",10".into(), refused("f", 1, 37)),
    ];
    let cases: Vec<_> = cases.iter().map(|(message, expected)| (message.as_str(), expected.as_str())).collect();
    check(&headerless(), &columns, &cases);
}

fn with_header(columns: &[(&str, &str)], header: &str) -> Result<CsvDecoder, String> {
    let mut decoder = CsvDecoder::new(schema(columns), &CsvSettings::default(), None).unwrap();
    decoder.header(header.as_bytes()).map_err(|error| error.to_string())?;
    Ok(decoder)
}

#[test]
fn a_header_names_the_columns() {
    let columns = [("b", "int64"), ("a", "string!"), ("z", "string")];
    let mut decoder = with_header(&columns, "\u{feff}a, other ,\"b\"\r\n").unwrap();
    assert_eq!(results(&mut decoder, &payloads(&["x,ignored,5"])), [r#"{"b":5,"a":"x","z":null}"#]);
    // The next file may have another order.
    decoder.header(b"b,a").unwrap();
    assert_eq!(results(&mut decoder, &payloads(&["6,y"])), [r#"{"b":6,"a":"y","z":null}"#]);

    let error = |header: &str| with_header(&columns, header).err().unwrap();
    assert_eq!(error("b,z"), "the CSV header has no column `a`, which `schema:` requires (string!)");
    assert_eq!(error("a,b,a"), "the CSV header names the column `a` twice");
    assert!(with_header(&columns, "a,other,other").is_ok());

    let mut early = CsvDecoder::new(schema(&columns), &CsvSettings::default(), None).unwrap();
    assert_eq!(results(&mut early, &payloads(&["x"])), ["decode.csv.columns: no header came before the record"]);
}

#[test]
fn without_a_header_the_declared_order_counts_not_the_projection() {
    let declared = schema(&[("a", "string"), ("b", "int64"), ("c", "string")]);
    let wanted = schema(&[("c", "string"), ("b", "int64")]);
    let mut decoder = CsvDecoder::new(wanted.clone(), &headerless(), Some(&declared)).unwrap();
    assert_eq!(results(&mut decoder, &payloads(&["x,5,z"])), [r#"{"c":"z","b":5}"#]);
    assert!(CsvDecoder::new(wanted, &headerless(), None).is_err());
}

/// Writes the rows that `messages` give, reads them again, and compares.
#[track_caller]
fn check_round_trip(settings: &CsvSettings, schema: &SchemaRef, messages: &[String]) {
    let mut decoder = CsvDecoder::new(schema.clone(), settings, Some(schema)).unwrap();
    let mut encoder = CsvEncoder::new(schema.clone(), settings).unwrap();
    let first = decoder.decode(&payloads(messages));
    assert_eq!(first.failed, vec![]);
    let mut out = Encoded::default();
    encoder.encode(&first.records, &mut out);
    let written: Vec<&[u8]> = (0..out.len()).map(|row| out.row(row)).collect();
    let second = decoder.decode(&payloads(&written));
    assert_eq!(second.failed, vec![]);
    assert_eq!(first.records, second.records);
}

#[test]
fn rows_read_back_as_written() {
    let schema =
        schema(&[("a", "string"), ("f", "float64"), ("t", "timestamp(us)"), ("l", "list<string>"), ("b", "bytes")]);
    let mut random = Random(5);
    let pieces = ["a", "\"\"", ",", "\n", "\r\n", "ä", " ", "'", ";", "NULL"];
    let messages: Vec<String> = (0..500)
        .map(|_| {
            let text: String = (0..random.below(6)).map(|_| *random.pick(&pieces)).collect();
            let float = f64::from_bits(random.next() >> 2);
            format!("\"{text}\",{float:e},{},\"[\"\"x,y\"\",null]\",AA==", random.next() as i64 >> 10)
        })
        .chain([",,,,".into(), "\"\",,,,".into(), "NULL,,,,".into()])
        .collect();
    check_round_trip(&headerless(), &schema, &messages);
    let quoting = CsvSettings { escape: Some(Character(b'\\')), null: "NULL".into(), ..headerless() };
    let nulls: Vec<String> =
        ["\"NULL\",NULL,NULL,NULL,NULL", "NULL,1,1,[],", "\"a\\\"\\\\\",NULL,NULL,NULL,NULL"].map(String::from).into();
    check_round_trip(&quoting, &schema, &nulls);
    let header = CsvEncoder::new(schema, &CsvSettings::default()).unwrap().header().unwrap();
    assert_eq!(String::from_utf8(header).unwrap(), "a,f,t,l,b");
}

#[test]
fn damaged_records_fail_alone() {
    const SAMPLES: [&str; 4] = [
        "1,apple,\"a \"\"quoted\"\" text, with\nlines\",1.5,2014-02-14 14:30:00,\"[1,2]\"",
        "-9223372036854775808,,,,,",
        "7,ä€😀,\"\",1e-300,1700000000000,\"[null,3]\"\r\n",
        ",\"x\",y,NaN,,[]",
    ];
    const SYNTAX: [&[u8]; 10] =
        [b",", b"\"", b"\"\"", b"\n", b"\r", b"\xff", b"\0", b"[", b"null", b"99999999999999999999"];
    let schema = schema(&[
        ("i", "int64"),
        ("s", "string"),
        ("x", "string"),
        ("f", "float64"),
        ("t", "timestamp(ms)"),
        ("l", "list<int64>"),
    ]);
    let make =
        || -> Box<dyn Decoder> { Box::new(CsvDecoder::new(schema.clone(), &headerless(), Some(&schema)).unwrap()) };
    let (started, time) = (Instant::now(), fuzz_time());
    let mut random = Random(11);
    let (mut rows, mut failures) = (0u64, 0u64);
    while started.elapsed() < time {
        let messages: Vec<Vec<u8>> = (0..16)
            .map(|_| {
                let sample = *random.pick(&SAMPLES);
                mutate(&mut random, sample.as_bytes(), &SYNTAX)
            })
            .collect();
        for result in assert_alone(&make, &messages) {
            if result.starts_with("decode.") { failures += 1 } else { rows += 1 }
        }
    }
    assert!(rows > 0 && failures > 0, "{rows} rows, {failures} failures");
}
