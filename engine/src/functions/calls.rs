//! The calls of one node in one task: several are under way at the same time, and what comes of them is released in the
//! order of each partition.
//!
//! A function that computes is called on the task's own thread, at once. One that waits for something else (a process, a
//! server) is called from other threads, and the task goes on reading: a slow answer holds its own partition, not the
//! others. Watermarks and barriers stay behind the rows that came before them. Nothing here knows nodes or edges.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};
use riverhook_connectors::{
    batch::{Batch, Input, Message},
    clock::Clock,
};
use riverhook_udf::{CallError, CallErrorKind};

use super::{dispatch::Dispatch, gather::Gather, policy::Delivered};

/// Bytes of rows that a node may hold in one task while they are with its function; a larger group is alone.
const MAX_BYTES: usize = 16 << 20;

/// Rings when a call ends, for the task that waits for it.
#[derive(Default)]
pub struct Bell {
    rung: Mutex<bool>,
    ring: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock() = true;
        self.ring.notify_one();
    }

    /// Waits until a call has ended since the last time, or for `longest`.
    pub fn wait(&self, longest: Duration) {
        let mut rung = self.rung.lock();
        if !*rung {
            self.ring.wait_for(&mut rung, longest);
        }
        *rung = false;
    }
}

/// What leaves, in order.
pub enum Released {
    /// These rows were with the function, and this came of them.
    Made(Batch, Delivered),
    /// A watermark or a barrier whose turn it is.
    Behind(Message),
}

/// The calls of one node in one task.
pub struct Calls {
    dispatch: Arc<Dispatch>,
    clock: Arc<dyn Clock>,
    bell: Arc<Bell>,
    /// Whether rows are with the function while the task goes on.
    aside: bool,
    gather: Gather,
    items: VecDeque<Item>,
    /// Bytes of the rows in `items`.
    bytes: usize,
    /// How many parts of each input are not released yet; by address, for inputs are shared.
    inputs: BTreeMap<usize, usize>,
}

enum Item {
    Rows(Group),
    Behind(Message),
}

/// Rows that are with the function.
struct Group {
    batch: Batch,
    /// The inputs that they came with, which the batch's own may have been put together from.
    inputs: Vec<Arc<Input>>,
    bytes: usize,
    result: Place,
}

type Place = Arc<Mutex<Option<Result<Delivered, CallError>>>>;

impl Calls {
    /// No calls yet. With `overlap`, functions that run elsewhere are called from other threads.
    pub fn new(dispatch: Arc<Dispatch>, clock: Arc<dyn Clock>, bell: Arc<Bell>, overlap: bool) -> Self {
        Self {
            aside: overlap && dispatch.copies.waits(),
            gather: Gather::new(dispatch.grouping),
            dispatch,
            clock,
            bell,
            items: VecDeque::new(),
            bytes: 0,
            inputs: BTreeMap::new(),
        }
    }

    /// Takes rows; gives the parts that are to be begun now, in order.
    pub fn take(&mut self, batch: &Batch) -> Vec<Part> {
        if !self.dispatch.grouping.gathers() {
            return self.cut(vec![Part { batch: batch.clone(), inputs: vec![Arc::clone(&batch.input)] }]);
        }
        let parts = self.gather.add(batch, self.clock.monotonic());
        self.cut(parts)
    }

    /// The parts whose time to wait for more rows is over.
    pub fn due(&mut self) -> Vec<Part> {
        if self.gather.is_empty() {
            return Vec::new();
        }
        let parts = self.gather.due(self.clock.monotonic());
        self.cut(parts)
    }

    /// All parts that wait for more rows.
    pub fn all_gathered(&mut self) -> Vec<Part> {
        let parts = self.gather.all();
        self.cut(parts)
    }

    /// Cuts rows into groups of one call, where those can be under way at the same time; else the dispatch cuts.
    fn cut(&mut self, parts: Vec<Part>) -> Vec<Part> {
        if !self.aside {
            return parts;
        }
        let groups = |part: Part| {
            let ranges = self.dispatch.grouping.groups(&part.batch);
            ranges.into_iter().map(move |range| part.slice(range.start, range.len()))
        };
        parts.into_iter().flat_map(groups).collect()
    }

    /// Whether something must be released before more rows are begun.
    pub fn is_full(&self) -> bool {
        self.items.len() >= self.dispatch.copies.most() || self.bytes >= MAX_BYTES
    }

    /// Calls the function with these rows, which [`take`](Self::take) and its like gave.
    pub fn begin(&mut self, part: Part) {
        let Part { batch, inputs } = part;
        inputs.iter().for_each(|input| self.hold(input));
        let (result, bytes) = (Place::default(), batch.bytes());
        self.bytes += bytes;
        if self.aside {
            self.send(&batch, &result);
        } else {
            *result.lock() = Some(self.dispatch.run(&batch, &*self.clock));
        }
        self.items.push_back(Item::Rows(Group { batch, inputs, bytes, result }));
    }

