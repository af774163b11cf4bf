//! What a reader remembers of its files: where reading goes on in each, and what tells it from another one. Follows what
//! of that is committed, so that no position is taken for another file's, and files that are gone can be forgotten.

use std::{cell::RefCell, collections::BTreeMap, io, sync::Arc};

use super::{
    marks::{Known, Mark, Marks},
    noted::Noted,
    source::cannot_keep,
};
use crate::{
    error::Error,
    position::{Partition, Position, Positions},
};

/// The memory of one reader.
pub(super) struct Remembered {
    /// Where reading goes on in every file this reader has had.
    positions: Positions,
    /// Where reading stopped the last time, in all files of the source.
    before: Positions,
    marks: Arc<Marks>,
    /// How often what the positions stand for has changed other than by reading on.
    changes: u64,
    /// Files that took another one's name, and at which change. Until a commit of a later state the manifest has the
    /// other one's position.
    replaced: BTreeMap<Partition, u64>,
    /// Files that are gone and were read to their end, and at which change.
    leaving: BTreeMap<Partition, u64>,
    /// Files that were forgotten, and at which change: positions noted before still have them.
    forgotten: BTreeMap<Partition, u64>,
    noted: Noted,
    /// What kept marks from being written.
    unwritten: RefCell<Option<io::Error>>,
}

impl Remembered {
    /// At the beginning of a run.
    pub(super) fn new(marks: Arc<Marks>, before: Positions) -> Self {
        Self {
            positions: Positions::new(),
            before,
            marks,
            changes: 0,
            replaced: BTreeMap::new(),
            leaving: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            noted: Noted::default(),
            unwritten: RefCell::default(),
        }
    }

    /// Where reading goes on.
    pub(super) fn position(&self, partition: &Partition) -> u64 {
        let known = self.positions.get(partition).or_else(|| self.before.get(partition));
        known.map_or(0, |Position::Offset(position)| *position)
    }

    /// What the file looked like that was read.
    pub(super) fn mark(&self, partition: &Partition) -> Option<Mark> {
        self.marks.get(partition).mark
    }

    /// Whether the run before ended when the position of a file that had come anew may not have been in the manifest.
    pub(super) fn is_unsure(&self, partition: &Partition) -> bool {
        !self.replaced.contains_key(partition) && self.marks.get(partition).unsure
    }

    /// Reading goes on there, of a file that looks like this if that is news.
    pub(super) fn advance(&mut self, partition: &Partition, position: u64, mark: Option<Mark>) -> Result<(), Error> {
        if mark.is_some() {
            self.keep(partition, Known { mark, unsure: self.replaced.contains_key(partition) })?;
        }
        self.positions.insert(partition.clone(), Position::Offset(position));
        Ok(())
    }

    /// Another file has the name, to be read from its beginning.
    pub(super) fn restart(&mut self, partition: &Partition) -> Result<(), Error> {
        self.changes += 1;
        self.replaced.insert(partition.clone(), self.changes);
        self.positions.insert(partition.clone(), Position::Offset(0));
        self.keep(partition, Known { mark: None, unsure: true })
    }

    /// Lets a file go that is gone, as soon as what was read of it is committed.
    pub(super) fn leave(&mut self, partition: Partition) {
        self.changes += 1;
        self.leaving.insert(partition, self.changes);
    }

    /// The positions, for a barrier. What they depend on is made durable before them; if that cannot be, there are none,
    /// and [`Remembered::check`] says why.
    pub(super) fn note(&self) -> Positions {
        if let Err(error) = self.marks.sync() {
            self.unwritten.replace(Some(error));
            return Positions::new();
        }
        self.noted.add(&self.positions, self.changes);
        self.positions.clone()
    }

    /// Whether what positions depend on could be written.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.unwritten.take().map_or(Ok(()), |error| Err(cannot_keep(&self.marks, error)))
    }

    /// These positions are in the manifest. Returns files that were forgotten by that.
    pub(super) fn commit(&mut self, positions: &Positions) -> Result<Vec<Partition>, Error> {
        let state = self.noted.take(positions);
        let sure = self.replaced.extract_if(.., |_, change| *change <= state);
        for (partition, _) in sure.collect::<Vec<_>>() {
            self.keep(&partition, Known { unsure: false, ..self.marks.get(&partition) })?;
        }
        self.forgotten.retain(|_, change| *change > state);
        let left = self.leaving.extract_if(.., |_, change| *change <= state);
        let left: Vec<Partition> = left.map(|(partition, _)| partition).collect();
        left.iter().for_each(|partition| self.forget(partition));
        Ok(left)
    }

    /// Files to be forgotten when these positions are committed: those that are gone for good, and those that were
    /// forgotten after the positions had been noted.
    pub(super) fn gone(&self, positions: &Positions) -> Vec<Partition> {
        let Some(state) = self.noted.state_of(positions) else { return Vec::new() };
        let left = self.leaving.iter().filter(|(_, change)| **change <= state);
        let forgotten = self.forgotten.iter().filter(|(_, change)| **change > state);
        left.chain(forgotten).map(|(partition, _)| partition.clone()).collect()
    }

    fn forget(&mut self, partition: &Partition) {
        self.positions.remove(partition);
        self.before.remove(partition);
        self.replaced.remove(partition);
        self.marks.forget(partition);
        self.changes += 1;
        self.forgotten.insert(partition.clone(), self.changes);
    }

    fn keep(&self, partition: &Partition, known: Known) -> Result<(), Error> {
        self.marks.set(partition, known).map_err(|error| cannot_keep(&self.marks, error))
    }
}
