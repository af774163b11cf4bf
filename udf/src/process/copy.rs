//! One copy of a function: starts its process, gives it events, judges how a call ended, replaces what is beyond use.
//!
//! Everything here runs on the caller's thread, in the copy's own I/O runtime, and stands still between calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;

use super::Shared;
use super::api::Event;
use super::backoff::Backoff;
use super::live::{Ended, Live};
use crate::contract::{CallError, CallErrorKind, Caller, Invocation, Usage};
use crate::json::handler::{Answered, Handler};

/// One copy of a [`super::ProcessFunction`]: at most one process, which its first call starts.
///
/// Dropping it asks the process to end and returns at once; what has not ended half a second later is killed.
pub struct ProcessCopy {
    /// Made by the first call: an idle copy that never ran holds no file.
    runtime: Option<Runtime>,
    state: State,
}

/// All of a copy but what drives it.
struct State {
    shared: Arc<Shared>,
    caller: Caller,
    /// None before the first call, and after one that left the process in doubt.
    live: Option<Live>,
    backoff: Backoff,
}

impl ProcessCopy {
    pub(super) fn new(shared: Arc<Shared>, caller: &Caller) -> Self {
        let state = State { shared, caller: caller.clone(), live: None, backoff: Backoff::default() };
        Self { runtime: None, state }
    }

    /// Gives the process one event, JSON in UTF-8, and waits for its answer, which is returned as it came: at most for
    /// the function's time limit, and until the invocation's deadline. If no process runs, one is started, which has
    /// its own time limit.
    ///
    /// After a call that failed the next one works. Must not be called from within an asynchronous runtime.
    pub fn invoke(&mut self, event: &[u8], invocation: &Invocation<'_>) -> (Result<Vec<u8>, CallError>, Usage) {
        let mut usage = Usage::default();
        let result = match self.ensure_runtime() {
            Ok(()) => match &self.runtime {
                Some(runtime) => runtime.block_on(self.state.invoke(event, invocation, &mut usage)),
                None => Err(unavailable("no runtime for I/O".to_owned())),
            },
            Err(error) => Err(error),
        };
        (result, usage)
    }

    /// The process of this copy, while there is one.
    pub fn process_id(&self) -> Option<u32> {
        self.state.live.as_ref().and_then(|live| u32::try_from(live.process_id()).ok())
    }

    fn ensure_runtime(&mut self) -> Result<(), CallError> {
        if self.runtime.is_none() {
            let made = Builder::new_current_thread().enable_io().enable_time().build();
            self.runtime = Some(made.map_err(|error| unavailable(format!("no runtime for I/O: {error}")))?);
        }
        Ok(())
    }
}

impl Handler for ProcessCopy {
    fn invoke(&mut self, event: &[u8], invocation: &Invocation<'_>) -> Answered {
        let (result, usage) = ProcessCopy::invoke(self, event, invocation);
        Answered { result, usage }
    }
}

impl Drop for ProcessCopy {
    fn drop(&mut self) {
        if let Some(live) = self.state.live.take() {
            live.retire();
        }
        if let Some(runtime) = self.runtime.take() {
            // An ordinary drop may not happen where some other runtime runs.
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for ProcessCopy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ProcessCopy").field("process", &self.process_id()).finish_non_exhaustive()
    }
}

impl State {
    async fn invoke(
        &mut self,
        event: &[u8],
        invocation: &Invocation<'_>,
        usage: &mut Usage,
    ) -> Result<Vec<u8>, CallError> {
        let most = self.shared.settings.max_request;
        if event.len() > most {
            let message = format!("an event has {} bytes; at most {most} are sent", event.len());
            return Err(CallError::new(CallErrorKind::RequestTooLarge, message));
        }
        if within(Duration::MAX, invocation.deadline, Instant::now()).is_zero() {
            return Err(timed_out(Duration::ZERO));
        }
        let event = Bytes::copy_from_slice(event);
        // A process that ended while it was idle is not this call's fault, and has not seen its event.
        if let Some(live) = self.take_warm().await
            && let Some(result) = self.call(live, &event, invocation, usage).await
        {
            return result;
        }
        let begun = Instant::now();
        let live = self.start(invocation, usage).await?;
        usage.cold_start = Some(begun.elapsed());
        self.call(live, &event, invocation, usage).await.unwrap_or_else(|| {
            self.backoff.failed(Instant::now());
            Err(CallError::new(CallErrorKind::Crash, "ended after it had asked for an event, before it got it"))
        })
    }

