//! What functions log: their own lines, and around each call the lines that Lambda writes there.
//!
//! Lines go to the log stream, and as rows to the sink that the function's `logs` names. They are made on the threads
//! that run functions, which never wait for them: what is too much is dropped, counted and told.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use metrics::counter;
use parking_lot::Mutex;
use riverhook_udf::{CallErrorKind, LogLevel, LogLine, LogSink, Reply};
use uuid::Uuid;

use super::{
    log_queue::{Line, LogQueue},
    meter::Billed,
};

/// Lines about failed calls that one function may write to the log stream in a second.
const MOST_FAILURES: u32 = 100;

/// Takes a function's lines in place of the log stream.
type Diverted = Box<dyn Fn(LogLevel, Uuid, &str) + Send + Sync>;

/// The log of one function, whichever nodes call it.
pub struct FunctionLog {
    pipeline: Arc<str>,
    function: Arc<str>,
    /// The hash of its code, once that is loaded.
    version: OnceLock<Arc<str>>,
    /// Where lines become rows, if the function has a sink for them.
    queue: Option<Arc<LogQueue>>,
    /// The nodes of the calls that run, for rows.
    running: Mutex<HashMap<Uuid, Arc<str>>>,
    /// Lines that were dropped and not yet told.
    dropped: AtomicU64,
    failures: Mutex<Failures>,
    diverted: OnceLock<Diverted>,
}

impl FunctionLog {
    /// The log of `function`, which goes to `queue` too if there is one.
    pub fn new(pipeline: &Arc<str>, function: &str, queue: Option<Arc<LogQueue>>) -> Arc<Self> {
        Arc::new(Self {
            pipeline: Arc::clone(pipeline),
            function: function.into(),
            version: OnceLock::new(),
            queue,
            running: Mutex::default(),
            dropped: AtomicU64::new(0),
            failures: Mutex::new(Failures { since: Instant::now(), told: 0 }),
            diverted: OnceLock::new(),
        })
    }

    /// The code is loaded, and this is its hash.
    pub fn loaded(&self, version: &str) {
        self.version.get_or_init(|| version.into());
    }

    /// The function's name.
    pub fn function(&self) -> &Arc<str> {
        &self.function
    }

    /// The sink that gets the lines as rows.
    pub fn to_sink(&self) -> Option<&Arc<str>> {
        self.queue.as_ref().map(|queue| queue.sink())
    }

    /// Gives the function's own lines to `write` from here on, and not to the log stream.
    pub fn divert(&self, write: impl Fn(LogLevel, Uuid, &str) + Send + Sync + 'static) {
        self.diverted.get_or_init(|| Box::new(write));
    }

