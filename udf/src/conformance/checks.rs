//! What a function promises while all goes well, and about single rows.

use std::thread;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray as _;

use super::calls::{Copy, PATIENCE, ample, ids, same};
use super::subject::{Behaviour, START, Subject, batch, schema};
use super::{Check, Finding, ensure};
use crate::contract::{CallErrorKind, Origin};
use crate::limits::Limits;

/// All checks.
pub(super) const ALL: &[Check] = &[
    ("rows come back as the code answers them", success),
    ("a function has a version, and one schema", description),
    ("no rows are no failure", empty),
    ("rows may be dropped", filter),
    ("rows may become several", one_to_many),
    ("rows may become others, of another schema", schema_change),
    ("a row that fails is named, alone", failed_row),
    ("all rows may fail", all_failed),
    ("code may say no to a batch, and goes on", refused_batch),
    ("rows keep their order", order),
    ("copies do not mix their rows", several_copies),
    ("copies run at the same time", at_once),
    ("a slow start takes nothing from a call's time", slow_start),
    ("a copy that is warm is not reported as started", warm),
];

fn success(subject: &mut dyn Subject) -> Finding {
    let function = subject.function(Behaviour::Echo, &ample());
    let mut copy = Copy::of(&*function)?;
    for rows in [1, 3, 1_000] {
        let (outcome, _) = copy.succeed(0..rows)?;
        same(&outcome, &batch(0..rows))?;
    }
    Ok(())
}

fn description(subject: &mut dyn Subject) -> Finding {
    for behaviour in [Behaviour::Echo, Behaviour::Relabel] {
        let function = subject.function(behaviour, &ample());
        let version = function.version();
        ensure!(!version.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit()), "its version is no hash");
        let described = function.describe(&schema()).map_err(|error| format!("it has no schema: {error}"))?;
        let again = function.describe(&schema()).map_err(|error| format!("it has no schema: {error}"))?;
        ensure!(described == again, "it has another schema when asked again");
        ensure!(described == behaviour.output(), "its schema is not what its code answers");
    }
    Ok(())
}

fn empty(subject: &mut dyn Subject) -> Finding {
    let function = subject.function(Behaviour::Echo, &ample());
    let mut copy = Copy::of(&*function)?;
    let (outcome, _) = copy.succeed([])?;
    same(&outcome, &batch([]))?;
    copy.works()
}

fn filter(subject: &mut dyn Subject) -> Finding {
    let function = subject.function(Behaviour::Filter, &ample());
    let mut copy = Copy::of(&*function)?;
    let (outcome, _) = copy.succeed([1, -2, 3, -4])?;
    same(&outcome, &batch([1, 3]))?;
    let (outcome, _) = copy.succeed([-1, -2])?;
    same(&outcome, &batch([]))
}

fn one_to_many(subject: &mut dyn Subject) -> Finding {
    let function = subject.function(Behaviour::Twice, &ample());
    let mut copy = Copy::of(&*function)?;
    let (outcome, _) = copy.succeed([7, 5])?;
    same(&outcome, &batch([7, 7, 5, 5]))?;
    ensure!(outcome.origin != Origin::Same, "four rows are said to be the two of the input");
    let (outcome, _) = copy.succeed([9])?;
    same(&outcome, &batch([9, 9]))
}

fn schema_change(subject: &mut dyn Subject) -> Finding {
    let function = subject.function(Behaviour::Relabel, &ample());
    let (outcome, _) = Copy::of(&*function)?.succeed([4, 2])?;
    let labels = outcome.output.column(0).as_string_opt::<i32>().ok_or("the labels are no texts")?;
    let labels: Vec<_> = labels.iter().collect();
    ensure!(labels == [Some("row 4"), Some("row 2")], "the labels of rows 4 and 2 are {labels:?}");
    Ok(())
}

fn failed_row(subject: &mut dyn Subject) -> Finding {
    failed_rows(subject, &[1, -2, 3, -4, 5], &[1, 3])
}

fn all_failed(subject: &mut dyn Subject) -> Finding {
    failed_rows(subject, &[-1, -2, -3], &[0, 1, 2])
}

fn failed_rows(subject: &mut dyn Subject, rows: &[i64], expected: &[u32]) -> Finding {
    let function = subject.function(Behaviour::FailRows, &ample());
    let mut copy = Copy::of(&*function)?;
    let (outcome, _) = copy.succeed(rows.iter().copied())?;
    let failed: Vec<u32> = outcome.failed.iter().map(|failed| failed.row).collect();
    ensure!(failed == expected, "rows {expected:?} were to fail, and {failed:?} did");
    ensure!(outcome.failed.iter().all(|failed| !failed.code.is_empty()), "a failed row has no code");
    let (answered, good) = (ids(&outcome.output), rows.iter().copied().filter(|id| *id >= 0).collect::<Vec<_>>());
    ensure!(answered.is_empty() || answered == good, "rows {answered:?} came back beside the failed ones");
    let (outcome, _) = copy.succeed([1, 2])?;
    ensure!(outcome.failed.is_empty(), "rows failed after the bad ones were gone");
    Ok(())
}

