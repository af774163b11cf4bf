//! Reads some partitions of a group, for one task.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use rdkafka::{Offset, consumer::Consumer, error::RDKafkaErrorCode};

use super::{
    assignment::{Assigned, State},
    coordinator::Coordinator,
    group::Group,
    queue::Fetched,
    records::{From, Gathering, Metadata},
    start::{self, OnGap},
};
use crate::{
    batch::Payloads,
    clock::Clock,
    error::Error,
    position::{Partition, Position, Positions},
    source::{BatchLimits, Polled, Reader},
};

/// For how long closing may take before the consumer is left to itself.
const CLOSE: Duration = Duration::from_secs(5);
/// For how long the brokers may take to tell what is left of a partition whose records are gone.
const ASK: Duration = Duration::from_secs(5);

/// What all readers of a source need.
pub(super) struct Reading {
    pub(super) source: Arc<str>,
    pub(super) group: Arc<Group>,
    pub(super) coordinator: Coordinator,
    pub(super) limits: BatchLimits,
    pub(super) metadata: Vec<Metadata>,
    pub(super) clock: Arc<dyn Clock>,
}

/// The reader in one of the group's seats.
pub(super) struct KafkaReader {
    shared: Arc<Reading>,
    seat: usize,
    partitions: Vec<Arc<Assigned>>,
    /// The partition to look at first, so that none starves.
    turn: usize,
    /// Bytes of the last full batch: room to make for the next one.
    room: usize,
    closed: bool,
}

impl KafkaReader {
    pub(super) fn new(shared: Arc<Reading>, seat: usize) -> Self {
        Self { shared, seat, partitions: Vec::new(), turn: 0, room: 0, closed: false }
    }

    fn refresh(&mut self) {
        let seat = &self.shared.group.seats[self.seat];
        if seat.changed.swap(false, Ordering::AcqRel) {
            self.partitions.clone_from(&seat.partitions.lock());
        }
    }

    /// The next batch of the first partition that has one.
    fn next(&mut self) -> Result<Option<Payloads>, Error> {
        for step in 0..self.partitions.len() {
            let index = (self.turn + step) % self.partitions.len();
            let partition = Arc::clone(&self.partitions[index]);
            if let Some(payloads) = self.read(&partition)? {
                self.turn = index + 1;
                return Ok(Some(payloads));
            }
        }
        Ok(None)
    }

    fn read(&mut self, partition: &Assigned) -> Result<Option<Payloads>, Error> {
        let shared = Arc::clone(&self.shared);
        let mut state = partition.state();
        let BatchLimits { rows, bytes, .. } = shared.limits;
        if state.revoking || !fill(&mut state, rows, bytes / 4) {
            return Ok(None);
        }
        let mut gathering = Gathering::with_capacity(rows.min(1024), self.room);
        while gathering.len() < rows && fill(&mut state, rows - gathering.len(), bytes / 4) {
            let record = state.fetched.front().expect("fill has just found a record");
            if let Some((code, text)) = record.error() {
                if gathering.len() > 0 {
                    break;
                }
                state.fetched.pop_front();
                return self.trouble(partition, &mut state, code, &text).map(|()| None);
            }
            if gathering.len() > 0 && gathering.bytes() + record.size() > bytes {
                break;
            }
            // Records before the start can come when a partition returns and an older request is answered late.
            if record.offset() >= state.next {
                gathering.push(record);
                state.next = record.offset() + 1;
            }
            state.fetched.pop_front();
        }
        drop(state);
        if gathering.len() == 0 {
            return Ok(None);
        }
        self.room = gathering.bytes() + gathering.bytes() / 8;
        shared.group.health.up();
        let from = From { topic: &partition.topic, number: partition.number, metadata: &shared.metadata };
        Ok(Some(gathering.finish(&shared.source, &partition.name, &from, shared.clock.now_micros())))
    }

    /// An error in a partition's queue. Most are told through callbacks too, and pass.
    fn trouble(
        &self,
        partition: &Assigned,
        state: &mut State,
        code: RDKafkaErrorCode,
        text: &str,
    ) -> Result<(), Error> {
        match code {
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => self.gap(partition, state),
            code => {
                self.shared.group.health.error(code, text);
                self.shared.group.health.failure().map_or(Ok(()), Err)
            }
        }
    }

