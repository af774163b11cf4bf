//! Handlers that want all of the machine's memory, processes or time: they get what their limits say.
//!
//! One at a time and with small limits, since other tests, and their servers, run beside them.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod process;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use process::{answer, assert_goes, call, copy, failure, hostile, hostile_within, works};
use riverhook_udf::CallErrorKind;

const SHORT: Duration = Duration::from_millis(300);

fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // The failure of one test says nothing of the next.
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn memory_beyond_the_limit_ends_the_process() {
    let _alone = alone();
    for action in ["grow", "fork_and_grow"] {
        let mut settings = hostile(&[]);
        settings.limits.memory = 64 << 20;
        let mut copy = copy(settings);
        works(&mut copy);
        let process = copy.process_id().unwrap();
        let (result, usage) = call(&mut copy, &format!(r#"{{"do":"{action}"}}"#));
        let error = result.unwrap_err();
        assert_eq!((error.kind.clone(), error.code()), (CallErrorKind::OutOfMemory, "Runtime.OutOfMemory"), "{error}");
        assert!(error.message.contains("67108864"), "{error}");
        assert!(usage.peak_memory > 64 << 20 && usage.peak_memory < 3 << 30, "{usage:?}");
        assert_goes(process, Duration::from_secs(2));
        assert!(works(&mut copy));
    }
}

/// A bomb in the handler's process group, and one whose every process is a session of its own.
#[test]
fn a_fork_bomb_is_stopped_whole_and_early() {
    let _alone = alone();
    for daemons in [false, true] {
        // Not an argument that it minds, but one that all its processes show.
        let mark = format!("bomb-{}-{daemons}", std::process::id());
        let mut settings = hostile(&[&mark]);
        settings.limits.timeout = Duration::from_secs(2);
        settings.max_processes = 64;
        let mut copy = copy(settings);
        works(&mut copy);
        let (kind, message) = failure(&mut copy, &format!(r#"{{"do":"fork_bomb","daemons":{daemons}}}"#));
        // Where the kernel counts, it cannot start more, and does not end by itself.
        let refused = kind == CallErrorKind::Timeout;
        let started = message.split(' ').nth(1).and_then(|word| word.parse::<usize>().ok());
        let stopped = kind == CallErrorKind::Crash && started.is_some_and(|processes| processes < 1024);
        assert!(refused || stopped, "{kind:?}: {message}");
        let begun = Instant::now();
        while marked(&mark) > 0 {
            assert!(begun.elapsed() < Duration::from_secs(2), "{} are left of the bomb", marked(&mark));
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(works(&mut copy));
    }
}

/// How many processes run that have this argument.
fn marked(mark: &str) -> usize {
    let commands = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        // One that has ended and was not reaped has an empty one.
        std::fs::read(entry.ok()?.path().join("cmdline")).ok()
    });
    commands.filter(|command| command.windows(mark.len()).any(|part| part == mark.as_bytes())).count()
}

#[test]
fn an_answer_that_is_too_large_fails_its_call_and_the_process_goes_on() {
    let _alone = alone();
    let mut settings = hostile(&[]);
    let most = 1 << 20;
    settings.max_response = most;
    // Python holds a large answer several times.
    settings.limits.memory = 1 << 30;
    let mut copy = copy(settings);
    assert_eq!(answer(&mut copy, &format!(r#"{{"do":"large","bytes":{most}}}"#)).len(), most);
    for bytes in [most + 1, 100 << 20] {
        let (kind, message) = failure(&mut copy, &format!(r#"{{"do":"large","bytes":{bytes}}}"#));
        assert_eq!(kind.code(), "Function.ResponseSizeTooLarge");
        assert_eq!(message, format!("answered more than {most} bytes"));
        let note: String = answer(&mut copy, r#"{"do":"note"}"#);
        assert!(note.contains("413") && note.contains("RequestEntityTooLarge"), "{note}");
    }
    assert!(!works(&mut copy), "the process did not go on");
}

#[test]
fn an_answer_without_end_is_called_too_large() {
    let _alone = alone();
    let mut copy = copy(hostile_within(SHORT * 3));
    works(&mut copy);
    let before = resident();
    assert_eq!(failure(&mut copy, r#"{"do":"endless"}"#).0, CallErrorKind::OutputTooLarge);
    assert!(resident() < before + (200 << 20), "the answer was kept");
    assert!(works(&mut copy));
}

/// The memory of this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_flood_of_output_neither_stops_the_clock_nor_fills_the_log() {
    let _alone = alone();
    let (mut copy, lines) = process::logging(hostile_within(SHORT * 2));
    works(&mut copy);
    let begun = Instant::now();
    let (result, usage) = call(&mut copy, r#"{"do":"flood"}"#);
    assert_eq!(result.unwrap_err().kind, CallErrorKind::Timeout);
    assert!(begun.elapsed() < SHORT * 10);
    assert!(usage.dropped_logs > 100, "{usage:?}");
    assert!(lines.lock().unwrap().len() < 500);
}
