//! The Runtime API's state: which event is with the child, and what the child may say now.
//!
//! It must not know HTTP; [`super::server`] speaks that. The lock is held for moments and never across a wait, and but
//! for tests all of it runs on the thread of the call.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use crate::contract::CallError;

/// An event on its way to the child.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) id: Uuid,
    /// When the call ends: milliseconds since 1970-01-01 UTC.
    pub(super) deadline_ms: u64,
    pub(super) body: Bytes,
}

/// What a child did that a call waits for.
#[derive(Debug)]
pub(super) enum Signal {
    /// It asked for its first event: it has started.
    Ready,
    /// It said that it could not start.
    InitFailed(CallError),
    /// It answered the event that it has.
    Answered(Result<Vec<u8>, CallError>),
}

/// Why the child may not say this now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The id is of no event that it has.
    UnknownId,
    /// It has an event that it has not answered, or has started already, or somebody else asked for the next event.
    NotNow,
}

/// The state of one child's Runtime API.
#[derive(Debug, Default)]
pub(super) struct Api {
    state: Mutex<State>,
    signalled: Notify,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// The child's `next`, held open.
    poll: Option<oneshot::Sender<Event>>,
    /// An event that no `next` has fetched yet.
    event: Option<Event>,
    /// The event that the child has, to be given once more if it was lost on the way.
    given: Option<Event>,
    /// The connection on which it was given has ended: the child may not have got it.
    lost: bool,
    signal: Option<Signal>,
    /// An answer is on its way, and is longer than allowed.
    too_large: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// It has not asked for an event yet.
    #[default]
    Starting,
    /// It has no event.
    Idle,
    /// It has this event.
    Busy(Uuid),
    /// It has begun to answer this event.
    Answering(Uuid),
}

impl Api {
    /// Gives the child an event as soon as it asks for one.
    pub(super) fn offer(&self, event: Event) {
        let mut state = self.state.lock();
        state.signal = None;
        state.too_large = false;
        state.event = Some(event);
        if let Some(poll) = state.poll.take() {
            state.hand_over(poll);
        }
    }

    /// Whether the child has fetched the event that it was offered last.
    pub(super) fn fetched(&self) -> bool {
        self.state.lock().event.is_none()
    }

    /// Whether an answer that is longer than allowed is on its way.
    pub(super) fn too_large(&self) -> bool {
        self.state.lock().too_large
    }

    /// Waits for what the child does next.
    pub(super) async fn signal(&self) -> Signal {
        loop {
            if let Some(signal) = self.state.lock().signal.take() {
                return signal;
            }
            self.signalled.notified().await;
        }
    }

    /// The child asks for an event. The result ends without one if it asks anew, as a client that lost its connection
    /// does: only the newest poll counts. If an event may have been lost with that connection, it is given again.
    pub(super) fn next(self: &Arc<Self>) -> Result<Poll, Refusal> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Starting => {
                state.phase = Phase::Idle;
                state.signal = Some(Signal::Ready);
                self.signalled.notify_one();
            }
            Phase::Idle => {}
            Phase::Busy(_) if state.lost => {
                state.phase = Phase::Idle;
                state.event = state.given.take();
            }
            Phase::Busy(_) | Phase::Answering(_) => return Err(Refusal::NotNow),
        }
        let (poll, event) = oneshot::channel();
        state.hand_over(poll);
        Ok(Poll { api: Arc::clone(self), event })
    }

    /// The connection on which the child was given this event has ended. If it asks for an event now, without having
    /// answered, it has not got this one.
    pub(super) fn lost(&self, id: Uuid) {
        let mut state = self.state.lock();
        state.lost |= state.phase == Phase::Busy(id);
    }

    /// The child begins to answer the event `id`. If the result is dropped before [`Answer::end`], because the
    /// connection broke, the event is with the child as before.
    pub(super) fn answer(self: &Arc<Self>, id: &str) -> Result<Answer, Refusal> {
        let mut state = self.state.lock();
        match state.phase {
            Phase::Busy(busy) if Uuid::try_parse(id) == Ok(busy) => {
                state.phase = Phase::Answering(busy);
                Ok(Answer { api: Arc::clone(self), id: busy })
            }
            _ => Err(Refusal::UnknownId),
        }
    }

    /// The child says that it cannot start.
    pub(super) fn init_failed(&self, error: CallError) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        if state.phase != Phase::Starting {
            return Err(Refusal::NotNow);
        }
        state.signal = Some(Signal::InitFailed(error));
        self.signalled.notify_one();
        Ok(())
    }
}

impl State {
    /// Gives the event to this poll if there is one, else keeps the poll.
    fn hand_over(&mut self, poll: oneshot::Sender<Event>) {
        let Some(event) = self.event.take() else {
            self.poll = Some(poll);
            return;
        };
        let (id, given) = (event.id, event.clone());
        match poll.send(event) {
            Ok(()) => {
                self.phase = Phase::Busy(id);
                self.given = Some(given);
                self.lost = false;
            }
            // The connection of this poll is gone; the child's next one gets the event.
            Err(event) => self.event = Some(event),
        }
    }
}

