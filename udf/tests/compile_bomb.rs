//! Code that is small and valid, and keeps the compiler busy for minutes. It has a test file, and so a process, of its
//! own: what was given up goes on until the process ends.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use riverhook_udf::{Limits, LoadError, LogSink, Runtime, Settings};
use support::guest::{SAME_BATCH, SAME_SCHEMA, component};

#[test]
fn a_compile_bomb_is_refused_in_time() {
    // Many functions of many nested branches: valid, small, and minutes of work for the compiler.
    let mut body = String::new();
    for _ in 0..4_000 {
        body.push_str("(if (local.get 0) (then (local.set 0 (i32.mul (local.get 0) (i32.const 3)))))");
    }
    let functions = format!("(func (param i32) (result i32) {body} (local.get 0))").repeat(60);
    let bomb = component("", SAME_SCHEMA, SAME_BATCH, &functions);
    let limits = Limits { compile_timeout: Duration::from_millis(20), ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let runtime = Runtime::new(None).unwrap();
    let load = || runtime.load("test", &bomb, settings.clone(), LogSink::none()).unwrap_err();
    let begun = Instant::now();
    for _ in 0..2 {
        let error = load();
        assert!(matches!(error, LoadError::CompileTimeout(_)), "{error}");
    }
    let error = load();
    assert!(matches!(error, LoadError::CompilerBusy(2)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
