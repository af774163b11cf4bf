//! Avro: one datum a record, its schema in a file. The header that Confluent's serialisers put before a datum is
//! recognised and skipped: which schema it names is not looked up. See [`readings`] for what begins like one and is none.
//!
//! Decoded by `arrow-avro`, which reads datums as one stream and is left in disorder by a bad one: then the whole
//! batch is read again, datum by datum.

mod settings;

#[cfg(test)]
mod tests;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_avro::{
    reader::{Decoder as Datums, ReaderBuilder},
    schema::{AvroSchema, Fingerprint, FingerprintAlgorithm, SchemaStore},
};
use arrow_schema::{ArrowError, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;

use super::{
    Decoded, Decoder,
    json::{Fault, Read, good_rows, row_number, strip_confluent, writable},
};
use crate::{batch::Payloads, error::Error};

pub use settings::AvroSettings;

/// What `arrow-avro` wants before every datum: Confluent's header, with a schema id of our own.
const HEADER: [u8; 5] = [0; 5];
const SCHEMA_ID: Fingerprint = Fingerprint::Id(0);

/// The columns of an Avro schema, and how to read them.
#[derive(Clone, Debug)]
pub struct AvroColumns {
    avro: String,
    schema: SchemaRef,
}

impl AvroColumns {
    /// Reads an Avro schema, which is a record's.
    ///
    /// # Errors
    /// If it is none, or has a column of a type that cannot be a column here, such as a union of several types.
    pub fn parse(avro: String) -> Result<Self, Error> {
        let found = datums(&avro, None)
            .map_err(|error| Error::config("this is not an Avro schema of a record").caused_by(error))?
            .schema();
        if found.fields().is_empty() {
            return Err(Error::config("the Avro schema has no fields"));
        }
        let plain = |field: &Field| {
            let data_type = writable(field.data_type()).ok_or_else(|| {
                Error::config(format!(
                    "column `{}` of the Avro schema is {}, which cannot be a column here",
                    field.name(),
                    field.data_type()
                ))
            })?;
            Ok(Field::new(field.name(), data_type, field.is_nullable()))
        };
        let fields = found.fields().iter().map(|field| plain(field)).collect::<Result<Vec<_>, Error>>()?;
        let schema = SchemaRef::new(Schema::new(fields));
        Ok(Self { avro, schema })
    }

    /// All columns.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }
}

/// A reader of datums, of all columns or of some.
fn datums(avro: &str, projection: Option<Vec<usize>>) -> Result<Datums, ArrowError> {
    let mut store = SchemaStore::new_with_type(FingerprintAlgorithm::Id);
    store.set(SCHEMA_ID, AvroSchema::new(avro.to_owned()))?;
    let builder = ReaderBuilder::new()
        .with_writer_schema_store(store)
        .with_active_fingerprint(SCHEMA_ID)
        .with_batch_size(u32::MAX as usize);
    match projection {
        Some(projection) => builder.with_projection(projection).build_decoder(),
        None => builder.build_decoder(),
    }
}

/// Decodes Avro.
pub(crate) struct AvroDecoder {
    columns: AvroColumns,
    schema: SchemaRef,
    projection: Vec<usize>,
    datums: Datums,
    framed: Vec<u8>,
}

impl AvroDecoder {
    /// A decoder of the columns of `schema`, which are some of `columns`.
    pub(crate) fn new(columns: AvroColumns, schema: SchemaRef) -> Result<Self, Error> {
        let place = |field: &Field| {
            let unknown = |_| Error::config(format!("the Avro schema has no column `{}`", field.name()));
            columns.schema.index_of(field.name()).map_err(unknown)
        };
        let mut projection = schema.fields().iter().map(|field| place(field)).collect::<Result<Vec<_>, _>>()?;
        if projection.is_empty() {
            // Something must be read to tell good datums from bad ones.
            projection.push(0);
        }
        let datums = build(&columns, &projection)?;
        Ok(Self { columns, schema, projection, datums, framed: Vec::new() })
    }

    /// A new reader: one that met a bad datum holds parts of it.
    fn reset(&mut self) {
        self.datums = build(&self.columns, &self.projection).expect("a reader of this schema was built before");
    }

    /// Reads one datum, which must be all of `bytes`.
    fn datum(&mut self, bytes: &[u8]) -> bool {
        let before = self.datums.capacity();
        self.framed.clear();
        self.framed.extend_from_slice(&HEADER);
        self.framed.extend_from_slice(bytes);
        let read = self.datums.decode(&self.framed);
        read.is_ok_and(|read| read == self.framed.len()) && before - self.datums.capacity() == 1
    }

    /// All messages in one go, if none of them is bad.
    fn together(&mut self, payloads: &Payloads) -> Option<RecordBatch> {
        let messages = &payloads.values;
        let good =
            messages.null_count() == 0 && messages.iter().flatten().all(|message| self.datum(readings(message)[0]));
        if !good {
            self.reset();
            return None;
        }
        self.flush()
    }

    /// One message by itself.
    fn alone(&mut self, message: Option<&[u8]>) -> Read<RecordBatch> {
        let message = message.ok_or_else(|| Fault::empty("the record has no value"))?;
        let [likelier, other] = readings(message);
        for reading in [Some(likelier), (other != likelier).then_some(other)].into_iter().flatten() {
            if self.datum(reading)
                && let Some(batch) = self.flush()
            {
                return Ok(batch);
            }
            self.reset();
        }
        Err(Fault::new("decode.avro", None, "the record is not one datum of the Avro schema"))
    }

    fn flush(&mut self) -> Option<RecordBatch> {
        let batch = self.datums.flush().ok()??;
        let columns: Result<Vec<ArrayRef>, _> = self
            .schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| arrow_cast::cast(column, field.data_type()))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), columns.ok()?, &options).ok()
    }
}