    /// The process that waits for an event, if it still does.
    async fn take_warm(&mut self) -> Option<Live> {
        let live = self.live.take()?;
        // Lets in what has happened since the last call: its poll, an older connection's end, its own end.
        yield_now().await;
        yield_now().await;
        if live.has_ended().await {
            live.retire();
            return None;
        }
        Some(live)
    }

    /// Gives the process an event. None if it ended without having fetched it.
    async fn call(
        &mut self,
        mut live: Live,
        event: &Bytes,
        invocation: &Invocation<'_>,
        usage: &mut Usage,
    ) -> Option<Result<Vec<u8>, CallError>> {
        let begun = Instant::now();
        let limit = within(self.shared.settings.limits.timeout, invocation.deadline, begun);
        if limit.is_zero() {
            // No time to let it try; it stays as it is.
            self.live = Some(live);
            return Some(Err(timed_out(limit)));
        }
        live.begin(invocation.id);
        let event = Event { id: invocation.id, deadline_ms: epoch_ms(limit), body: event.clone() };
        let ended = live.run(event, begun + limit).await;
        let fetched = live.has_fetched();
        usage.duration = begun.elapsed();
        usage.peak_memory = live.peak_memory();
        let result = match ended {
            Ended::Answered(result) => {
                usage.dropped_logs += live.dropped_logs();
                self.backoff.succeeded();
                self.live = Some(live);
                return Some(result);
            }
            Ended::Exited if !fetched => {
                live.retire();
                return None;
            }
            Ended::Exited => live.crashed().await,
            Ended::TimedOut => live.overdue(timed_out(limit)),
        };
        let (error, dropped) = result;
        usage.dropped_logs += dropped;
        self.backoff.failed(Instant::now());
        Some(Err(error))
    }

    /// Starts a process and waits until it asks for its first event.
    async fn start(&mut self, invocation: &Invocation<'_>, usage: &mut Usage) -> Result<Live, CallError> {
        let now = Instant::now();
        let wait = self.backoff.wait(now);
        if within(wait, invocation.deadline, now) < wait {
            let failures = self.backoff.failures();
            return Err(unavailable(format!(
                "its process failed {failures} times in a row and is started again in {wait:?}"
            )));
        }
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let started = self.start_now(invocation, usage).await;
        if started.is_err() {
            self.backoff.failed(Instant::now());
        }
        started
    }

    async fn start_now(&self, invocation: &Invocation<'_>, usage: &mut Usage) -> Result<Live, CallError> {
        let begun = Instant::now();
        let limit = within(self.shared.settings.init_timeout, invocation.deadline, begun);
        let mut live = Live::start(&self.shared, &self.caller).await?;
        live.begin(invocation.id);
        let ended = live.started(begun + limit).await;
        let (error, dropped) = match ended {
            Ended::Answered(Ok(_)) => {
                usage.dropped_logs = live.dropped_logs();
                return Ok(live);
            }
            Ended::Answered(Err(error)) => live.overdue(error),
            Ended::Exited => live.crashed().await,
            Ended::TimedOut => live.overdue(CallError::new(
                CallErrorKind::Timeout,
                format!("did not ask for its first event within {limit:?}"),
            )),
        };
        usage.dropped_logs = dropped;
        Err(CallError { message: format!("while starting: {}", error.message), ..error })
    }
}

/// What is left of `limit` until the deadline.
fn within(limit: Duration, deadline: Option<Instant>, now: Instant) -> Duration {
    deadline.map_or(limit, |deadline| limit.min(deadline.saturating_duration_since(now)))
}

/// The time of day after `limit`, in milliseconds since 1970-01-01 UTC.
fn epoch_ms(limit: Duration) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from((now + limit).as_millis()).unwrap_or(u64::MAX)
}

fn timed_out(limit: Duration) -> CallError {
    CallError::new(CallErrorKind::Timeout, format!("ran for longer than {limit:?}"))
}

pub(super) fn unavailable(message: String) -> CallError {
    CallError::new(CallErrorKind::Unavailable, message)
}

/// The ARN that the function is told it was called by.
pub(super) fn arn(region: &str, name: &str) -> String {
    format!("arn:aws:lambda:{region}:000000000000:function:{name}")
}