fn refused_batch(subject: &mut dyn Subject) -> Finding {
    let function = subject.function(Behaviour::FailBatch, &ample());
    let mut copy = Copy::of(&*function)?;
    copy.works()?;
    let (error, _) = copy.fail()?;
    ensure!(matches!(error.kind, CallErrorKind::Failed(_)), "the function's own no is reported as {error}");
    copy.works()
}

fn order(subject: &mut dyn Subject) -> Finding {
    let function = subject.function(Behaviour::Echo, &ample());
    let mut copy = Copy::of(&*function)?;
    for first in (0..1_000).step_by(100) {
        // Neither ascending nor descending.
        let rows: Vec<i64> = (first..first + 100).map(|id| id * 7_919 % 1_009).collect();
        let (outcome, _) = copy.succeed(rows.iter().copied())?;
        same(&outcome, &batch(rows))?;
    }
    Ok(())
}

fn several_copies(subject: &mut dyn Subject) -> Finding {
    let function = subject.function(Behaviour::Echo, &ample());
    let calls = |first: i64| {
        let mut copy = Copy::of(&*function)?;
        (0..20).try_for_each(|call| {
            let rows = first + call * 10..first + call * 10 + 10;
            let (outcome, _) = copy.succeed(rows.clone())?;
            same(&outcome, &batch(rows))
        })
    };
    in_threads(4, |thread| calls(thread * 1_000))
}

fn at_once(subject: &mut dyn Subject) -> Finding {
    const NAP: Duration = Duration::from_millis(400);
    if !subject.abilities().naps {
        return Ok(());
    }
    let function = subject.function(Behaviour::Nap, &ample());
    let copies = (0..4).map(|_| {
        let mut copy = Copy::of(&*function)?;
        copy.works()?;
        Ok(std::sync::Mutex::new(copy))
    });
    let copies = copies.collect::<Result<Vec<_>, String>>()?;
    let started = Instant::now();
    in_threads(4, |thread| {
        let mut copy = copies[thread as usize].lock().expect("nobody else has it");
        let (outcome, usage) = copy.succeed([-1])?;
        ensure!(usage.duration >= NAP, "a call of {NAP:?} is reported to have taken {:?}", usage.duration);
        same(&outcome, &batch([-1]))
    })?;
    let took = started.elapsed();
    ensure!(took < NAP * 3, "four calls of {NAP:?} took {took:?} together");
    Ok(())
}

/// Runs so many at once, and gives what the first of them found.
fn in_threads(threads: i64, run: impl Fn(i64) -> Finding + Sync) -> Finding {
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn({
                    let run = &run;
                    move || run(thread)
                })
            })
            .collect();
        let found = running.into_iter().map(|thread| thread.join().map_err(|_| "a call panicked".to_owned())?);
        found.collect::<Vec<_>>().into_iter().collect()
    })
}

fn slow_start(subject: &mut dyn Subject) -> Finding {
    let abilities = subject.abilities();
    if !abilities.slow_start {
        return Ok(());
    }
    let function = subject.function(Behaviour::SlowStart, &Limits { timeout: START * 2 / 3, ..ample() });
    let mut copy = Copy::of(&*function)?;
    let started = Instant::now();
    let (outcome, usage) = copy.succeed(0..3)?;
    same(&outcome, &batch(0..3))?;
    ensure!(started.elapsed() < PATIENCE, "it took {:?} to start", started.elapsed());
    if abilities.cold_start {
        let cold = usage.cold_start.unwrap_or_default();
        ensure!(cold >= START / 2, "a start of {START:?} is reported as {cold:?}");
    }
    Ok(())
}

fn warm(subject: &mut dyn Subject) -> Finding {
    let reports = subject.abilities().cold_start;
    let function = subject.function(Behaviour::Echo, &ample());
    let mut copy = Copy::of(&*function)?;
    let (_, first) = copy.succeed([1])?;
    ensure!(first.cold_start.is_some() || !reports, "the first call reports no start");
    let (_, second) = copy.succeed([2])?;
    ensure!(second.cold_start.is_none(), "the second call reports a start of {:?}", second.cold_start);
    Ok(())
}
