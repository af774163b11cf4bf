//! What functions log: by invocation, in the log stream and as rows of a sink.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    guest::{SAME_BATCH, SAME_SCHEMA, component},
    support::{Folder, ask, eventually, free_port, get},
};

/// Numbers through the handler beside this file, three a call, and its log into files.
const HANDLER: &str = r#"
name: logged
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
    retries: { attempts: 1 }
    bisect: false
    logs: audit
transforms:
  doubled: { from: numbers, call: twice, on_error: skip }
sinks:
  out: { from: doubled, type: file, path: out/ }
  audit: { type: file, path: audit/ }
"#;

fn with_handler(numbers: impl Iterator<Item = i64>) -> Folder {
    let folder = Folder::with_pipeline(HANDLER);
    folder.write("handler.py", include_str!("handler.py"));
    folder.write("in.jsonl", numbers.map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
    folder
}

/// The messages of each invocation, in their order, with their levels.
fn by_invocation(rows: &[Value]) -> BTreeMap<String, Vec<(String, String)>> {
    let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
    let mut invocations: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for row in rows {
        let line = (text(row, "level"), text(row, "message"));
        invocations.entry(text(row, "invocation")).or_default().push(line);
    }
    invocations
}

#[test]
fn lines_are_rows_in_order_by_invocation() {
    let folder = with_handler(0..9);
    let ran = folder.run(&["run", "pipeline.yaml"]).expect(0).says("read 9 records").says("wrote 9 records");
    assert!(ran.stderr.contains("got 3 hello") && !ran.stderr.contains("RequestId"), "{}", ran.stderr);
    let rows = folder.rows("audit");
    let invocations = by_invocation(&rows);
    assert_eq!(invocations.len(), 3, "{rows:?}");
    for (id, lines) in &invocations {
        let [start, own, end, report] = lines.as_slice() else { panic!("{lines:?}") };
        assert!(start.1.starts_with(&format!("START RequestId: {id} Version: ")), "{start:?}");
        assert_eq!(*own, ("info".to_owned(), "got 3 hello".to_owned()));
        assert_eq!(*end, ("debug".to_owned(), format!("END RequestId: {id}")));
        assert!(report.1.starts_with(&format!("REPORT RequestId: {id}\tDuration: ")), "{report:?}");
        assert!(report.1.contains("\tBilled Duration: ") && report.1.contains("\tMemory Size: 128 MB\t"), "{report:?}");
    }
    assert!(rows.iter().any(|row| row["message"].as_str().unwrap().contains("\tInit Duration: ")), "{rows:?}");
    for row in &rows {
        let said = (&row["pipeline"], &row["node"], &row["function"]);
        assert_eq!(said, (&json!("logged"), &json!("doubled"), &json!("twice")));
        assert!(row["time"].as_str().unwrap().ends_with('Z') && row["version"].as_str().unwrap().len() > 12, "{row}");
    }
    let times: Vec<&str> = rows.iter().map(|row| row["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_failed_call_is_told_in_the_stream_and_one_that_goes_well_at_debug() {
    let folder = with_handler(12..16);
    let ran = folder.run(&["run", "pipeline.yaml"]).expect(0);
    let report = ran.stderr.lines().find(|line| line.contains("REPORT ")).unwrap();
    assert!(report.contains("WARN") && report.contains("Status: error\tError Type: Runtime.ExitError"), "{report}");
    assert_eq!(ran.stderr.matches("REPORT ").count(), 1, "{}", ran.stderr);
    let invocations = by_invocation(&folder.rows("audit"));
    let failed = invocations.values().find(|lines| lines.last().unwrap().0 == "warn").unwrap();
    let said: Vec<&str> = failed.iter().map(|(_, message)| message.split(' ').next().unwrap()).collect();
    assert_eq!(said, ["START", "got", "RequestId:", "END", "REPORT"], "{failed:?}");
    assert!(failed[2].1.contains(" Error: exited with status 7"), "{failed:?}");
    // And again from the beginning, with more to read.
    let ran = folder.run(&["run", "--from-scratch", "--log", "debug", "pipeline.yaml"]).expect(0);
    for line in ["START RequestId: ", "END RequestId: ", "REPORT RequestId: "] {
        assert_eq!(ran.stderr.matches(line).count(), 2, "{line}: {}", ran.stderr);
    }
}

#[test]
fn a_run_that_fails_has_delivered_what_was_logged_before() {
    let folder = with_handler(13..14);
    folder.write("pipeline.yaml", HANDLER.replace("on_error: skip", "on_error: fail"));
    folder.run(&["run", "pipeline.yaml"]).expect(1).says("Runtime.ExitError");
    let rows = folder.rows("audit");
    assert!(rows.last().unwrap()["message"].as_str().unwrap().contains("Error Type: Runtime.ExitError"), "{rows:?}");
    let ran = folder.run(&["usage", "--json", "pipeline.yaml"]).expect(0);
    let used: Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    assert_eq!(used["errors_by_type"], json!({ "Runtime.ExitError": 1 }), "the ledger is written at that end too");
}

/// A component that logs so many lines a call, and gives its rows back.
fn chatty(lines: u32) -> Vec<u8> {
    let process = format!(
        "(block $done (loop $more
          (br_if $done (i32.ge_u (local.get $i) (i32.const {lines})))
          (call $log (i32.const 2) (i32.const 1024) (i32.const 5))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $more))) {SAME_BATCH}"
    );
    component("", SAME_SCHEMA, &process, r#"(data (i32.const 1024) "hello")"#)
}

fn pipeline(source: &str, audit: &str, rest: &str) -> String {
    format!(
        r#"
name: chatty
sources:
  numbers: {{ {source} }}
functions:
  chat: {{ wasm: chat.wasm, logs: audit, timeout: 10s, batch: {{ rows: 5 }} }}
transforms:
  called: {{ from: numbers, call: chat }}
sinks:
  out: {{ from: called, type: file, path: out/ }}
  audit: {{ {audit} }}
{rest}
"#
    )
}

const ENDLESS: &str = "type: generate, rate: 2000, fields: { n: { sequence: {} } }";
const FILES: &str = "type: file, path: audit/";

#[test]
fn the_last_call_before_a_stop_has_its_report_too() {
    let folder = Folder::with_pipeline(&pipeline(ENDLESS, FILES, ""));
    folder.write("chat.wasm", chatty(0));
    let running = folder.start(&["run", "pipeline.yaml"]);
    eventually("it logs", || folder.file("audit").exists());
    running.signal("TERM");
    running.wait(Duration::from_secs(20)).expect(0);
    let rows = folder.rows("audit");
    let count = |kind: &str| rows.iter().filter(|row| row["message"].as_str().unwrap().starts_with(kind)).count();
    let ran = folder.run(&["usage", "--json", "pipeline.yaml"]).expect(0);
    let used: Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    let calls = used["invocations"].as_u64().unwrap() as usize;
    assert!(calls > 0);
    assert_eq!((count("START "), count("END "), count("REPORT ")), (calls, calls, calls));
}

#[test]
fn a_log_keeps_no_idle_run_alive_and_counts_for_no_limit() {
    let source = "type: file, path: in.jsonl, follow: true, schema: { n: int64! }";
    let folder = Folder::with_pipeline(&pipeline(source, FILES, ""));
    folder.write("chat.wasm", chatty(3));
    folder.write("in.jsonl", (0..20).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
    folder.run(&["run", "--until-idle", "500ms", "pipeline.yaml"]).expect(0).says("read 20 records");
    let rows = folder.rows("audit").len();
    assert!(rows > 0 && rows.is_multiple_of(6), "{rows}");
    folder.run(&["run", "--from-scratch", "--limit", "20", "pipeline.yaml"]).expect(0).says("wrote 20 records");
    assert_eq!(folder.rows("audit").len(), 2 * rows);
}

#[test]
fn a_flood_is_dropped_and_its_number_told() {
    let (port, metrics) = (free_port(), free_port());
    let source = format!(r#"type: http, listen: "127.0.0.1:{port}", schema: {{ n: int64! }}, respond: durable"#);
    let server = format!(r#"server: {{ listen: "127.0.0.1:{metrics}" }}"#);
    let folder = Folder::with_pipeline(&pipeline(&source, FILES, &server));
    folder.write("chat.wasm", chatty(10_000));
    let running = folder.start(&["run", "pipeline.yaml"]);
    eventually("it takes a record", || matches!(ask(port, "POST /", "{\"n\":1}"), Some((200..300, _))));
    let page = get(metrics, "/metrics").unwrap().1;
    let counted = page.lines().find(|line| line.starts_with("riverhook_function_dropped_logs_total")).unwrap();
    assert!(counted.contains("reason=\"rate\"") && counted.contains("function=\"chat\""), "{counted}");
    running.signal("TERM");
    let ran = running.wait(Duration::from_secs(20)).expect(0);
    let rows = folder.rows("audit");
    let hello = rows.iter().filter(|row| row["message"] == "hello").count();
    let dropped = format!("{} log lines were dropped", 10_000 - hello);
    assert!(hello >= 100 && ran.stderr.contains(&format!("{dropped}: too much is logged")), "{hello}: {}", ran.stderr);
    let told: Vec<&Value> = rows.iter().filter(|row| row["level"] == "warn").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["message"], format!("{dropped} of this invocation: the function logs too much"));
    assert_eq!(told[0]["invocation"], rows[0]["invocation"]);
}

#[test]
fn a_sink_that_does_not_take_them_holds_up_no_function() {
    // Takes connections and says nothing.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let audit = format!(r#"type: http, url: "http://127.0.0.1:{port}/""#);
    let source = "type: file, path: in.jsonl, follow: true, schema: { n: int64! }";
    let folder = Folder::with_pipeline(&pipeline(source, &audit, "buffer: 64KiB\nshutdown_timeout: 1s"));
    folder.write("chat.wasm", chatty(0));
    folder.write("in.jsonl", (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
    let running = folder.start(&["run", "pipeline.yaml"]);
    eventually("the ledger has all calls", || {
        let ran = folder.run(&["usage", "--json", "pipeline.yaml"]).expect(0);
        let used: Value = serde_json::from_str(ran.stdout.trim()).unwrap_or_default();
        used["records"] == 20_000
    });
    let told = Instant::now();
    running.signal("TERM");
    let ran = running.wait(Duration::from_secs(20)).expect(1).says("shutdown_timeout");
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert!(ran.stderr.contains(" log lines were dropped: too much is logged"), "{}", ran.stderr);
}