/// What may be the datum in a message, the likelier first. Both are tried; where both fit exactly, the first counts.
///
/// A datum may begin with a zero of its own, as a header does: a null, `false`, 0 or an empty string. What would then be
/// the schema's id is some of its values. Registries count ids from 1, so 0 (more such values) and numbers beyond 16
/// million (a text, say) are hardly ids. By the message alone, so that it is read the same whatever comes before it.
fn readings(message: &[u8]) -> [&[u8]; 2] {
    let (bare, skipped) = strip_confluent(message);
    match message {
        _ if skipped == 0 => [message, message],
        [0, 0, 0, 0, 0, ..] => [message, bare],
        [0, 0, ..] => [bare, message],
        _ => [message, bare],
    }
}

fn build(columns: &AvroColumns, projection: &[usize]) -> Result<Datums, Error> {
    datums(&columns.avro, Some(projection.to_vec()))
        .map_err(|error| Error::config("the Avro schema cannot be read").caused_by(error))
}

impl Decoder for AvroDecoder {
    fn decode(&mut self, payloads: &Payloads) -> Decoded {
        let messages = payloads.values.len();
        if let Some(records) = self.together(payloads) {
            return Decoded { records, rows: good_rows(messages, &[]), failed: vec![] };
        }
        let mut failed = Vec::new();
        let mut rows = Vec::new();
        for (i, message) in payloads.values.iter().enumerate() {
            match self.alone(message) {
                Ok(row) => rows.push(row),
                Err(fault) => failed.push(fault.of_row(row_number(i), 0)),
            }
        }
        let records = join(&self.schema, &rows);
        Decoded { records, rows: good_rows(messages, &failed), failed }
    }
}

/// The rows as one batch, which has a length also without columns.
fn join(schema: &SchemaRef, rows: &[RecordBatch]) -> RecordBatch {
    if schema.fields().is_empty() {
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        return RecordBatch::try_new_with_options(SchemaRef::clone(schema), vec![], &options)
            .expect("no columns have any length");
    }
    concat_batches(schema, rows).expect("the rows have one schema")
}
