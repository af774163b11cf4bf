//! Requests between the server, which takes them, and the reader, which hands them on and learns when they are durable.

use std::{collections::VecDeque, ops::Range, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::keys::{Keys, Seen};
use crate::{
    clock::Clock,
    reply::{Awaited, Replies},
    source::BatchLimits,
};

/// The queue.
pub(super) struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// Whether requests are open until they are durable, or only until the reader took them.
    durable: bool,
    /// Where answers come from, if they are a node's rows.
    replies: Option<Replies>,
    clock: Arc<dyn Clock>,
}

struct State {
    /// Taken from the network, in order.
    waiting: VecDeque<Waiting>,
    /// Handed on whole, and not yet durable, in order.
    open: VecDeque<Open>,
    /// The position of the next record to come.
    next: u64,
    keys: Keys,
    closed: bool,
}

struct Waiting {
    request: Arc<Request>,
    first: u64,
    /// How many of its records were handed on.
    taken: usize,
    answer: Answer,
}

struct Open {
    /// Behind its last record.
    end: u64,
    answer: Answer,
}

/// Who waits for a request. Dropped without a word, the request failed.
struct Answer {
    done: oneshot::Sender<()>,
    key: Option<Arc<str>>,
    _room: Arc<Room>,
}

/// A request's part of what may be on the way.
pub(super) struct Room {
    _request: OwnedSemaphorePermit,
    bytes: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Gives back what is not needed beyond `bytes`.
    pub(super) fn shrink(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.bytes {
            drop(permit.split(permit.num_permits().saturating_sub(bytes)));
        }
    }
}

/// What a sender may wait for. The request's room is given back when that is over, and the reader is done with it.
pub(super) struct Promise {
    /// Tells when it is durable, or handed on if that is enough; dropped, it never will be.
    pub(super) durable: oneshot::Receiver<()>,
    /// The rows that are its answer.
    pub(super) reply: Option<Awaited>,
    _room: Arc<Room>,
}

/// A request that was read and cut.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) body: Bytes,
    pub(super) records: Vec<Range<usize>>,
    pub(super) header: Option<Arc<[u8]>>,
    /// Microseconds since 1970-01-01 UTC.
    pub(super) read_at: i64,
}

/// What came of a request that was brought.
pub(super) enum Pushed {
    /// It waits to be handed on.
    Taken(Promise),
    /// The same request was seen before.
    Seen(Seen),
    /// The source is closed.
    Closed,
}

/// What the reader gets.
pub(super) enum Taken {
    Pieces(Vec<Piece>),
    /// What the records of the next pieces are headed by.
    Header(Arc<[u8]>),
    Nothing,
}

/// Some records of a request.
pub(super) struct Piece {
    pub(super) request: Arc<Request>,
    pub(super) records: Range<usize>,
    /// The position of the first one.
    pub(super) first: u64,
}

