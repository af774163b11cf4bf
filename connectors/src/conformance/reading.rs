//! An opened source that is read by the suite, and everything that must hold for every poll.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use arrow_array::{Array, BinaryArray};

use super::{
    Finding, SourceHarness,
    contexts::{NODE, PATIENCE, Place},
    ensure,
};
use crate::{
    batch::Input,
    position::{Partition, Position, Positions},
    source::{Polled, Reader, Source},
};

/// Records read so far, by partition.
pub(super) type Read = BTreeMap<Partition, Vec<(Position, Vec<u8>)>>;

/// An opened source, and everything that must hold for every poll.
pub(super) struct Opened {
    pub(super) readers: Vec<Box<dyn Reader>>,
    rows: usize,
    metadata: usize,
    pub(super) read: Read,
}

impl Opened {
    pub(super) fn new(
        place: &Place,
        source: &dyn Source,
        positions: Positions,
        parallelism: usize,
        rows: usize,
    ) -> Result<Self, String> {
        let context = place.read(source, parallelism, positions, rows);
        let readers = source.open(context).map_err(|error| format!("it does not open: {error}"))?;
        ensure!(!readers.is_empty(), "it opened without a reader");
        ensure!(readers.len() <= parallelism, "it opened {} readers where {parallelism} were allowed", readers.len());
        Ok(Self { readers, rows, metadata: source.metadata().len(), read: Read::new() })
    }

    /// One poll of one reader: whether there may be more.
    pub(super) fn poll(&mut self, harness: &dyn SourceHarness, reader: usize, wait: Duration) -> Result<Step, String> {
        let polled = self.readers[reader].poll(wait).map_err(|error| format!("a poll failed: {error}"))?;
        let (input, records) = match polled {
            Polled::Idle => return Ok(Step::Idle),
            Polled::End => return Ok(Step::End),
            Polled::Header(_) => return Ok(Step::More),
            Polled::Refused(refused) => return Err(format!("a record was refused: {}", refused.failure.message)),
            Polled::Payloads(payloads) => {
                let count = payloads.metadata.len();
                ensure!(count == self.metadata, "{count} metadata columns came where {} were announced", self.metadata);
                let odd = payloads.metadata.iter().find(|column| column.len() != payloads.values.len());
                ensure!(odd.is_none(), "a metadata column is not as long as the values");
                self.within_limits(&payloads.values)?;
                let value = |row| payloads.values.value(row).to_vec();
                let records: Vec<Vec<u8>> = (0..payloads.values.len()).map(value).collect();
                (payloads.input, records)
            }
            Polled::Batch(batch) => {
                let rows = batch.records.num_rows();
                ensure!(rows <= self.rows, "a batch has {rows} rows where {} were allowed", self.rows);
                (batch.input, (0..rows).map(|row| harness.record(&batch.records, row)).collect())
            }
        };
        ensure!(!records.is_empty(), "a poll gave no records and did not say `Idle`");
        self.note(reader, &input, records)?;
        self.answer(reader)?;
        Ok(Step::More)
    }

    fn within_limits(&self, values: &BinaryArray) -> Finding {
        ensure!(values.len() <= self.rows, "{} records came where {} were allowed", values.len(), self.rows);
        let bytes = values.value_data().len();
        ensure!(values.len() <= 1 || bytes <= 64 << 10, "{bytes} bytes came where {} were allowed", 64 << 10);
        Ok(())
    }

    fn note(&mut self, reader: usize, input: &Input, records: Vec<Vec<u8>>) -> Finding {
        ensure!(&*input.source == NODE, "the input names `{}` as its source, which is `{NODE}`", input.source);
        let count = input.len();
        ensure!(count == records.len(), "{count} positions came with {} records", records.len());
        let seen = self.read.entry(input.partition.clone()).or_default();
        for (position, record) in input.positions.iter().zip(records) {
            if let Some((last, _)) = seen.last() {
                ensure!(last < position, "in {} position {position} came after {last}", input.partition);
            }
            seen.push((*position, record));
        }
        let positions = self.readers[reader].positions();
        let next = positions.get(&input.partition);
        ensure!(next > input.positions.last(), "{} is not past the records that it gave", input.partition);
        Ok(())
    }

    /// Whoever waits for an answer gets it, or would send no more.
    fn answer(&mut self, reader: usize) -> Finding {
        if !self.readers[reader].wants_barrier() {
            return Ok(());
        }
        let positions = self.readers[reader].positions();
        self.readers[reader].commit(&positions).map_err(|error| format!("a commit failed: {error}"))
    }

    pub(super) fn count(&self) -> usize {
        self.read.values().map(Vec::len).sum()
    }

    /// Polls all readers in turn until so many records were read or all readers ended, and a little longer, so that
    /// records too many are seen as well.
    pub(super) fn gather(&mut self, harness: &dyn SourceHarness, wanted: usize) -> Finding {
        let started = Instant::now();
        let mut ended = vec![false; self.readers.len()];
        while self.count() < wanted && ended.contains(&false) {
            ensure!(started.elapsed() < PATIENCE, "{} of {wanted} records came within {PATIENCE:?}", self.count());
            self.round(harness, &mut ended, Duration::from_millis(20))?;
        }
        self.round(harness, &mut ended, Duration::from_millis(50))
    }

    fn round(&mut self, harness: &dyn SourceHarness, ended: &mut [bool], wait: Duration) -> Finding {
        for (reader, ended) in ended.iter_mut().enumerate().filter(|(_, ended)| !**ended) {
            *ended = self.poll(harness, reader, wait)? == Step::End;
        }
        Ok(())
    }

    pub(super) fn positions(&self) -> Positions {
        self.readers.iter().flat_map(|reader| reader.positions()).collect()
    }

    pub(super) fn commit(&mut self) -> Finding {
        for reader in &mut self.readers {
            let positions = reader.positions();
            reader.commit(&positions).map_err(|error| format!("a commit failed: {error}"))?;
        }
        Ok(())
    }

    pub(super) fn close(mut self) -> Read {
        self.readers.iter_mut().for_each(|reader| reader.close());
        self.read
    }
}

/// What a poll came to.
#[derive(PartialEq, Eq)]
pub(super) enum Step {
    More,
    Idle,
    End,
}
