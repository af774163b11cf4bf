//! A process that runs, with all that belongs to it: its Runtime API, its output, its memory's watch.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, yield_now};
use uuid::Uuid;

use super::alarm::Alarm;
use super::api::{Api, Event, Signal};
use super::cgroup::Cgroup;
use super::child::{self, Child};
use super::copy::{arn, unavailable};
use super::lines::Lines;
use super::server::{Server, too_large};
use super::watchdog::{Verdict, Watched};
use super::{Shared, burial, environment, family, spawner};
use crate::contract::{CallError, CallErrorKind, Caller, LogLevel};

/// How often a process's own peak of memory is read: the kernel takes a while to write it down.
const PEAK: Duration = Duration::from_millis(100);
/// How many turns the server gets, after the process has ended, to read what it had sent before.
const LAST_TURNS: usize = 64;

/// A process that has not been found beyond use.
pub(super) struct Live {
    child: Child,
    exit: AsyncFd<OwnedFd>,
    stdout: Lines,
    stderr: Lines,
    api: Arc<Api>,
    alarm: Alarm,
    server: JoinHandle<()>,
    /// None if the kernel holds it to its limits.
    watched: Option<Arc<Watched>>,
    peak: usize,
    peak_read: Option<Instant>,
    /// The longest answer, in bytes.
    longest: usize,
    memory: usize,
}

/// How a wait for the process ended.
pub(super) enum Ended {
    /// It answered, or, while starting, asked for its first event.
    Answered(Result<Vec<u8>, CallError>),
    Exited,
    TimedOut,
}

