//! What is done when calls fail, with a function that is told what to do, and no time that passes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use arrow_array::{Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::{DataType, Field, Schema};
use riverhook_config::DurationRange;
use riverhook_connectors::{
    batch::{Batch, Input, Rows},
    position::{Partition, Position},
};
use riverhook_udf::{CallError, CallErrorKind, FailedRow, Origin, Outcome, Reply, Usage};
use uuid::Uuid;

use super::policy::{Called, Delivered, Policy, World, deliver};

/// What the function does with the values it is given, and with its how manieth call.
type Script<'s> = dyn FnMut(&[i64], usize) -> Result<Outcome, CallError> + 's;

struct Scripted<'s> {
    script: &'s mut Script<'s>,
    calls: usize,
    pauses: Vec<Duration>,
    age: Duration,
}

impl World for Scripted<'_> {
    fn call(&mut self, rows: &RecordBatch, _: &Batch) -> Called {
        self.calls += 1;
        let values = rows.column(0).as_primitive::<Int64Type>().values().to_vec();
        let result = (self.script)(&values, self.calls);
        Called { id: Uuid::from_u128(self.calls as u128), reply: Reply { result, usage: Usage::default() } }
    }

    fn pause(&mut self, duration: Duration) {
        self.pauses.push(duration);
        self.age += duration;
    }

    fn age(&mut self, _: &Batch) -> Duration {
        self.age
    }
}

fn numbers(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(values))]).unwrap()
}

fn batch(count: i64) -> Batch {
    let input = Input {
        source: "s".into(),
        partition: Partition::new("p"),
        positions: (0..count as u64).map(Position::Offset).collect(),
        keys: None,
        headers: None,
        times: None,
        read_at: 0,
    };
    Batch { records: numbers(0..count), rows: Rows::Same, input: Arc::new(input) }
}

fn policy() -> Policy {
    let backoff = DurationRange { min: Duration::from_millis(100), max: Duration::from_secs(5) };
    Policy { attempts: 2, backoff, bisect: true, ordered: true, max_age: None }
}

fn same(values: &[i64]) -> Outcome {
    Outcome { output: numbers(values.iter().copied()), origin: Origin::Same, failed: Vec::new() }
}

fn error(kind: CallErrorKind, retryable: bool) -> CallError {
    CallError { kind, message: "no".to_owned(), retryable }
}

fn run<'s>(
    count: i64,
    policy: &Policy,
    script: &'s mut Script<'s>,
) -> (Result<Delivered, CallError>, usize, Vec<Duration>) {
    let mut world = Scripted { script, calls: 0, pauses: Vec::new(), age: Duration::ZERO };
    let delivered = deliver(&batch(count), policy, &mut world);
    (delivered, world.calls, world.pauses)
}

/// The values that went on, each with the record that it is said to be of.
fn out(delivered: &Delivered) -> Vec<i64> {
    let values = delivered.out.iter().flat_map(|batch| {
        let values = batch.records.column(0).as_primitive::<Int64Type>();
        (0..values.len()).map(|row| {
            assert_eq!(batch.rows.record(row), Some(values.value(row) as usize), "a row's record");
            values.value(row)
        })
    });
    values.collect()
}

#[test]
fn a_poison_record_among_ten_thousand_ends_alone_after_few_calls() {
    for poison in [0, 1, 4_999, 5_000, 9_999] {
        let (delivered, calls, _) = run(10_000, &policy(), &mut |values, _| {
            if values.contains(&poison) { Err(error(CallErrorKind::Crash, true)) } else { Ok(same(values)) }
        });
        let delivered = delivered.unwrap();
        assert_eq!(out(&delivered), (0..10_000).filter(|n| *n != poison).collect::<Vec<_>>());
        let failed: Vec<_> = delivered.failed.iter().map(|failed| (failed.row, failed.code)).collect();
        assert_eq!(failed, [(poison as u32, "Runtime.ExitError")]);
        // 2·log2(10,000) + attempts, log2 being 13.3.
        assert!(calls <= 2 * 14 + 2, "{calls} calls");
        assert!(delivered.failed[0].attempts >= 14, "{:?}", delivered.failed);
    }
}

#[test]
fn a_failure_that_passes_is_tried_again_after_a_pause() {
    let (delivered, calls, pauses) = run(3, &policy(), &mut |values, call| match call {
        1 => Err(error(CallErrorKind::Timeout, true)),
        _ => Ok(same(values)),
    });
    assert_eq!((out(&delivered.unwrap()), calls), (vec![0, 1, 2], 2));
    assert!(pauses.len() == 1 && pauses[0] >= Duration::from_millis(100) && pauses[0] <= Duration::from_millis(125));
}

