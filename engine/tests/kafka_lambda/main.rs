//! AWS's four runtime clients, unmodified, each with an ordinary handler on the records of a topic, through the binary:
//! rows of its answers, records that it says failed, and a call that takes too long.

#![cfg(target_os = "linux")]
#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]

#[path = "../kafka_delivery/broker.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod broker;
#[path = "../support/mod.rs"]
mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use support::{Background, Folder, eventually};

/// The folder of the handlers; what they do with a record is in `aws_python.py`.
fn handlers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../udf/tests/handlers").canonicalize().unwrap()
}

/// Where the broker and a client are, or that the test is left out.
fn needed(test: &str, variable: &str) -> Option<(String, String)> {
    let brokers = broker::address(test)?;
    let client = std::env::var(variable).ok();
    if client.is_none() {
        // Not eprintln!, which the test harness swallows.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: {test} needs {variable}: run `cargo xtask test`");
    }
    Some((brokers, client?))
}

#[test]
fn kafka_records_through_awslambdaric_in_python() {
    let Some((brokers, python)) = needed("kafka_lambda::python", "RIVERHOOK_TEST_LAMBDA_PYTHON") else { return };
    check(&brokers, "python", &[&python, "-m", "awslambdaric", "aws_python.handler"], "aws_python.handler");
}

#[test]
fn kafka_records_through_aws_lambda_ric_in_node() {
    let Some((brokers, program)) = needed("kafka_lambda::node", "RIVERHOOK_TEST_LAMBDA_NODE") else { return };
    check(&brokers, "node", &[&program, "aws_node.handler"], "aws_node.handler");
}

