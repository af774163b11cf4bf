//! The answers of a function over records, checked, to an outcome: JSON texts to rows, and rows to where they came from.
//!
//! It must not know how answers come: no wasmtime here beyond the types of the contract.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::builder::StringBuilder;
use arrow_schema::{DataType, Field, SchemaRef};
use serde_json::value::RawValue;

use super::abi::Answer;
use super::guest::{cut_code, cut_message, invalid, too_large};
use super::settings::Records;
use crate::codec::{Codec, JsonRows};
use crate::contract::{CallError, CallErrorKind, FailedRow, Origin, Outcome};

/// The columns of an answer's records take at most so many times the bytes that an answer may have. Without it, a short
/// answer of empty objects would fill memory with a wide schema's nulls.
const MAX_GROWTH: usize = 16;

/// Writes one copy's records and reads its answers.
pub(crate) struct Reader {
    codec: Box<dyn Codec>,
    schema: SchemaRef,
    /// Whether the codec reads the answers, or each is passed on as it is.
    declared: bool,
    /// The answers of the call that runs, and the input row of each; kept for their memory.
    texts: JsonRows,
    from: Vec<u32>,
}

impl Reader {
    /// A reader for batches of `input`, or why there cannot be one.
    pub(crate) fn new(records: &Records, input: &SchemaRef) -> Result<Self, String> {
        let (schema, declared) = (records.schema()?, records.output.is_some());
        let codec = records.codecs.codec(input, &schema)?;
        Ok(Self { codec, schema, declared, texts: JsonRows::default(), from: Vec::new() })
    }

    /// The schema of what the answers become.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Appends each row as a record.
    pub(crate) fn encode(&mut self, batch: &RecordBatch, out: &mut JsonRows) {
        self.codec.encode(batch, out);
    }

    /// The answers to a batch of `rows` rows as an outcome, if all of it holds. A record whose answer is not a row of
    /// the schema fails with all that it answered, so that trying it again repeats nothing.
    pub(crate) fn outcome(&mut self, answers: Vec<Answer>, rows: usize, longest: usize) -> Result<Outcome, CallError> {
        if answers.len() != rows {
            return Err(invalid(format!("{} answers to {rows} records", answers.len())));
        }
        let mut failed = self.collect(answers, longest)?;
        let (mut output, unfit) = self.decode();
        if !unfit.is_empty() {
            self.drop_unfit(unfit, &mut failed);
            let (again, still_unfit) = self.decode();
            if let Some((_, problem)) = still_unfit.first() {
                return Err(invalid(problem.as_str()));
            }
            output = again;
        }
        Ok(Outcome { output, origin: Origin::Rows(std::mem::take(&mut self.from)), failed })
    }

    /// Puts the texts of all answers one after the other, and returns the records that the function failed.
    fn collect(&mut self, answers: Vec<Answer>, longest: usize) -> Result<Vec<FailedRow>, CallError> {
        self.texts.clear();
        self.from.clear();
        let mut failed = Vec::new();
        for (row, answer) in (0u32..).zip(answers) {
            match answer {
                Answer::Records(texts) => {
                    for text in texts {
                        self.texts.push(text.as_bytes());
                        self.from.push(row);
                    }
                }
                Answer::Failed(failure) => failed.push(FailedRow {
                    row,
                    code: cut_code(&failure.code),
                    message: cut_message(&failure.message),
                    retryable: failure.retryable,
                }),
            }
        }
        // Arrow counts a column's bytes in 31 bits.
        let longest = longest.min(i32::MAX as usize);
        let row: usize = self.schema.fields().iter().map(|field| width(field)).sum();
        if self.texts.len().saturating_mul(row) > longest.saturating_mul(MAX_GROWTH) {
            let message = format!("answered {} records, more than memory is given for", self.texts.len());
            return Err(CallError::new(CallErrorKind::OutputTooLarge, message));
        }
        if self.texts.text.len() > longest || self.texts.len() > longest { Err(too_large(longest)) } else { Ok(failed) }
    }

    fn decode(&mut self) -> (RecordBatch, Vec<(usize, String)>) {
        if self.declared { self.codec.decode(&self.texts) } else { pass_through(&self.schema, &self.texts) }
    }

    /// Fails the records of the texts that are no rows, and takes out all texts of those records.
    fn drop_unfit(&mut self, unfit: Vec<(usize, String)>, failed: &mut Vec<FailedRow>) {
        let code = CallErrorKind::InvalidResponse.code();
        let mut dropped: Vec<u32> = Vec::new();
        for (text, problem) in unfit {
            let row = self.from[text];
            if dropped.last() != Some(&row) {
                dropped.push(row);
                failed.push(FailedRow { row, code: code.to_owned(), message: cut_message(&problem), retryable: false });
            }
        }
        failed.sort_by_key(|failed| failed.row);
        let mut kept = JsonRows::default();
        let mut from = Vec::new();
        for (text, row) in self.texts.iter().zip(&self.from) {
            if dropped.binary_search(row).is_err() {
                kept.push(text);
                from.push(*row);
            }
        }
        (self.texts, self.from) = (kept, from);
    }
}

/// About what a null of the column takes, in bytes.
fn width(field: &Field) -> usize {
    let bytes = match field.data_type() {
        DataType::Struct(fields) => fields.iter().map(|field| width(field)).sum(),
        DataType::FixedSizeList(item, length) => width(item).saturating_mul(usize::try_from(*length).unwrap_or(0)),
        DataType::FixedSizeBinary(length) => usize::try_from(*length).unwrap_or(0),
        other => other.primitive_width().unwrap_or(8),
    };
    bytes.saturating_add(1)
}

/// Each text as one value of the only column, and those that are not JSON. `null` is one where the column may have it.
fn pass_through(schema: &SchemaRef, texts: &JsonRows) -> (RecordBatch, Vec<(usize, String)>) {
    let nullable = schema.field(0).is_nullable();
    // `collect` bounds the bytes to what Arrow counts.
    let mut column = StringBuilder::with_capacity(texts.len(), texts.text.len());
    let mut unfit = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        match serde_json::from_slice::<&RawValue>(text) {
            Ok(value) if nullable && value.get() == "null" => column.append_null(),
            Ok(value) => column.append_value(value.get()),
            // The position says enough; the text itself is data.
            Err(error) => unfit.push((i, format!("answered what is not JSON: {error}"))),
        }
    }
    let batch = RecordBatch::try_new(Arc::clone(schema), vec![Arc::new(column.finish())]);
    (batch.expect("`Records::schema` makes sure that the column is of Utf8"), unfit)
}