    /// Where the function's code is to write.
    pub fn sink(self: &Arc<Self>) -> LogSink {
        let log = Arc::clone(self);
        LogSink::new(move |line: &LogLine<'_>| {
            match log.diverted.get() {
                Some(write) => write(line.level, line.invocation, line.message),
                None => log.to_stream(line.level, line.invocation, line.message),
            }
            if log.queue.is_some() {
                let node = log.running.lock().get(&line.invocation).cloned();
                log.to_queue(node, line.level, line.invocation, line.message.to_owned());
            }
        })
    }

    /// A call begins. Where nobody reads about calls that go well, that is nothing.
    pub(super) fn started(&self, id: Uuid, node: &Arc<str>) {
        if self.queue.is_none() && !debug() {
            return;
        }
        if self.queue.is_some() {
            self.running.lock().insert(id, Arc::clone(node));
        }
        self.write(LogLevel::Debug, id, Some(node), start(id, self.version.get().map_or("", |version| version)));
    }

    /// A call ended, of a copy that may have `memory` bytes.
    pub(super) fn ended(&self, id: Uuid, node: &Arc<str>, reply: &Reply, memory: usize) {
        let dropped = reply.usage.dropped_logs;
        if dropped > 0 {
            self.drop_lines(dropped, "rate");
        }
        let failed = reply.result.is_err();
        let calm = failed && !self.failures.lock().admit(Instant::now());
        if calm && self.queue.is_none() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.queue.is_none() && !failed && !debug() {
            return;
        }
        self.running.lock().remove(&id);
        if dropped > 0 {
            let text = format!("{} of this invocation: the function logs too much", were_dropped(dropped));
            self.to_queue(Some(Arc::clone(node)), LogLevel::Warn, id, text);
        }
        let level = if failed { LogLevel::Warn } else { LogLevel::Debug };
        let about = |level, text: String| match calm {
            true => self.to_queue(Some(Arc::clone(node)), level, id, text),
            false => self.write(level, id, Some(node), text),
        };
        if let Some(text) = error(id, reply) {
            about(level, text);
        }
        about(LogLevel::Debug, end(id));
        about(level, report(id, reply, memory));
    }

    /// Says in the log stream how many lines were dropped since it was said last.
    pub fn tell_dropped(&self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(target: "function", function = &*self.function, "{}: too much is logged", were_dropped(dropped));
        }
    }

    fn drop_lines(&self, count: u64, reason: &'static str) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
        let (pipeline, function) = (self.pipeline.to_string(), self.function.to_string());
        counter!("riverhook_function_dropped_logs_total", "pipeline" => pipeline, "function" => function, "reason" => reason)
            .increment(count);
    }

    fn write(&self, level: LogLevel, invocation: Uuid, node: Option<&Arc<str>>, text: String) {
        self.to_stream(level, invocation, &text);
        self.to_queue(node.cloned(), level, invocation, text);
    }

    fn to_stream(&self, level: LogLevel, invocation: Uuid, message: &str) {
        let function = &*self.function;
        match level {
            LogLevel::Error => tracing::error!(target: "function", function, %invocation, "{message}"),
            LogLevel::Warn => tracing::warn!(target: "function", function, %invocation, "{message}"),
            LogLevel::Info => tracing::info!(target: "function", function, %invocation, "{message}"),
            LogLevel::Debug | LogLevel::Trace => {
                tracing::debug!(target: "function", function, %invocation, "{message}")
            }
        }
    }

    fn to_queue(&self, node: Option<Arc<str>>, level: LogLevel, invocation: Uuid, message: String) {
        let Some(queue) = &self.queue else { return };
        let function = Arc::clone(&self.function);
        let version = self.version.get().cloned();
        let invocation = Some(invocation).filter(|id| !id.is_nil());
        if !queue.push(Line { time: 0, node, function, version, invocation, level, message }) {
            self.drop_lines(1, "sink");
        }
    }
}

impl fmt::Debug for FunctionLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FunctionLog").field("function", &self.function).finish_non_exhaustive()
    }
}

/// Failed calls that were told within a second.
struct Failures {
    since: Instant,
    told: u32,
}

impl Failures {
    /// Whether one more may be told.
    fn admit(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            *self = Self { since: now, told: 0 };
        }
        self.told += 1;
        self.told <= MOST_FAILURES
    }
}

/// Whether the log stream shows what is said about calls that go well.
fn debug() -> bool {
    tracing::enabled!(target: "function", tracing::Level::DEBUG)
}

pub(crate) fn were_dropped(count: u64) -> String {
    if count == 1 { "1 log line was dropped".to_owned() } else { format!("{count} log lines were dropped") }
}

/// The line that Lambda begins an invocation's log with.
pub(crate) fn start(id: Uuid, version: &str) -> String {
    format!("START RequestId: {id} Version: {}", version.chars().take(12).collect::<String>())
}

/// The line behind an invocation's own.
pub(crate) fn end(id: Uuid) -> String {
    format!("END RequestId: {id}")
}

/// What went wrong, as Lambda says it, if anything did.
pub(crate) fn error(id: Uuid, reply: &Reply) -> Option<String> {
    let error = reply.result.as_ref().err()?;
    Some(format!("RequestId: {id} Error: {}\t{}", error.message, error.code()))
}

/// The line that Lambda ends an invocation's log with.
pub(crate) fn report(id: Uuid, reply: &Reply, memory: usize) -> String {
    let usage = &reply.usage;
    let milliseconds = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let billed = Billed::of(usage.duration).by_1ms;
    let megabytes = |bytes: usize| bytes.div_ceil(1 << 20);
    let mut line = format!(
        "REPORT RequestId: {id}\tDuration: {:.2} ms\tBilled Duration: {billed} ms\tMemory Size: {} MB\tMax Memory Used: {} MB",
        milliseconds(usage.duration),
        megabytes(memory),
        megabytes(usage.peak_memory),
    );
    if let Some(start) = usage.cold_start {
        line += &format!("\tInit Duration: {:.2} ms", milliseconds(start));
    }
    match &reply.result {
        Ok(_) => {}
        Err(error) if error.kind == CallErrorKind::Timeout => line += "\tStatus: timeout",
        Err(error) => line += &format!("\tStatus: error\tError Type: {}", error.code()),
    }
    line
}
