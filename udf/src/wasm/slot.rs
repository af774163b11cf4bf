//! The place of one copy: keeps it warm between calls, takes the time of each, and puts a fresh one in its place when it
//! is beyond use or worn.

use std::time::{Duration, Instant};

use uuid::Uuid;
use wasmtime::Store;
use wasmtime::component::Func;

use super::Loaded;
use super::sandbox::State;
use super::settings::Recycle;
use crate::contract::{CallError, Invocation, Usage};

/// A component's instance that is ready for calls.
pub(crate) struct Live {
    pub(crate) store: Store<State>,
    /// Its export of that name, whose type has been checked.
    pub(crate) process: Func,
    calls: u64,
    /// The memory it had when it had just started.
    at_start: usize,
}

impl Live {
    pub(crate) fn new(store: Store<State>, process: Func) -> Self {
        let at_start = store.data().limiter.peak();
        Self { store, process, calls: 0, at_start }
    }

    fn begin(&mut self, invocation: Uuid) {
        self.calls += 1;
        self.store.data_mut().begin(invocation);
    }

    /// Whether it has done so much, or holds so much, that a fresh copy takes its place. What it needed to start is not
    /// held against it: a fresh copy would need as much.
    fn is_worn(&self, recycle: Recycle, limit: usize) -> bool {
        let held = self.store.data().limiter.peak();
        let used = (held - self.at_start) as u128 * 100;
        let room = limit.saturating_sub(self.at_start) as u128;
        let is_full = held > self.at_start && used >= room * u128::from(recycle.memory_percent);
        is_full || self.calls >= recycle.calls
    }
}

/// The place of one copy.
pub(crate) struct Slot {
    /// None after a call that left the copy in doubt, or worn; the next call starts a fresh one.
    live: Option<Live>,
    /// How long the first copy took to start, until a call has reported it as its cold start.
    start: Option<Duration>,
}

impl Slot {
    /// A place with a copy that took `start` to start.
    pub(crate) fn new(live: Live, start: Duration) -> Self {
        Self { live: Some(live), start: Some(start) }
    }

    /// Does `work` on the copy that is warm, or on one that `start` makes. The outer error of `work` says that the copy
    /// is in doubt; the inner one is the guest's own word, after which it is as good as before.
    pub(crate) fn call<T>(
        &mut self,
        function: &Loaded,
        invocation: &Invocation<'_>,
        start: impl FnOnce() -> Result<Live, CallError>,
        work: impl FnOnce(&mut Live, Duration) -> Result<Result<T, CallError>, CallError>,
    ) -> (Result<T, CallError>, Usage) {
        let (mut live, cold_start) = match self.take(start) {
            Ok(taken) => taken,
            Err(error) => return (Err(error), Usage::default()),
        };
        let begun = Instant::now();
        let limit = function.settings.limits.timeout;
        let limit = match invocation.deadline {
            Some(deadline) => limit.min(deadline.saturating_duration_since(begun)),
            None => limit,
        };
        live.begin(invocation.id);
        let ended = work(&mut live, limit);
        let state = live.store.data();
        let usage = Usage {
            duration: begun.elapsed(),
            cold_start,
            peak_memory: state.limiter.peak(),
            dropped_logs: state.log.dropped,
        };
        let result = match ended {
            Ok(answer) => {
                let worn = live.is_worn(function.settings.recycle, function.settings.limits.memory);
                self.live = (!worn).then_some(live);
                answer
            }
            Err(error) => Err(error),
        };
        (result, usage)
    }

    fn take(&mut self, start: impl FnOnce() -> Result<Live, CallError>) -> Result<(Live, Option<Duration>), CallError> {
        if let Some(live) = self.live.take() {
            return Ok((live, self.start.take()));
        }
        let begun = Instant::now();
        Ok((start()?, Some(begun.elapsed())))
    }
}
