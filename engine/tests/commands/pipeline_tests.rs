//! `test`: what passes, what fails and how it is told, and mistakes in test files.

use expect_test::{Expect, expect};

use crate::support::{Folder, Ran};

const PIPELINE: &str = r#"
name: tested
sources:
  clicks:
    type: file
    path: none.jsonl
    schema: { user: string!, ms: int64, at: "timestamp(ms)" }
    on_error: dead_letter
transforms:
  slow: { sql: "SELECT \"user\", ms / 1000.0 AS s, now() AS seen FROM clicks WHERE ms > 1000" }
alerts:
  very_slow: { from: slow, when: s > 5, key: [user], repeat: 1h, message: "{user} waits", notify: [out] }
sinks:
  all: { from: clicks, type: stdout }
  few: { from: slow, type: stdout }
  out: { type: stdout }
dead_letters: { type: stdout }
"#;

/// Runs one test of the pipeline.
fn test_of(body: &str) -> Ran {
    let folder = Folder::with_pipeline(PIPELINE);
    folder.write("a.test.yaml", format!("pipeline: pipeline.yaml\ntests:\n  - name: it\n{body}"));
    let ran = folder.run(&["test"]);
    assert!(!folder.file(".riverhook").exists(), "a test must not write positions");
    ran
}

#[track_caller]
fn passes(body: &str) {
    test_of(body).expect(0);
}

/// The lines of failures.
#[track_caller]
fn fails(body: &str, told: Expect) {
    let ran = test_of(body).expect(1);
    let (_, failures) = ran.stdout.split_once("---- it ----\n").unwrap_or_else(|| panic!("{}", ran.stdout));
    let (failures, _) = failures.split_once("\ntest result").unwrap();
    told.assert_eq(failures);
}

#[test]
fn rows_of_any_node_are_compared() {
    passes(
        r#"
    time: 2026-03-01T10:00:00Z
    inputs:
      clicks:
        - { user: ann, ms: 1500, at: 2026-03-01T09:00:00Z }
        - { user: bob, ms: 500 }
        - '{"user": "cy", "ms": 6000}'
        - '{"user": '
        - { user: dan, ms: "1" }
    expect:
      clicks:
        - { user: ann, ms: 1500, at: 2026-03-01T09:00:00Z }
        - { user: bob, ms: 500 }
        - { user: cy, ms: 6000 }
      slow:
        - { user: ann, s: 1.5, seen: 2026-03-01T10:00:00Z }
        - { user: cy, s: 6, seen: 2026-03-01T11:00:00+01:00 }
      few:
        - { user: ann, s: 1.5, seen: 2026-03-01T10:00:00Z }
        - { user: cy, s: 6, seen: 2026-03-01T10:00:00Z }
      dead_letters:
        - { stage: decode, position: "3" }
        - { stage: decode, position: "4" }
"#,
    );
    passes(
        "    partial: true\n    inputs: { clicks: [{ user: a, ms: 9000 }, { user: a, ms: 9000 }] }\n    expect: { very_slow: [{ message: a waits }] }\n",
    );
    passes("    inputs: { clicks: [{ user: a, ms: 1 }] }\n    expect: { slow: [] }\n");
    passes(
        "    unordered: true\n    inputs: { clicks: [{ user: a }, { user: b }] }\n    expect: { clicks: [{ user: b }, { user: a }] }\n",
    );
}

