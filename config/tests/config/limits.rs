//! What a file may cost.

use std::fmt::Write;

use expect_test::expect;
use riverhook_config::{Diagnostics, MAX_DEPTH, MAX_FILE_BYTES, SourceFile, parse};
use serde_json::Value;

use crate::{check, read_ok};

/// The messages of what is wrong with a text.
fn messages(yaml: &str) -> Vec<String> {
    let mut diagnostics = Diagnostics::new();
    let root = parse(&SourceFile::new("p.yaml", yaml), &mut diagnostics);
    assert!(root.is_none());
    diagnostics.iter().map(|one| one.message.clone()).collect()
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}{}\n", "[".repeat(depth), "]".repeat(depth));
    read_ok::<Value>(&nested(MAX_DEPTH));
    assert_eq!(messages(&nested(MAX_DEPTH + 1)), ["values lie more than 64 levels deep"]);
    assert_eq!(messages(&"[".repeat(1_000_000)), ["values lie more than 64 levels deep"]);
    assert_eq!(messages(&"- ".repeat(1_000_000)), ["values lie more than 64 levels deep"]);
    let blocks = (0..MAX_DEPTH + 1).fold(String::new(), |text, depth| text + &" ".repeat(depth) + "a:\n");
    assert_eq!(messages(&blocks), ["values lie more than 64 levels deep"]);
}

#[test]
fn nesting_behind_aliases_counts() {
    let mut yaml = String::from("a0: &a0 [x]\n");
    for depth in 1..=MAX_DEPTH {
        writeln!(yaml, "a{depth}: &a{depth} [*a{}]", depth - 1).unwrap();
    }
    assert_eq!(messages(&yaml), ["values lie more than 64 levels deep"]);
}

#[test]
fn an_alias_bomb_is_put_out() {
    let mut yaml = String::from("a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for (name, before) in ('b'..='i').zip('a'..='h') {
        let many = vec![format!("*{before}"); 9].join(", ");
        writeln!(yaml, "{name}: &{name} [{many}]").unwrap();
    }
    check(
        &yaml,
        expect![[r#"
        error: this file holds more than 200000 values, or too much text
         --> pipeline.yaml:6:12
          |
        6 | f: &f [*e, *e, *e, *e, *e, *e, *e, *e, *e]
          |            ^^
          |
          = help: an alias (`*name`) counts as all it repeats: use fewer of them

    "#]],
    );
}

#[test]
fn text_behind_aliases_counts() {
    let yaml = format!("a: &a {}\nb: [{}]\n", "x".repeat(1_000_000), vec!["*a"; 100].join(","));
    assert_eq!(messages(&yaml), ["this file holds more than 200000 values, or too much text"]);
}

#[test]
fn anchors_within_anchors_are_not_copied_forever() {
    let anchors: String = (0..60).fold(String::new(), |text, level| text + &format!("&a{level} ["));
    let yaml = format!("{anchors}{}{}", "x,".repeat(100_000), "]".repeat(60));
    let started = std::time::Instant::now();
    let mut diagnostics = Diagnostics::new();
    parse(&SourceFile::new("p.yaml", yaml), &mut diagnostics);
    assert!(started.elapsed().as_secs() < 10);
}

#[test]
fn a_value_does_not_repeat_itself() {
    let found = messages("a: &a [*a]\n");
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn files_are_bounded() {
    let large = format!("a: {}\n", "x".repeat(MAX_FILE_BYTES));
    assert_eq!(messages(&large), ["this file is too large: 4194308 bytes, and at most 4 MiB are read"]);
    let mut diagnostics = Diagnostics::new();
    assert!(SourceFile::from_bytes("p.yaml", large.into_bytes(), &mut diagnostics).is_none());
    assert!(diagnostics.render(false).contains("too large"));
}

#[test]
fn errors_are_bounded_and_counted() {
    let mut yaml = String::from("sources: {}\n");
    for key in 0..150 {
        writeln!(yaml, "wrong{key}: 1").unwrap();
    }
    let (_, diagnostics) = crate::read::<crate::Pipeline>(&yaml, &riverhook_config::FixedEnvironment::new());
    assert_eq!((diagnostics.iter().count(), diagnostics.len()), (100, 150));
    assert!(diagnostics.render(false).ends_with("\nand 50 more\n"));
    assert_eq!(diagnostics.to_json()["more"], 50);
}

#[test]
fn a_very_long_line_is_named_but_not_drawn() {
    check(
        &format!("sources: {{}}\nname: {{ a: {} }}\n", "x".repeat(10_000)),
        expect![[r#"
        error: `name` cannot be a map
        --> pipeline.yaml:2:7
         = field: name

    "#]],
    );
}
