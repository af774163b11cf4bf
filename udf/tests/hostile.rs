//! Guests that mean harm, or are broken: each may hurt its own batch alone.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use riverhook_udf::{CallErrorKind, Function as _, Invocation, Limits, LoadError, LogSink, OpenError, Settings};
use support::guest::{SAME_BATCH, SAME_SCHEMA, component, with_process};
use support::{failure, function, logging, numbers, numbers_schema, open, prebuilt, runtime, short};

#[test]
fn the_frame_itself_is_a_working_guest() {
    let function = function(&with_process(SAME_BATCH), Limits::default());
    let batch = numbers([1, 2, 3]);
    let reply = open(&function).call(&batch, &Invocation::default());
    assert_eq!(reply.result.unwrap().output, batch);
}

#[test]
fn a_loop_ends_at_its_time_limit_and_the_next_call_works() {
    let process = format!("(if (i32.eq (local.get $rows) (i32.const 3)) (then (loop $ever (br $ever)))) {SAME_BATCH}");
    let function = function(&with_process(&process), short(60));
    let mut instance = open(&function);
    let begun = Instant::now();
    let (kind, message) = failure(instance.as_mut());
    assert_eq!(kind, CallErrorKind::Timeout, "{message}");
    assert!(begun.elapsed() >= Duration::from_millis(60), "stopped early, after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_millis(900), "stopped late, after {:?}", begun.elapsed());

    let next = instance.call(&numbers([7]), &Invocation::default());
    assert_eq!(next.result.unwrap().output, numbers([7]));
    assert!(next.usage.cold_start.is_some(), "the copy that was stopped went on");
}

#[test]
fn the_callers_deadline_holds_where_it_is_nearer_than_the_limit() {
    let function = function(&with_process("(loop $ever (br $ever)) (unreachable)"), short(10_000));
    let begun = Instant::now();
    let invocation = Invocation { deadline: Some(begun + Duration::from_millis(50)), ..Invocation::default() };
    let error = open(&function).call(&numbers([1]), &invocation).result.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Timeout);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_loop_in_open_ends_too() {
    let function = function(&component("", "(loop $ever (br $ever)) (unreachable)", SAME_BATCH, ""), short(20));
    let error = function.describe(&numbers_schema()).unwrap_err();
    assert!(matches!(error, OpenError::Start(error) if error.kind == CallErrorKind::Timeout));
}

#[test]
fn another_function_goes_on_while_one_loops() {
    let looping = function(&with_process("(loop $ever (br $ever)) (unreachable)"), short(400));
    let steady = function(&prebuilt("echo"), Limits::default());
    let (mut looping, mut steady) = (open(&looping), open(&steady));
    let batch = numbers(0..1_000);
    let calls = std::thread::scope(|scope| {
        let stuck = scope.spawn(move || failure(looping.as_mut()).0);
        let mut calls = 0;
        while !stuck.is_finished() {
            steady.call(&batch, &Invocation::default()).result.unwrap();
            calls += 1;
        }
        assert_eq!(stuck.join().unwrap(), CallErrorKind::Timeout);
        calls
    });
    // Thousands on a machine at rest; the point is that none waited for the guest that loops.
    assert!(calls > 20, "only {calls} calls in 400 ms beside a guest that loops");
}

#[test]
fn memory_beyond_the_limit_is_refused() {
    let grow = "(loop $more
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))
        (br $more)) (unreachable)";
    let function = function(&with_process(grow), Limits::default());
    let mut instance = open(&function);
    let reply = instance.call(&numbers([1]), &Invocation::default());
    let error = reply.result.unwrap_err();
    assert_eq!((error.kind.clone(), error.code()), (CallErrorKind::OutOfMemory, "Runtime.OutOfMemory"));
    assert!(error.message.contains("67108864"), "{error}");
    assert!((60 << 20..=64 << 20).contains(&reply.usage.peak_memory), "{:?}", reply.usage);
}

#[test]
fn a_function_that_needs_more_memory_at_once_than_its_limit_does_not_start() {
    let limits = Limits { memory: 1 << 20, ..Limits::default() };
    let error = function(&with_process(SAME_BATCH), limits).describe(&numbers_schema()).unwrap_err();
    assert!(matches!(error, OpenError::Start(error) if error.kind == CallErrorKind::OutOfMemory));
}

#[test]
fn a_table_beyond_the_limit_is_refused() {
    let items = "(table $t 1 funcref)";
    let grow = "(if (i32.eq (table.grow $t (ref.null func) (i32.const 10000000)) (i32.const -1)) (then (unreachable)))";
    let function = function(&component("", SAME_SCHEMA, &format!("{grow} {SAME_BATCH}"), items), Limits::default());
    assert_eq!(failure(open(&function).as_mut()).0, CallErrorKind::Crash);
}

#[test]
fn a_crash_fails_its_batch_and_brings_the_last_error_line() {
    let items = r#"(data (i32.const 1024) "index out of range")"#;
    let process = "(call $log (i32.const 0) (i32.const 1024) (i32.const 18)) (unreachable)";
    let function = function(&component("", SAME_SCHEMA, process, items), Limits::default());
    let (kind, message) = failure(open(&function).as_mut());
    assert_eq!((kind.clone(), kind.code()), (CallErrorKind::Crash, "Runtime.ExitError"));
    assert!(message.contains("unreachable") && message.contains("index out of range"), "{message}");
}

#[test]
fn endless_recursion_is_a_crash() {
    let items = "(func $deeper (param i64) (result i64) (call $deeper (i64.add (local.get 0) (i64.const 1))))";
    let process = format!("(drop (call $deeper (i64.const 0))) {SAME_BATCH}");
    let function = function(&component("", SAME_SCHEMA, &process, items), Limits::default());
    let (kind, message) = failure(open(&function).as_mut());
    assert_eq!(kind, CallErrorKind::Crash, "{message}");
}

