//! Functions with a signature, called by SQL: each kind, in SELECT, WHERE and an alert's condition, with rows that fail.

use serde_json::{Value, json};

use crate::support::{Folder, eventually, free_port};

/// A pipeline over numbers with this function and these nodes.
fn pipeline(function: &str, nodes: &str) -> String {
    format!(
        r#"
name: values
parallelism: 1
sources:
  numbers: {{ type: file, path: in.jsonl, schema: {{ n: int64! }} }}
functions:
  {function}
{nodes}
dead_letters: {{ type: file, path: dead/ }}
"#
    )
}

fn with(function: &str, nodes: &str, numbers: impl IntoIterator<Item = i64>) -> Folder {
    let folder = Folder::with_pipeline(&pipeline(function, nodes));
    folder.write("in.jsonl", numbers.into_iter().map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
    folder.write("values.py", include_str!("values.py"));
    for guest in ["conform", "orders"] {
        let path = format!("{}/../udf/tests/guests/{guest}.wasm", env!("CARGO_MANIFEST_DIR"));
        folder.write(&format!("{guest}.wasm"), std::fs::read(path).unwrap());
    }
    folder
}

/// What the ledger says: invocations, records, errors.
fn used(folder: &Folder) -> (u64, u64, u64) {
    let ran = folder.run(&["usage", "--json", "pipeline.yaml"]).expect(0);
    let used: Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    let count = |name: &str| used[name].as_u64().unwrap();
    (count("invocations"), count("records"), count("errors"))
}

/// Where each letter failed, with what, and the row's number.
fn letters(folder: &Folder) -> Vec<(String, String, i64)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let of = |letter: &Value| {
        let row: Value = serde_json::from_str(letter["payload"].as_str().unwrap()).unwrap();
        (text(&letter["stage"]), text(&letter["error_code"]), row["n"].as_i64().unwrap())
    };
    folder.rows("dead").iter().map(of).collect()
}

const PROCESS: &str = r#"twice:
    process: [python3, values.py]
    payload: records
    signature: "(n: int64!) -> struct<twice: int64, text: string>"
    env: { SHAPE: struct }
    timeout: 10s
    batch: { rows: 3 }
    retries: { attempts: 2, backoff: 10ms..50ms }"#;

const OUT: &str = r#"
transforms:
  called:
    sql: |
      SELECT n, twice(n)['twice'] AS twice, twice(n)['text'] AS text
      FROM numbers WHERE (twice(n)['twice'] IS NULL OR twice(n)['twice'] > 4) AND n <> 4
    on_error: dead_letter
sinks:
  out: { from: called, type: file, path: out/ }"#;

#[test]
fn a_process_is_a_function_of_sql_and_is_called_once_a_row() {
    let folder = with(PROCESS, OUT, 0..9);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let text = |n: i64| json!({ "n": n, "twice": 2 * n, "text": format!("n{n}") });
    let none = json!({ "n": 5, "twice": null, "text": null });
    assert_eq!(folder.rows("out"), [text(3), none, text(6), text(7), text(8)]);
    assert!(letters(&folder).is_empty());
    assert_eq!(used(&folder), (3, 8, 0), "eight rows that are not 4, three a call");
}

#[test]
fn a_row_on_which_a_function_fails_is_a_letter_and_the_others_go_on() {
    let folder = with(PROCESS, OUT, 3..30);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let rows: Vec<i64> = folder.rows("out").iter().map(|row| row["n"].as_i64().unwrap()).collect();
    assert_eq!(rows, (3..30).filter(|n| ![4, 13, 14].contains(n)).collect::<Vec<_>>(), "in order, each once");
    let letter = |code: &str, n| ("function".to_owned(), code.to_owned(), n);
    assert_eq!(letters(&folder), [letter("Runtime.ExitError", 13), letter("Function.Failed", 14)]);
    for letter in folder.rows("dead") {
        assert_eq!((&letter["node"], &letter["function"]), (&json!("called"), &json!("twice")), "{letter}");
        assert!(letter["attempts"].as_u64().unwrap() >= 3, "{letter}");
        assert!(letter["version"].as_str().unwrap().len() >= 8 && letter["invocation"].as_str().unwrap().len() == 36);
    }
    let stops = Folder::with_pipeline(&pipeline(PROCESS, &OUT.replace("dead_letter", "fail")));
    stops.write("in.jsonl", "{\"n\":14}\n");
    stops.write("values.py", include_str!("values.py"));
    stops.run(&["run", "pipeline.yaml"]).expect(1).says("`called` failed on a record").says("Function.Unlucky");
}

