//! Between a writer, which a task calls, and its requests, which are on their way: what waits, what is done, what came
//! back.

use std::collections::{BTreeSet, VecDeque};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::request::Job;
use crate::{
    batch::Epoch,
    sink::{Progress, Rejected},
};

/// A lane.
pub(super) struct Lane {
    state: Mutex<State>,
    /// Something was done: for the writer.
    done: Condvar,
    /// Something waits: for who sends.
    waits: Notify,
    limit: usize,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(u64, Job)>,
    /// Numbers of the requests that are not done, waiting or on their way.
    unfinished: BTreeSet<u64>,
    next: u64,
    bytes: usize,
    /// Barriers that are not durable, each with the number of the first request behind it.
    barriers: VecDeque<(Epoch, u64)>,
    durable: Epoch,
    rejected: Vec<Rejected>,
}

impl Lane {
    /// A lane that holds so many bytes at most, or a single request.
    pub(super) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), done: Condvar::new(), waits: Notify::new(), limit }
    }

    /// Puts a request behind the others. Waits for room.
    pub(super) fn put(&self, job: Job) {
        let mut state = self.state.lock();
        while state.bytes > 0 && state.bytes + job.bytes() > self.limit {
            self.done.wait(&mut state);
        }
        state.bytes += job.bytes();
        let number = state.next;
        state.next += 1;
        state.unfinished.insert(number);
        state.waiting.push_back((number, job));
        drop(state);
        self.waits.notify_one();
    }

    /// The next request and its number.
    pub(super) async fn next(&self) -> (u64, Job) {
        loop {
            let next = self.state.lock().waiting.pop_front();
            if let Some(next) = next {
                return next;
            }
            self.waits.notified().await;
        }
    }

    /// A request of so many bytes is done.
    pub(super) fn finish(&self, number: u64, bytes: usize) {
        let state = &mut *self.state.lock();
        state.unfinished.remove(&number);
        state.bytes -= bytes;
        state.settle();
        self.done.notify_all();
    }

    /// Rows that are not wanted, of a request that is not done yet or never was.
    pub(super) fn reject(&self, rejected: Rejected) {
        self.state.lock().rejected.push(rejected);
    }

    pub(super) fn barrier(&self, epoch: Epoch) {
        let mut state = self.state.lock();
        let behind = state.next;
        state.barriers.push_back((epoch, behind));
        state.settle();
    }

    pub(super) fn progress(&self) -> Progress {
        let mut state = self.state.lock();
        Progress { durable: state.durable, rejected: std::mem::take(&mut state.rejected) }
    }

    /// Waits until everything is done.
    pub(super) fn drain(&self) -> Progress {
        let mut state = self.state.lock();
        while !state.unfinished.is_empty() {
            self.done.wait(&mut state);
        }
        drop(state);
        self.progress()
    }
}

impl State {
    fn settle(&mut self) {
        let first = self.unfinished.first().copied().unwrap_or(self.next);
        while self.barriers.front().is_some_and(|(_, behind)| *behind <= first) {
            self.durable = self.barriers.pop_front().map_or(self.durable, |(epoch, _)| epoch);
        }
    }
}
