//! Processes go when their copy goes, and when the engine goes, however it does.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod process;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use process::{alive, answer, assert_goes, call, copy, hostile, hostile_within, works};

/// The processes that the handler says it left behind: one in its group, one in a session of its own.
fn left(answer: &str) -> Vec<u32> {
    serde_json::from_str(answer).unwrap()
}

#[test]
fn a_dropped_copy_takes_its_processes_with_it_and_nobody_waits() {
    let mut copy = copy(hostile(&[]));
    let left = left(&answer(&mut copy, r#"{"do":"fork"}"#));
    answer(&mut copy, r#"{"do":"ignore_term"}"#);
    let process = copy.process_id().unwrap();
    assert!([process, left[0], left[1]].into_iter().all(alive));
    let begun = Instant::now();
    drop(copy);
    assert!(begun.elapsed() < Duration::from_millis(200), "dropping took {:?}", begun.elapsed());
    for process in [process, left[0], left[1]] {
        assert_goes(process, Duration::from_secs(3));
    }
}

#[test]
fn a_process_that_minds_the_signal_goes_at_once() {
    let mut copy = copy(hostile(&[]));
    works(&mut copy);
    let process = copy.process_id().unwrap();
    drop(copy);
    assert_goes(process, Duration::from_millis(400));
}

#[test]
fn what_a_killed_process_started_dies_with_it() {
    let mut copy = copy(hostile_within(Duration::from_secs(2)));
    let left = left(&answer(&mut copy, r#"{"do":"fork"}"#));
    call(&mut copy, r#"{"do":"loop"}"#).0.unwrap_err();
    for process in left {
        assert_goes(process, Duration::from_secs(3));
    }
}

#[test]
fn a_process_that_ended_between_calls_is_replaced_without_a_failure() {
    let mut copy = copy(hostile(&[]));
    works(&mut copy);
    for _ in 0..4 {
        let process = copy.process_id().unwrap();
        kill(process);
        assert_goes(process, Duration::from_secs(2));
        assert!(works(&mut copy), "a process that was dead answered");
    }
}

fn kill(process: u32) {
    assert!(Command::new("kill").args(["-9", &process.to_string()]).status().unwrap().success());
}

#[test]
fn a_child_outlives_the_thread_that_called_first() {
    let mut copy = std::thread::spawn(|| {
        let mut copy = copy(hostile(&[]));
        works(&mut copy);
        copy
    })
    .join()
    .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert!(!works(&mut copy), "the child died with the thread that asked for it");
}

/// Not a test by itself: the engine that the next test kills.
#[test]
#[ignore = "it waits to be killed"]
fn an_engine_to_be_killed() {
    let mut copy = copy(hostile(&[]));
    let left = left(&answer(&mut copy, r#"{"do":"fork"}"#));
    let mut stdout = std::io::stdout();
    writeln!(stdout, "\nprocesses: {} {} {}", copy.process_id().unwrap(), left[0], left[1]).unwrap();
    stdout.flush().unwrap();
    // In the midst of a call, as an engine would be.
    let _ = call(&mut copy, r#"{"do":"sleep","seconds":60}"#);
}

#[test]
fn children_and_theirs_die_with_an_engine_that_is_killed() {
    let mut engine = Command::new(std::env::current_exe().unwrap())
        .args(["an_engine_to_be_killed", "--exact", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(engine.stdout.take().unwrap()).lines();
    let running = lines.find_map(|line| Some(line.unwrap().strip_prefix("processes: ")?.to_owned())).unwrap();
    let processes: Vec<u32> = running.split(' ').map(|process| process.parse().unwrap()).collect();
    assert!(processes.iter().copied().all(alive), "{processes:?}");
    let group = std::fs::read_to_string(format!("/proc/{}/cgroup", processes[2])).unwrap();
    let held = group.contains("/riverhook.");
    engine.kill().unwrap();
    engine.wait().unwrap();
    for process in &processes[..2] {
        assert_goes(*process, Duration::from_secs(2));
    }
    // A session of its own is beyond what a parent's death reaches: a control group holds it, where there is one.
    if held {
        assert_goes(processes[2], Duration::from_secs(2));
    } else {
        let _ =
            writeln!(std::io::stderr(), "LEFT OUT: daemons of a killed engine: here are no control groups to write in");
        kill(processes[2]);
    }
}
