//! From a line and column in a text to the place in the file.

use riverhook_config::{Diagnostics, FixedEnvironment, Reading, Setting, SourceFile, Spanned, parse};

/// Where (line, column) of the text under `sql` is, as `line:column word`.
fn place(yaml: &str, line: usize, column: usize) -> String {
    let file = SourceFile::new("p.yaml", yaml);
    let mut diagnostics = Diagnostics::new();
    let root = parse(&file, &mut diagnostics).unwrap();
    let environment = FixedEnvironment::new().with_var("N", "1");
    let mut cx = Reading::new(&environment, &mut diagnostics);
    let sql = Spanned::<String>::read(root.get("sql").unwrap(), &mut cx).unwrap();
    let span = sql.place_in_text(line, column);
    let (line, column) = file.line_column(span.start);
    format!("{line}:{column} {}", &file.text()[span.range()])
}

#[test]
fn in_a_block() {
    let yaml = "name: a\nsql: |\n  SELECT a,\n         größe, bad\n\n  FROM t\nend: 1\n";
    assert_eq!(place(yaml, 1, 1), "3:3 SELECT");
    assert_eq!(place(yaml, 1, 9), "3:11 ,");
    assert_eq!(place(yaml, 2, 8), "4:10 größe");
    assert_eq!(place(yaml, 2, 15), "4:17 bad");
    assert_eq!(place(yaml, 4, 1), "6:3 FROM");
    assert_eq!(place(yaml, 4, 6), "6:8 t");
}

#[test]
fn in_a_block_that_begins_with_a_quote_or_a_blank_line() {
    assert_eq!(place("sql: |-\n    'a' b\n", 1, 5), "2:9 b");
    assert_eq!(place("sql: |\n\n  a\n  b\n", 3, 1), "4:3 b");
    assert_eq!(place("sql: |2\n   a\n  b\n", 1, 2), "2:4 a");
}

#[test]
fn in_a_block_with_windows_line_breaks() {
    assert_eq!(place("sql: |\r\n  a\r\n  b c\r\n", 2, 3), "3:5 c");
}

#[test]
fn in_folded_lines() {
    assert_eq!(place("sql: >\n  SELECT a\n  FROM t\n", 1, 10), "3:3 FROM");
    assert_eq!(place("sql: >\n  SELECT a\n  FROM t\n", 1, 15), "3:8 t");
    assert_eq!(place("sql: SELECT a\n  FROM t\n", 1, 15), "2:8 t");
}

#[test]
fn in_one_line() {
    assert_eq!(place("sql: SELECT a FROM t\n", 1, 8), "1:13 a");
    assert_eq!(place("sql: 'SELECT ''x'' FROM t'\n", 1, 12), "1:20 FROM");
    assert_eq!(place("sql: \"SELECT a\"\n", 1, 8), "1:14 a");
    assert_eq!(place("sql: &anchor SELECT a\n", 1, 8), "1:21 a");
}

#[test]
fn outside_or_moved_is_the_whole_text() {
    assert_eq!(place("sql: SELECT\n", 2, 1), "1:6 SELECT");
    assert_eq!(place("sql: SELECT\n", 0, 0), "1:6 SELECT");
    assert_eq!(place("sql: SELECT\n", 1, 99), "1:6 SELECT");
    assert_eq!(place("sql: \"a\\tb c\"\n", 1, 5), "1:6 \"a\\tb c\"");
    assert_eq!(place("sql: a ${N} b\n", 1, 1), "1:6 a");
    assert_eq!(place("sql: a ${N} b\n", 1, 5), "1:6 a ${N} b");
}

#[test]
fn of_an_alias_is_where_the_text_stands() {
    assert_eq!(place("base: &q |\n  a\n  b\nsql: *q\n", 2, 1), "3:3 b");
}
