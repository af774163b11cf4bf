//! Text: a record is one string, in the one column `value`.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{
    Decoded, Decoder, Encoded, Encoder,
    bytes::{one_column, rows_of},
    json::{Fault, row_number},
};
use crate::{batch::Payloads, error::Error};

/// The schema of every text.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("value", DataType::Utf8, false)]))
}

/// Decodes text.
pub(crate) struct TextDecoder {
    schema: SchemaRef,
}

impl TextDecoder {
    /// A decoder of the column `value`, or of no column.
    pub(crate) fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }
}

impl Decoder for TextDecoder {
    fn decode(&mut self, payloads: &Payloads) -> Decoded {
        let fault = |message: &[u8]| match std::str::from_utf8(message) {
            Ok(_) => None,
            Err(error) => Some(Fault::utf8(error.valid_up_to())),
        };
        let mut failed = Vec::new();
        for (row, message) in payloads.values.iter().enumerate() {
            let fault = message.map_or_else(|| Some(Fault::empty("the record has no value")), fault);
            failed.extend(fault.map(|fault| fault.of_row(row_number(row), 0)));
        }
        rows_of(&self.schema, payloads, failed, |values| {
            Arc::new(StringArray::try_from_binary(values).expect("every message left was found to be UTF-8"))
        })
    }
}

/// Encodes text: the one column as it stands, null as an empty text.
pub(crate) struct TextEncoder;

impl TextEncoder {
    /// An encoder of batches of `schema`.
    ///
    /// # Errors
    /// If there is not exactly one column, or it is not a string.
    pub(crate) fn new(schema: &Schema) -> Result<Self, Error> {
        one_column(schema, "text", &["string"]).map_err(Error::config)?;
        Ok(Self)
    }
}

impl Encoder for TextEncoder {
    fn encode(&mut self, records: &RecordBatch, out: &mut Encoded) {
        let column = arrow_cast::cast(records.column(0), &DataType::Utf8)
            .expect("the schema was checked: strings become strings");
        let column = column.as_string::<i32>();
        for row in 0..column.len() {
            if column.is_valid(row) {
                out.bytes.extend_from_slice(column.value(row).as_bytes());
            }
            out.ends.push(out.bytes.len());
        }
    }
}
