//! Which state of a reader a commit stands for: positions are noted at barriers and come back when they are durable,
//! in order, while the reader has gone on and files have changed places.

use std::{
    cell::RefCell,
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

use crate::position::Positions;

/// Notes kept at most, more than a task sends barriers ahead. Commits of earlier ones are of an unknown state.
const MOST: usize = 4096;

/// Positions that were noted and have not come back, by their hashes, each with the reader's state: a count of changes.
#[derive(Default)]
pub(super) struct Noted {
    notes: RefCell<VecDeque<(u64, u64)>>,
}

impl Noted {
    /// Notes positions.
    pub(super) fn add(&self, positions: &Positions, state: u64) {
        let mut notes = self.notes.borrow_mut();
        if notes.len() >= MOST {
            notes.pop_front();
        }
        notes.push_back((hash(positions), state));
    }

    /// The state when positions that are to be committed were noted: the earliest that it can have been, if one is known.
    pub(super) fn state_of(&self, positions: &Positions) -> Option<u64> {
        let hash = hash(positions);
        self.notes.borrow().iter().find(|(noted, _)| *noted == hash).map(|(_, state)| *state)
    }

    /// The same, and forgets these positions and those noted before; 0 if they are not known.
    pub(super) fn take(&self, positions: &Positions) -> u64 {
        let hash = hash(positions);
        let mut notes = self.notes.borrow_mut();
        let Some(place) = notes.iter().position(|(noted, _)| *noted == hash) else { return 0 };
        notes.drain(..=place).next_back().map_or(0, |(_, state)| state)
    }
}

fn hash(positions: &Positions) -> u64 {
    let mut hasher = DefaultHasher::new();
    positions.hash(&mut hasher);
    hasher.finish()
}
