//! Runs a piece of guest code for a bounded time, and judges how it ended.

use std::time::{Duration, Instant};

use wasmtime::component::Instance;
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use super::Loaded;
use super::block_on::block_on;
use super::sandbox::{self, State};
use super::ticker::Ticker;
use crate::contract::{CallError, CallErrorKind, Caller, OpenError};
use crate::logs::cut;

/// The least time that a copy has to start, even if a call has less.
const START: Duration = Duration::from_secs(1);
/// The longest code and message of a failure, in bytes; what is longer is cut.
const MAX_CODE: usize = 64;
pub(crate) const MAX_MESSAGE: usize = 4 << 10;

/// The time that a copy of the function has to start.
pub(crate) fn start_limit(function: &Loaded) -> Duration {
    function.settings.limits.timeout.max(START)
}

/// Starts a fresh copy, which has not been opened.
pub(crate) fn instantiate(function: &Loaded, caller: &Caller) -> Result<(Store<State>, Instance), OpenError> {
    let mut store = sandbox::store(function, caller);
    let limit = start_limit(function);
    let instance = run(function, &mut store, limit, async |store| function.component.instantiate_async(store).await)
        .map_err(OpenError::Start)?;
    Ok((store, instance))
}

/// An export is not of the type that the contract gives it.
pub(crate) fn wrong_type(error: &wasmtime::Error) -> OpenError {
    OpenError::Start(invalid(format!("its exports are of other types than the contract's: {error:#}")))
}

/// An error of opening as one of a call, for a copy that is started during one.
pub(crate) fn as_call_error(error: OpenError) -> CallError {
    match error {
        OpenError::Start(error) => error,
        other => invalid(other.to_string()),
    }
}

/// The answer is not one.
pub(crate) fn invalid(problem: impl Into<String>) -> CallError {
    CallError::new(CallErrorKind::InvalidResponse, problem)
}

/// The guest's own word that a whole batch failed.
pub(crate) fn refused(code: &str, message: &str, retryable: bool) -> CallError {
    CallError { kind: CallErrorKind::Failed(cut_code(code)), message: cut_message(message), retryable }
}

pub(crate) fn cut_code(code: &str) -> String {
    cut(code, MAX_CODE).to_owned()
}

pub(crate) fn cut_message(message: &str) -> String {
    cut(message, MAX_MESSAGE).to_owned()
}

pub(crate) fn too_large(limit: usize) -> CallError {
    CallError::new(CallErrorKind::OutputTooLarge, format!("answered more than {limit} bytes"))
}

/// Runs a piece of guest code for at most `limit`.
pub(crate) fn run<R>(
    function: &Loaded,
    store: &mut Store<State>,
    limit: Duration,
    guest: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<R>,
) -> Result<R, CallError> {
    let _timers = function.timers()?;
    let _running = function.shared.ticker.running();
    let deadline = Instant::now() + limit;
    store.data_mut().deadline = deadline;
    store.set_epoch_deadline(Ticker::ticks(limit));
    match block_on(guest(store), deadline) {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(judge(&error, store.data(), function, limit)),
        None => Err(timed_out(limit)),
    }
}

/// What kind of failure an error of wasmtime is.
fn judge(error: &wasmtime::Error, state: &State, function: &Loaded, limit: Duration) -> CallError {
    let limits = &function.settings.limits;
    let trap = error.downcast_ref::<Trap>();
    if let Some(Trap::Interrupt) = trap {
        return timed_out(limit);
    }
    if let Some(refused) = state.limiter.refused {
        let message = format!("needed {refused} bytes of memory; its limit is {}", limits.memory);
        return CallError::new(CallErrorKind::OutOfMemory, message);
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return CallError::new(CallErrorKind::Crash, format!("exited with code {code}"));
    }
    let Some(trap) = trap else {
        let text = error.root_cause().to_string();
        // wasmtime has no type for this one; a test holds the text.
        if text.contains("fuel allocated for hostcalls") {
            return too_large(limits.max_output);
        }
        return CallError::new(CallErrorKind::InvalidResponse, text);
    };
    if breaks_contract(*trap) {
        return CallError::new(CallErrorKind::InvalidResponse, trap.to_string());
    }
    let message = match &state.log.last_error {
        Some(line) => format!("crashed: {trap}; its last error in the log: {}", cut(line, MAX_MESSAGE)),
        None => format!("crashed: {trap}"),
    };
    CallError::new(CallErrorKind::Crash, message)
}

/// Traps that say that an answer, or the text of a log line, lies beyond the guest's memory or is no such value.
fn breaks_contract(trap: Trap) -> bool {
    matches!(
        trap,
        Trap::StringOutOfBounds
            | Trap::ListOutOfBounds
            | Trap::InvalidDiscriminant
            | Trap::InvalidChar
            | Trap::UnalignedPointer
    )
}

fn timed_out(limit: Duration) -> CallError {
    CallError::new(CallErrorKind::Timeout, format!("ran for longer than {limit:?}"))
}