    fn send(&self, batch: &Batch, result: &Place) {
        let (dispatch, clock, batch) = (Arc::clone(&self.dispatch), Arc::clone(&self.clock), batch.clone());
        let (result, bell) = (Arc::clone(result), Arc::clone(&self.bell));
        let call = move || {
            let done = catch_unwind(AssertUnwindSafe(|| dispatch.deliver(&batch, &*clock)));
            *result.lock() = Some(done.unwrap_or_else(|_| Err(panicked())));
            bell.ring();
        };
        self.dispatch.submit(Box::new(call));
    }

    /// To be called when all parts that were given have begun.
    pub fn begun(&mut self) {
        self.items.extend(self.gather.passed().map(Item::Behind));
    }

    /// Puts a watermark or a barrier behind all rows that were taken. What waits for more rows must have been begun
    /// before a barrier; a watermark waits with it.
    pub fn behind(&mut self, message: Message) {
        match message {
            Message::Watermark(time) if !self.gather.is_empty() => self.gather.watermark(time),
            message => self.items.push_back(Item::Behind(message)),
        }
    }

    /// What can leave now: the oldest first, and of each partition in order unless order is of no concern.
    ///
    /// # Errors
    /// If the function cannot be started at all.
    pub fn released(&mut self) -> Result<Option<Released>, CallError> {
        let mut held: Vec<&Batch> = Vec::new();
        let mut found = None;
        for (index, item) in self.items.iter().enumerate() {
            let group = match item {
                Item::Behind(_) if index == 0 => {
                    found = Some(index);
                    break;
                }
                // Without order, what is ready need not wait for an epoch's end. With exactly-once delivery it will have to.
                Item::Behind(_) if !self.dispatch.policy.ordered => continue,
                Item::Behind(_) => break,
                Item::Rows(group) => group,
            };
            let behind = |other: &&Batch| other.input.partition == group.batch.input.partition;
            let in_turn = !self.dispatch.policy.ordered || !held.iter().any(behind);
            if in_turn && group.result.lock().is_some() {
                found = Some(index);
                break;
            }
            if in_turn {
                held.push(&group.batch);
            }
        }
        match found.and_then(|index| self.items.remove(index)) {
            None => Ok(None),
            Some(Item::Behind(message)) => Ok(Some(Released::Behind(message))),
            Some(Item::Rows(group)) => self.finish(group).map(Some),
        }
    }

    fn finish(&mut self, group: Group) -> Result<Released, CallError> {
        let Group { batch, inputs, bytes, result } = group;
        self.bytes -= bytes;
        inputs.iter().for_each(|input| self.let_go(input));
        let result = result.lock().take().expect("a group is finished when its result is there");
        Ok(Released::Made(batch, result?))
    }

    /// Whether rows are with the function.
    pub fn under_way(&self) -> bool {
        !self.items.is_empty()
    }

    /// Whether nothing is with the function, nor waits for it.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.gather.is_empty()
    }

    /// Whether rows of this input are with the function, or wait for it.
    pub fn holds(&self, input: &Arc<Input>) -> bool {
        self.inputs.contains_key(&address(input)) || self.gather.holds(input)
    }

    /// Does what is due by time.
    pub fn tick(&self) {
        self.dispatch.copies.reap();
    }

    fn hold(&mut self, input: &Arc<Input>) {
        *self.inputs.entry(address(input)).or_default() += 1;
    }

    fn let_go(&mut self, input: &Arc<Input>) {
        if let Some(parts) = self.inputs.get_mut(&address(input)) {
            *parts -= 1;
            if *parts == 0 {
                self.inputs.remove(&address(input));
            }
        }
    }
}

/// Rows for the function, with the inputs that they came with.
pub struct Part {
    /// The rows.
    pub(super) batch: Batch,
    /// Where they came from.
    pub(super) inputs: Vec<Arc<Input>>,
}

impl Part {
    fn slice(&self, from: usize, count: usize) -> Self {
        let whole = from == 0 && count == self.batch.records.num_rows();
        let batch = if whole { self.batch.clone() } else { self.batch.slice(from, count) };
        Self { batch, inputs: self.inputs.clone() }
    }
}

fn address(input: &Arc<Input>) -> usize {
    Arc::as_ptr(input) as usize
}

fn panicked() -> CallError {
    let message = "the call panicked; this is a bug in Riverhook: please report it with the lines above".to_owned();
    CallError { kind: CallErrorKind::Crash, message, retryable: false }
}
