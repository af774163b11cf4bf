//! Types as they are written in the pipeline file.

use super::*;

/// Reads a type and writes it again.
fn round(text: &str) -> String {
    parse_type("c", text).map_or_else(|error| format!("{error:?}"), |field| type_text(&field))
}

#[test]
fn types_are_read_and_written_back() {
    for text in [
        "bool",
        "int8",
        "uint64!",
        "float32",
        "decimal(10,2)",
        "string!",
        "bytes",
        "date",
        "timestamp(ms)",
        "timestamp(ns,Europe/Berlin)!",
        "json",
        "json!",
        "list<string!>",
        "list<list<int64>>!",
        "map<string,struct<a: int64!, b: json>>",
        "struct<first name: string, geo: struct<lat: float64, lon: float64>>",
    ] {
        assert_eq!(round(text), text);
    }
    assert_eq!(round(" list < struct< a :int64 , b: decimal( 4 ) > > ! "), "list<struct<a: int64, b: decimal(4,0)>>!");
}

#[test]
fn a_map_is_arrows_map_and_json_is_marked() {
    let field = parse_type("m", "map<string,json>").unwrap();
    let DataType::Map(entries, false) = field.data_type() else { panic!("{field:?}") };
    let (key, value) = map_fields(entries).unwrap();
    assert_eq!((key.name().as_str(), key.is_nullable()), ("key", false));
    assert!(value.is_nullable() && is_json(value));
    assert!(!is_json(key));
}

#[test]
fn wrong_types_are_located_and_the_right_one_suggested() {
    let error = |text: &str| parse_type("c", text).unwrap_err();
    let suggested = |text: &str| (error(text).at, error(text).suggestion);
    assert_eq!(suggested("list<strng>"), (5..10, Some("string".into())));
    assert_eq!(suggested("int"), (0..3, Some("int64".into())));
    assert_eq!(suggested("Boolean!"), (0..7, Some("bool".into())));
    assert_eq!(suggested("timestmp(ms)"), (0..8, Some("timestamp".into())));
    assert_eq!(suggested("quaternion").1, None);
    let message = |text: &str| error(text).message;
    assert_eq!(message(""), "expected a type");
    assert_eq!(message("list<string"), "`>` is missing: a list is written like list<string>");
    assert_eq!(message("timestamp"), "`(` is missing: a timestamp is written like timestamp(ms)");
    assert_eq!(message("timestamp(m)"), "a timestamp's unit is one of s, ms, us and ns: timestamp(ms)");
    assert!(message("timestamp(ms, Mars)").starts_with("`Mars` is not a time zone"));
    assert_eq!(message("map<int64,string>"), "a map's keys are strings: map<string,int64>");
    assert_eq!(message("struct<a: int64, a: string>"), "the field `a` is there twice");
    assert_eq!(message("struct<>"), "expected the name of a field: struct<a: int64, b: string>");
    assert_eq!(message("int64 null"), "`null` does not belong to the type");
    assert!(message("decimal(39,2)").starts_with("expected decimal(precision, scale)"));
    assert!(message("decimal(4,5)").starts_with("expected decimal(precision, scale)"));
}

fn signature(text: &str) -> Result<FunctionSignature, TypeError> {
    let (arguments, result) = parse::parse_signature(text, "value")?;
    Ok(FunctionSignature { arguments: Arc::new(arrow_schema::Schema::new(arguments)), result: Arc::new(result) })
}

#[test]
fn signatures_are_read_and_written_back() {
    for text in [
        "(ip: string) -> struct<country: string, lat: float64>",
        "(a: int64!, tags: list<string>) -> timestamp(ms)!",
        "(row: struct<a: int64, b: json>) -> json",
    ] {
        assert_eq!(signature(text).unwrap().to_string(), text);
    }
    assert_eq!(signature(" ( a :int64,b: string! )->  bool ").unwrap().to_string(), "(a: int64, b: string!) -> bool");
    let columns =
        |text: &str| signature(text).unwrap().columns().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
    assert_eq!(columns("(ip: string) -> struct<country: string, lat: float64>"), ["country", "lat"]);
    assert_eq!(columns("(ip: string) -> list<string>"), ["value"]);
}

#[test]
fn wrong_signatures_are_located() {
    let error = |text: &str| signature(text).map(|_| ()).map_err(|error| (error.at, error.message)).unwrap_err();
    assert_eq!(error("(ip: strng) -> bool").0, 5..10);
    assert_eq!(error("(ip: string) -> bol").0, 16..19);
    let at = |text: &str| error(text).0;
    let message = |text: &str| error(text).1;
    assert!(message("ip: string -> bool").starts_with("`(` is missing: a signature is written like (ip: string) -> "));
    assert!(message("(ip: string) bool").starts_with("`->` is missing"));
    assert_eq!(at("(ip: string) bool"), 13..14);
    assert!(message("(ip: string").starts_with("`)` is missing"));
    assert!(message("() -> bool").starts_with("expected the name of an argument"));
    assert!(message("(string) -> bool").starts_with("`:` is missing"));
    assert_eq!(message("(a: bool, a: bool) -> bool"), "the argument `a` is there twice");
    assert_eq!(message("(a: bool) -> bool -> bool"), "`-> bool` does not belong to the signature");
    for text in ["", "(", "(ä", "(a: bool) -> ä", "(ä: ä) -> ä", "💥"] {
        let range = at(text);
        assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end), "{text}: {range:?}");
    }
}

#[test]
fn odd_texts_are_errors_and_no_panics() {
    for text in
        ["ä", "list<ä", "struct<ä: ö>", "decimal(", "struct<a", "!", "map<string", "int64!!", "list<>", "💥<💥>"]
    {
        let error = parse_type("c", text).unwrap_err();
        assert!(
            error.at.end <= text.len() && text.is_char_boundary(error.at.start) && text.is_char_boundary(error.at.end),
            "{text}: {error:?}"
        );
    }
    let deep = "list<".repeat(MAX_DEPTH + 1);
    assert!(parse_type("c", &deep).unwrap_err().message.contains("nested deeper"));
}
