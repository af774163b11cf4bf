//! Record functions that break the contract, wear out, or measure too much: each is refused or replaced, and told.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{Arc, Mutex};

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use riverhook_udf::{
    CallErrorKind, Caller, Function as _, Instance, Invocation, Limits, LogSink, MetricSink, Origin, Records, Recycle,
    Settings,
};
use support::json::{ArrowJson, passthrough};
use support::record_guest::{SAME_RECORDS, records};
use support::{failure, numbers, numbers_schema, patient, runtime};

fn settings(limits: Limits) -> Settings {
    Settings { records: Some(to(Some(numbers_schema()))), ..patient(limits) }
}

fn to(output: Option<SchemaRef>) -> Records {
    Records { codecs: Arc::new(ArrowJson), output, passthrough: passthrough() }
}

fn open_with(process: &str, items: &str, settings: Settings) -> Box<dyn Instance> {
    let function = runtime().load("test", &records(process, items), settings, LogSink::none()).unwrap();
    function.instance(numbers_schema(), &Caller::default()).unwrap()
}

/// Answers each record back after `change` has been made to the answer at address 64, and expects a failure.
fn check(change: &str, kind: CallErrorKind, expected: &str) {
    let mut instance = open_with(&format!("{SAME_RECORDS} {change} (i32.const 64)"), "", settings(Limits::default()));
    let (found, message) = failure(instance.as_mut());
    assert_eq!(found, kind, "{message}");
    assert!(message.contains(expected), "said: {message}");
}

/// The same, for an answer that breaks the contract.
fn check_invalid(change: &str, expected: &str) {
    check(change, CallErrorKind::InvalidResponse, expected);
}

/// Code on the first answer, whose address is `$at` within.
fn on_first(code: &str) -> String {
    format!("(local.set $at (i32.load (i32.const 68))) {code}")
}

#[test]
fn the_frame_itself_is_a_working_guest() {
    let mut instance = open_with(&format!("{SAME_RECORDS} (i32.const 64)"), "", settings(Limits::default()));
    for batch in [numbers([1, 2, 3]), numbers([])] {
        let outcome = instance.call(&batch, &Invocation::default()).result.unwrap();
        assert_eq!(outcome.output, batch);
        assert_eq!(outcome.origin, Origin::Rows((0..u32::try_from(batch.num_rows()).unwrap()).collect()));
    }
}

#[test]
fn as_many_answers_as_records_are_asked_for() {
    check_invalid("(i32.store (i32.const 72) (i32.const 2))", "2 answers to 3 records");
    check_invalid("(i32.store (i32.const 72) (i32.const 0))", "0 answers to 3 records");
}

#[test]
fn what_lies_beyond_memory_or_is_no_such_value_is_refused() {
    check_invalid("(i32.store (i32.const 68) (i32.const -8))", "");
    check_invalid("(i32.store (i32.const 72) (i32.const -1))", "");
    check_invalid(&on_first("(i32.store8 (local.get $at) (i32.const 9))"), "");
    check_invalid(&on_first("(i32.store offset=4 (local.get $at) (i32.const -8))"), "");
    check_invalid(&on_first("(i32.store offset=8 (local.get $at) (i32.const 100000000))"), "");
    // A string whose bytes lie beyond the end.
    check_invalid(&on_first("(i32.store (i32.load offset=4 (local.get $at)) (i32.const -100))"), "");
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let change = on_first("(i32.store8 (i32.load (i32.load offset=4 (local.get $at))) (i32.const 255))");
    check_invalid(&change, "utf-8");
}

#[test]
fn a_text_that_is_no_row_fails_its_record_alone() {
    // The first text, `{"n":1}`, loses its brace.
    let change = on_first("(i32.store8 (i32.load (i32.load offset=4 (local.get $at))) (i32.const 32))");
    for (output, problem) in [(Some(numbers_schema()), "it does not fit"), (None, "answered what is not JSON")] {
        let settings = Settings { records: Some(to(output)), ..settings(Limits::default()) };
        let mut instance = open_with(&format!("{SAME_RECORDS} {change} (i32.const 64)"), "", settings);
        let outcome = instance.call(&numbers([1, 2, 3]), &Invocation::default()).result.unwrap();
        assert_eq!((outcome.output.num_rows(), outcome.origin), (2, Origin::Rows(vec![1, 2])));
        let [failed] = &outcome.failed[..] else { panic!("{:?}", outcome.failed) };
        assert_eq!((failed.row, failed.code.as_str()), (0, "Function.InvalidResponse"));
        assert!(failed.message.contains(problem), "{failed:?}");
    }
}