#[test]
fn bare_values_are_answers_and_conditions_of_alerts_call_too() {
    let function =
        PROCESS.replace("struct<twice: int64, text: string>", "int64").replace("SHAPE: struct", "SHAPE: value");
    let nodes = r#"
transforms:
  doubled: { sql: "SELECT n, twice(n) AS twice FROM numbers" }
alerts:
  large: { from: doubled, when: "twice(twice + 1) > 30", message: "{n}", notify: told }
sinks:
  out: { from: doubled, type: file, path: out/ }
  told: { type: file, path: told/ }"#;
    let folder = with(&function, nodes, [1, 5, 8]);
    folder.run(&["run", "pipeline.yaml"]).expect(1).says("`large` failed on a record").says("must not be null");
    let folder = with(&function, nodes, [1, 8]);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    assert_eq!(folder.rows("out"), [json!({ "n": 1, "twice": 2 }), json!({ "n": 8, "twice": 16 })]);
    let told: Vec<Value> = folder.rows("told").iter().map(|row| row["message"].clone()).collect();
    assert_eq!(told, ["8"]);
}

#[test]
fn components_over_batches_and_over_records_are_functions_of_sql() {
    let batches = r#"checked:
    wasm: conform.wasm
    signature: "(id: int64) -> struct<id: int64>"
    env: { BEHAVIOUR: fail-rows }"#;
    let nodes = r#"
transforms:
  good: { sql: "SELECT n, checked(n - 3)['id'] AS id FROM numbers WHERE checked(n - 3)['id'] < 4", on_error: dead_letter }
sinks:
  out: { from: good, type: file, path: out/ }"#;
    let folder = with(batches, nodes, 0..9);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let expected: Vec<Value> = (3..7).map(|n| json!({ "n": n, "id": n - 3 })).collect();
    assert_eq!(folder.rows("out"), expected);
    let expected: Vec<_> = (0..3).map(|n| ("function".to_owned(), "Function.RowFailed".to_owned(), n)).collect();
    assert_eq!(letters(&folder), expected);
    assert_eq!(used(&folder), (1, 9, 0), "WHERE and SELECT make one call");

    let records = r#"total:
    wasm: orders.wasm
    signature: "(id: uint64!, price: float64!, quantity: int64!) -> struct<id: uint64, total: float64, currency: string>""#;
    let nodes = r#"
transforms:
  totals:
    sql: |
      SELECT n, total(price => 2.5, quantity => n, id => CAST(20 AS BIGINT UNSIGNED)) AS total FROM numbers
    on_error: dead_letter
sinks:
  out: { from: totals, type: file, path: out/ }"#;
    let folder = with(records, nodes, [2, 0, -1, 200]);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let total = json!({ "id": 20, "total": 5.0, "currency": "EUR" });
    assert_eq!(folder.rows("out"), [json!({ "n": 2, "total": total }), json!({ "n": 0, "total": null })]);
    let letter = |n| ("function".to_owned(), "Function.RowFailed".to_owned(), n);
    assert_eq!(letters(&folder), [letter(-1), letter(200)], "it says no to one, and answers two records to the other");
}

#[test]
fn a_component_that_answers_something_else_than_its_signature_is_found_when_validating() {
    let function = r#"checked: { wasm: conform.wasm, signature: "(id: int64) -> struct<name: string>" }"#;
    let nodes = r#"
transforms:
  good: { sql: "SELECT checked(n)['name'] AS id FROM numbers" }
sinks:
  out: { from: good, type: file, path: out/ }"#;
    let ran = with(function, nodes, []).run(&["validate", "pipeline.yaml"]).expect(2);
    ran.says("`checked` answers (id: int64), and its signature says struct<name: string>").says("pipeline.yaml:7:");
}

#[test]
fn a_server_is_a_function_of_sql() {
    let port = free_port();
    let server = Folder::with_pipeline(&format!(
        r#"
name: squares
sources:
  numbers: {{ type: http, listen: "127.0.0.1:{port}", reply: squares, schema: {{ n: int64! }} }}
transforms:
  squares: {{ sql: "SELECT n * n AS square FROM numbers WHERE n <> 7" }}
"#
    ));
    let _running = server.start(&["run", "pipeline.yaml"]);
    eventually("it listens", || crate::support::ask(port, "GET /", "").is_some());
    let function = format!(
        r#"square: {{ http: "http://127.0.0.1:{port}/", payload: records, signature: "(n: int64) -> struct<square: int64>" }}"#
    );
    let nodes = r#"
transforms:
  squared: { sql: "SELECT n, square(n)['square'] AS square FROM numbers WHERE n > 0", on_error: dead_letter }
sinks:
  out: { from: squared, type: file, path: out/ }"#;
    let folder = with(&function, nodes, 0..9);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    // The server leaves 7 out: seven answers to eight rows cannot be told apart until 7 is alone.
    let square = |n: i64| if n == 7 { Value::Null } else { json!(n * n) };
    let expected: Vec<Value> = (1..9).map(|n| json!({ "n": n, "square": square(n) })).collect();
    assert_eq!(folder.rows("out"), expected);
    assert!(letters(&folder).is_empty());
    let (invocations, records, _) = used(&folder);
    let of = "8, the half of 4 that is well, the quarters of the other, and 7 and 8 alone";
    assert_eq!((invocations, records), (6, 8 + 4 + 2 + 2 + 1 + 1), "{of}");
}

