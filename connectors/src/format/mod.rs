//! Formats: how bytes become rows and rows become bytes. Separate from transports: any connector that carries bytes
//! takes any format.

mod avro;
mod bytes;
mod column;
mod csv;
mod infer;
mod json;
mod parquet;
mod print;
mod scalar;
pub mod schema;
mod settings;
#[cfg(test)]
mod settings_tests;
#[cfg(test)]
mod test_support;
mod text;

pub use avro::{AvroColumns, AvroSettings};
pub use csv::CsvSettings;
pub use infer::infer;
pub(crate) use json::{Cursor, ValueWriter, unwritable, writable, write_string};
pub(crate) use settings::refuse_format;
pub use settings::{Format, FormatName, JsonSettings};

use arrow_array::RecordBatch;

use crate::{
    batch::{Payloads, RowFailure, Rows},
    error::Error,
};

/// How a stream of bytes (a file, a request's body) is cut into records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One record a line.
    Lines,
    /// One record a CSV row: a quoted field may hold line ends. The first row may be a header.
    Csv {
        /// The quoting character.
        quote: u8,
        /// Whether the first row names the columns.
        header: bool,
    },
    /// The whole is one record.
    Whole,
    /// The container has rows of its own (Parquet): the transport reads it with the format's reader.
    Container,
}

/// What decoding gave: rows, the way back to the records, and the records that could not be decoded.
#[derive(Debug)]
pub struct Decoded {
    /// The rows of the records that could be decoded, in order.
    pub records: RecordBatch,
    /// Which record each row came from.
    pub rows: Rows,
    /// The records that could not be decoded, ascending, by their index in the payloads.
    pub failed: Vec<RowFailure>,
}

/// Turns records' bytes into rows: exactly one row or one failure a record. One task owns it and it may keep buffers.
pub trait Decoder: Send {
    /// Decodes all records. Bad ones never hurt their neighbours.
    fn decode(&mut self, payloads: &Payloads) -> Decoded;

    /// Takes the first record of a stream whose framing has a [header](Framing::Csv): it names the columns of all
    /// records until the next header. A transport calls it at the start of each file or body, also when it goes on in
    /// the middle of one. Formats without headers ignore it.
    ///
    /// # Errors
    /// If the header does not name a column that must be there.
    fn header(&mut self, _record: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

/// Rows as bytes, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// All rows' bytes, without separators.
    pub bytes: Vec<u8>,
    /// Where each row ends in `bytes`.
    pub ends: Vec<usize>,
}

impl Encoded {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of row `i`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.bytes[start..self.ends[i]]
    }
}

/// Turns rows into bytes, one byte string a row.
pub trait Encoder: Send {
    /// Appends every row of `records` to `out`.
    fn encode(&mut self, records: &RecordBatch, out: &mut Encoded);

    /// The line that a new file or body begins with, without a line end, if the format has one.
    fn header(&self) -> Option<Vec<u8>> {
        None
    }
}
