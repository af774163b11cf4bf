//! Lists, maps, optional values, and diagnostics as JSON.

use expect_test::expect;
use riverhook_config::{Diagnostic, Diagnostics, FixedEnvironment, Map, OneOrMany, SourceFile, Spanned};
use serde_json::Value;

use crate::{Pipeline, read, read_ok};

#[test]
fn maps_keep_their_order_and_places() {
    let map: Map<u32> = read_ok("z: 1\na: 2\nm: 3\n");
    assert_eq!(map.names().collect::<Vec<_>>(), ["z", "a", "m"]);
    assert_eq!(map.get("a"), Some(&2));
    assert_eq!(map.0[1].name_span.range(), 5..6);
}

#[test]
fn one_or_many() {
    let one: Map<OneOrMany<String>> = read_ok("a: x\nb: [x, y]\n");
    assert_eq!(one.get("a").unwrap().as_slice(), ["x"]);
    assert_eq!(one.get("b").unwrap().as_slice(), ["x", "y"]);
    let (read, diagnostics) = read::<Map<OneOrMany<String>>>("a: []\n", &FixedEnvironment::new());
    assert!(read.is_none() && diagnostics.len() == 1);
}

#[test]
fn null_is_absent() {
    let map: Map<Option<u32>> = read_ok("a:\nb: ~\nc: 1\n");
    assert_eq!(map.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [None, None, Some(1)]);
}

#[test]
fn all_items_are_looked_at() {
    let (_, diagnostics) = read::<Map<Vec<u16>>>("a: [1, x, 3, 70000]\n", &FixedEnvironment::new());
    let paths: Vec<&str> = diagnostics.iter().map(|one| one.path.as_str()).collect();
    assert_eq!(paths, ["a[1]", "a[3]"]);
}

#[test]
fn spanned_values_can_be_pointed_at_later() {
    let map: Map<Spanned<u32>> = read_ok("a: 12\n");
    let value = map.get("a").unwrap();
    assert_eq!((value.value, value.span.range(), value.path.to_string()), (12, 3..5, "a".into()));
    assert_eq!(value.error("too many").path, "a");
}

#[test]
fn diagnostics_are_json_too() {
    let (_, diagnostics) = read::<Pipeline>("sources: {}\nname: a\nname: b\nnmae: c\n", &FixedEnvironment::new());
    let json = serde_json::to_string_pretty(&diagnostics.to_json()).unwrap();
    expect![[r#"
        {
          "diagnostics": [
            {
              "file": "pipeline.yaml",
              "line": 3,
              "column": 1,
              "end_line": 3,
              "end_column": 5,
              "severity": "error",
              "message": "the key `name` is there twice",
              "path": "",
              "expected": null,
              "help": "remove one of the two",
              "also": [
                {
                  "file": "pipeline.yaml",
                  "line": 2,
                  "column": 1,
                  "end_line": 2,
                  "end_column": 5,
                  "message": "first here"
                }
              ]
            },
            {
              "file": "pipeline.yaml",
              "line": 4,
              "column": 1,
              "end_line": 4,
              "end_column": 5,
              "severity": "error",
              "message": "there is no key `nmae` here",
              "path": "nmae",
              "expected": "`name` or `sources`",
              "help": "did you mean `name`?",
              "also": []
            }
          ],
          "more": 0
        }"#]]
    .assert_eq(&json);
}

#[test]
fn diagnostics_of_several_files_come_file_by_file() {
    let (one, two) = (SourceFile::new("one.yaml", "a: 1\n"), SourceFile::new("two.yaml", "b: 1\nc: 2\n"));
    let mut diagnostics = Diagnostics::new();
    diagnostics.add_source(&two);
    let mut more = Diagnostics::new();
    more.add_source(&one);
    more.push(Diagnostic::warning(one.span(3, 4), "first seen last"));
    diagnostics.append(more);
    assert!(!diagnostics.has_errors() && !diagnostics.is_empty());
    diagnostics.push(Diagnostic::error(two.span(8, 9), "c").also(one.span(0, 1), "the other one"));
    diagnostics.push(Diagnostic::error(two.span(3, 4), "b"));
    assert!(diagnostics.has_errors());
    expect![[r#"
        error: b
         --> two.yaml:1:4
          |
        1 | b: 1
          |    ^

        error: c
         --> two.yaml:2:4
          |
        2 | c: 2
          |    ^
          |
          = note: the other one
         ::: one.yaml:1:1

        warning: first seen last
         --> one.yaml:1:4
          |
        1 | a: 1
          |    ^

    "#]]
    .assert_eq(&diagnostics.render(false));
}

#[test]
fn colors_are_only_there_when_asked_for() {
    let (_, diagnostics) = read::<Value>("a: [\n", &FixedEnvironment::new());
    assert!(diagnostics.render(true).contains("\u{1b}["));
    assert!(!diagnostics.render(false).contains('\u{1b}'));
}
