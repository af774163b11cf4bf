//! `format:` and `schema:` as people write them.

use arrow_schema::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit, UnionFields, UnionMode};
use riverhook_config::{Diagnostics, FixedEnvironment, Reading, Setting, SourceFile, parse};

use super::{
    Format, Framing,
    schema::{SchemaSetting, schema_text},
    test_support::{payloads, results, schema},
};

/// Reads a setting from the text of a file: the value, or the errors as `place: message (help)`.
fn read<T: Setting>(text: &str) -> Result<T, String> {
    let file = SourceFile::new("pipeline.yaml", text);
    let mut diagnostics = Diagnostics::new();
    let node = parse(&file, &mut diagnostics).unwrap();
    let value = T::read(&node, &mut Reading::new(&FixedEnvironment::new(), &mut diagnostics));
    let errors: Vec<_> = diagnostics
        .iter()
        .map(|error| {
            let place = &text[error.span.range()];
            let help = error.help.as_deref().or(error.expected.as_deref()).unwrap_or_default();
            format!("{place}: {} ({help})", error.message)
        })
        .collect();
    value.filter(|_| errors.is_empty()).ok_or_else(|| errors.join("; "))
}

#[test]
fn parquet_refuses_what_its_writer_does() {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let list = DataType::new_list(interval.clone(), true);
    let nested = DataType::Struct(vec![Field::new("l", list, false)].into());
    let union =
        DataType::Union(UnionFields::try_new([0], [Field::new("x", DataType::Int8, true)]).unwrap(), UnionMode::Sparse);
    for refused in [interval, nested, union, DataType::Struct(Fields::empty())] {
        let schema = Schema::new(vec![Field::new("ok", DataType::Int64, false), Field::new("x", refused, false)]);
        let problems = Format::Parquet.check_write(&schema).unwrap_err();
        assert!(
            problems.len() == 1 && problems[0].starts_with("column `x`: a Parquet file cannot hold "),
            "{problems:?}"
        );
    }
    let fine = [
        DataType::Null,
        DataType::Boolean,
        DataType::UInt64,
        DataType::Float16,
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::Decimal128(38, 10),
        DataType::Timestamp(TimeUnit::Second, Some("UTC".into())),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Interval(IntervalUnit::DayTime),
        DataType::new_list(DataType::Utf8, false),
    ];
    let fields =
        fine.into_iter().enumerate().map(|(at, data_type)| Field::new(format!("c{at}"), data_type, at % 2 == 0));
    Format::Parquet.check_write(&Schema::new(fields.collect::<Vec<_>>())).unwrap();
    let types =
        schema(&[("m", "map<string,list<int64!>>"), ("s", "struct<a: json, b: bytes!>"), ("t", "timestamp(ns)!")]);
    Format::Parquet.check_write(&types).unwrap();
}

#[test]
fn a_schema_has_types_and_maps_of_types() {
    let text = "{ user: string!, n: int64, ts: \"timestamp(ms)\", tags: \"list<string>\", geo: { lat: float64, lon: float64 } }";
    let SchemaSetting(schema) = read(text).unwrap();
    assert_eq!(
        schema_text(&schema, 2),
        "  user: string!\n  n: int64\n  ts: \"timestamp(ms)\"\n  tags: \"list<string>\"\n  geo: \"struct<lat: float64, lon: float64>\"\n"
    );
    // What is written reads back as the same.
    let SchemaSetting(again) = read(&schema_text(&schema, 0)).unwrap();
    assert_eq!(again, schema);
}

#[test]
fn all_that_is_wrong_with_a_schema_is_said_at_its_place() {
    let error = |text: &str| read::<SchemaSetting>(text).map(|_| ()).unwrap_err();
    assert_eq!(
        error("{ a: strng, b: \"list<integer>\", c: { d: flaot64 } }"),
        "strng: there is no type `strng` (did you mean `string`?); \
         integer: there is no type `integer` (did you mean `int64`?); \
         flaot64: there is no type `flaot64` (did you mean `float64`?)"
    );
    assert!(error("{ a: 5 }").starts_with("5: "), "{}", error("{ a: 5 }"));
    assert!(error("{}").contains("at least one column"), "{}", error("{}"));
    assert!(error("[a]").contains("a map of column names and types"), "{}", error("[a]"));
    assert!(
        error("{ _weight: int8 }").starts_with("_weight: `_weight` is what changelogs call"),
        "{}",
        error("{ _weight: int8 }")
    );
}

