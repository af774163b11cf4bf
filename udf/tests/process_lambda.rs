//! AWS's own runtime clients, unmodified, each with an ordinary handler; and a handler that is its own client.
//!
//! A test needs a client that is installed somewhere: `cargo xtask test` installs them all, and without one plain
//! `cargo test` leaves the test out and says so.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod process;

use std::io::Write as _;
use std::time::Duration;

use process::{answer, call, failure, handlers, logging};
use riverhook_udf::{CallErrorKind, Invocation, LogLevel, ProcessCopy, ProcessSettings};
use serde_json::{Value, json};
use uuid::Uuid;

/// What the environment says of where the client is, or that the test is left out.
fn client(variable: &str, test: &str, needs: &str) -> Option<String> {
    let client = std::env::var(variable).ok();
    if client.is_none() {
        // Not eprintln!, which the test harness swallows.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: process_lambda::{test} needs {needs}: run `cargo xtask test`");
    }
    client
}

fn settings(command: &[&str]) -> ProcessSettings {
    let command = command.iter().map(|&word| word.to_owned()).collect();
    let mut settings = ProcessSettings::new("city-lookup", command, &handlers());
    settings.version = "7".to_owned();
    settings.limits.memory = 512 << 20;
    settings.limits.timeout = Duration::from_secs(30);
    settings.init_timeout = Duration::from_secs(60);
    settings
}

/// What the client for Rust makes of an error: its type's name, and its text.
const RUST_ERROR: &str =
    "&alloc::boxed::Box<dyn core::error::Error + core::marker::Send + core::marker::Sync>: bad row";

