//! What the tasks of a run share: the order to stop, the first error, and the counts that people see.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::{Condvar, Mutex};
use riverhook_connectors::clock::Clock;

use crate::{
    error::Error,
    functions::{Accounts, LogQueue},
};

/// Shared by all tasks of a run.
pub struct Control {
    stop: AtomicBool,
    error: Mutex<Option<Error>>,
    /// Records that may still be read, for `--limit`.
    remaining: Option<AtomicI64>,
    /// When a record was last read: monotonic milliseconds.
    last_record: AtomicU64,
    /// Tasks that handle what they read.
    busy: AtomicUsize,
    tasks: Mutex<Tasks>,
    all_ended: Condvar,
    /// Records behind the ends of their partitions, by source and task.
    lags: Mutex<BTreeMap<(Arc<str>, usize), u64>>,
    /// What functions write their logs to: closed when no source's task runs any more.
    logs: Vec<Arc<LogQueue>>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The counts.
    pub totals: Totals,
    /// What functions use.
    pub accounts: Accounts,
    /// Whether a task goes on reading while its functions are called elsewhere.
    pub overlap: bool,
}

/// How many threads are where.
#[derive(Debug, Default)]
struct Tasks {
    /// Sources that are not open yet: they may wait for a server, and have read nothing.
    opening: usize,
    /// Tasks that read.
    running: usize,
    /// Tasks that deliver functions' logs. They end behind the others.
    delivering: usize,
}

impl Tasks {
    /// Whether all sources' tasks ended, and none will begin. A stopped run does not wait for sources that are still
    /// being opened.
    fn sources_ended(&self, stopping: bool) -> bool {
        self.running == 0 && (self.opening == 0 || stopping)
    }
}

/// Counts of a whole run.
#[derive(Debug, Default)]
pub struct Totals {
    /// Records and payload bytes read.
    pub read: NodeCounts,
    /// Rows and bytes accepted by sinks, dead letters not among them.
    pub written: NodeCounts,
    /// Rows that failed.
    pub failed: AtomicU64,
    /// Dead letters written.
    pub letters: AtomicU64,
}

/// Records and bytes.
#[derive(Debug, Default)]
pub struct NodeCounts {
    /// Records.
    pub records: AtomicU64,
    /// Bytes.
    pub bytes: AtomicU64,
}