#[test]
fn the_commands_know_functions_of_sql() {
    let folder = with(PROCESS, OUT, 0..3);
    let ran = folder.run(&["validate", "--columns", "pipeline.yaml"]).expect(0);
    assert!(ran.stdout.contains("  twice: (n: int64!) -> struct<twice: int64, text: string>\n"), "{}", ran.stdout);
    assert!(!ran.stderr.contains("nothing calls"), "{}", ran.stderr);
    let ran = folder.run(&["graph", "pipeline.yaml"]).expect(0);
    assert!(ran.stdout.contains("\"called (twice)\""), "{}", ran.stdout);

    folder.write("event.json", "[{\"n\":4},{\"n\":5}]");
    let ran = folder.run(&["invoke", "pipeline.yaml", "twice", "--event", "event.json"]).expect(0);
    assert_eq!(ran.stdout, "{\"value\":{\"twice\":8,\"text\":\"n4\"}}\n{\"value\":null}\n");
    ran.says("Billed Duration: ");
    folder.write("event.json", "{\"n\":14}");
    folder.run(&["invoke", "pipeline.yaml", "twice", "--event", "event.json"]).expect(1).says("Function.Unlucky");

    let unused = "
transforms:
  called: { sql: \"SELECT n FROM numbers\" }
sinks:
  out: { from: called, type: file, path: out/ }";
    let folder = with(PROCESS, unused, 0..3);
    folder.run(&["validate", "pipeline.yaml"]).expect(0).says("nothing calls the function `twice`");
    folder.write("event.json", "{\"n\":4}");
    let ran = folder.run(&["invoke", "pipeline.yaml", "twice", "--event", "event.json"]).expect(0);
    assert_eq!(ran.stdout, "{\"value\":{\"twice\":8,\"text\":\"n4\"}}\n");
}

#[test]
fn transforms_may_call_a_function_with_a_signature_as_well() {
    let nodes = r#"
transforms:
  called: { from: numbers, call: twice }
sinks:
  out: { from: called, type: file, path: out/ }"#;
    let folder = with(PROCESS, nodes, [1, 2]);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    assert_eq!(folder.rows("out"), [json!({ "twice": 2, "text": "n1" }), json!({ "twice": 4, "text": "n2" })]);
    let other = PROCESS.replace("(n: int64!)", "(m: int64!)");
    let ran = with(&other, nodes, []).run(&["validate", "pipeline.yaml"]).expect(2);
    ran.says("`twice` cannot take the rows of `numbers`: they have no column `m`, which is its argument");
}

#[test]
fn tests_of_pipelines_put_rows_in_their_place() {
    let folder = with(PROCESS, OUT, []);
    folder.write(
        "values.test.yaml",
        r#"
pipeline: pipeline.yaml
tests:
  - name: one row answers each
    inputs: { numbers: [{ n: 1 }, { n: 2 }] }
    functions: { twice: { rows: [{ twice: 7, text: seven }] } }
    expect: { out: [{ n: 1, twice: 7, text: seven }, { n: 2, twice: 7, text: seven }] }
  - name: a row for each
    inputs: { numbers: [{ n: 1 }, { n: 2 }] }
    functions: { twice: { rows: [{ twice: 7 }, { twice: 1 }] } }
    expect: { out: [{ n: 1, twice: 7, text: null }] }
  - name: none
    inputs: { numbers: [{ n: 1 }] }
    functions: { twice: { rows: [] } }
    expect: { out: [{ n: 1, twice: null, text: null }] }
  - name: a failure
    inputs: { numbers: [{ n: 1 }, { n: 4 }] }
    functions: { twice: { error: no } }
    expect: { out: [], dead_letters: [{ node: called, stage: function, function: twice }] }
"#,
    );
    let ran = folder.run(&["test", "values.test.yaml"]).expect(0);
    assert!(ran.stdout.contains("4 passed; 0 failed"), "{}", ran.stdout);
}
