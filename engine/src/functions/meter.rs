//! What functions use: invocations, errors, durations as Lambda bills them, memory. Each call's beginning and end come
//! by here, and are told to the function's log.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use riverhook_udf::{CallError, Reply};
use uuid::Uuid;

use super::{
    log::FunctionLog,
    policy::code_of,
    usage::{Account, Accounts},
};

/// Measures the calls of one function at one node.
pub struct FunctionMeter {
    node: Arc<str>,
    log: Arc<FunctionLog>,
    labels: Vec<(&'static str, String)>,
    memory: usize,
    invocations: Counter,
    records: Counter,
    throttles: Counter,
    cold_starts: Counter,
    /// Made by the first call: the exporter goes through all there are every few seconds.
    seconds: OnceLock<Histogram>,
    cold_start_seconds: OnceLock<Histogram>,
    billed_1ms: Counter,
    billed_100ms: Counter,
    megabyte_milliseconds: Counter,
    peak_memory: Gauge,
    peak: AtomicU64,
    account: Arc<Account>,
}

impl FunctionMeter {
    /// For calls by `node` of the function whose log this is, and whose copies may have `memory` bytes.
    pub fn new(
        accounts: &Accounts,
        (pipeline, node): (&str, &str),
        log: &Arc<FunctionLog>,
        version: &str,
        memory: usize,
    ) -> Self {
        let function = log.function();
        let labels = vec![
            ("pipeline", pipeline.to_owned()),
            ("node", node.to_owned()),
            ("function", function.to_string()),
            ("version", version.chars().take(12).collect()),
        ];
        let billed = |increment: &str| {
            let labels = [labels.as_slice(), &[("increment", increment.to_owned())]].concat();
            counter!("riverhook_function_billed_milliseconds_total", &labels)
        };
        gauge!("riverhook_function_memory_bytes", &labels).set(memory as f64);
        Self {
            node: node.into(),
            log: Arc::clone(log),
            memory,
            invocations: counter!("riverhook_function_invocations_total", &labels),
            records: counter!("riverhook_function_records_total", &labels),
            throttles: counter!("riverhook_function_throttles_total", &labels),
            cold_starts: counter!("riverhook_function_cold_starts_total", &labels),
            seconds: OnceLock::new(),
            cold_start_seconds: OnceLock::new(),
            billed_1ms: billed("1ms"),
            billed_100ms: billed("100ms"),
            megabyte_milliseconds: counter!("riverhook_function_megabyte_milliseconds_total", &labels),
            peak_memory: gauge!("riverhook_function_peak_memory_bytes", &labels),
            peak: AtomicU64::new(0),
            account: accounts.open(function, version, memory),
            labels,
        }
    }

    /// A call had to wait because as many copies ran as may.
    pub(super) fn throttled(&self) {
        self.throttles.increment(1);
        self.account.throttled();
    }

    /// A try will come after this pause.
    pub(super) fn waiting(&self, pause: Duration) {
        tracing::debug!(target: "function", function = &**self.log.function(), "trying again in {pause:?}");
    }

    /// A call begins: it has its copy.
    pub(super) fn started(&self, id: Uuid) {
        self.log.started(id, &self.node);
    }

    /// A call ended.
    pub(super) fn called(&self, id: Uuid, rows: usize, reply: &Reply) {
        let usage = &reply.usage;
        self.account.called(rows, reply);
        self.invocations.increment(1);
        self.records.increment(rows as u64);
        let seconds = || histogram!("riverhook_function_seconds", &self.labels);
        self.seconds.get_or_init(seconds).record(usage.duration.as_secs_f64());
        let billed = Billed::of(usage.duration);
        self.billed_1ms.increment(billed.by_1ms);
        self.billed_100ms.increment(billed.by_100ms);
        self.megabyte_milliseconds.increment((self.memory as u64).div_ceil(1 << 20) * billed.by_1ms);
        if let Some(start) = usage.cold_start {
            self.cold_starts.increment(1);
            let seconds = || histogram!("riverhook_function_cold_start_seconds", &self.labels);
            self.cold_start_seconds.get_or_init(seconds).record(start.as_secs_f64());
        }
        let peak = usage.peak_memory as u64;
        if peak > self.peak.fetch_max(peak, Ordering::Relaxed) {
            self.peak_memory.set(peak as f64);
        }
        if let Err(error) = &reply.result {
            self.failed(error);
        }
        self.log.ended(id, &self.node, reply, self.memory);
    }

    fn failed(&self, error: &CallError) {
        let labels = [self.labels.as_slice(), &[("code", code_of(&error.kind).to_owned())]].concat();
        counter!("riverhook_function_errors_total", &labels).increment(1);
    }
}

/// A duration as it is billed, in milliseconds: rounded up, to one and to a hundred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Billed {
    /// In increments of 1 ms.
    pub by_1ms: u64,
    /// In increments of 100 ms.
    pub by_100ms: u64,
}

impl Billed {
    /// Of a call that took so long; one that took no time counts as the least.
    pub fn of(duration: Duration) -> Self {
        let by_1ms = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).div_ceil(1000).max(1);
        Self { by_1ms, by_100ms: by_1ms.div_ceil(100) * 100 }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Billed;

    #[test]
    fn durations_are_billed_rounded_up() {
        let billed = |micros| Billed::of(Duration::from_micros(micros));
        assert_eq!(billed(0), Billed { by_1ms: 1, by_100ms: 100 });
        assert_eq!(billed(1000), Billed { by_1ms: 1, by_100ms: 100 });
        assert_eq!(billed(1001), Billed { by_1ms: 2, by_100ms: 100 });
        assert_eq!(billed(100_001), Billed { by_1ms: 101, by_100ms: 200 });
    }
}