impl NodeCounts {
    /// Counts some more.
    pub fn add(&self, records: usize, bytes: usize) {
        self.records.fetch_add(records as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Control {
    /// For a run that ends after `limit` records, if that is given, and whose functions write to `logs`.
    pub fn new(clock: Arc<dyn Clock>, limit: Option<u64>, logs: Vec<Arc<LogQueue>>) -> Arc<Self> {
        Arc::new(Self::with(clock, limit, logs, true))
    }

    /// For a run in which nothing happens at the same time, so that it is the same each time.
    pub fn one_after_the_other(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self::with(clock, None, Vec::new(), false))
    }

    fn with(clock: Arc<dyn Clock>, limit: Option<u64>, logs: Vec<Arc<LogQueue>>, overlap: bool) -> Self {
        Self {
            stop: AtomicBool::new(false),
            error: Mutex::new(None),
            remaining: limit.map(|limit| AtomicI64::new(i64::try_from(limit).unwrap_or(i64::MAX))),
            last_record: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            tasks: Mutex::default(),
            all_ended: Condvar::new(),
            lags: Mutex::default(),
            logs,
            clock,
            totals: Totals::default(),
            accounts: Accounts::default(),
            overlap,
        }
    }

    /// For a task of this run that is not one of its sources': what it reads is not counted, and it is not told to stop
    /// but ends when its reader does.
    pub(super) fn apart(&self) -> Arc<Self> {
        Self::new(Arc::clone(&self.clock), None, Vec::new())
    }

    /// Orders all tasks to drain: finish what was read, make it durable, end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.close_logs(&self.tasks.lock());
    }

    /// Whether the tasks should end.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Ends the run with this error; only the first is kept, what follows are its consequences.
    pub fn fail(&self, error: Error) {
        self.error.lock().get_or_insert(error);
        self.stop();
    }

    /// The error that ended the run.
    pub fn take_error(&self) -> Option<Error> {
        self.error.lock().take()
    }

    /// Whether an error ended the run.
    pub fn failed(&self) -> bool {
        self.error.lock().is_some()
    }

    /// Takes `records` from what `--limit` leaves; gives how many of them may be handled.
    pub fn admit(&self, records: usize) -> usize {
        self.not_idle();
        let Some(remaining) = &self.remaining else { return records };
        let wanted = i64::try_from(records).unwrap_or(i64::MAX);
        let left = remaining.fetch_sub(wanted, Ordering::SeqCst);
        if left <= wanted {
            self.stop();
        }
        usize::try_from(left.clamp(0, wanted)).unwrap_or(0)
    }

    /// Begins to count idle time anew.
    pub fn not_idle(&self) {
        self.last_record.store(self.clock.monotonic().as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether a task handles what it read.
    pub fn busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// A task begins to handle what it read, until the answer is dropped.
    pub(super) fn handling(self: &Arc<Self>) -> Handling {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Handling(Arc::clone(self))
    }

    /// Milliseconds since a record was read.
    pub fn idle_millis(&self) -> u64 {
        let now = self.clock.monotonic().as_millis() as u64;
        now.saturating_sub(self.last_record.load(Ordering::Relaxed))
    }

    pub(super) fn set_lag(&self, task: (Arc<str>, usize), records: u64) {
        self.lags.lock().insert(task, records);
    }

    /// Records between what was read and the partitions' ends, where sources know it.
    pub fn lag(&self) -> Option<u64> {
        let lags = self.lags.lock();
        (!lags.is_empty()).then(|| lags.values().sum())
    }

    pub(super) fn opening(self: &Arc<Self>) -> Opening {
        self.tasks.lock().opening += 1;
        Opening(Arc::clone(self))
    }

    /// Counts `tasks` that begin to read; `None` when the run was stopped while their source was opened.
    pub(super) fn running(self: &Arc<Self>, tasks: usize) -> Option<Vec<RunningTask>> {
        let mut counts = self.tasks.lock();
        // Under the lock: from the moment `wait` was told that all ended, nothing begins.
        if self.stopping() {
            return None;
        }
        counts.running += tasks;
        Some((0..tasks).map(|_| RunningTask(Arc::clone(self))).collect())
    }

    /// Counts a task that delivers logs.
    pub(super) fn delivering(self: &Arc<Self>) -> Delivering {
        self.tasks.lock().delivering += 1;
        Delivering(Arc::clone(self))
    }

    fn close_logs(&self, tasks: &Tasks) {
        if tasks.sources_ended(self.stopping()) {
            self.logs.iter().for_each(|queue| queue.close());
        }
    }

    /// Waits until all tasks ended or `timeout` passed; whether they all ended.
    pub fn wait(&self, timeout: std::time::Duration) -> bool {
        let ended = |tasks: &Tasks| tasks.sources_ended(self.stopping()) && tasks.delivering == 0;
        let mut tasks = self.tasks.lock();
        if !ended(&tasks) {
            self.all_ended.wait_for(&mut tasks, timeout);
        }
        ended(&tasks)
    }

    /// Whether all sources were opened, or gave up.
    pub(super) fn all_opened(&self) -> bool {
        self.tasks.lock().opening == 0
    }

    fn ended(&self, count: impl FnOnce(&mut Tasks)) {
        if std::thread::panicking() {
            self.fail(Error::failed(
                "a task panicked; this is a bug in Riverhook: please report it with the lines above",
            ));
        }
        let mut tasks = self.tasks.lock();
        count(&mut tasks);
        self.close_logs(&tasks);
        drop(tasks);
        self.all_ended.notify_all();
    }
}

/// Counts a task that handles what it read, until it is dropped.
pub(super) struct Handling(Arc<Control>);

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a source that is being opened, until it is dropped. A panic meanwhile ends the run.
pub(super) struct Opening(Arc<Control>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.ended(|tasks| tasks.opening -= 1);
    }
}

/// Counts a task that reads, until it is dropped. A panic meanwhile ends the run.
pub(super) struct RunningTask(Arc<Control>);

impl Drop for RunningTask {
    fn drop(&mut self) {
        self.0.ended(|tasks| tasks.running -= 1);
    }
}

/// Counts a task that delivers logs, until it is dropped. A panic meanwhile ends the run.
pub(super) struct Delivering(Arc<Control>);

impl Drop for Delivering {
    fn drop(&mut self) {
        self.0.ended(|tasks| tasks.delivering -= 1);
    }
}
