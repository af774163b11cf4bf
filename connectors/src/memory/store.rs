//! What for a real connector is a server: named stores, shared by everybody in the process who knows the name.
//!
//! Knows nothing of readers and writers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, cast::AsArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parking_lot::{Condvar, Mutex};

use crate::{
    batch::{Batch, Epoch},
    position::Positions,
};

/// What a store holds at most, in bytes of the columns.
pub const MOST_BYTES: usize = 1 << 30;

/// A store. Clones share it; it is gone when nobody holds it any more.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Decides whether a row is one that the sink cannot take.
pub(super) type Refuses = Arc<dyn Fn(&RecordBatch, usize) -> bool + Send + Sync>;

/// What is in a store. A reader looks at the first half, a writer at the second.
#[derive(Default)]
pub(super) struct State {
    logs: Vec<Log>,
    pub(super) schema: Option<SchemaRef>,
    pub(super) finished: bool,
    pub(super) committed: Positions,

    pub(super) delivered: Vec<Delivered>,
    pub(super) stalled: bool,
    pub(super) failure: Option<String>,
    pub(super) refuses: Option<Refuses>,

    pub(super) bytes: usize,
}

/// One partition: pieces, each with the index of its first record.
#[derive(Default)]
struct Log {
    pieces: Vec<(u64, RecordBatch)>,
    end: u64,
}

/// Rows that arrived at a sink.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Which writer wrote them.
    pub task: usize,
    /// The epoch they are of: the barrier behind them has this number.
    pub epoch: Epoch,
    /// The rows.
    pub batch: Batch,
}

impl Memory {
    /// The store of this name; made if nobody has it yet.
    pub fn named(name: &str) -> Self {
        static STORES: Mutex<BTreeMap<String, Weak<Shared>>> = Mutex::new(BTreeMap::new());
        let mut stores = STORES.lock();
        if let Some(shared) = stores.get(name).and_then(Weak::upgrade) {
            return Self { shared };
        }
        stores.retain(|_, store| store.strong_count() > 0);
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        stores.insert(name.to_owned(), Arc::downgrade(&shared));
        Self { shared }
    }

    /// Makes a source of this store give rows with these columns ([`Memory::push_rows`]) and not payloads. Before the
    /// pipeline is planned.
    pub fn set_schema(&self, schema: SchemaRef) {
        self.shared.state.lock().schema = Some(schema);
    }

    /// Puts payloads behind those that are in a partition.
    ///
    /// # Panics
    /// If the store would hold more than [`MOST_BYTES`].
    pub fn push<V: AsRef<[u8]>>(&self, partition: usize, values: impl IntoIterator<Item = V>) {
        let values = BinaryArray::from_iter_values(values);
        let schema = Schema::new(vec![Field::new("value", DataType::Binary, true)]);
        let piece = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(values) as ArrayRef]);
        self.push_rows(partition, &piece.expect("one column fits a schema of one column"));
    }

    /// Puts rows behind those that are in a partition.
    ///
    /// # Panics
    /// If the store would hold more than [`MOST_BYTES`].
    pub fn push_rows(&self, partition: usize, rows: &RecordBatch) {
        let mut state = self.shared.state.lock();
        state.bytes += rows.get_array_memory_size();
        assert!(state.bytes <= MOST_BYTES, "a memory store holds at most {MOST_BYTES} bytes");
        if state.logs.len() <= partition {
            state.logs.resize_with(partition + 1, Log::default);
        }
        let log = &mut state.logs[partition];
        log.pieces.push((log.end, rows.clone()));
        log.end += rows.num_rows() as u64;
        self.shared.changed.notify_all();
    }

    /// Says that no more is pushed: the source ends when all was read.
    pub fn finish(&self) {
        self.update(|state| state.finished = true);
    }

    /// The positions that were committed last.
    pub fn committed(&self) -> Positions {
        self.shared.state.lock().committed.clone()
    }

    /// What arrived at the sink, in the order of its arrival.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.shared.state.lock().delivered.clone()
    }

    /// Waits until this many rows arrived at the sink, and whether they did in time.
    pub fn wait_for_rows(&self, rows: usize, timeout: Duration) -> bool {
        let arrived = |state: &State| state.delivered.iter().map(|one| one.batch.records.num_rows()).sum::<usize>();
        let mut state = self.shared.state.lock();
        !self.shared.changed.wait_while_for(&mut state, |state| arrived(state) < rows, timeout).timed_out()
    }

    /// Makes the sink hang, as behind a server that does not answer, or go on.
    pub fn stall(&self, stalled: bool) {
        self.update(|state| state.stalled = stalled);
    }

    /// Makes the sink fail from now on, or, with `None`, work again.
    pub fn fail(&self, why: Option<&str>) {
        self.update(|state| state.failure = why.map(Into::into));
    }

    /// Makes the sink hand back the rows for which `refuses` holds.
    pub fn refuse(&self, refuses: impl Fn(&RecordBatch, usize) -> bool + Send + Sync + 'static) {
        self.update(|state| state.refuses = Some(Arc::new(refuses)));
    }

    /// Changes the state and wakes whoever waits for a change.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let answer = change(&mut self.shared.state.lock());
        self.shared.changed.notify_all();
        answer
    }

    /// Looks again and again, after each change, until there is an answer or time is up.
    pub(super) fn watch<T>(&self, wait: Duration, mut look: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let mut found = None;
        let mut state = self.shared.state.lock();
        self.shared.changed.wait_while_for(
            &mut state,
            |state| {
                found = look(state);
                found.is_none()
            },
            wait,
        );
        drop(state);
        self.shared.changed.notify_all();
        found
    }
}

impl State {
    /// Records of a partition from `position` on: those that lie together, within limits, but one at least.
    pub(super) fn read(&self, partition: usize, position: u64, rows: usize, bytes: usize) -> Option<RecordBatch> {
        let log = self.logs.get(partition).filter(|log| position < log.end)?;
        let piece = log.pieces.partition_point(|(first, _)| *first <= position) - 1;
        let (first, piece) = &log.pieces[piece];
        let offset = usize::try_from(position - first).expect("a piece is in memory");
        let rest = piece.slice(offset, (piece.num_rows() - offset).min(rows.max(1)));
        let length = if self.schema.is_none() { within(rest.column(0).as_binary(), bytes) } else { rest.num_rows() };
        Some(rest.slice(0, length))
    }

    /// Records of a partition from `position` on.
    pub(super) fn behind(&self, partition: usize, position: u64) -> u64 {
        self.logs.get(partition).map_or(0, |log| log.end.saturating_sub(position))
    }
}

/// How many of the first values have no more than `bytes` together; one at least.
fn within(values: &BinaryArray, bytes: usize) -> usize {
    let ends = &values.value_offsets()[1..];
    let first = values.value_offsets()[0];
    ends.partition_point(|end| usize::try_from(end - first).is_ok_and(|size| size <= bytes))
        .clamp(1, values.len().max(1))
}
