//! Templates: what they take, and what they give.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Int64Array, ListArray, RecordBatch, StringArray, TimestampMillisecondArray, types::Int32Type,
};
use riverhook_config::{Diagnostics, FixedEnvironment, Reading, Setting, SourceFile};

use super::{Escape, Template};

fn rows() -> RecordBatch {
    let columns: [(&str, ArrayRef); 5] = [
        ("user", Arc::new(StringArray::from(vec![Some("a \"b\"/ü"), None, Some("..")]))),
        ("n", Arc::new(Int64Array::from(vec![Some(7), None, Some(-1)]))),
        ("ts", Arc::new(TimestampMillisecondArray::from(vec![Some(1_700_000_000_123), None, Some(i64::MAX)]))),
        ("day", Arc::new(Date32Array::from(vec![Some(19_675), None, Some(0)]))),
        ("tags", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some([Some(1), None]), None, None]))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

#[track_caller]
fn check(template: &str, escape: Escape, expected: [&str; 3]) {
    let template = Template::parse(template).unwrap();
    let records = rows();
    let mut rendering = template.bind(&records).unwrap();
    let found = [0, 1, 2].map(|row| rendering.text(row, escape));
    assert_eq!(found, expected);
}

#[test]
fn values_as_they_are() {
    check("{user}: {n}!", Escape::None, ["a \"b\"/ü: 7!", "null: null!", "..: -1!"]);
    check(
        "{ts} {day}",
        Escape::None,
        ["2023-11-14T22:13:20.123Z 2023-11-14", "null null", "9223372036854775807 1970-01-01"],
    );
}

#[test]
fn times_by_pattern() {
    let last = "null 01.01.70";
    check("{ts:%Y-%m-%d/%H:%M} {day:%d.%m.%y}", Escape::None, ["2023-11-14/22:13 14.11.23", "null null", last]);
}

#[test]
fn braces_that_are_text() {
    check("{{n}} {{{n}}} { } {}", Escape::None, ["{n} {7} { } {}", "{n} {null} { } {}", "{n} {-1} { } {}"]);
}

#[test]
fn json_is_written_as_it_is_and_knows_what_is_quoted() {
    let template = r#"{"a": {"u": {user}, "say": "\"{user}\"", "n": {n}, "tags": {tags}, "t": "{tags}"}}"#;
    let first = r#"{"a": {"u": "a \"b\"/ü", "say": "\"a \"b\"/ü\"", "n": 7, "tags": [1,null], "t": "[1,null]"}}"#;
    check(
        template,
        Escape::Json,
        [
            first,
            r#"{"a": {"u": null, "say": "\"null\"", "n": null, "tags": null, "t": "null"}}"#,
            r#"{"a": {"u": "..", "say": "\"..\"", "n": -1, "tags": null, "t": "null"}}"#,
        ],
    );
    check(r#"{{"n": {n}}}"#, Escape::Json, [r#"{"n": 7}"#, r#"{"n": null}"#, r#"{"n": -1}"#]);
    check("{ts:%H}", Escape::Json, ["\"22\"", "null", "null"]);
}

#[test]
fn a_value_cannot_leave_its_place() {
    check("/{user}?n={n}", Escape::Url, ["/a%20%22b%22%2F%C3%BC?n=7", "/?n=", "/..?n=-1"]);
    let header =
        RecordBatch::try_from_iter([("h", Arc::new(StringArray::from(vec!["a\r\nB: c"])) as ArrayRef)]).unwrap();
    let template = Template::parse("{h}").unwrap();
    assert_eq!(template.bind(&header).unwrap().text(0, Escape::Header), "a  B: c");
}

#[test]
fn what_is_wrong_with_the_text() {
    let wrong = |text: &str| Template::parse(text).unwrap_err();
    assert_eq!(wrong("out/{ts").at, 4);
    assert!(wrong("a {b {c}").message.contains("no `}` ends it"));
    assert_eq!(wrong("{ts:%Q}").at, 4);
    assert!(wrong("{ts:}").message.contains("no pattern"));
}

#[test]
fn what_is_wrong_with_the_columns() {
    let schema = rows().schema();
    let problems = |text: &str| Template::parse(text).unwrap().check(&schema).unwrap_err();
    assert_eq!(problems("{usr}"), ["`{usr}` names no column: did you mean `{user}`?"]);
    assert_eq!(problems("{n:%Y}{colour}").len(), 2);
    assert!(problems("{colour}")[0].contains("`{{colour}}` for the text itself"));
}

#[test]
fn a_wrong_template_is_pointed_at_in_the_file() {
    let file = SourceFile::new("pipeline.yaml", "out/{ts:%Q}/x\n");
    let mut diagnostics = Diagnostics::new();
    let node = riverhook_config::parse(&file, &mut diagnostics).unwrap();
    assert!(Template::read(&node, &mut Reading::new(&FixedEnvironment::new(), &mut diagnostics)).is_none());
    let found = diagnostics.render(false);
    assert!(found.contains("pipeline.yaml:1:9"), "{found}");
}

#[test]
fn what_it_says_is_not_printed() {
    let template = Template::parse("https://hooks.example/s3cret/{user}").unwrap();
    assert_eq!(format!("{template:?}"), r#"Template { columns: ["user"], .. }"#);
    assert_eq!(template.beginning(), "https://hooks.example/s3cret/");
}
