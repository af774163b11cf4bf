//! Functions that are processes and servers, and pipelines that answer requests and follow the clock.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Background, Folder, ask, eventually, free_port};

/// Numbers through the handler beside this file, three a call.
const HANDLER: &str = r#"
name: handler
sources:
  numbers: { type: file, path: in.jsonl, schema: { n: int64! } }
functions:
  twice:
    process: [python3, handler.py]
    payload: records
    output: { n: int64!, twice: int64 }
    env: { GREETING: hello }
    timeout: 10s
    concurrency: 2
    batch: { rows: 3 }
    retries: { attempts: 2, backoff: 10ms..50ms }
transforms:
  doubled: { from: numbers, call: twice, on_error: dead_letter }
sinks:
  out: { from: doubled, type: file, path: out/ }
dead_letters: { type: file, path: dead/ }
"#;

fn with_handler(numbers: impl Iterator<Item = i64>) -> Folder {
    let folder = Folder::with_pipeline(HANDLER);
    folder.write("handler.py", include_str!("handler.py"));
    folder.write("in.jsonl", numbers.map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
    folder
}

#[test]
fn a_handler_that_crashes_or_fails_harms_the_record_that_is_to_blame() {
    let folder = with_handler(0..30);
    folder.run(&["run", "pipeline.yaml"]).expect(0).says("hello");
    let rows: Vec<Value> = folder.rows("out");
    let expected: Vec<Value> =
        (0..30).filter(|n| ![13, 14].contains(n)).map(|n| json!({ "n": n, "twice": 2 * n })).collect();
    assert_eq!(rows, expected, "in order, each once");
    let letters = folder.rows("dead");
    let said: Vec<_> = letters.iter().map(|letter| (&letter["error_code"], &letter["payload"])).collect();
    assert_eq!(
        said,
        [(&json!("Runtime.ExitError"), &json!("{\"n\":13}")), (&json!("Function.Failed"), &json!("{\"n\":14}"))]
    );
    assert!(letters[1]["error_message"].as_str().unwrap().contains("Function.Unlucky"), "{}", letters[1]);
    for letter in &letters {
        assert!(letter["attempts"].as_u64().unwrap() >= 3, "{letter}");
        assert_eq!(letter["invocation"].as_str().unwrap().len(), 36, "{letter}");
        assert_eq!((&letter["function"], &letter["stage"]), (&json!("twice"), &json!("function")));
    }
}

#[test]
fn what_functions_used_is_in_the_ledger() {
    let folder = with_handler(0..9);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let ran = folder.run(&["usage", "--json", "--price-per-million", "1000000", "pipeline.yaml"]).expect(0);
    let used: Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    assert_eq!((&used["function"], &used["invocations"], &used["records"]), (&json!("twice"), &json!(3), &json!(9)));
    assert!(used["cold_starts"].as_u64().unwrap() <= 2 && used["errors"] == 0, "{used}");
    assert!(used["billed_100ms"].as_u64().unwrap() >= 300 && used["gb_seconds_1ms"].as_f64().unwrap() > 0.0, "{used}");
    assert_eq!(used["cost"], 3.0);
    // Also when the functions are gone, and something else is wrong with the file.
    folder.write("pipeline.yaml", HANDLER.replace("python3", "./gone").replace("from: doubled", "from: nothing"));
    let table = folder.run(&["usage", "pipeline.yaml"]).expect(0).stdout;
    assert!(table.contains("twice") && table.contains("invocations"), "{table}");
}

#[test]
fn a_program_that_is_not_there_stops_the_pipeline_and_loses_nothing() {
    let folder = Folder::with_pipeline(&HANDLER.replace("[python3, handler.py]", "[./gone.sh]"));
    folder.write("in.jsonl", "{\"n\":1}\n");
    let ran = folder.run(&["run", "pipeline.yaml"]);
    assert!(matches!(ran.code, Some(1 | 2)) && ran.stderr.contains("gone.sh"), "{ran:?}");
    assert!(
        folder.rows("dead").is_empty() && folder.rows("out").is_empty(),
        "the record is no letter, and not skipped"
    );
}

/// A back-end in one file: it answers with the square of each number, and fails on 0.
fn squares(port: u16) -> (Folder, Background) {
    let folder = Folder::with_pipeline(&format!(
        r#"
name: squares
sources:
  numbers: {{ type: http, listen: "127.0.0.1:{port}", reply: squares, schema: {{ n: int64! }}, respond: durable }}
transforms:
  squares: {{ sql: "SELECT n, n * n AS square, 100 / n AS part FROM numbers WHERE n <> 7", on_error: skip }}
"#
    ));
    let running = folder.start(&["run", "pipeline.yaml"]);
    eventually("it listens", || ask(port, "GET /", "").is_some());
    (folder, running)
}

#[test]
fn a_pipeline_answers_requests_with_a_nodes_rows() {
    let port = free_port();
    let (_folder, running) = squares(port);
    let body = |answer: &str| answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned();
    let (status, answer) = ask(port, "POST /", "{\"n\":5}").unwrap();
    assert_eq!((status, body(&answer).as_str()), (200, "{\"n\":5,\"square\":25,\"part\":20}"));
    let (status, answer) = ask(port, "POST /", "[{\"n\":1},{\"n\":7},{\"n\":2}]").unwrap();
    assert_eq!(status, 200);
    let rows: Value = serde_json::from_str(&body(&answer)).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(ask(port, "POST /", "{\"n\":7}").unwrap().0, 204, "no row of it");
    let (status, answer) = ask(port, "POST /", "{\"n\":0}").unwrap();
    assert_eq!(status, 502);
    let error: Value = serde_json::from_str(&body(&answer)).unwrap();
    assert_eq!(error["error"]["code"], "sql.evaluate", "{answer}");
    running.signal("TERM");
    running.wait(Duration::from_secs(20)).expect(0);
}

#[test]
fn a_server_is_a_function() {
    let port = free_port();
    let (_folder, _running) = squares(port);
    let folder = Folder::with_pipeline(&format!(
        r#"
name: client
sources:
  numbers: {{ type: file, path: in.jsonl, schema: {{ n: int64! }} }}
functions:
  square: {{ http: "http://127.0.0.1:{port}/", payload: records, output: {{ n: int64!, square: int64 }} }}
transforms:
  squared: {{ from: numbers, call: square, on_error: dead_letter }}
sinks:
  out: {{ from: squared, type: file, path: out/ }}
dead_letters: {{ type: file, path: dead/ }}
"#
    ));
    folder.write("in.jsonl", (1..7).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let rows: Vec<Value> = folder.rows("out");
    let expected: Vec<Value> = (1..7).map(|n| json!({ "n": n, "square": n * n })).collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_clock_is_a_source() {
    let folder = Folder::with_pipeline(
        r#"
name: clock
sources:
  ticks: { type: schedule, every: 1s }
sinks:
  out: { from: ticks, type: file, path: out/ }
"#,
    );
    folder.run(&["run", "--limit", "2", "pipeline.yaml"]).expect(0);
    let rows = folder.rows("out");
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["detail-type"], &rows[0]["source"]), (&json!("Scheduled Event"), &json!("aws.events")));
    assert!(rows[0]["time"].as_str().unwrap() < rows[1]["time"].as_str().unwrap());
}

/// A back-end whose handler takes its time, and four requests at once.
#[test]
fn slow_calls_of_requests_that_come_one_by_one_are_under_way_together() {
    let port = free_port();
    let folder = Folder::with_pipeline(&format!(
        r#"
name: slow
sources:
  numbers: {{ type: http, listen: "127.0.0.1:{port}", reply: doubled, schema: {{ n: int64! }} }}
functions:
  twice:
    process: [python3, handler.py]
    payload: records
    output: {{ n: int64!, twice: int64 }}
    env: {{ GREETING: hello, SECONDS: "1" }}
    timeout: 10s
    concurrency: 4
    batch: {{ rows: 1 }}
transforms:
  doubled: {{ from: numbers, call: twice }}
parallelism: 1
"#
    ));
    folder.write("handler.py", include_str!("handler.py"));
    let running = folder.start(&["run", "pipeline.yaml"]);
    eventually("it listens", || ask(port, "GET /", "").is_some());
    let ask_for = |n: i64| {
        let (status, answer) = ask(port, "POST /", &format!("{{\"n\":{n}}}")).unwrap();
        assert!(status == 200 && answer.ends_with(&format!("\"twice\":{}}}", 2 * n)), "{answer}");
    };
    let together = || {
        let begun = std::time::Instant::now();
        std::thread::scope(|scope| {
            for n in 1..5 {
                scope.spawn(move || ask_for(n));
            }
        });
        begun.elapsed()
    };
    together();
    // All copies are warm now: each call takes one second, and four of them as long.
    let took = together();
    assert!(took < Duration::from_millis(2500), "{took:?}");
    running.signal("TERM");
    running.wait(Duration::from_secs(20)).expect(0);
}

/// Rows that come one by one are gathered for a call.
#[test]
fn rows_wait_for_others_as_long_as_they_may() {
    let pipeline = HANDLER
        .replace(
            "path: in.jsonl, schema: { n: int64! }",
            "rate: 50, count: 40, fields: { n: { sequence: { start: 100 } } }",
        )
        .replace("type: file, rate", "type: generate, partitions: 1, rate")
        .replace("batch: { rows: 3 }", "batch: { rows: 20, wait: 900ms }");
    let folder = Folder::with_pipeline(&pipeline);
    folder.write("handler.py", include_str!("handler.py"));
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let rows: Vec<Value> = folder.rows("out");
    let expected: Vec<Value> = (100..140).map(|n| json!({ "n": n, "twice": 2 * n })).collect();
    assert_eq!(rows, expected);
    let used = folder.run(&["usage", "--json", "pipeline.yaml"]).expect(0).stdout;
    let used: Value = serde_json::from_str(used.trim()).unwrap();
    // Two full groups; a barrier every second may cut one more, twice.
    assert!(used["invocations"].as_u64().unwrap() <= 4, "{used}");
}