#[test]
fn what_no_second_try_can_help_has_none() {
    let policy = Policy { bisect: false, ..policy() };
    let (delivered, calls, _) = run(3, &policy, &mut |_, _| Err(error(CallErrorKind::Failed("Own".to_owned()), false)));
    let delivered = delivered.unwrap();
    assert_eq!((calls, delivered.failed.len(), delivered.failed[2].row), (1, 3, 2));
    assert_eq!((delivered.failed[0].code, delivered.failed[0].message.as_str()), ("Function.Failed", "Own: no"));
}

#[test]
fn what_is_unavailable_waits_longer_each_time_and_is_not_halved() {
    let (delivered, calls, pauses) = run(4, &policy(), &mut |values, call| {
        assert_eq!(values.len(), 4, "never halved");
        if call <= 10 { Err(error(CallErrorKind::Unavailable, true)) } else { Ok(same(values)) }
    });
    assert_eq!((out(&delivered.unwrap()), calls), (vec![0, 1, 2, 3], 11));
    assert!(pauses[0] < pauses[3] && pauses[9] >= Duration::from_secs(5), "{pauses:?}");
}

#[test]
fn a_server_that_says_when_to_come_back_is_left_alone_until_then() {
    let later = Duration::from_secs(30);
    let (_, _, pauses) = run(1, &policy(), &mut |values, call| match call {
        1 => Err(error(CallErrorKind::Throttled { retry_after: later }, true)),
        _ => Ok(same(values)),
    });
    assert_eq!(pauses, [later]);
}

#[test]
fn records_that_became_too_old_are_given_up() {
    let policy = Policy { max_age: Some(Duration::from_secs(60)), ..policy() };
    let (delivered, calls, pauses) = run(4, &policy, &mut |_, _| Err(error(CallErrorKind::Unavailable, true)));
    assert_eq!(delivered.unwrap().failed.len(), 4);
    let waited: Duration = pauses.iter().sum();
    assert!(waited >= Duration::from_secs(60) && waited < Duration::from_secs(70), "{waited:?} in {calls} calls");
}

#[test]
fn what_cannot_be_started_is_no_rows_fault() {
    let (delivered, calls, _) = run(4, &policy(), &mut |_, _| Err(error(CallErrorKind::InvalidEntrypoint, false)));
    assert!(delivered.is_err() && calls == 1);
}

/// A function that answers each value, but for the `bad` ones until they were tried so often.
fn partial(bad: &[i64], until: usize, retryable: bool) -> impl FnMut(&[i64], usize) -> Result<Outcome, CallError> {
    let bad: BTreeSet<i64> = bad.iter().copied().collect();
    move |values, call| {
        let (mut kept, mut index, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (row, value) in (0u32..).zip(values) {
            if bad.contains(value) && call < until {
                let (code, message) = ("Bad".to_owned(), "no".to_owned());
                failed.push(FailedRow { row, code, message, retryable });
            } else {
                kept.push(*value);
                index.push(row);
            }
        }
        Ok(Outcome { output: numbers(kept), origin: Origin::Rows(index), failed })
    }
}

#[test]
fn rows_run_again_in_order_from_the_first_that_failed() {
    let mut seen = Vec::new();
    let mut function = partial(&[3, 5], 2, true);
    let (delivered, calls, _) = run(8, &policy(), &mut |values, call| {
        seen.push(values.to_vec());
        function(values, call)
    });
    assert_eq!((out(&delivered.unwrap()), calls), ((0..8).collect(), 2));
    assert_eq!(seen[1], [3, 4, 5, 6, 7]);
}

#[test]
fn without_order_only_the_failed_rows_run_again() {
    let mut seen = Vec::new();
    let mut function = partial(&[3, 5], 2, true);
    let (delivered, _, _) = run(8, &Policy { ordered: false, ..policy() }, &mut |values, call| {
        seen.push(values.to_vec());
        function(values, call)
    });
    assert_eq!(out(&delivered.unwrap()), [0, 1, 2, 4, 6, 7, 3, 5]);
    assert_eq!(seen[1], [3, 5]);
}

#[test]
fn rows_that_go_on_failing_are_given_up_alone() {
    for ordered in [true, false] {
        let policy = Policy { ordered, attempts: 3, ..policy() };
        let (delivered, calls, _) = run(8, &policy, &mut partial(&[3, 5], 99, true));
        let delivered = delivered.unwrap();
        assert_eq!((out(&delivered), calls), (vec![0, 1, 2, 4, 6, 7], 3));
        let failed: Vec<_> = delivered.failed.iter().map(|failed| (failed.row, failed.attempts)).collect();
        assert_eq!(failed, [(3, 3), (5, 3)]);
    }
}

#[test]
fn rows_that_no_try_can_help_are_given_up_at_once() {
    let (delivered, calls, _) = run(8, &policy(), &mut partial(&[3, 5], 99, false));
    assert_eq!((out(&delivered.unwrap()).len(), calls), (6, 1));
}
