//! Text that is not YAML, or YAML that no pipeline needs.

use expect_test::expect;
use riverhook_config::{Diagnostics, Kind, SourceFile, parse};
use serde_json::{Value, json};

use crate::{check, read_ok};

#[test]
fn an_empty_file() {
    check(
        "",
        expect![[r#"
        error: this file is empty
        --> pipeline.yaml:1:1

    "#]],
    );
    check(
        "\n# nothing yet\n",
        expect![[r#"
        error: this file is empty
        --> pipeline.yaml:1:1

    "#]],
    );
}

#[test]
fn a_key_twice() {
    check(
        "name: a\nsources: {}\nname: b\n",
        expect![[r#"
        error: the key `name` is there twice
         --> pipeline.yaml:3:1
          |
        1 | name: a
          | ---- first here
        2 | sources: {}
        3 | name: b
          | ^^^^
          |
          = help: remove one of the two

    "#]],
    );
}

#[test]
fn tabs() {
    check(
        "sources:\n\tclicks:\n",
        expect![[r#"
        error: a tab cannot indent
         --> pipeline.yaml:2:2
          |
        2 |     clicks:
          |     ^
          |
          = help: indent with spaces

    "#]],
    );
}

#[test]
fn an_open_quote() {
    check(
        "name: \"clicks\nsources: {}\n",
        expect![[r#"
        error: this quoted text does not end
         --> pipeline.yaml:1:7
          |
        1 | name: "clicks
          |       ^
          |
          = help: close the quote; a quote within it is written `\"` in double quotes and `''` in single ones

    "#]],
    );
}

#[test]
fn an_open_bracket() {
    check(
        "sources: { clicks: { topic: [a, b }\n",
        expect![[r#"
        error: this `[…]` is not complete
         --> pipeline.yaml:1:35
          |
        1 | sources: { clicks: { topic: [a, b }
          |                                   ^
          |
          = help: separate items by `,` and close it with `]`

    "#]],
    );
}

#[test]
fn a_colon_too_many() {
    check(
        "name: clicks: views\n",
        expect![[r#"
        error: a second `:` makes no sense here
         --> pipeline.yaml:1:13
          |
        1 | name: clicks: views
          |             ^
          |
          = help: put the text in quotes if the `:` belongs to it, or begin a new line

    "#]],
    );
}

#[test]
fn keys_at_different_columns() {
    check(
        "sources:\n  clicks:\n    topic: a\n   group: b\n",
        expect![[r#"
        error: a key is expected here
         --> pipeline.yaml:4:4
          |
        4 |    group: b
          |    ^
          |
          = help: check the indentation: the keys of a map begin at the same column

    "#]],
    );
}

#[test]
fn a_key_without_a_colon() {
    check(
        "name: a\nsources\n",
        expect![[r#"
        error: a `:` is missing after this key
         --> pipeline.yaml:2:7
          |
        2 | sources
          |       ^
          |
          = help: write `name: value`

    "#]],
    );
}

#[test]
fn an_escape_that_means_nothing() {
    check(
        "name: \"C:\\data\"\n",
        expect![[r#"
        error: this quoted text has an escape that means nothing
         --> pipeline.yaml:1:7
          |
        1 | name: "C:\data"
          |       ^
          |
          = help: write `\\` for a backslash, or use single quotes

    "#]],
    );
}

#[test]
fn a_reference_whose_braces_yaml_takes() {
    check(
        "sources: { clicks: { topic: ${TOPIC}, port: 1 } }\n",
        expect![[r#"
        error: this `{…}` is not complete
         --> pipeline.yaml:1:30
          |
        1 | sources: { clicks: { topic: ${TOPIC}, port: 1 } }
          |                              ^
          |
          = help: put `${…}` in quotes where it stands within `{…}` or `[…]`

    "#]],
    );
}

#[test]
fn a_list_that_stands_askew() {
    check(
        "name:\n  - a\n - b\n",
        expect![[r#"
        error: a key is expected here
         --> pipeline.yaml:3:2
          |
        3 |  - b
          |  ^
          |
          = help: check the indentation: the keys of a map begin at the same column

    "#]],
    );
}

#[test]
fn two_documents() {
    check(
        "name: a\nsources: {}\n---\nname: b\n",
        expect![[r#"
        error: a second document begins here, and a file holds one
         --> pipeline.yaml:3:1
          |
        3 | ---
          | ^^^
          |
          = help: remove the `---`, or make it a file of its own

    "#]],
    );
}

#[test]
fn tags() {
    check(
        "name: !!python/object x\nsources: !custom {}\n",
        expect![[r#"
        error: tags other than `!!str` mean nothing here
         --> pipeline.yaml:1:23
          |
        1 | name: !!python/object x
          |                       ^
          |
          = help: remove the tag; the field decides how its value is read

        error: tags other than `!!str` mean nothing here
         --> pipeline.yaml:2:10
          |
        2 | sources: !custom {}
          |          ^^^^^^^^^
          |
          = help: remove the tag; the field decides how its value is read

    "#]],
    );
    let name: Value = read_ok("name: !!str 5\n");
    assert_eq!(name, json!({ "name": "5" }));
}

#[test]
fn an_alias_of_nothing() {
    check(
        "name: *nothing\n",
        expect![[r#"
        error: this alias names nothing
         --> pipeline.yaml:1:7
          |
        1 | name: *nothing
          |       ^
          |
          = help: an anchor (`&name`) must come before its alias (`*name`)

    "#]],
    );
}

#[test]
fn keys_that_are_no_names() {
    check(
        "sources: {}\n? [a, b]\n: c\n",
        expect![[r#"
        error: a key cannot be a list
         --> pipeline.yaml:2:3
          |
        2 | ? [a, b]
          |   ^^^^^^
          |
          = help: write `name: value`; text that begins with `{` or `[` needs quotes

    "#]],
    );
}

#[test]
fn columns_count_characters() {
    check(
        "sources: { \"größe 🦀\": { topic: a, prot: 1 } }\n",
        expect![[r#"
        error: there is no key `prot` here
         --> pipeline.yaml:1:35
          |
        1 | sources: { "größe 🦀": { topic: a, prot: 1 } }
          |                                    ^^^^
          |
          = field: sources.größe 🦀.prot
          = expected: `ahead`, `backoff`, `batch`, `connect_timeout`, `counted`, `group`, `options`, `password`, `port`, `share`, `start` or `topic`
          = help: did you mean `port`?

    "#]],
    );
}

#[test]
fn windows_line_breaks() {
    check(
        "name: a\r\nsources:\r\n  clicks:\r\n    topic: a\r\n    port: x\r\n",
        expect![[r#"
        error: `port` cannot be text
         --> pipeline.yaml:5:11
          |
        5 |     port: x
          |           ^ expected a whole number from 0 to 65535
          |
          = field: sources.clicks.port

    "#]],
    );
}

#[test]
fn control_characters_stay_out_of_the_terminal() {
    check(
        "sources: {}\n\"\\e[31m\\u202e\": 1\n",
        expect![[r#"
        error: there is no key `�[31m�` here
         --> pipeline.yaml:2:1
          |
        2 | "\e[31m\u202e": 1
          | ^^^^^^^^^^^^^^ expected `name` or `sources`
          |
          = field: �[31m�

    "#]],
    );
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
    expect![[r#"
        error: this file is not UTF-8 text
         --> p.yaml:2:2
          |
        2 | n�: b
          |  ^
          |
          = help: save the file as UTF-8

    "#]]
    .assert_eq(&diagnostics.render(false));
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