impl Live {
    /// Starts a process. Must run in the copy's I/O runtime.
    pub(super) async fn start(shared: &Arc<Shared>, caller: &Caller) -> Result<Self, CallError> {
        let settings = &shared.settings;
        let no = |what: &str, error: std::io::Error| unavailable(format!("no {what} for its process: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| no("port", error))?;
        let address = listener.local_addr().map_err(|error| no("port", error))?;
        let (memory, processes) = (settings.limits.memory, settings.max_processes);
        let cgroup = Cgroup::new(memory, processes);
        let command = child::command(settings, address, cgroup.as_ref());
        let mut child = spawner::start(command, cgroup).map_err(|error| child::cannot_start(settings, &error))?;
        tracing::debug!(
            function = %settings.name, pipeline = %caller.pipeline, node = %caller.node, process = child.group.id(),
            "started a function's process"
        );
        // From here on the child must not be forgotten: whatever fails, it is killed.
        let parts = (|| {
            let (stdout, stderr) = child.take_pipes().ok_or(std::io::ErrorKind::BrokenPipe)?;
            let stdout = Lines::new(stdout, LogLevel::Info, &shared.gate)?;
            let stderr = Lines::new(stderr, LogLevel::Warn, &shared.gate)?;
            let exit = child.exit()?;
            // SAFETY: the file is owned by what is made of it, and open for as long.
            let exit = unsafe { AsyncFd::register_with_interest(exit, Interest::READABLE) }?;
            let limited = |cgroup: &Cgroup| cgroup.limits_memory() && cgroup.limits_processes();
            let watched = match child.group.cgroup().is_some_and(limited) {
                true => None,
                false => Some(Watched::new(&child.group, memory, processes)?),
            };
            Ok((stdout, stderr, exit, watched))
        })();
        let (stdout, stderr, exit, watched) = match parts {
            Ok(parts) => parts,
            Err(error) => {
                burial::kill(child);
                return Err(no("pipe", error));
            }
        };
        let api = Arc::new(Api::default());
        let longest = settings.max_response;
        let arn = arn(environment::region(settings), &settings.name);
        let server = Arc::new(Server { api: Arc::clone(&api), arn, longest });
        let server = tokio::spawn(server.run(listener));
        let (alarm, peak, peak_read) = (Alarm::default(), 0, None);
        Ok(Self { child, exit, stdout, stderr, api, alarm, server, watched, peak, peak_read, longest, memory })
    }

    pub(super) fn process_id(&self) -> i32 {
        self.child.group.id()
    }

    /// From here on its output belongs to this call.
    pub(super) fn begin(&mut self, invocation: Uuid) {
        self.stdout.begin(invocation);
        self.stderr.begin(invocation);
    }

    /// Waits until it asks for its first event.
    pub(super) async fn started(&mut self, deadline: Instant) -> Ended {
        self.wait(deadline).await
    }

    /// Gives it an event and waits until it has answered.
    pub(super) async fn run(&mut self, event: Event, deadline: Instant) -> Ended {
        self.api.offer(event);
        self.wait(deadline).await
    }

    /// Whether it has taken the event that it was given last.
    pub(super) fn has_fetched(&self) -> bool {
        self.api.fetched()
    }

    /// Whether it has ended, as far as the runtime has seen.
    pub(super) async fn has_ended(&self) -> bool {
        tokio::select! {
            biased;
            _ = self.exit.readable() => true,
            () = std::future::ready(()) => false,
        }
    }

    async fn wait(&mut self, deadline: Instant) -> Ended {
        let _watched = self.watched.as_ref().map(Watched::running);
        let ended = loop {
            // The pipes come last, so that a flood of output cannot hold up the rest.
            tokio::select! {
                biased;
                signal = self.api.signal() => break of(signal),
                _ = self.exit.readable() => break self.last_signal().await,
                () = self.alarm.at(deadline) => break Ended::TimedOut,
                () = self.stdout.pump() => self.stderr.drain(),
                () = self.stderr.pump() => {}
            }
        };
        self.stdout.drain();
        self.stderr.drain();
        ended
    }

    /// What it had said before it ended, if that was all it had to say.
    async fn last_signal(&self) -> Ended {
        for _ in 0..LAST_TURNS {
            tokio::select! {
                biased;
                signal = self.api.signal() => return of(signal),
                () = yield_now() => {}
            }
        }
        Ended::Exited
    }

    /// The most memory that it has held so far, in bytes.
    pub(super) fn peak_memory(&mut self) -> usize {
        let now = Instant::now();
        if self.peak_read.is_none_or(|read| now.duration_since(read) > PEAK) {
            self.peak_read = Some(now);
            let counted = self.child.group.cgroup().and_then(Cgroup::peak);
            let peak = counted.or_else(|| family::peak(self.process_id()));
            self.peak = self.peak.max(peak.unwrap_or(0));
        }
        self.peak.max(self.watched.as_ref().map_or(0, |watched| watched.peak()))
    }

    /// Lines of this call that were too many.
    pub(super) fn dropped_logs(&self) -> u64 {
        self.stdout.dropped + self.stderr.dropped
    }

    /// It is no longer needed: asks it to end, without waiting.
    pub(super) fn retire(self) {
        self.server.abort();
        burial::retire(self.child);
    }

    /// It has ended where it should not have: why, and the lines that were too many.
    pub(super) async fn crashed(mut self) -> (CallError, u64) {
        self.finish_output();
        let dropped = self.dropped_logs();
        let verdict = self.verdict();
        self.server.abort();
        let error = verdict.unwrap_or_else(|| {
            let how = self.child.ended_how().map_or_else(|| "ended".to_owned(), describe);
            let message = match self.stderr.last() {
                Some(line) => format!("{how}; its last line on standard error: {line}"),
                None => how,
            };
            CallError::new(CallErrorKind::Crash, message)
        });
        burial::kill(self.child);
        (error, dropped)
    }

    /// It has not done what it should in time, or said that it cannot: kills it. The failure is `error` unless it has
    /// done something worse; with the lines that were too many.
    pub(super) fn overdue(mut self, error: CallError) -> (CallError, u64) {
        self.finish_output();
        let dropped = self.dropped_logs();
        let error = match self.verdict() {
            Some(verdict) => verdict,
            None if self.api.too_large() => too_large(self.longest),
            None => error,
        };
        self.server.abort();
        burial::kill(self.child);
        (error, dropped)
    }

    fn finish_output(&mut self) {
        self.stdout.finish();
        self.stderr.finish();
    }

    /// Why the kernel or the watchdog killed it, if one did.
    fn verdict(&self) -> Option<CallError> {
        let out_of_memory = |held: usize| {
            let message = format!("held {held} bytes of memory; its limit is {}", self.memory);
            Some(CallError::new(CallErrorKind::OutOfMemory, message))
        };
        if let Some(cgroup) = self.child.group.cgroup().filter(|cgroup| cgroup.ran_out_of_memory()) {
            return out_of_memory(cgroup.peak().unwrap_or(self.memory));
        }
        match self.watched.as_ref()?.verdict()? {
            Verdict::Memory(held) => out_of_memory(held),
            Verdict::Processes(processes) => {
                Some(CallError::new(CallErrorKind::Crash, format!("started {processes} processes and was killed")))
            }
        }
    }
}

fn of(signal: Signal) -> Ended {
    match signal {
        Signal::Ready => Ended::Answered(Ok(Vec::new())),
        Signal::InitFailed(error) => Ended::Answered(Err(error)),
        Signal::Answered(result) => Ended::Answered(result),
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        // It says the number and, for those that have one, the name.
        _ => format!("was killed: {status}"),
    }
}