#[test]
fn a_huge_answer_is_refused_before_it_is_copied() {
    // One answer with 100,000 texts, each the same 4 KiB.
    let texts = "
        (local.set $i (call $realloc (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 800000)))
        (i32.store offset=4 (local.get $at) (local.get $i))
        (i32.store offset=8 (local.get $at) (i32.const 100000))
        (loop $next
          (i32.store (local.get $i) (i32.const 1024))
          (i32.store offset=4 (local.get $i) (i32.const 4096))
          (local.set $i (i32.add (local.get $i) (i32.const 8)))
          (br_if $next (i32.lt_u (local.get $i) (i32.add (i32.load offset=4 (local.get $at)) (i32.const 800000)))))";
    check(&on_first(texts), CallErrorKind::OutputTooLarge, "16777216");
}

#[test]
fn many_small_records_fit_beside_a_small_limit_of_bytes() {
    // 20,000 records of 7 to 11 bytes: what each answer costs besides its text is not held against the limit.
    let limits = Limits { max_output: 256 << 10, ..Limits::default() };
    let mut instance = open_with(&format!("{SAME_RECORDS} (i32.const 64)"), "", settings(limits));
    let batch = numbers(0..20_000);
    assert_eq!(instance.call(&batch, &Invocation::default()).result.unwrap().output, batch);
}

#[test]
fn short_answers_do_not_fill_memory_with_the_nulls_of_a_wide_schema() {
    // Each of the 1,000 answers is `{"n":N}`, and each row would have a megabyte of columns.
    let wide = Schema::new(vec![Field::new("wide", DataType::FixedSizeBinary(1 << 20), true)]);
    let settings = Settings { records: Some(to(Some(Arc::new(wide)))), ..settings(Limits::default()) };
    let mut instance = open_with(&format!("{SAME_RECORDS} (i32.const 64)"), "", settings);
    let error = instance.call(&numbers(0..1_000), &Invocation::default()).result.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::OutputTooLarge);
}

/// How many of `calls` calls started a fresh copy, the first among them.
fn fresh_copies(process: &str, limits: Limits, recycle: Recycle, calls: usize) -> usize {
    let settings = Settings { recycle, ..settings(limits) };
    let mut instance = open_with(&format!("{process} {SAME_RECORDS} (i32.const 64)"), "", settings);
    let batch = numbers([1]);
    let call = |_| {
        let reply = instance.call(&batch, &Invocation::default());
        assert_eq!(reply.result.unwrap().output, batch);
        reply.usage.cold_start.is_some()
    };
    (0..calls).map(call).filter(|is_fresh| *is_fresh).count()
}

#[test]
fn a_copy_that_has_filled_its_memory_is_replaced_before_it_fails() {
    let limits = Limits { memory: 10 << 20, ..Limits::default() };
    // 1 MiB a call: without a fresh copy the ninth call would fail.
    let leak = "(if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then (unreachable)))";
    assert_eq!(fresh_copies(leak, limits, Recycle::default(), 30), 5);
    assert_eq!(fresh_copies("", limits, Recycle::default(), 30), 1);
}

#[test]
fn a_copy_that_needs_nearly_all_of_its_memory_to_start_is_not_replaced_each_time() {
    let limits = Limits { memory: 2 << 20, ..Limits::default() };
    assert_eq!(fresh_copies("", limits, Recycle::default(), 10), 1);
}

#[test]
fn a_copy_is_replaced_after_its_calls() {
    let recycle = Recycle { calls: 4, ..Recycle::default() };
    assert_eq!(fresh_copies("", Limits::default(), recycle, 12), 3);
}

#[test]
fn metrics_beyond_the_bounds_are_dropped_and_told_once() {
    // Names are the 1 to 100 bytes from 1024 on: 64 of them are as long as a name may be, or shorter.
    let items = format!(r#"(data (i32.const 1024) "{}")"#, "a".repeat(200));
    let process = format!(
        "(loop $more
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (call $counter (i32.const 1024) (local.get $at) (i64.const 2))
          (br_if $more (i32.lt_u (local.get $at) (i32.const 100))))
        (call $gauge (i32.const 1024) (i32.const 3) (f64.const nan))
        (call $gauge (i32.const 1024) (i32.const 3) (f64.const 1))
        {SAME_RECORDS} (i32.const 64)"
    );
    let (measured, lines) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let (metrics, log) = (Arc::clone(&measured), Arc::clone(&lines));
    let sink = MetricSink::new(move |metric| metrics.lock().unwrap().push((metric.name.len(), metric.value)));
    let logs = LogSink::new(move |line| log.lock().unwrap().push(line.message.to_owned()));
    let settings = Settings { metrics: sink, ..settings(Limits::default()) };
    let function = runtime().load("test", &records(&process, &items), settings, logs).unwrap();
    for _ in 0..2 {
        let mut instance = function.instance(numbers_schema(), &Caller::default()).unwrap();
        instance.call(&numbers([1]), &Invocation::default()).result.unwrap();
    }
    let measured = measured.lock().unwrap();
    assert_eq!(measured.len(), 128);
    assert!(
        measured
            .iter()
            .all(|(length, value)| { (1..=64).contains(length) && *value == riverhook_udf::MetricValue::Counter(2) })
    );
    assert_eq!(lines.lock().unwrap().len(), 1, "{:?}", lines.lock().unwrap());
}
