//! Handlers that mean harm, or are broken: each may hurt its own call alone. Those that want the whole machine are in
//! `process_heavy`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod process;

use std::time::{Duration, Instant};

use process::{answer, assert_goes, call, copy, failure, hostile, hostile_within, works};
use riverhook_udf::{CallErrorKind, Invocation};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_loop_ends_at_its_time_limit_and_the_next_call_works() {
    let mut copy = copy(hostile_within(SHORT));
    assert!(works(&mut copy));
    let process = copy.process_id().unwrap();
    let begun = Instant::now();
    let (kind, message) = failure(&mut copy, r#"{"do":"loop"}"#);
    assert_eq!((kind.clone(), kind.code()), (CallErrorKind::Timeout, "Sandbox.Timedout"), "{message}");
    assert!(begun.elapsed() >= SHORT && begun.elapsed() < SHORT * 5, "{:?}", begun.elapsed());
    assert_goes(process, Duration::from_secs(2));
    assert!(works(&mut copy), "the process that was killed went on");
}

#[test]
fn the_callers_deadline_holds_where_it_is_nearer() {
    let mut copy = copy(hostile(&[]));
    works(&mut copy);
    let begun = Instant::now();
    let invocation = Invocation { deadline: Some(begun + Duration::from_millis(100)), ..Invocation::default() };
    let error = copy.invoke(br#"{"do":"loop"}"#, &invocation).0.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Timeout);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn another_function_goes_on_while_one_loops() {
    let (mut looping, mut steady) = (copy(hostile_within(Duration::from_secs(1))), copy(hostile(&[])));
    works(&mut looping);
    works(&mut steady);
    let calls = std::thread::scope(|scope| {
        let stuck = scope.spawn(move || failure(&mut looping, r#"{"do":"loop"}"#).0);
        let mut calls = 0;
        while !stuck.is_finished() {
            assert!(!works(&mut steady));
            calls += 1;
        }
        assert_eq!(stuck.join().unwrap(), CallErrorKind::Timeout);
        calls
    });
    // Hundreds on a machine at rest; the point is that none waited for the one that loops.
    assert!(calls > 10, "only {calls} calls in a second beside a handler that loops");
}

#[test]
fn a_crash_brings_the_status_and_the_last_line_on_standard_error() {
    let mut copy = copy(hostile(&[]));
    works(&mut copy);
    let error = call(&mut copy, r#"{"do":"exit"}"#).0.unwrap_err();
    assert_eq!((error.code(), error.retryable), ("Runtime.ExitError", true));
    assert_eq!(error.message, "exited with status 3; its last line on standard error: last words");
    assert!(works(&mut copy));
    let (kind, message) = failure(&mut copy, r#"{"do":"kill"}"#);
    assert_eq!(kind, CallErrorKind::Crash);
    assert!(message.contains("SIGSEGV"), "{message}");
    assert!(works(&mut copy));
}

#[test]
fn what_a_crashed_process_started_dies_with_it() {
    let (mut copy, lines) = process::logging(hostile(&[]));
    let (kind, message) = failure(&mut copy, r#"{"do":"fork_and_exit"}"#);
    assert_eq!((kind, message.as_str()), (CallErrorKind::Crash, "exited with status 4"));
    let left = lines.lock().unwrap()[0].2.strip_prefix("left ").unwrap().parse().unwrap();
    assert_goes(left, Duration::from_secs(2));
}

#[test]
fn an_answer_given_just_before_the_end_counts() {
    let mut copy = copy(hostile(&[]));
    assert_eq!(answer(&mut copy, r#"{"do":"answer_and_exit"}"#), r#""the last""#);
    assert!(works(&mut copy), "there was nobody left to answer");
}

#[test]
fn a_process_that_hangs_while_starting_times_out() {
    let mut settings = hostile(&["hang"]);
    settings.init_timeout = SHORT;
    let mut copy = copy(settings);
    let begun = Instant::now();
    let (kind, message) = failure(&mut copy, "1");
    assert_eq!(
        (kind, message.as_str()),
        (CallErrorKind::Timeout, "while starting: did not ask for its first event within 300ms")
    );
    assert!(begun.elapsed() < SHORT * 5);
    assert_eq!(copy.process_id(), None);
}

#[test]
fn a_process_that_cannot_start_says_why() {
    let (kind, message) = failure(&mut copy(hostile(&["exit"])), "1");
    assert_eq!(kind, CallErrorKind::Crash);
    let expected = "while starting: exited with status 7; its last line on standard error: cannot find my model";
    assert_eq!(message, expected);
    let (kind, message) = failure(&mut copy(hostile(&["error"])), "1");
    assert_eq!(kind.code(), "Runtime.ImportModuleError");
    assert_eq!(message, "while starting: Runtime.ImportModuleError: no module named app");
}

#[test]
fn a_program_that_is_not_there_or_may_not_run_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("plain"), "text").unwrap();
    let refused = |program: &str, folder: &std::path::Path| {
        let settings = riverhook_udf::ProcessSettings::new("test", vec![program.to_owned()], folder);
        let (kind, message) = failure(&mut copy(settings), "1");
        assert_eq!(kind.code(), "Runtime.InvalidEntrypoint");
        message
    };
    assert!(refused("no-such-program", dir.path()).contains("no such program in PATH"));
    assert!(refused("./missing", dir.path()).contains("there is no such file"));
    assert!(refused("./plain", dir.path()).contains("chmod +x"));
    assert!(refused("true", &dir.path().join("gone")).contains("does not exist"));
}

#[test]
fn starts_that_fail_wait_longer_each_time_and_never_past_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("well");
    let mut copy = copy(hostile(&["once", flag.to_str().unwrap()]));
    for _ in 0..5 {
        assert_eq!(failure(&mut copy, "1").0, CallErrorKind::Crash);
    }
    // The next start is 800 ms away.
    let begun = Instant::now();
    let invocation = Invocation { deadline: Some(begun + Duration::from_millis(200)), ..Invocation::default() };
    let error = copy.invoke(b"1", &invocation).0.unwrap_err();
    assert_eq!((error.kind.clone(), error.retryable), (CallErrorKind::Unavailable, true));
    assert!(error.message.contains("5 times in a row"), "{error}");
    assert!(begun.elapsed() < Duration::from_millis(150));
    std::fs::write(&flag, "").unwrap();
    assert!(works(&mut copy));
    assert!(begun.elapsed() > Duration::from_millis(500), "did not wait");
}

#[test]
fn an_event_that_is_too_large_is_not_sent() {
    let mut settings = hostile(&[]);
    settings.max_request = 1000;
    let mut copy = copy(settings);
    let event = |bytes: usize| format!("[{}]", " ".repeat(bytes - 2));
    assert_eq!(answer(&mut copy, &event(1000)).len(), 1000);
    assert_eq!(failure(&mut copy, &event(1001)).0, CallErrorKind::RequestTooLarge);
}

#[test]
fn garbage_and_closed_sockets_hurt_no_other_connection() {
    let mut copy = copy(hostile(&[]));
    assert_eq!(answer(&mut copy, r#"{"do":"garbage"}"#), r#""after garbage""#);
    assert_eq!(answer(&mut copy, r#"{"do":"cut"}"#), r#""whole""#);
    assert!(!works(&mut copy));
}

#[test]
fn an_answer_cut_off_for_good_times_out() {
    let mut copy = copy(hostile_within(SHORT));
    works(&mut copy);
    assert_eq!(failure(&mut copy, r#"{"do":"cut_for_ever"}"#).0, CallErrorKind::Timeout);
    assert!(works(&mut copy));
}

#[test]
fn an_event_lost_with_its_connection_is_given_again() {
    let mut copy = copy(hostile(&[]));
    assert_eq!(answer(&mut copy, r#"{"do":"lose_poll"}"#), r#""answered""#);
    assert!(!works(&mut copy), "the process that lost it was started anew");
}

#[test]
fn connections_have_a_bound_and_those_beyond_it_wait() {
    let mut copy = copy(hostile_within(SHORT * 2));
    assert_eq!(answer(&mut copy, r#"{"do":"connections","count":12}"#), r#""through""#);
    assert!(!works(&mut copy));
    // With its own connections it locks itself out.
    assert_eq!(failure(&mut copy, r#"{"do":"connections","count":30}"#).0, CallErrorKind::Timeout);
    assert!(works(&mut copy));
}
