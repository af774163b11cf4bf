//! One partition that the group gave us: shared by the coordinator, which gets and loses it, and the reader of it.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;

use super::queue::{Fetched, PartitionQueue};
use crate::position::Partition;

/// A partition of ours, until it is revoked.
pub(super) struct Assigned {
    pub(super) topic: Arc<str>,
    pub(super) number: i32,
    /// Its name in positions, metrics and dead letters.
    pub(super) name: Partition,
    state: Mutex<State>,
}

/// Its changing part. Fetched records go before the queue they came from.
pub(super) struct State {
    /// Taken from the queue but not handed out: what did not fit in the last batch.
    pub(super) fetched: VecDeque<Fetched>,
    /// `None` once the partition is no longer ours.
    pub(super) queue: Option<PartitionQueue>,
    /// Where reading began.
    pub(super) start: i64,
    /// The offset after the last record handed out.
    pub(super) next: i64,
    /// Records before this offset are durable at every sink.
    pub(super) durable: i64,
    /// Records before this offset are committed at the broker.
    pub(super) committed: i64,
    /// The group wants it back: nothing more is read.
    pub(super) revoking: bool,
    /// The offset that the last barrier stood for.
    pub(super) promised: i64,
    /// Bytes of the largest of the records taken last.
    pub(super) typical: usize,
}

impl Assigned {
    pub(super) fn new(topic: Arc<str>, number: i32, start: i64, queue: PartitionQueue) -> Self {
        let name = Partition::new(format!("{topic}-{number}"));
        let state = State {
            fetched: VecDeque::new(),
            queue: Some(queue),
            start,
            next: start,
            durable: start,
            committed: start,
            revoking: false,
            promised: start,
            typical: 1024,
        };
        Self { topic, number, name, state: Mutex::new(state) }
    }

    /// Its state, locked. Never held while waiting for anything.
    pub(super) fn state(&self) -> parking_lot::MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Lets go of it: its records and its queue are gone, nothing of it can be read or committed any more.
    pub(super) fn release(&self) {
        let mut state = self.state.lock();
        state.fetched.clear();
        state.queue = None;
    }
}

impl State {
    /// Whether it is still ours.
    pub(super) fn is_ours(&self) -> bool {
        self.queue.is_some()
    }

    /// Whether it has to go, and no barrier stands behind its last record yet.
    pub(super) fn wants_barrier(&self) -> bool {
        self.revoking && self.is_ours() && self.promised < self.next && !self.is_settled()
    }

    /// Whether all that was handed out is durable.
    pub(super) fn is_settled(&self) -> bool {
        self.durable >= self.next
    }

    /// What the broker should be told, if that is news.
    pub(super) fn to_commit(&self) -> Option<i64> {
        (self.is_ours() && self.durable > self.committed).then_some(self.durable)
    }

    /// Records before `offset` are durable. An acknowledgement of an earlier assignment may name an offset that this
    /// one has not read again: then what was read is durable, no more can be said.
    pub(super) fn acknowledge(&mut self, offset: i64) {
        self.durable = self.durable.max(offset.min(self.next));
    }
}