#[test]
fn a_format_is_a_name_or_a_map() {
    let framing = |text: &str| read::<Format>(text).map(|format| format.framing());
    assert_eq!(framing("json"), Ok(Framing::Lines));
    assert_eq!(framing("{ type: json, coerce: true }"), Ok(Framing::Lines));
    assert_eq!(framing("csv"), Ok(Framing::Csv { quote: b'"', header: true }));
    assert_eq!(
        framing("{ type: csv, quote: \"'\", header: false, delimiter: tab }"),
        Ok(Framing::Csv { quote: b'\'', header: false })
    );
    assert_eq!(framing("bytes"), Ok(Framing::Whole));
    assert_eq!(framing("parquet"), Ok(Framing::Container));
    let error = |text: &str| read::<Format>(text).map(|_| ()).unwrap_err();
    assert!(error("jsn").contains("did you mean `json`?"), "{}", error("jsn"));
    assert!(error("avro").contains("format avro needs the file with its schema"), "{}", error("avro"));
    assert!(error("{ type: csv, delimeter: x }").contains("delimiter"), "{}", error("{ type: csv, delimeter: x }"));
    assert!(
        error("{ type: csv, delimiter: ab }").contains("one ASCII character"),
        "{}",
        error("{ type: csv, delimiter: ab }")
    );
    assert!(error("{ type: csv, delimiter: x, quote: x }").contains("another character"));
    assert!(error("{ type: text, coerce: true }").contains("coerce"));
}

#[test]
fn settings_reach_the_decoder() {
    let declared = schema(&[("a", "string"), ("b", "int64")]);
    let make = |text: &str| {
        read::<Format>(text)
            .unwrap()
            .prepare(".".as_ref(), Some(&declared))
            .unwrap()
            .decoder(schema(&[("b", "int64")]))
            .unwrap()
    };
    assert_eq!(results(make("{ type: json, coerce: true }").as_mut(), &payloads(&[r#"{"b":"5"}"#])), [r#"{"b":5}"#]);
    assert_eq!(
        results(make("{ type: csv, header: false, delimiter: ; }").as_mut(), &payloads(&["x;5"])),
        [r#"{"b":5}"#]
    );
}

#[test]
fn what_a_format_cannot_hold_is_said_with_the_column() {
    let union = Schema::new(vec![Field::new("u", DataType::Duration(TimeUnit::Second), true)]);
    assert_eq!(Format::default().check_write(&union), Ok(()));
    assert_eq!(
        Format::default().check_read(&union),
        Err(vec!["column `u`: text formats cannot hold Duration(s)".to_owned()])
    );
    let two = schema(&[("a", "string"), ("b", "int64")]);
    assert_eq!(
        Format::Text.check_write(&two),
        Err(vec!["format text writes one column of type string, but there are 2: a, b".to_owned()])
    );
    assert_eq!(
        Format::Bytes.check_read(&two),
        Err(vec![
            "column `a`: format bytes has no such column".to_owned(),
            "column `b`: format bytes has no such column".to_owned()
        ])
    );
    assert!(Format::Parquet.decoder(two).is_err());
}

#[test]
fn text_and_bytes_keep_records_as_they_are() {
    let messages: [&[u8]; 3] = ["ä".as_bytes(), b"\xff\0", b""];
    let decoder = |format: Format| format.decoder(format.fixed_schema().unwrap()).unwrap();
    let text = results(decoder(Format::Text).as_mut(), &payloads(&messages));
    assert_eq!(text, [r#"{"value":"ä"}"#, "decode.utf8: byte 0: the bytes are not UTF-8", r#"{"value":""}"#]);
    let bytes = results(decoder(Format::Bytes).as_mut(), &payloads(&messages));
    assert_eq!(bytes, [r#"{"value":"w6Q="}"#, r#"{"value":"/wA="}"#, r#"{"value":""}"#]);
    let mut out = super::Encoded::default();
    let decoded = decoder(Format::Bytes).decode(&payloads(&messages));
    Format::Bytes.encoder(decoded.records.schema()).unwrap().encode(&decoded.records, &mut out);
    assert_eq!((out.row(0), out.row(1), out.row(2)), (messages[0], messages[1], messages[2]));
}
