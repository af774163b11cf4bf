//! What the tests of processes share: functions made of the handlers beside this, their logs, and who is alive.

// Each test file compiles this for itself and uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use riverhook_udf::{
    CallError, CallErrorKind, Caller, Invocation, LogLevel, LogSink, ProcessCopy, ProcessFunction, ProcessSettings,
    Usage,
};
use uuid::Uuid;

/// The folder with the handlers.
pub(crate) fn handlers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/handlers")
}

/// The handler that does what its event says, started with these arguments.
pub(crate) fn hostile(arguments: &[&str]) -> ProcessSettings {
    let command = ["python3", "-S", "hostile.py"].iter().chain(arguments).map(|&word| word.to_owned()).collect();
    let mut settings = ProcessSettings::new("test", command, &handlers());
    // Tests of other things must not fail because the machine is busy.
    settings.limits.timeout = Duration::from_secs(30);
    settings.init_timeout = Duration::from_secs(30);
    settings
}

/// The same with another time limit of calls.
pub(crate) fn hostile_within(timeout: Duration) -> ProcessSettings {
    let mut settings = hostile(&[]);
    settings.limits.timeout = timeout;
    settings
}

pub(crate) fn copy(settings: ProcessSettings) -> ProcessCopy {
    ProcessFunction::new(settings, LogSink::none()).unwrap().copy(&Caller::default())
}

/// Log lines: invocation, level, text.
pub(crate) type Lines = Arc<Mutex<Vec<(Uuid, LogLevel, String)>>>;

/// A copy that keeps its log lines.
pub(crate) fn logging(settings: ProcessSettings) -> (ProcessCopy, Lines) {
    let lines = Lines::default();
    let sink = {
        let lines = Arc::clone(&lines);
        LogSink::new(move |line| {
            lines.lock().unwrap().push((line.invocation, line.level, line.message.to_owned()));
        })
    };
    (ProcessFunction::new(settings, sink).unwrap().copy(&Caller::default()), lines)
}

/// One call with an id of its own.
pub(crate) fn call(copy: &mut ProcessCopy, event: &str) -> (Result<String, CallError>, Usage) {
    let invocation = Invocation { id: Uuid::new_v4(), ..Invocation::default() };
    let (result, usage) = copy.invoke(event.as_bytes(), &invocation);
    (result.map(|answer| String::from_utf8(answer).unwrap()), usage)
}

/// The answer of one call.
pub(crate) fn answer(copy: &mut ProcessCopy, event: &str) -> String {
    call(copy, event).0.unwrap()
}

/// What one call fails with.
pub(crate) fn failure(copy: &mut ProcessCopy, event: &str) -> (CallErrorKind, String) {
    let error = call(copy, event).0.unwrap_err();
    (error.kind, error.message)
}

/// Checks that the copy answers as if nothing had happened; returns whether it had to start anew.
pub(crate) fn works(copy: &mut ProcessCopy) -> bool {
    let (result, usage) = call(copy, "[1,2]");
    assert_eq!(result.unwrap(), "[1,2]");
    usage.cold_start.is_some()
}

/// Whether the process runs: it is there, and no zombie.
pub(crate) fn alive(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

/// Waits until the process has gone.
pub(crate) fn assert_goes(process: u32, within: Duration) {
    let begun = Instant::now();
    while alive(process) {
        assert!(begun.elapsed() < within, "process {process} still runs after {within:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