    /// The next record to read is gone.
    fn gap(&self, partition: &Assigned, state: &mut State) -> Result<(), Error> {
        let group = &self.shared.group;
        let Some(consumer) = group.consumer.get().and_then(std::sync::Weak::upgrade) else { return Ok(()) };
        let (topic, number) = (&*partition.topic, partition.number);
        let ends = consumer.fetch_watermarks(topic, number, ASK);
        let (low, high) = ends.map_err(|error| {
            let what = format!("topic `{topic}`, partition {number}: the record at offset {} is gone", state.next);
            Error::fatal(format!("{what}, and the brokers do not tell where the topic begins")).caused_by(error)
        })?;
        let message = start::gap(topic, number, state.next, low, high);
        if group.on_gap == OnGap::Stop {
            return Err(Error::fatal(message));
        }
        tracing::warn!("{message}; going on at offset {low}, as `on_gap: continue` says");
        (state.next, state.durable, state.committed) = (low, low, low.min(state.committed));
        state.fetched.clear();
        // librdkafka has stopped fetching it, so it cannot be told to seek: assign it anew.
        start::list(&[((topic.to_owned(), number), low)].into(), Offset::Offset)
            .and_then(|list| consumer.incremental_unassign(&list).and_then(|()| consumer.incremental_assign(&list)))
            .map_err(|error| Error::fatal(message).caused_by(error))
    }
}

/// Takes more records from the queue when none are left from the last time; whether there are some now. Takes no more
/// than `rows`, and about `bytes`, judged by the size of those taken before.
fn fill(state: &mut State, rows: usize, bytes: usize) -> bool {
    if state.fetched.is_empty() {
        let State { fetched, queue: Some(queue), typical, .. } = state else { return false };
        queue.take(rows.min(bytes / (*typical).max(1)), fetched);
        *typical = fetched.iter().map(Fetched::size).max().unwrap_or(*typical);
    }
    !state.fetched.is_empty()
}

impl Reader for KafkaReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        let deadline = Instant::now() + wait;
        loop {
            self.shared.group.seats[self.seat].waker.reset();
            self.refresh();
            if let Some(payloads) = self.next()? {
                return Ok(Polled::Payloads(payloads));
            }
            if let Some(error) = self.shared.group.health.failure() {
                return Err(error);
            }
            // Somebody waits for a barrier: the task must get to sending it.
            if self.wants_barrier() || !self.shared.group.seats[self.seat].waker.wait_until(deadline) {
                return Ok(Polled::Idle);
            }
        }
    }

    fn positions(&self) -> Positions {
        let place = |partition: &Arc<Assigned>| {
            let mut state = partition.state();
            let moved = state.is_ours() && state.next > state.start;
            state.promised = state.next;
            moved.then(|| (partition.name.clone(), Position::Offset(state.next.unsigned_abs())))
        };
        self.partitions.iter().filter_map(place).collect()
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), Error> {
        for partition in &self.partitions {
            if let Some(Position::Offset(offset)) = positions.get(&partition.name) {
                partition.state().acknowledge(offset.cast_signed());
            }
        }
        self.shared.group.acknowledged();
        Ok(())
    }

    fn wants_barrier(&self) -> bool {
        self.partitions.iter().any(|partition| partition.state().wants_barrier())
    }

    fn lag(&self) -> Vec<(Partition, u64)> {
        let lag = |partition: &Arc<Assigned>| {
            let state = partition.state();
            let end = state.queue.as_ref()?.end()?;
            Some((partition.name.clone(), end.saturating_sub(state.next).max(0).unsigned_abs()))
        };
        self.partitions.iter().filter_map(lag).collect()
    }

    fn queued(&self) -> Vec<(Partition, u64)> {
        let queued = |partition: &Arc<Assigned>| {
            let state = partition.state();
            let records = state.queue.as_ref()?.len() + state.fetched.len();
            Some((partition.name.clone(), records as u64))
        };
        self.partitions.iter().filter_map(queued).collect()
    }

    fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.partitions.clear();
        if self.shared.group.leave() && !self.shared.coordinator.join(CLOSE) {
            tracing::warn!(source = %self.shared.source, "the kafka consumer did not close in time and is left to itself");
        }
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.close();
    }
}
