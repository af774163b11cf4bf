//! WASI is there, with nothing in it: the clock stands still, randomness repeats, and a wait has an end.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use riverhook_udf::{CallErrorKind, Grants, Invocation, Limits, LogSink, Settings, WasmFunction};
use support::guest::{SAME_BATCH, SAME_SCHEMA, importing};
use support::{numbers, open, runtime, short};

const IMPORTS: &str = r#"
  (import "wasi:io/poll@0.2.0" (instance $poll
    (export "pollable" (type $p (sub resource)))
    (export "[method]pollable.block" (func (param "self" (borrow $p))))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $outer))
    (export "pollable" (type $p (eq $outer)))
    (export "now" (func (result u64)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
  (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
  (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))"#;
const LOWERS: &str = r#"
  (core func $block (canon lower (func $poll "[method]pollable.block")))
  (core func $now (canon lower (func $clock "now")))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (core func $random64 (canon lower (func $random "get-random-u64")))
  (core func $leave (canon lower (func $exit "exit")))"#;
const HOST: &str = r#"
  (export "block" (func $block)) (export "now" (func $now)) (export "subscribe" (func $subscribe))
  (export "random" (func $random64)) (export "exit" (func $leave))"#;
const ITEMS: &str = r#"
  (import "host" "block" (func $block (param i32)))
  (import "host" "now" (func $now (result i64)))
  (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
  (import "host" "random" (func $random (result i64)))
  (import "host" "exit" (func $exit (param i32)))"#;

fn guest(process: &str, limits: Limits, grants: Grants) -> WasmFunction {
    let code = importing(IMPORTS, LOWERS, HOST, SAME_SCHEMA, &format!("{process} {SAME_BATCH}"), ITEMS);
    runtime().load("test", &code, Settings { limits, grants, ..Settings::default() }, LogSink::none()).unwrap()
}

/// The first value that the guest answers for a batch of one row, after it has run `process` and stored its result.
fn answer(process: &str, grants: Grants) -> i64 {
    let store = format!("(i64.store (i32.load (i32.add (local.get $ptr) (i32.const 8))) {process})");
    let function = guest(&store, Limits::default(), grants);
    let outcome = open(&function).call(&numbers([1]), &Invocation::default()).result.unwrap();
    arrow_array::cast::AsArray::as_primitive::<arrow_array::types::Int64Type>(outcome.output.column(0)).value(0)
}

#[test]
fn a_wait_in_a_host_call_ends_at_the_time_limit() {
    // An hour.
    let wait = "(call $block (call $subscribe (i64.const 3600000000000)))";
    let function = guest(wait, short(50), Grants::default());
    let mut instance = open(&function);
    let begun = Instant::now();
    let error = instance.call(&numbers([1]), &Invocation::default()).result.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Timeout, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_short_wait_is_waited_for() {
    let wait = "(call $block (call $subscribe (i64.const 20000000)))";
    let function = guest(wait, Limits::default(), Grants::default());
    let reply = open(&function).call(&numbers([1]), &Invocation::default());
    assert_eq!(reply.result.unwrap().output, numbers([1]));
    assert!(reply.usage.duration >= Duration::from_millis(20));
}

#[test]
fn handles_to_the_host_are_bounded() {
    let collect = "(loop $more (drop (call $subscribe (i64.const 1))) (br $more))";
    let function = guest(collect, Limits::default(), Grants::default());
    let error = open(&function).call(&numbers([1]), &Invocation::default()).result.unwrap_err();
    assert_ne!(error.kind, CallErrorKind::Timeout, "{error}");
}

#[test]
fn clock_and_randomness_are_real_only_if_granted() {
    assert_eq!(answer("(call $now)", Grants::default()), 0);
    let clock = Grants { clock: true, ..Grants::default() };
    assert_ne!(answer("(call $now)", clock), 0);

    assert_eq!(answer("(call $random)", Grants::default()), answer("(call $random)", Grants::default()));
    let random = Grants { random: true, ..Grants::default() };
    assert_ne!(answer("(call $random)", random), answer("(call $random)", random));
}

#[test]
fn an_exit_fails_the_batch() {
    let function = guest("(call $exit (i32.const 1))", Limits::default(), Grants::default());
    let error = open(&function).call(&numbers([1]), &Invocation::default()).result.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (CallErrorKind::Crash, "exited with code 1"));
}
