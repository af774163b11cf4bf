//! JSON messages to rows: exactly one object a message, and a bad message fails alone.
//!
//! Bytes go straight into the columns the plan reads; the values of other fields are only checked for their form.
//! Deliberate differences from a strict, materialising parser: nesting is bounded by 64; fields that no column takes
//! may hold halves of surrogate pairs and numbers of any size; of a key that comes twice the last one counts.

use arrow_array::{Array, BinaryArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::SchemaRef;

use super::{
    fault::{Fault, Read},
    scan::Cursor,
    value::ValueReader,
};
use crate::{
    batch::{Payloads, RowFailure, Rows},
    error::Error,
    format::{Decoded, Decoder, column::Record},
};

/// Decodes JSON.
pub(crate) struct JsonDecoder {
    schema: SchemaRef,
    record: Record,
    values: ValueReader,
}

impl JsonDecoder {
    /// A decoder of the columns of `schema`; other fields are skipped.
    pub(crate) fn new(schema: SchemaRef, coerce: bool) -> Result<Self, Error> {
        let record = Record::new(schema.fields())?;
        Ok(Self { schema, record, values: ValueReader { coerce } })
    }

    /// Appends one message as row `row`. On a fault the columns hold parts of it.
    #[inline(always)]
    fn message(&mut self, bytes: &[u8], checked: bool, row: usize) -> Read<()> {
        if !checked && let Err(error) = std::str::from_utf8(bytes) {
            return Err(Fault::utf8(error.valid_up_to()));
        }
        let mut cursor = Cursor::new(bytes);
        cursor.space();
        if cursor.peek() != b'{' {
            return Err(no_object(&cursor));
        }
        self.values.object(&mut cursor, &mut self.record, row, 1)?;
        cursor.space();
        if cursor.is_done() {
            Ok(())
        } else {
            Err(Fault::syntax(cursor.at(), "something follows the object: expected one object a message"))
        }
    }
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, payloads: &Payloads) -> Decoded {
        let messages = &payloads.values;
        // ASCII is UTF-8, and to check that for all messages at once costs next to nothing.
        let checked = values_of(messages).is_ascii();
        let mut failed = Vec::new();
        let mut rows = 0;
        for i in 0..messages.len() {
            let (message, skipped) = strip_confluent(messages.value(i));
            let read = if messages.is_null(i) {
                Err(Fault::empty("the record has no value"))
            } else {
                self.message(message, checked, rows)
            };
            match read {
                Ok(()) => rows += 1,
                Err(fault) => {
                    self.record.truncate(rows);
                    failed.push(fault.of_row(row_number(i), skipped));
                }
            }
        }
        finish(&self.schema, &mut self.record, messages.len(), failed)
    }
}

/// The rows that were read from `messages` messages less those that failed.
pub(crate) fn finish(schema: &SchemaRef, record: &mut Record, messages: usize, failed: Vec<RowFailure>) -> Decoded {
    let rows = messages - failed.len();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let records = RecordBatch::try_new_with_options(SchemaRef::clone(schema), record.finish(), &options)
        .expect("columns are made from the schema, grow together, and hold nulls only where it allows them");
    Decoded { records, rows: good_rows(messages, &failed), failed }
}

/// From each row to its message, when those in `failed` (ascending) have none.
pub(crate) fn good_rows(messages: usize, failed: &[RowFailure]) -> Rows {
    if failed.is_empty() {
        return Rows::Same;
    }
    let mut bad = failed.iter().map(|failure| failure.row).peekable();
    let good = (0..row_number(messages)).filter(|row| bad.next_if_eq(row).is_none());
    Rows::Index(UInt32Array::from_iter_values(good))
}

/// A message's number as failures and row indexes have it.
pub(crate) fn row_number(message: usize) -> u32 {
    u32::try_from(message).expect("a batch has fewer than 2^32 messages")
}

/// A message without the header that Confluent's serialisers put before it (a zero and four bytes of schema id), and
/// the header's length. No text begins with a zero, so it is known by that.
pub(crate) fn strip_confluent(message: &[u8]) -> (&[u8], usize) {
    match message {
        [0, _, _, _, _, rest @ ..] => (rest, 5),
        _ => (message, 0),
    }
}

/// The bytes of all messages.
fn values_of(messages: &BinaryArray) -> &[u8] {
    let offsets = messages.value_offsets();
    let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { return &[] };
    let place = |offset: &i32| usize::try_from(*offset).expect("offsets are never negative");
    &messages.value_data()[place(first)..place(last)]
}

/// Why a message that does not begin with `{` is not one object.
#[cold]
fn no_object(cursor: &Cursor<'_>) -> Box<Fault> {
    if cursor.is_done() {
        return Fault::empty("the message is empty");
    }
    let mut rest = cursor.clone();
    match rest.skip(0) {
        Ok(()) => Fault::wrong_type(cursor.at(), "expected one object a message, found another value"),
        Err(fault) => fault,
    }
}
