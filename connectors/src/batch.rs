//! What flows: undecoded payloads, decoded batches, and from each row the way back to the record it came from.
//!
//! The edge message is here too, because sources make it and sinks take it.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow_select::take::take_record_batch;

use crate::position::{Partition, Position};

/// Counts barriers. Epoch `n` is everything a task read between its barriers `n - 1` and `n`.
pub type Epoch = u64;

/// What a message on an edge can be.
#[derive(Clone, Debug)]
pub enum Message {
    /// Rows.
    Batch(Batch),
    /// No earlier event time is expected: microseconds since 1970-01-01 UTC.
    Watermark(i64),
    /// Everything before it belongs to this epoch or an earlier one.
    Barrier(Epoch),
    /// Nothing follows.
    End,
}

/// The records that a batch was read from, all of one partition and in its order.
#[derive(Clone, Debug)]
pub struct Input {
    /// The source's name in the pipeline file.
    pub source: Arc<str>,
    /// The partition all records are of.
    pub partition: Partition,
    /// One position a record, ascending.
    pub positions: Vec<Position>,
    /// The records' keys, where the transport has any.
    pub keys: Option<BinaryArray>,
    /// The records' headers as `list<struct<key: utf8, value: binary>>`, where the transport has any.
    pub headers: Option<ArrayRef>,
    /// When each record happened or was written, where the transport says so.
    pub times: Option<TimestampMillisecondArray>,
    /// When the records were read: microseconds since 1970-01-01 UTC. Latency counts from here.
    pub read_at: i64,
}

impl Input {
    /// The number of records.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }
}

/// Undecoded records as a transport delivers them.
#[derive(Clone, Debug)]
pub struct Payloads {
    /// One value a record. Null is a record without a value (Kafka's tombstone).
    pub values: BinaryArray,
    /// The columns of [`Source::metadata`](crate::source::Source::metadata), one row a record.
    pub metadata: Vec<ArrayRef>,
    /// Where the records came from.
    pub input: Arc<Input>,
}

/// From each row of a batch to the record of its [`Input`].
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// Row `i` is of record `i`.
    Same,
    /// Row `i` is of record `index[i]`.
    Index(UInt32Array),
    /// Any row may be of any record: a function gave `n` rows for `m` without saying which is whose.
    All,
}

impl Rows {
    /// The record that a row came from, if it is known.
    pub fn record(&self, row: usize) -> Option<usize> {
        match self {
            Self::Same => Some(row),
            Self::Index(index) => index.values().get(row).map(|record| *record as usize),
            Self::All => None,
        }
    }

    /// The rows `selection` of these.
    pub fn take(&self, selection: &UInt32Array) -> Self {
        match self {
            Self::Same => Self::Index(selection.clone()),
            Self::Index(index) => {
                Self::Index(selection.values().iter().map(|row| index.value(*row as usize)).collect())
            }
            Self::All => Self::All,
        }
    }

    /// `length` rows from `offset` on.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        match self {
            Self::Same => {
                let first = u32::try_from(offset).expect("a batch has fewer than 2^32 rows");
                let count = u32::try_from(length).expect("a batch has fewer than 2^32 rows");
                Self::Index((first..first + count).collect())
            }
            Self::Index(index) => Self::Index(index.slice(offset, length)),
            Self::All => Self::All,
        }
    }
}

/// Decoded rows with the way back to where they came from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The rows.
    pub records: RecordBatch,
    /// Which record each row came from.
    pub rows: Rows,
    /// The records.
    pub input: Arc<Input>,
}

impl Batch {
    /// `length` rows from `offset` on, without copying them.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            records: self.records.slice(offset, length),
            rows: self.rows.slice(offset, length),
            input: Arc::clone(&self.input),
        }
    }

    /// The rows `selection`, copied.
    ///
    /// # Panics
    /// If `selection` names a row that does not exist.
    pub fn take(&self, selection: &UInt32Array) -> Self {
        let records = take_record_batch(&self.records, selection).expect("the selection names rows of this batch");
        Self { records, rows: self.rows.take(selection), input: Arc::clone(&self.input) }
    }

    /// Bytes held by the rows' columns.
    pub fn bytes(&self) -> usize {
        self.records.columns().iter().map(|column| column.get_buffer_memory_size()).sum()
    }
}

/// One row that could not be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowFailure {
    /// The row in the batch (or the record in the payloads) that failed.
    pub row: u32,
    /// A stable code such as `decode.json.syntax`, for filters and metrics.
    pub code: &'static str,
    /// What is wrong and where in the record, without the record's values.
    pub message: String,
}