/// What every client's handler does alike; see `aws_python.py`.
fn check(settings: ProcessSettings, raises: (&str, &str)) {
    let (mut copy, lines) = logging(settings.clone());
    let value = |text: String| serde_json::from_str::<Value>(&text).unwrap();
    for calls in 1..=3 {
        let event = json!({"name": "Zürich \"\u{1f30d}\""});
        assert_eq!(value(answer(&mut copy, &event.to_string())), json!({"calls": calls, "event": event}));
    }
    context(&mut copy);
    answer(&mut copy, r#"{"do":"print"}"#);
    // Some clients write their own lines as well.
    let printed =
        |lines: &[(Uuid, LogLevel, String)]| lines.iter().any(|line| line.2.contains("hello from the handler"));
    assert!(printed(&lines.lock().unwrap()), "{lines:?}");

    let error = call(&mut copy, r#"{"do":"raise","what":"row"}"#).0.unwrap_err();
    assert_eq!((error.code(), error.retryable), (raises.0, true), "{error}");
    assert_eq!(error.message, raises.1);

    partial_failures(&mut copy);
    assert!(!value(answer(&mut copy, r#"{"x":1}"#)).is_null());
    faults(settings, copy);
}

fn context(copy: &mut ProcessCopy) {
    let id = Uuid::new_v4();
    let invocation = Invocation { id, ..Invocation::default() };
    let context: Value = serde_json::from_slice(&copy.invoke(br#"{"do":"context"}"#, &invocation).0.unwrap()).unwrap();
    assert_eq!(context["id"], id.to_string());
    assert_eq!(context["arn"], "arn:aws:lambda:us-east-1:000000000000:function:city-lookup");
    assert_eq!((&context["name"], &context["version"]), (&json!("city-lookup"), &json!("7")));
    assert_eq!((&context["memory"], &context["group"]), (&json!("512"), &json!("/aws/lambda/city-lookup")));
    let left = context["left"].as_u64().unwrap();
    assert!((20_000..=30_000).contains(&left), "{left} ms");
}

fn partial_failures(copy: &mut ProcessCopy) {
    let record = |offset: u64| json!({"topic": "clicks", "partition": 0, "offset": offset, "value": "e30="});
    let records: Vec<_> = (10..13).map(record).collect();
    let event = json!({"do": "kafka", "eventSource": "SelfManagedKafka", "records": {"clicks-0": records}});
    let answered: Value = serde_json::from_str(&answer(copy, &event.to_string())).unwrap();
    let failed = json!([{"itemIdentifier": {"partition": "clicks-0", "offset": 11}}]);
    assert_eq!(answered, json!({ "batchItemFailures": failed }));
}

/// A time-out, a crash and an answer that is too large; the next call works each time.
fn faults(settings: ProcessSettings, mut copy: ProcessCopy) {
    assert!(matches!(failure(&mut copy, r#"{"do":"exit"}"#).0, CallErrorKind::Crash));
    answer(&mut copy, r#"{"x":1}"#);
    assert_eq!(failure(&mut copy, r#"{"do":"large","bytes":7000000}"#).0.code(), "Function.ResponseSizeTooLarge");
    answer(&mut copy, r#"{"x":1}"#);
    let mut short = settings;
    short.limits.timeout = Duration::from_secs(1);
    let mut copy = process::copy(short);
    answer(&mut copy, r#"{"x":1}"#);
    assert_eq!(failure(&mut copy, r#"{"do":"sleep","seconds":60}"#).0, CallErrorKind::Timeout);
    answer(&mut copy, r#"{"x":1}"#);
}

/// The variable holds a Python with `awslambdaric`.
#[test]
fn awslambdaric_runs_a_handler_in_python() {
    let Some(python) = client("RIVERHOOK_TEST_LAMBDA_PYTHON", "awslambdaric", "a Python with awslambdaric") else {
        return;
    };
    let mut settings = settings(&[&python, "-m", "awslambdaric", "aws_python.handler"]);
    settings.handler = Some("aws_python.handler".to_owned());
    check(settings.clone(), ("Runtime.Unknown", "ValueError: bad row"));

    settings.command[3] = "no_such_module.handler".to_owned();
    let (kind, message) = failure(&mut process::copy(settings), "{}");
    assert_eq!(kind.code(), "Runtime.ImportModuleError", "{message}");
    assert!(message.contains("no_such_module"), "{message}");
}

/// The variable holds the program `aws-lambda-ric`.
#[test]
fn aws_lambda_ric_runs_a_handler_in_node() {
    let Some(program) = client("RIVERHOOK_TEST_LAMBDA_NODE", "aws_lambda_ric", "aws-lambda-ric") else { return };
    let mut settings = settings(&[&program, "aws_node.handler"]);
    settings.handler = Some("aws_node.handler".to_owned());
    check(settings.clone(), ("Runtime.Unknown", "RangeError: bad row"));

    settings.command[1] = "no_such_module.handler".to_owned();
    let (kind, message) = failure(&mut process::copy(settings), "{}");
    assert_eq!(kind.code(), "Runtime.ImportModuleError", "{message}");
    assert!(message.contains("no_such_module"), "{message}");
}

/// The variable holds the program that `cargo build --release` makes in `tests/handlers/rust`.
#[test]
fn lambda_runtime_runs_a_handler_in_rust() {
    let needs = "the handler in tests/handlers/rust";
    let Some(program) = client("RIVERHOOK_TEST_LAMBDA_RUST", "lambda_runtime", needs) else { return };
    check(settings(&[&program]), ("Runtime.Unknown", RUST_ERROR));
}

/// The variable holds a folder with the jars of `aws-lambda-java-runtime-interface-client` and what it needs.
#[test]
fn the_runtime_interface_client_runs_a_handler_in_java() {
    let needs = "the jars of aws-lambda-java-runtime-interface-client";
    let Some(jars) = client("RIVERHOOK_TEST_LAMBDA_JAVA", "java", needs) else { return };
    let classes = tempfile::tempdir().unwrap();
    let compiled = std::process::Command::new("javac")
        .args(["-cp", &format!("{jars}/*"), "-d"])
        .arg(classes.path())
        .arg(handlers().join("AwsJava.java"))
        .status();
    assert!(compiled.expect("javac is needed: install a JDK 17").success());
    let path = format!("{jars}/*:{}", classes.path().display());
    let main = "com.amazonaws.services.lambda.runtime.api.client.AWSLambda";
    let mut settings = settings(&["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &path, main]);
    settings.command.push("AwsJava::handleRequest".to_owned());
    settings.handler = Some("AwsJava::handleRequest".to_owned());
    check(settings, ("Runtime.UserException", "java.lang.IllegalArgumentException: bad row"));
}

#[test]
fn an_executable_that_is_its_own_client_runs_as_it_does_on_provided_runtimes() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        let _ = writeln!(std::io::stderr(), "LEFT OUT: process_lambda::provided needs curl: run `cargo xtask test`");
        return;
    }
    let (mut copy, lines) = logging(settings(&["./provided.sh"]));
    for name in ["Zürich", "Bern"] {
        let event = json!({ "name": name }).to_string();
        assert_eq!(answer(&mut copy, &event), event);
    }
    assert!(lines.lock().unwrap().iter().any(|line| line.2 == "hello from the handler"), "{lines:?}");
    let (kind, message) = failure(&mut copy, r#"{"do":"raise"}"#);
    assert_eq!((kind.code(), message.as_str()), ("Function.NoSuchCity", "Function.NoSuchCity: bad row"));
    let (kind, message) = failure(&mut copy, r#"{"do":"exit"}"#);
    assert_eq!((kind, message.as_str()), (CallErrorKind::Crash, "exited with status 9"));
    assert_eq!(answer(&mut copy, "[1]"), "[1]");
}