#[test]
fn kafka_records_through_the_runtime_interface_client_in_java() {
    let Some((brokers, jars)) = needed("kafka_lambda::java", "RIVERHOOK_TEST_LAMBDA_JAVA") else { return };
    let classes = tempfile::tempdir().unwrap();
    let mut compile = std::process::Command::new("javac");
    compile.args(["-cp", &format!("{jars}/*"), "-d"]).arg(classes.path()).arg(handlers().join("AwsJava.java"));
    assert!(compile.status().expect("javac is needed: install a JDK 17").success());
    let path = format!("{jars}/*:{}", classes.path().display());
    let main = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda";
    let handler = "AwsJava::handleRequest";
    check(&brokers, "java", &["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &path, main, handler], handler);
}

#[test]
fn kafka_records_through_lambda_runtime_in_rust() {
    let Some((brokers, program)) = needed("kafka_lambda::rust", "RIVERHOOK_TEST_LAMBDA_RUST") else { return };
    check(&brokers, "rust", &[&program], "");
}

fn pipeline(name: &str, brokers: &str, command: &[&str], handler: &str) -> String {
    format!(
        r#"
name: {name}
connections:
  main: {{ type: kafka, brokers: "{brokers}" }}
sources:
  numbers: {{ connection: main, topic: {name}.in, start: earliest, schema: {{ n: int64!, do: string }} }}
functions:
  handler:
    process: {}
    handler: "{handler}"
    working_dir: {}
    output: {{ n: int64!, calls: int64! }}
    memory: 512MiB
    init_timeout: 60s
    timeout: 5s
    concurrency: 1
    retries: {{ attempts: 2, backoff: 10ms..50ms }}
transforms:
  called: {{ from: numbers, call: handler, on_error: dead_letter }}
sinks:
  out: {{ from: called, connection: main, topic: {name}.out }}
dead_letters: {{ connection: main, topic: {name}.dead }}
checkpoint: {{ every: 100ms }}
"#,
        json!(command),
        json!(handlers()),
    )
}

/// A pipeline that runs, with its topics.
struct Running {
    brokers: String,
    name: String,
    engine: Background,
    feed: broker::Feed,
    // Removed after the engine has ended.
    _folder: Folder,
}

impl Running {
    fn start(brokers: &str, client: &str, command: &[&str], handler: &str) -> Self {
        let name = format!("lambda-{client}-{}", std::process::id());
        for topic in ["in", "out", "dead"] {
            broker::create_topic(brokers, &format!("{name}.{topic}"), 1);
        }
        let folder = Folder::with_pipeline(&pipeline(&name, brokers, command, handler));
        let engine = folder.start(&["run", "--quiet", "pipeline.yaml"]);
        Self { brokers: brokers.to_owned(), name, engine, feed: broker::Feed::new(brokers), _folder: folder }
    }

    fn send(&self, records: impl IntoIterator<Item = Value>) {
        for record in records {
            self.feed.send(&format!("{}.in", self.name), "", &record.to_string());
        }
        self.feed.flush();
    }

    /// Waits until a topic holds what it is to hold, and returns it.
    #[track_caller]
    fn records(&self, topic: &str, what: &str, complete: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let topic = format!("{}.{topic}", self.name);
        let (mut all, mut end) = (Vec::new(), 0);
        eventually(&format!("{what} in {topic}"), || {
            if std::mem::replace(&mut end, broker::ends(&self.brokers, &topic, 1)[&0]) == end {
                return false;
            }
            all.clear();
            let each = |_: i32, _: &[u8], payload: &[u8]| all.push(serde_json::from_slice(payload).unwrap());
            broker::read_all(&self.brokers, &topic, 1, each);
            complete(&all)
        });
        all
    }

    fn rows(&self, last: i64) -> Vec<Value> {
        let came = |rows: &[Value]| numbers(rows).contains(&last);
        self.records("out", &format!("a row {last}"), came)
    }

    fn letters(&self, count: usize) -> Vec<Value> {
        self.records("dead", &format!("{count} letters"), |letters| letters.len() >= count)
    }
}

/// The numbers of rows of the function.
fn numbers(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["n"].as_i64().unwrap()).collect()
}

/// The records that letters hold.
fn payloads(letters: &[Value]) -> Vec<Value> {
    letters.iter().map(|letter| serde_json::from_str(letter["payload"].as_str().unwrap()).unwrap()).collect()
}

fn check(brokers: &str, client: &str, command: &[&str], handler: &str) {
    let running = Running::start(brokers, client, command, handler);
    running.send((0..200).map(|n| json!({ "n": n })));
    assert_eq!(numbers(&running.rows(199)), (0..200).collect::<Vec<_>>(), "every record, in order, once");

    // Records beside one that fails are done without a row, since such an answer names failures alone. Those after it
    // were sent again with it.
    running.send([json!({ "n": 201 }), json!({ "n": 205, "do": "fail" }), json!({ "n": 206 })]);
    let letters = running.letters(1);
    assert_eq!(payloads(&letters), [json!({ "n": 205, "do": "fail" })]);
    let letter = &letters[0];
    assert_eq!((&letter["error_code"], &letter["function"]), (&json!("Function.RowFailed"), &json!("handler")));
    assert!(letter["error_message"].as_str().unwrap().starts_with("Function.BatchItemFailed"), "{letter}");
    assert!(letter["attempts"].as_u64().unwrap() >= 2, "{letter}");
    running.send([json!({ "n": 207 })]);
    let rows = running.rows(207);
    let calls = |row: &Value| row["calls"].as_i64().unwrap();
    assert!(calls(rows.last().unwrap()) > 3, "the failures ended the process: {rows:?}");

    running.send([json!({ "n": 400, "do": "sleep" })]);
    let letters = running.letters(2);
    assert_eq!((&letters[1]["error_code"], &letters[1]["attempts"]), (&json!("Sandbox.Timedout"), &json!(2)));
    assert_eq!(payloads(&letters)[1]["n"], 400);
    running.send([json!({ "n": 500 })]);
    let rows = running.rows(500);
    assert_eq!(calls(rows.last().unwrap()), 1, "it is not a process that was started anew");
    assert_eq!(numbers(&rows).iter().filter(|n| ![201, 206].contains(*n)).count(), 202, "{rows:?}");

    let committed = || broker::committed(brokers, &running.name, &format!("{}.in", running.name), 1);
    eventually("all is committed", || committed().get(&0) == Some(&206));
    running.engine.signal("TERM");
    let Running { engine, .. } = running;
    engine.wait(Duration::from_secs(30)).expect(0);
}
