//! Calls of a function at one node: a batch is cut into groups, which run at the same time as far as copies may.
//!
//! The first group runs on the caller's own thread, so that the usual case, one group, has no hop. Groups come back in
//! the order of the batch, whichever ended first.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use parking_lot::Mutex;
use riverhook_connectors::{batch::Batch, clock::Clock};
use riverhook_udf::{CallError, Invocation, Reply, Usage};
use uuid::Uuid;

use super::{
    copies::Copies,
    meter::FunctionMeter,
    origins::BatchOrigins,
    policy::{Called, Delivered, GivenUp, Policy, World, deliver},
    workers::Workers,
};

/// How many records a call is given.
#[derive(Clone, Copy, Debug)]
pub struct Grouping {
    /// Rows at most.
    pub rows: usize,
    /// Bytes of columns at most, by the average row.
    pub bytes: usize,
    /// How long rows wait for more when they are fewer; not at all if it is zero.
    pub wait: Duration,
}

impl Grouping {
    /// Rows of one group, of so many rows that have so many bytes.
    pub(super) fn each(&self, rows: usize, bytes: usize) -> usize {
        let average = (bytes / rows.max(1)).max(1);
        self.rows.min(self.bytes / average).max(1)
    }

    /// The groups of a batch, in order.
    pub(super) fn groups(&self, batch: &Batch) -> Vec<Range<usize>> {
        let rows = batch.records.num_rows();
        let each = self.each(rows, batch.bytes());
        (0..rows).step_by(each).map(|from| from..rows.min(from + each)).collect()
    }

    /// Whether rows wait for more.
    pub(super) fn gathers(&self) -> bool {
        !self.wait.is_zero()
    }
}

/// Everything that a call at one node needs, shared by the node's tasks.
pub struct Dispatch {
    /// The copies.
    pub copies: Arc<Copies>,
    /// What is done when calls fail.
    pub policy: Policy,
    /// How many records a call is given.
    pub grouping: Grouping,
    /// What is measured.
    pub meter: FunctionMeter,
    /// Threads for calls that wait for something else than this process.
    workers: Workers,
}

impl Dispatch {
    /// The calls of one node.
    pub fn new(copies: Arc<Copies>, policy: Policy, grouping: Grouping, meter: FunctionMeter) -> Self {
        let workers = Workers::new(copies.most());
        Self { copies, policy, grouping, meter, workers }
    }

    /// Has a call made by another thread.
    pub(super) fn submit(&self, call: Box<dyn FnOnce() + Send>) {
        if self.workers.submit(call) {
            self.meter.throttled();
        }
    }

    /// Calls the function with a batch that is one group.
    pub(super) fn deliver(&self, batch: &Batch, clock: &dyn Clock) -> Result<Delivered, CallError> {
        deliver(batch, &self.policy, &mut Group { dispatch: self, clock })
    }

    /// Calls the function with all rows of the batch.
    ///
    /// # Errors
    /// If the function cannot be started at all.
    pub fn run(&self, batch: &Batch, clock: &dyn Clock) -> Result<Delivered, CallError> {
        let groups = self.grouping.groups(batch);
        match groups.as_slice() {
            [] => Ok(Delivered::default()),
            [_] => self.deliver(batch, clock),
            groups => self.side_by_side(batch, groups, clock),
        }
    }

    fn side_by_side(&self, batch: &Batch, groups: &[Range<usize>], clock: &dyn Clock) -> Result<Delivered, CallError> {
        let results: Vec<Mutex<Option<Result<Delivered, CallError>>>> =
            groups.iter().map(|_| Mutex::default()).collect();
        let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            while !stopped.load(Ordering::Relaxed) {
                let group = next.fetch_add(1, Ordering::Relaxed);
                let Some(rows) = groups.get(group) else { break };
                let part = batch.slice(rows.start, rows.len());
                let result = self.deliver(&part, clock);
                stopped.fetch_or(result.is_err(), Ordering::Relaxed);
                *results[group].lock() = Some(result);
            }
        };
        thread::scope(|scope| {
            for _ in 1..groups.len().min(self.copies.most()) {
                // Without the thread the others do its work.
                let _ = thread::Builder::new().name("rh-function".to_owned()).spawn_scoped(scope, work);
            }
            work();
        });
        let mut all = Delivered::default();
        for (result, rows) in results.into_iter().zip(groups) {
            let Some(result) = result.into_inner() else { continue };
            let Delivered { out, failed } = result?;
            all.out.extend(out);
            let first = u32::try_from(rows.start).expect("a batch has fewer than 2^32 rows");
            all.failed.extend(failed.into_iter().map(|failed| GivenUp { row: failed.row + first, ..failed }));
        }
        Ok(all)
    }

    /// One call, measured.
    pub(super) fn call(&self, rows: &RecordBatch, batch: &Batch) -> Called {
        let id = Uuid::new_v4();
        let origins = BatchOrigins::of(batch);
        let invocation = Invocation { id, deadline: None, origins: Some(&origins) };
        let copy = self.copies.take(|| self.meter.throttled());
        self.meter.started(id);
        let reply = match copy {
            Ok(mut copy) => copy.instance().call(rows, &invocation),
            Err(error) => Reply { result: Err(error), usage: Usage::default() },
        };
        self.meter.called(id, rows.num_rows(), &reply);
        Called { id, reply }
    }
}

/// The calls of one group.
struct Group<'a> {
    dispatch: &'a Dispatch,
    clock: &'a dyn Clock,
}

impl World for Group<'_> {
    fn call(&mut self, rows: &RecordBatch, batch: &Batch) -> Called {
        self.dispatch.call(rows, batch)
    }

    fn pause(&mut self, duration: Duration) {
        let until = Instant::now() + duration;
        self.dispatch.meter.waiting(duration);
        thread::sleep(until.saturating_duration_since(Instant::now()));
    }

    fn age(&mut self, batch: &Batch) -> Duration {
        let micros = self.clock.now_micros().saturating_sub(batch.input.read_at);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}