#[test]
fn a_huge_answer_is_refused_before_it_is_copied() {
    // A hundred buffers that are all the same megabyte: no memory of the guest, 100 MiB of the host.
    let process = "
        (loop $next
          (i32.store (i32.add (i32.const 1024) (i32.mul (local.get $i) (i32.const 8))) (i32.const 65536))
          (i32.store (i32.add (i32.const 1028) (i32.mul (local.get $i) (i32.const 8))) (i32.const 1048576))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $i) (i32.const 100))))
        (i32.store (i32.const 68) (i32.const 0))
        (i32.store (i32.const 72) (i32.const 1024))
        (i32.store (i32.const 76) (i32.const 100))
        (i32.const 64)";
    let function = function(&with_process(process), Limits::default());
    let (kind, message) = failure(open(&function).as_mut());
    assert_eq!((kind.clone(), kind.code()), (CallErrorKind::OutputTooLarge, "Function.ResponseSizeTooLarge"));
    assert!(message.contains("16777216"), "{message}");
}

#[test]
fn the_guests_own_no_is_passed_on_and_keeps_the_copy() {
    let items = r#"(data (i32.const 1024) "Upstream.Slow" "try again")"#;
    let process = "
        (i32.store8 (i32.const 64) (i32.const 1))
        (i32.store (i32.const 68) (i32.const 1024)) (i32.store (i32.const 72) (i32.const 13))
        (i32.store (i32.const 76) (i32.const 1037)) (i32.store (i32.const 80) (i32.const 9))
        (i32.store8 (i32.const 84) (i32.const 1))
        (i32.const 64)";
    let function = function(&component("", SAME_SCHEMA, process, items), Limits::default());
    let mut instance = open(&function);
    for call in 0..2 {
        let reply = instance.call(&numbers([1]), &Invocation::default());
        let error = reply.result.unwrap_err();
        assert_eq!((error.code(), error.message.as_str(), error.retryable), ("Upstream.Slow", "try again", true));
        assert_eq!(reply.usage.cold_start.is_some(), call == 0);
    }
}

#[test]
fn logs_arrive_with_level_and_invocation_and_a_flood_is_dropped() {
    let items = r#"(data (i32.const 1024) "hello")"#;
    let process = format!(
        "(loop $more
          (call $log (i32.const 2) (i32.const 1024) (i32.const 5))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $i) (i32.const 10000)))) {SAME_BATCH}"
    );
    let (function, lines) = logging(&component("", SAME_SCHEMA, &process, items), Limits::default());
    let reply =
        open(&function).call(&numbers([1]), &Invocation { id: uuid::Uuid::from_u128(42), ..Invocation::default() });
    let lines = lines.lock().unwrap();
    assert_eq!(lines[0], (uuid::Uuid::from_u128(42), riverhook_udf::LogLevel::Info, "hello".to_owned()));
    assert!((100..400).contains(&lines.len()), "{} lines", lines.len());
    assert_eq!(reply.usage.dropped_logs as usize + lines.len(), 10_000);
}

#[test]
fn a_log_line_is_cut() {
    let process = format!("(call $log (i32.const 4) (i32.const 1024) (i32.const 60000)) {SAME_BATCH}");
    let (function, lines) = logging(&with_process(&process), Limits { max_log_line: 100, ..Limits::default() });
    open(&function).call(&numbers([1]), &Invocation::default()).result.unwrap();
    assert_eq!(lines.lock().unwrap()[0].2.len(), 100);
}

/// Loads `code` and returns what is said against it.
fn refused(code: &[u8], limits: Limits) -> LoadError {
    let settings = Settings { limits, ..Settings::default() };
    runtime().load("test", code, settings, LogSink::none()).unwrap_err()
}

#[test]
fn what_is_not_a_component_is_refused() {
    let error = refused(b"#!/bin/sh", Limits::default());
    assert_eq!(error.to_string(), "is not a WebAssembly file");
    let error = refused(&wat::parse_str("(module)").unwrap(), Limits::default());
    assert!(error.to_string().contains("core WebAssembly module"), "{error}");
    let error = refused(&wat::parse_str("(component)").unwrap(), Limits::default());
    assert!(matches!(&error, LoadError::MissingExport(name) if name.starts_with("riverhook:function/batch")));
    let echo = prebuilt("echo");
    assert!(matches!(refused(&echo[..echo.len() / 2], Limits::default()), LoadError::Invalid(_)));
    assert!(matches!(refused(&echo, Limits { max_module_size: 1000, ..Limits::default() }), LoadError::TooLarge(_)));
}

#[test]
fn unknown_imports_are_refused_by_name() {
    for name in ["wasi:http/types@0.2.0", "wasi:io/poll@0.3.0", "riverhook:function/files@0.1.0", "env"] {
        let import = format!(r#"(import "{name}" (instance))"#);
        let import = if name == "env" { r#"(import "env" (func))"#.to_owned() } else { import };
        let error = refused(&component(&import, SAME_SCHEMA, SAME_BATCH, ""), Limits::default());
        assert!(matches!(&error, LoadError::UnknownImport(import) if import == name), "{error}");
        assert!(error.to_string().contains(name));
    }
}

#[test]
fn one_enormous_function_is_refused_unseen_by_the_compiler() {
    let body = "(drop (i32.const 1000000))".repeat(250_000);
    let error = refused(&component("", SAME_SCHEMA, SAME_BATCH, &format!("(func {body})")), Limits::default());
    assert!(matches!(error, LoadError::TooLarge(_)), "{error}");
}