/// A child's wait for an event.
#[derive(Debug)]
pub(super) struct Poll {
    api: Arc<Api>,
    event: oneshot::Receiver<Event>,
}

impl Poll {
    /// The event, or nothing if there is a newer poll. The caller sees to it that it gets to the child, or says that it
    /// is [lost](Api::lost).
    pub(super) async fn event(mut self) -> Option<Event> {
        (&mut self.event).await.ok()
    }
}

impl Drop for Poll {
    /// An event that nobody took from here was lost with the connection.
    fn drop(&mut self) {
        if let Ok(event) = self.event.try_recv() {
            self.api.lost(event.id);
        }
    }
}

/// An answer that is being received.
pub(super) struct Answer {
    api: Arc<Api>,
    id: Uuid,
}

impl Answer {
    /// The answer is longer than allowed; the rest of it is only read away.
    pub(super) fn is_too_large(&self) {
        self.api.state.lock().too_large = true;
    }

    /// The answer is all here.
    pub(super) fn end(self, result: Result<Vec<u8>, CallError>) {
        let mut state = self.api.state.lock();
        state.phase = Phase::Idle;
        state.given = None;
        state.signal = Some(Signal::Answered(result));
        self.api.signalled.notify_one();
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let mut state = self.api.state.lock();
        if state.phase == Phase::Answering(self.id) {
            state.phase = Phase::Busy(self.id);
            state.too_large = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::CallErrorKind;

    fn event(id: u128) -> Event {
        Event { id: Uuid::from_u128(id), deadline_ms: 0, body: Bytes::new() }
    }

    /// The event that a poll has by now.
    fn got(mut poll: Poll) -> Option<Event> {
        poll.event.try_recv().ok()
    }

    fn id(id: u128) -> String {
        Uuid::from_u128(id).to_string()
    }

    #[test]
    fn an_event_is_answered_once_and_only_by_its_id() {
        let api = Arc::new(Api::default());
        assert_eq!(api.answer(&id(1)).err(), Some(Refusal::UnknownId));
        let poll = api.next().unwrap();
        api.offer(event(1));
        assert_eq!(got(poll).unwrap().id, Uuid::from_u128(1));
        assert_eq!(api.next().err(), Some(Refusal::NotNow));
        assert_eq!(api.answer(&id(2)).err(), Some(Refusal::UnknownId));
        let answer = api.answer(&id(1)).unwrap();
        assert_eq!(api.answer(&id(1)).err(), Some(Refusal::UnknownId));
        answer.end(Ok(vec![]));
        assert_eq!(api.answer(&id(1)).err(), Some(Refusal::UnknownId));
    }

    #[test]
    fn an_answer_cut_off_can_be_given_again() {
        let api = Arc::new(Api::default());
        let _poll = api.next().unwrap();
        api.offer(event(1));
        drop(api.answer(&id(1)).unwrap());
        assert!(api.answer(&id(1)).is_ok());
    }

    #[test]
    fn a_poll_whose_connection_is_gone_takes_no_event_with_it() {
        let api = Arc::new(Api::default());
        drop(api.next().unwrap());
        api.offer(event(1));
        assert!(!api.fetched());
        assert!(got(api.next().unwrap()).is_some());
        assert!(api.fetched());
    }

    #[test]
    fn an_event_that_was_lost_with_its_connection_is_given_again() {
        let api = Arc::new(Api::default());
        let poll = api.next().unwrap();
        api.offer(event(1));
        // The connection ends before the event was taken from it, then after that.
        drop(poll);
        assert!(got(api.next().unwrap()).is_some());
        assert_eq!(api.next().err(), Some(Refusal::NotNow), "it has got it");
        api.lost(Uuid::from_u128(1));
        assert_eq!(got(api.next().unwrap()).unwrap().id, Uuid::from_u128(1));
        // One that had got it after all may answer.
        api.lost(Uuid::from_u128(1));
        api.answer(&id(1)).unwrap().end(Ok(vec![]));
        let poll = api.next().unwrap();
        api.lost(Uuid::from_u128(1));
        api.offer(event(2));
        assert_eq!(got(poll).unwrap().id, Uuid::from_u128(2));
        assert_eq!(api.next().err(), Some(Refusal::NotNow), "that was another event's connection");
    }

    #[test]
    fn a_newer_poll_replaces_an_older_one() {
        let api = Arc::new(Api::default());
        let older = api.next().unwrap();
        let newer = api.next().unwrap();
        api.offer(event(1));
        assert!(got(older).is_none());
        assert!(got(newer).is_some());
    }

    #[test]
    fn only_a_child_that_starts_can_fail_to() {
        let api = Arc::new(Api::default());
        let error = || CallError::new(CallErrorKind::Crash, "no");
        assert_eq!(api.init_failed(error()), Ok(()));
        let _poll = api.next().unwrap();
        assert_eq!(api.init_failed(error()), Err(Refusal::NotNow));
    }
}
