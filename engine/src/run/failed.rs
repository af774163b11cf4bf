//! Which records failed somewhere on their way, for whoever read them and must know what became of each.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;
use riverhook_connectors::batch::{Input, RowFailure, Rows};

/// The failures of batches that somebody waits for: whoever does holds their [`Input`], by which they are told apart.
#[derive(Debug, Default)]
pub struct FailedRecords(Mutex<HashMap<usize, Failed>>);

#[derive(Debug, Default)]
struct Failed {
    records: BTreeSet<usize>,
    /// Rows that failed and may be of any record.
    unknown: usize,
}

impl FailedRecords {
    /// Rows of a batch failed. A record counts once, however many of its rows do.
    pub(super) fn note(&self, input: &Arc<Input>, rows: &Rows, failures: &[RowFailure]) {
        let mut all = self.0.lock();
        let failed = all.entry(name(input)).or_default();
        for failure in failures {
            match rows.record(failure.row as usize) {
                Some(record) => {
                    failed.records.insert(record);
                }
                None => failed.unknown += 1,
            }
        }
    }

    /// How many of a batch's records failed; forgets them.
    pub fn take(&self, input: &Arc<Input>) -> usize {
        self.0.lock().remove(&name(input)).map_or(0, |failed| failed.records.len() + failed.unknown)
    }
}

fn name(input: &Arc<Input>) -> usize {
    Arc::as_ptr(input) as usize
}