#[test]
fn what_differs_is_told_by_node_row_and_column() {
    fails(
        "    inputs: { clicks: [{ user: a, ms: 1 }, { user: b, ms: 2 }] }\n    expect: { clicks: [{ user: a, ms: 1 }, { user: b, ms: 3 }] }\n",
        expect![[r#"
            `clicks` row 2:
              ms
                expected 3
                found    2
        "#]],
    );
    fails(
        "    inputs: { clicks: [{ user: a }] }\n    expect: { slow: [{ user: a }], dead_letters: [] }\n",
        expect![[r#"
            `slow`: expected 1 row, found 0
            `slow`: expected row 1 did not come: {"user":"a"}
        "#]],
    );
    fails(
        "    inputs: { clicks: ['broken'] }\n    fails: something\n",
        expect![[r#"
            the run was to fail with "something", and did not
        "#]],
    );
}

#[test]
fn a_run_that_stops_can_be_expected() {
    let folder = Folder::with_pipeline(&PIPELINE.replace("on_error: dead_letter", "on_error: fail"));
    let test = "pipeline: pipeline.yaml\ntests:\n  - { name: stops, inputs: { clicks: ['broken'] }, fails: failed on a record of `clicks` }\n";
    folder.write("a.test.yaml", test);
    folder.run(&["test", "pipeline.yaml"]).expect(0);
    folder.write("a.test.yaml", test.replace("fails: failed on a record of `clicks`", "expect: { clicks: [] }"));
    let ran = folder.run(&["test", "pipeline.yaml"]).expect(1);
    assert!(ran.stdout.contains("the run failed: `clicks` failed on a record"), "{}", ran.stdout);
}

#[test]
fn mistakes_in_a_test_file_have_their_place() {
    let ran = test_of(
        "    inputs: { click: [{ user: a }] }\n    expect: { slw: [] }\n    functions: { f: real }\n    tme: x\n",
    )
    .expect(2);
    let ran = ran.says("there is no key `tme` here").says("a.test.yaml:7:5");
    assert!(!ran.stdout.contains("passed"), "{}", ran.stdout);
    let ran = test_of("    inputs: { click: [{ user: a }] }\n    expect: { slw: [] }\n    functions: { f: real }\n")
        .expect(2);
    ran.says("no source named `click`")
        .says("did you mean `clicks`?")
        .says("did you mean `slow`?")
        .says("no function in use named `f`");
    test_of("    inputs: { clicks: [{ user: a }] }\n").expect(2).says("this test expects nothing");
    let folder = Folder::with_pipeline(PIPELINE);
    folder.write("a.test.yaml", "pipeline: pipelin.yaml\ntests: []\n");
    folder.run(&["test"]).expect(2).says("there is no file pipelin.yaml");
    Folder::new().run(&["test"]).expect(2).says("ends in .test.yaml");
}

#[test]
fn tests_are_told_one_by_one_and_can_be_chosen() {
    let folder = Folder::with_pipeline(PIPELINE);
    let case = |name: &str, rows: &str| {
        format!("  - {{ name: {name}, inputs: {{ clicks: [] }}, expect: {{ slow: {rows} }} }}\n")
    };
    let tests = [case("first", "[]"), case("second", "[{ user: a }]"), case("third", "[]")].concat();
    folder.write("a.test.yaml", format!("pipeline: pipeline.yaml\ntests:\n{tests}"));
    let ran = folder.run(&["test"]).expect(1);
    for line in [
        "running 3 tests of a.test.yaml",
        "test first ... ok",
        "test second ... FAILED",
        "test third ... ok",
        "test result: FAILED. 2 passed; 1 failed",
    ] {
        assert!(ran.stdout.contains(line), "{line:?} is missing in\n{}", ran.stdout);
    }
    let ran = folder.run(&["test", "--only", "ir"]).expect(0);
    assert!(ran.stdout.contains("2 passed; 0 failed; 1 left out"), "{}", ran.stdout);
}

#[test]
fn csv_and_metadata_are_given_as_columns() {
    let folder = Folder::with_pipeline(
        "name: csv\nsources:\n  lines: { type: file, path: a.csv, format: csv, schema: { id: int64, text: string }, metadata: [path, line] }\nsinks:\n  out: { from: lines, type: stdout }\n",
    );
    folder.write(
        "a.test.yaml",
        "pipeline: pipeline.yaml\ntests:\n  - name: it\n    partial: true\n    inputs: { lines: [{ id: 1, text: 'a,\"b', path: here.csv }, '2,c'] }\n    expect: { lines: [{ id: 1, text: 'a,\"b', path: here.csv }, { id: 2, text: c }] }\n",
    );
    folder.run(&["test"]).expect(0);
}

#[test]
fn functions_are_stubbed_or_run() {
    let component =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/clickstream/functions/click_enrich.wasm");
    let folder = Folder::with_pipeline(
        "name: calls\nsources:\n  clicks: { type: file, path: a.jsonl, schema: { url: string, referrer: string } }\nfunctions:\n  enrich: { wasm: enrich.wasm }\ntransforms:\n  rich: { from: clicks, call: enrich, on_error: dead_letter }\nsinks:\n  out: { from: rich, type: stdout }\ndead_letters: { type: stdout }\n",
    );
    std::fs::copy(component, folder.file("enrich.wasm")).unwrap();
    let test = |functions: &str, expect: &str| {
        format!(
            "  - name: it\n    partial: true\n    inputs: {{ clicks: [{{ url: \"https://example.com/a?x=1\" }}] }}\n    functions: {{ {functions} }}\n    expect: {{ {expect} }}\n"
        )
    };
    let tests = [
        test("enrich: real", "rich: [{ path: /a }]"),
        test("", "rich: [{ path: /a }]"),
        test("enrich: { rows: [{ path: /stub }, { path: /two }] }", "rich: [{ path: /stub }, { path: /two }]"),
        test(
            "enrich: { error: no luck }",
            "rich: [], dead_letters: [{ stage: function, function: enrich, version: stub }]",
        ),
    ];
    folder.write("a.test.yaml", format!("pipeline: pipeline.yaml\ntests:\n{}", tests.concat()));
    let ran = folder.run(&["test"]);
    assert!(ran.stdout.contains("4 passed"), "{}{}", ran.stdout, ran.stderr);
}
