//! Text that is not YAML, or YAML that no pipeline needs.

use expect_test::expect;
use riverhook_config::{Diagnostics, Kind, SourceFile, parse};
use serde_json::{Value, json};

use crate::{check, read_ok};

#[test]
fn an_empty_file() {
    check("", expect![[r#""#]]);
    check("\n# nothing yet\n", expect![[r#""#]]);
}

#[test]
fn a_key_twice() {
    check("name: a\nsources: {}\nname: b\n", expect![[r#""#]]);
}

#[test]
fn tabs() {
    check("sources:\n\tclicks:\n", expect![[r#""#]]);
}

#[test]
fn an_open_quote() {
    check("name: \"clicks\nsources: {}\n", expect![[r#""#]]);
}

#[test]
fn an_open_bracket() {
    check("sources: { clicks: { topic: [a, b }\n", expect![[r#""#]]);
}

#[test]
fn a_colon_too_many() {
    check("name: clicks: views\n", expect![[r#""#]]);
}

#[test]
fn keys_at_different_columns() {
    check("sources:\n  clicks:\n    topic: a\n   group: b\n", expect![[r#""#]]);
}

#[test]
fn a_key_without_a_colon() {
    check("name: a\nsources\n", expect![[r#""#]]);
}

#[test]
fn an_escape_that_means_nothing() {
    check("name: \"C:\\data\"\n", expect![[r#""#]]);
}

#[test]
fn a_reference_whose_braces_yaml_takes() {
    check("sources: { clicks: { topic: ${TOPIC}, port: 1 } }\n", expect![[r#""#]]);
}

#[test]
fn a_list_that_stands_askew() {
    check("name:\n  - a\n - b\n", expect![[r#""#]]);
}

#[test]
fn two_documents() {
    check("name: a\nsources: {}\n---\nname: b\n", expect![[r#""#]]);
}

#[test]
fn tags() {
    check("name: !!python/object x\nsources: !custom {}\n", expect![[r#""#]]);
    let name: Value = read_ok("name: !!str 5\n");
    assert_eq!(name, json!({ "name": "5" }));
}

#[test]
fn an_alias_of_nothing() {
    check("name: *nothing\n", expect![[r#""#]]);
}

#[test]
fn keys_that_are_no_names() {
    check("sources: {}\n? [a, b]\n: c\n", expect![[r#""#]]);
}

#[test]
fn columns_count_characters() {
    check("sources: { \"größe 🦀\": { topic: a, prot: 1 } }\n", expect![[r#""#]]);
}

#[test]
fn windows_line_breaks() {
    check("name: a\r\nsources:\r\n  clicks:\r\n    topic: a\r\n    port: x\r\n", expect![[r#""#]]);
}

#[test]
fn control_characters_stay_out_of_the_terminal() {
    check("sources: {}\n\"\\e[31m\\u202e\": 1\n", expect![[r#""#]]);
}

#[test]
fn a_byte_order_mark_is_no_text() {
    let value: Value = read_ok("\u{feff}a: 1\n");
    assert_eq!(value, json!({ "a": 1 }));
}

#[test]
fn bytes_that_are_not_text() {
    let mut diagnostics = Diagnostics::new();
    assert!(SourceFile::from_bytes("p.yaml", b"name: a\nn\xff: b\n".to_vec(), &mut diagnostics).is_none());
    expect![[r#""#]].assert_eq(&diagnostics.render(false));
}

#[test]
fn scalars_are_what_yaml_1_2_says() {
    let value: Value = read_ok(
        "[1, -1, 0x1f, 0o17, 1.5, 1e3, true, no, on, null, ~, '1', 1_000, 12:30, 2024-01-01, .5, inf, nan, +1, 0b1]\n",
    );
    let expected = json!([
        1,
        -1,
        31,
        15,
        1.5,
        1000.0,
        true,
        "no",
        "on",
        null,
        null,
        "1",
        "1_000",
        "12:30",
        "2024-01-01",
        0.5,
        "inf",
        "nan",
        1,
        "0b1"
    ]);
    assert_eq!(value, expected);
}

#[test]
fn aliases_and_merge_keys_are_filled_in() {
    let value: Value = read_ok(
        "base: &base { a: 1, b: 2 }
other: { <<: *base, b: 3 }
both: { <<: [{ c: 4 }, *base] }
again: *base
",
    );
    assert_eq!(value["other"], json!({ "a": 1, "b": 3 }));
    assert_eq!(value["both"], json!({ "c": 4, "a": 1, "b": 2 }));
    assert_eq!(value["again"], value["base"]);
}

#[test]
fn an_alias_has_the_path_of_its_place() {
    let file = SourceFile::new("p.yaml", "a: &x { k: [1] }\nb: *x\n");
    let root = parse(&file, &mut Diagnostics::new()).unwrap();
    let item = |name: &str| match &root.get(name).unwrap().get("k").unwrap().kind {
        Kind::List(items) => items[0].path.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!((item("a"), item("b")), ("a.k[0]".into(), "b.k[0]".into()));
}
