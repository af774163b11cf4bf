//! How the suite gets at a source.

use arrow_array::RecordBatch;
use arrow_cast::display::{ArrayFormatter, FormatOptions};

use crate::source::Source;

/// Makes sources, and the records in front of them.
pub trait SourceHarness {
    /// Makes a place that was never used before (a topic, a folder, a port) with so many partitions and no records,
    /// and a source that reads it from the beginning.
    fn create(&mut self, partitions: usize) -> Box<dyn Source>;

    /// Puts records into a partition of the place made last, behind those that are there. With
    /// [`fed_while_open`](SourceAbilities::fed_while_open) it must not wait for an answer: the suite polls, and
    /// commits, only after it.
    fn put(&mut self, partition: usize, records: &[Vec<u8>]);

    /// Says that no more records come: from here the source ends, if it can.
    fn finish(&mut self) {}

    /// What the connector can do.
    fn abilities(&self) -> SourceAbilities {
        SourceAbilities::default()
    }

    /// For a source of batches: the record that was put in, from the row it became. All columns as text, unless said
    /// otherwise.
    fn record(&self, batch: &RecordBatch, row: usize) -> Vec<u8> {
        let options = FormatOptions::default();
        let cells = batch.columns().iter().map(|column| match ArrayFormatter::try_new(column, &options) {
            Ok(cells) => cells.value(row).to_string(),
            Err(error) => error.to_string(),
        });
        cells.collect::<Vec<_>>().join(",").into_bytes()
    }
}

/// What a source can do, so that nothing else is asked of it.
#[derive(Clone, Copy, Debug)]
pub struct SourceAbilities {
    /// Partitions at most.
    pub partitions: usize,
    /// Whether reading can go on from positions, or from those that were committed.
    pub resumes: bool,
    /// Whether a record may hold any bytes, line ends and NUL among them, or none.
    pub any_bytes: bool,
    /// Whether records can be put in at all. If not, what a first reading gives is taken for what is there.
    pub fed: bool,
    /// Whether records can only be put in while the source is open, as requests to a server.
    pub fed_while_open: bool,
    /// Whether the source ends after [`SourceHarness::finish`].
    pub ends: bool,
    /// The largest record in bytes that must pass whole.
    pub largest: usize,
}

impl Default for SourceAbilities {
    fn default() -> Self {
        Self {
            partitions: 3,
            resumes: true,
            any_bytes: true,
            fed: true,
            fed_while_open: false,
            ends: false,
            largest: 512 << 10,
        }
    }
}
