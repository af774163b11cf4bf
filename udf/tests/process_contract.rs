//! What a well-behaved handler is given and may say: the Runtime API, the environment, logs, and the contract's suite.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

#[path = "support/json.rs"]
mod json;
mod process;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use process::{answer, call, copy, handlers, hostile, logging, works};
use riverhook_udf::conformance::{self, Behaviour, Subject};
use riverhook_udf::{
    CallErrorKind, Function, Invocation, JsonFunction, JsonSettings, Limits, LogLevel, LogSink, ProcessSettings, Shape,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// Handlers in Python that behave as the suite says.
struct Subjects;

impl Subject for Subjects {
    fn function(&mut self, behaviour: Behaviour, limits: &Limits) -> Box<dyn Function> {
        let command = ["python3", "-S", "behaviours.py", behaviour.name()].map(str::to_owned).to_vec();
        let mut settings = ProcessSettings::new("suite", command, &handlers());
        settings.limits = *limits;
        // What Python needs at least.
        settings.limits.memory = limits.memory.max(64 << 20);
        settings.init_timeout = Duration::from_secs(30);
        let mut json = JsonSettings::new(json::passthrough());
        json.shape = Shape::Records;
        json.output = Some(behaviour.output());
        json.max_response = limits.max_output;
        Box::new(JsonFunction::process(settings, json, Arc::new(json::ArrowJson), LogSink::none()).unwrap())
    }
}

#[test]
fn processes_keep_the_contract() {
    conformance::check(&mut Subjects);
}

#[test]
fn a_process_is_started_once_and_used_again() {
    let mut copy = copy(hostile(&[]));
    assert_eq!(copy.process_id(), None, "started before it was called");
    let (result, usage) = call(&mut copy, r#"{"x":1}"#);
    assert_eq!(result.unwrap(), r#"{"x":1}"#);
    assert!(usage.cold_start.unwrap() > Duration::from_millis(1));
    assert!(usage.peak_memory > 1 << 20, "{usage:?}");
    let process = copy.process_id();
    for _ in 0..100 {
        assert!(!works(&mut copy));
    }
    assert_eq!(copy.process_id(), process);
}

#[test]
fn events_come_with_lambdas_headers() {
    let mut copy = copy(hostile(&[]));
    works(&mut copy);
    let id = Uuid::new_v4();
    let invocation = Invocation { id, ..Invocation::default() };
    let answer = copy.invoke(br#"{"do":"headers"}"#, &invocation).0.unwrap();
    let headers: Value = serde_json::from_slice(&answer).unwrap();
    // Names of headers have no case; this client hands them on as they came.
    let headers: Vec<_> =
        headers.as_object().unwrap().iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    let header = |name: &str| headers.iter().find(|header| header.0 == name).unwrap().1.as_str().unwrap();
    assert_eq!(header("lambda-runtime-aws-request-id"), id.to_string());
    assert_eq!(header("lambda-runtime-invoked-function-arn"), "arn:aws:lambda:us-east-1:000000000000:function:test");
    assert_eq!(header("content-type"), "application/json");
    let left = header("lambda-runtime-deadline-ms").parse::<u128>().unwrap()
        - SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    assert!((20_000..=30_000).contains(&left), "{left} ms");
    let trace: Vec<_> = header("lambda-runtime-trace-id").split(';').collect();
    let root: Vec<_> = trace[0].split('-').map(str::len).collect();
    assert_eq!((root, trace[1].len(), trace[2]), (vec!["Root=1".len(), 8, 24], "Parent=".len() + 16, "Sampled=1"));
}

#[test]
fn the_environment_holds_the_contracts_variables_and_the_users_alone() {
    let mut settings = hostile(&[]);
    settings.handler = Some("app.handler".to_owned());
    settings.env = vec![("STAGE".to_owned(), "test".to_owned()), ("TZ".to_owned(), "Europe/Berlin".to_owned())];
    settings.limits.memory = 192 << 20;
    // A file of a library that forgot to say that it is to be closed.
    let file = std::fs::File::open("/dev/zero").unwrap();
    // SAFETY: the file is open, and the copy of it belongs to nobody else.
    let leak = unsafe { libc::fcntl(std::os::fd::AsRawFd::as_raw_fd(&file), libc::F_DUPFD, 300) };
    assert!(leak >= 300);
    let found: Value = serde_json::from_str(&answer(&mut copy(settings), r#"{"do":"environment"}"#)).unwrap();
    let env = found["env"].as_object().unwrap();
    let mut names: Vec<_> = env.keys().map(String::as_str).filter(|name| !added_by_wrappers(name)).collect();
    let mut expected = vec![
        "AWS_DEFAULT_REGION",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "HOME",
        "LAMBDA_TASK_ROOT",
        "LANG",
        "PATH",
        "STAGE",
        "TZ",
        "_HANDLER",
    ];
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    let folder = handlers().canonicalize().unwrap();
    assert_eq!(found["cwd"], folder.to_str().unwrap());
    assert_eq!(env["LAMBDA_TASK_ROOT"], handlers().to_str().unwrap());
    assert_eq!(
        (&env["STAGE"], &env["TZ"], &env["_HANDLER"]),
        (&json!("test"), &json!("Europe/Berlin"), &json!("app.handler"))
    );
    assert_eq!((&env["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], &env["AWS_REGION"]), (&json!("192"), &json!("us-east-1")));
    assert_eq!(
        (&env["AWS_LAMBDA_FUNCTION_NAME"], &env["AWS_LAMBDA_FUNCTION_VERSION"]),
        (&json!("test"), &json!("$LATEST"))
    );
    let files = found["files"].as_array().unwrap();
    assert!(!files.contains(&json!(leak.to_string())), "a file of ours is open in it: {files:?}");
    // Standard input, output and error, its poll, its answer's socket, and the folder that it lists.
    assert!(files.len() <= 6, "{files:?}");
}

#[test]
fn an_old_id_an_unknown_one_and_a_second_answer_are_refused_and_harm_nothing() {
    let mut copy = copy(hostile(&[]));
    works(&mut copy);
    let told: Value = serde_json::from_str(&answer(&mut copy, r#"{"do":"late"}"#)).unwrap();
    assert_eq!(told, json!([[400, "InvalidRequestID"], [400, "InvalidRequestID"], [400, "InvalidRequestID"], 400]));
    assert_eq!(answer(&mut copy, r#"{"do":"twice"}"#), r#""first""#);
    let note: Value = serde_json::from_str(&answer(&mut copy, r#"{"do":"note"}"#)).unwrap();
    assert_eq!(note, json!([[202, {"status": "OK"}], [400, "InvalidRequestID"]]));
    assert!(!works(&mut copy));
}

#[test]
fn what_is_not_allowed_now_is_refused() {
    let mut copy = copy(hostile(&[]));
    let told: Value = serde_json::from_str(&answer(&mut copy, r#"{"do":"states"}"#)).unwrap();
    let expected = json!([
        [403, "InvalidStateTransition"],
        [403, "InvalidStateTransition"],
        [405, "MethodNotAllowed"],
        [405, "MethodNotAllowed"],
        [404, "NotFound"],
        [400, "InvalidFunctionResponseMode"],
    ]);
    assert_eq!(told, expected);
    assert!(!works(&mut copy));
}

#[test]
fn the_functions_own_error_is_passed_on_and_the_process_goes_on() {
    let mut copy = copy(hostile(&[]));
    for (own, code) in [("ValueError", "Runtime.Unknown"), ("Function.NoSuchCity", "Function.NoSuchCity")] {
        let event = json!({"do": "error", "type": own, "message": "no such place"}).to_string();
        let error = call(&mut copy, &event).0.unwrap_err();
        assert_eq!((error.kind.clone(), error.retryable), (CallErrorKind::Failed(code.to_owned()), true));
        assert_eq!(error.message, format!("{own}: no such place"));
    }
    assert!(!works(&mut copy));
}

#[test]
fn an_answer_may_be_streamed_and_fail_in_its_trailers() {
    let mut copy = copy(hostile(&[]));
    assert_eq!(answer(&mut copy, r#"{"do":"stream"}"#), "[1,2]");
    // {"errorType":"Function.Late","errorMessage":"too late"}
    let body = "eyJlcnJvclR5cGUiOiJGdW5jdGlvbi5MYXRlIiwiZXJyb3JNZXNzYWdlIjoidG9vIGxhdGUifQ==";
    let trailers = json!({
        "Lambda-Runtime-Function-Error-Type": "Function.Late",
        "Lambda-Runtime-Function-Error-Body": body,
    });
    let error = call(&mut copy, &json!({"do": "stream", "trailers": trailers}).to_string()).0.unwrap_err();
    assert_eq!((error.code(), error.message.as_str()), ("Function.Late", "Function.Late: too late"));
    assert!(!works(&mut copy));
}

#[test]
fn output_becomes_log_lines_of_its_call() {
    let mut settings = hostile(&[]);
    settings.limits.max_log_line = 100;
    let (mut copy, lines) = logging(settings);
    works(&mut copy);
    let id = Uuid::from_u128(42);
    let invocation = Invocation { id, ..Invocation::default() };
    copy.invoke(br#"{"do":"log","length":5000}"#, &invocation).0.unwrap();
    let found = lines.lock().unwrap().clone();
    let of = |level: LogLevel| found.iter().filter(move |line| line.1 == level).collect::<Vec<_>>();
    assert_eq!(of(LogLevel::Warn), [&(id, LogLevel::Warn, "err".to_owned())]);
    assert_eq!(of(LogLevel::Info), [&(id, LogLevel::Info, format!("out {}", "x".repeat(96)))]);
    // The line that had not ended ends in the next call.
    lines.lock().unwrap().clear();
    let usage = call(&mut copy, r#"{"do":"log","lines":1000}"#).1;
    assert!(lines.lock().unwrap().iter().any(|line| line.2.starts_with("not ended")), "{:?}", lines.lock().unwrap());
    let told = lines.lock().unwrap().iter().filter(|line| line.2.starts_with("line")).count();
    assert!(told < 200 && usage.dropped_logs > 800, "{told} {usage:?}");
}

/// What Python itself, or a script through which it is started (a version manager's), puts into its environment.
fn added_by_wrappers(name: &str) -> bool {
    matches!(name, "LC_CTYPE" | "PWD" | "OLDPWD" | "SHLVL" | "_") || name.trim_start_matches('_').starts_with("PYENV")
}
