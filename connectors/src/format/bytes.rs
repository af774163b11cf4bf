//! Bytes: a record stays as it is, in the one column `value`. For images, documents, and what a function will read.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, RecordBatch, RecordBatchOptions, cast::AsArray};
use arrow_buffer::BooleanBufferBuilder;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::filter::filter;

use super::{
    Decoded, Decoder, Encoded, Encoder,
    json::{Fault, good_rows, row_number},
    schema::type_text,
};
use crate::{
    batch::{Payloads, RowFailure},
    error::Error,
};

/// The schema of all bytes.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("value", DataType::Binary, false)]))
}

/// Decodes bytes, without copying them.
pub(crate) struct BytesDecoder {
    schema: SchemaRef,
}

impl BytesDecoder {
    /// A decoder of the column `value`, or of no column.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }
}

impl Decoder for BytesDecoder {
    fn decode(&mut self, payloads: &Payloads) -> Decoded {
        let empty = (0..payloads.values.len()).filter(|row| payloads.values.is_null(*row));
        let failed = empty.map(|row| Fault::empty("the record has no value").of_row(row_number(row), 0)).collect();
        rows_of(&self.schema, payloads, failed, |values| Arc::new(values))
    }
}

/// The payloads that did not fail as the only column, made by `column` of values without nulls, or as none.
pub(crate) fn rows_of(
    schema: &SchemaRef,
    payloads: &Payloads,
    failed: Vec<RowFailure>,
    column: impl FnOnce(BinaryArray) -> ArrayRef,
) -> Decoded {
    let messages = payloads.values.len();
    let options = RecordBatchOptions::new().with_row_count(Some(messages - failed.len()));
    let values = if failed.is_empty() { payloads.values.clone() } else { without(&payloads.values, &failed) };
    let (offsets, bytes, _) = values.into_parts();
    let columns =
        if schema.fields().is_empty() { vec![] } else { vec![column(BinaryArray::new(offsets, bytes, None))] };
    let records = RecordBatch::try_new_with_options(SchemaRef::clone(schema), columns, &options)
        .expect("the schema is the format's own, or nothing of it");
    Decoded { records, rows: good_rows(messages, &failed), failed }
}

fn without(values: &BinaryArray, failed: &[RowFailure]) -> BinaryArray {
    let mut keep = BooleanBufferBuilder::new(values.len());
    keep.append_n(values.len(), true);
    for failure in failed {
        keep.set_bit(failure.row as usize, false);
    }
    filter(values, &BooleanArray::new(keep.finish(), None))
        .expect("the mask has a bit for every value")
        .as_binary::<i32>()
        .clone()
}

/// Whether `schema` has exactly one column, of one of these types: what a format without fields can write.
pub(crate) fn one_column(schema: &Schema, format: &str, types: &[&str]) -> Result<(), String> {
    let wanted = types.join(" or ");
    match schema.fields().as_ref() {
        [field] if types.contains(&type_text(field).trim_end_matches('!')) => Ok(()),
        [field] => Err(format!(
            "format {format} writes one column of type {wanted}, but column `{}` is {}",
            field.name(),
            type_text(field)
        )),
        fields => {
            let names: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
            Err(format!(
                "format {format} writes one column of type {wanted}, but there are {}: {}",
                names.len(),
                names.join(", ")
            ))
        }
    }
}

/// Encodes bytes: the one column as it stands, null as no bytes.
pub(crate) struct BytesEncoder;

impl BytesEncoder {
    /// An encoder of batches of `schema`.
    ///
    /// # Errors
    /// If there is not exactly one column, or it is neither bytes nor a string.
    pub(crate) fn new(schema: &Schema) -> Result<Self, Error> {
        one_column(schema, "bytes", &["bytes", "string"]).map_err(Error::config)?;
        Ok(Self)
    }
}

impl Encoder for BytesEncoder {
    fn encode(&mut self, records: &RecordBatch, out: &mut Encoded) {
        let column =
            arrow_cast::cast(records.column(0), &DataType::Binary).expect("the schema was checked: strings are bytes");
        let column = column.as_binary::<i32>();
        for row in 0..column.len() {
            if column.is_valid(row) {
                out.bytes.extend_from_slice(column.value(row));
            }
            out.ends.push(out.bytes.len());
        }
    }
}
