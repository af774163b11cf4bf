//! Requests that were seen before, by their `Idempotency-Key`. Bounded by time and by number.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

/// Keys remembered at most; the oldest are forgotten first.
const MOST: usize = 100_000;

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Never, or too long ago.
    New,
    /// The same request is on the way.
    Open,
    /// The same request was answered with success.
    Done,
    /// Another body came with the key.
    Other,
}

/// Keys and what became of their requests.
#[derive(Debug)]
pub(super) struct Keys {
    keep: Duration,
    known: HashMap<Arc<str>, Known>,
    /// In the order in which they came, each with when.
    order: VecDeque<(Duration, Arc<str>)>,
}

#[derive(Debug)]
struct Known {
    body: u64,
    since: Duration,
    done: bool,
}

impl Keys {
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, known: HashMap::new(), order: VecDeque::new() }
    }

    /// What is known of the key; from now on it is open if it was new. `body` is a hash of the request's body.
    pub(super) fn begin(&mut self, key: &Arc<str>, body: u64, now: Duration) -> Seen {
        self.forget(now);
        match self.known.entry(Arc::clone(key)) {
            Entry::Occupied(known) if known.get().body != body => Seen::Other,
            Entry::Occupied(known) if known.get().done => Seen::Done,
            Entry::Occupied(_) => Seen::Open,
            Entry::Vacant(place) => {
                place.insert(Known { body, since: now, done: false });
                self.order.push_back((now, Arc::clone(key)));
                Seen::New
            }
        }
    }

    /// The key's request was answered with success.
    pub(super) fn done(&mut self, key: &str) {
        if let Some(known) = self.known.get_mut(key) {
            known.done = true;
        }
    }

    /// The key's request came to nothing: it may come again.
    pub(super) fn failed(&mut self, key: &str) {
        self.known.remove(key);
    }

    fn forget(&mut self, now: Duration) {
        while let Some((since, _)) = self.order.front() {
            if now.saturating_sub(*since) < self.keep && self.order.len() < MOST {
                break;
            }
            let (since, key) = self.order.pop_front().expect("there is a first");
            if self.known.get(&key).is_some_and(|known| known.since == since) {
                self.known.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_for_a_while() {
        let mut keys = Keys::new(Duration::from_secs(10));
        let (a, at) = (Arc::from("a"), Duration::from_secs);
        assert_eq!(keys.begin(&a, 1, at(0)), Seen::New);
        assert_eq!(keys.begin(&a, 1, at(1)), Seen::Open);
        keys.done(&a);
        assert_eq!(keys.begin(&a, 1, at(9)), Seen::Done);
        assert_eq!(keys.begin(&a, 2, at(9)), Seen::Other);
        assert_eq!(keys.begin(&a, 2, at(10)), Seen::New);
        assert_eq!(keys.begin(&a, 2, at(19)), Seen::Open);
        keys.failed(&a);
        assert_eq!(keys.begin(&a, 3, at(19)), Seen::New);
    }

    #[test]
    fn keys_are_bounded() {
        let mut keys = Keys::new(Duration::from_secs(10));
        for key in 0..MOST + 10 {
            keys.begin(&key.to_string().into(), 0, Duration::ZERO);
        }
        assert_eq!((keys.known.len(), keys.order.len()), (MOST, MOST));
        assert_eq!(keys.begin(&"0".into(), 0, Duration::ZERO), Seen::New);
    }
}