impl Queue {
    pub(super) fn new(
        requests: usize,
        bytes: usize,
        durable: bool,
        replies: Option<Replies>,
        dedupe: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let keys = Keys::new(dedupe);
        // Nobody remembers positions, and sinks make idempotency keys of them: a run that began at 0 again would give
        // its records those of other records. A run takes fewer records than microseconds, so the time is behind all.
        let next = u64::try_from(clock.now_micros()).unwrap_or_default();
        let state = State { waiting: VecDeque::new(), open: VecDeque::new(), next, keys, closed: false };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            requests: Arc::new(Semaphore::new(requests)),
            bytes: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
            durable,
            replies,
            clock,
        }
    }

    /// The position of the next record to come.
    pub(super) fn next(&self) -> u64 {
        self.state.lock().next
    }

    /// Room for a request of so many bytes, if there is any left.
    pub(super) fn room(&self, bytes: usize) -> Option<Room> {
        let request = Arc::clone(&self.requests).try_acquire_owned().ok()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        Some(Room { _request: request, bytes: Some(bytes) })
    }

    /// Makes room for so many bytes more, if there is any left.
    pub(super) fn grow(&self, room: &mut Room, bytes: usize) -> bool {
        let more = u32::try_from(bytes).ok();
        let more = more.and_then(|bytes| Arc::clone(&self.bytes).try_acquire_many_owned(bytes).ok());
        let grown = more.is_some();
        match (&mut room.bytes, more) {
            (Some(bytes), Some(more)) => bytes.merge(more),
            (bytes, more) => *bytes = bytes.take().or(more),
        }
        grown
    }

    /// Brings a request. `key` comes with a hash of the body.
    pub(super) fn push(&self, request: Request, room: Room, key: Option<(Arc<str>, u64)>) -> Pushed {
        let mut state = self.state.lock();
        if state.closed {
            return Pushed::Closed;
        }
        if let Some((key, body)) = &key {
            match state.keys.begin(key, *body, self.clock.monotonic()) {
                Seen::New => {}
                seen => return Pushed::Seen(seen),
            }
        }
        let (done, receiver) = oneshot::channel();
        let first = state.next;
        state.next += request.records.len() as u64;
        // Before the reader can hand it on: answers may come at once.
        let reply = self.replies.as_ref().map(|replies| replies.expect(first, request.records.len()));
        let room = Arc::new(room);
        let answer = Answer { done, key: key.map(|(key, _)| key), _room: Arc::clone(&room) };
        state.waiting.push_back(Waiting { request: Arc::new(request), first, taken: 0, answer });
        drop(state);
        self.filled.notify_one();
        Pushed::Taken(Promise { durable: receiver, reply, _room: room })
    }

    /// Records up to the limits, as soon as there are any. `header` is the one that the reader handed on last.
    pub(super) fn take(&self, limits: BatchLimits, wait: Duration, header: Option<&Arc<[u8]>>) -> Taken {
        let mut state = self.state.lock();
        if state.waiting.is_empty() && !state.closed {
            self.filled.wait_for(&mut state, wait);
        }
        let Some(next) = state.waiting.front() else { return Taken::Nothing };
        if let Some(own) = next.request.header.as_ref().filter(|own| Some(*own) != header) {
            return Taken::Header(Arc::clone(own));
        }
        let (mut rows, mut bytes) = (limits.rows.max(1), limits.bytes);
        let mut pieces = Vec::new();
        while let Some(next) = state.waiting.front_mut().filter(|next| next.request.header.as_ref() == header) {
            let begin = next.taken;
            for record in next.request.records[begin..].iter().take(rows) {
                if record.len() > bytes && !(pieces.is_empty() && next.taken == begin) {
                    break;
                }
                bytes = bytes.saturating_sub(record.len());
                next.taken += 1;
            }
            if next.taken > begin {
                rows -= next.taken - begin;
                let (request, records) = (Arc::clone(&next.request), begin..next.taken);
                pieces.push(Piece { request, records, first: next.first + begin as u64 });
            }
            if next.taken < next.request.records.len() {
                break;
            }
            self.handed_on(&mut state);
        }
        Taken::Pieces(pieces)
    }

    /// The first waiting request was handed on whole.
    fn handed_on(&self, state: &mut State) {
        let Some(done) = state.waiting.pop_front() else { return };
        let end = done.first + done.request.records.len() as u64;
        if self.durable {
            state.open.push_back(Open { end, answer: done.answer });
        } else {
            finish(&mut state.keys, done.answer);
        }
    }

    /// Everything before this position is durable.
    pub(super) fn commit(&self, position: u64) {
        let state = &mut *self.state.lock();
        while state.open.front().is_some_and(|open| open.end <= position) {
            let Some(open) = state.open.pop_front() else { return };
            finish(&mut state.keys, open.answer);
        }
    }

    /// Whether somebody waits for what was handed on to be durable.
    pub(super) fn is_waited_for(&self) -> bool {
        !self.state.lock().open.is_empty()
    }

    /// The request of this key came to nothing.
    pub(super) fn failed(&self, key: &str) {
        self.state.lock().keys.failed(key);
    }

    /// Requests and records that wait to be handed on.
    pub(super) fn lag(&self) -> u64 {
        let state = self.state.lock();
        state.waiting.front().map_or(0, |next| state.next - next.first - next.taken as u64)
    }

    /// No more requests; whether some wait to be handed on.
    pub(super) fn take_in_no_more(&self) -> bool {
        let mut state = self.state.lock();
        state.closed = true;
        !state.waiting.is_empty()
    }

    /// No more requests; those that are not durable, or not answered, fail.
    pub(super) fn close(&self) {
        let (waiting, open) = {
            let mut state = self.state.lock();
            state.closed = true;
            (std::mem::take(&mut state.waiting), std::mem::take(&mut state.open))
        };
        self.filled.notify_all();
        drop((waiting, open));
        if let Some(replies) = &self.replies {
            replies.close();
        }
    }
}

/// A sender who went away does not hear it; that hurts nobody.
fn finish(keys: &mut Keys, answer: Answer) {
    if let Some(key) = &answer.key {
        keys.done(key);
    }
    let _ = answer.done.send(());
}
