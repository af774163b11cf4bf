//! From the records of a test to the payloads that a source's reader would give.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use riverhook_connectors::{
    batch::{Input, Payloads},
    format::{Encoded, Format, FormatName, Framing},
    position::{Partition, Position},
};
use serde_json::{Map, Value, json};

use crate::{error::Error, plan::SourceNode};

/// One record.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// Its payload as it is.
    Raw(Vec<u8>),
    /// Its columns, to be written in the source's format. Names of metadata columns are that record's metadata.
    Columns(Map<String, Value>),
}

/// A source's records, ready to be fed.
pub(super) struct Records {
    source: Arc<str>,
    header: Option<Vec<u8>>,
    values: BinaryArray,
    metadata: Vec<ArrayRef>,
}

impl Records {
    pub(super) fn new(source: &SourceNode, given: &[Given]) -> Result<Self, Error> {
        let metadata = source.source.metadata();
        let payload = payload_schema(source, metadata.len());
        let mut of_metadata = Vec::with_capacity(given.len());
        let mut own = Vec::with_capacity(given.len());
        for given in given {
            let mut given = given.clone();
            let mut row = Map::new();
            for field in &metadata {
                let value = match &mut given {
                    Given::Columns(columns) => columns.shift_remove(field.name()),
                    Given::Raw(_) => None,
                };
                row.insert(field.name().clone(), value.unwrap_or_else(|| blank(field)));
            }
            of_metadata.push(Value::Object(row));
            own.push(given);
        }
        let metadata = metadata_columns(&source.name, metadata, &of_metadata)?;
        Ok(Self {
            source: Arc::clone(&source.name),
            header: header(source, &payload)?,
            values: payloads(source, &payload, &own)?,
            metadata,
        })
    }

    /// What stands before the records, for formats whose first line names the columns.
    pub(super) fn header(&self) -> Option<&[u8]> {
        self.header.as_deref()
    }

    /// The records, at most `rows` at a time.
    pub(super) fn batches(&self, rows: usize, now: i64) -> impl Iterator<Item = Payloads> {
        let count = self.values.len();
        (0..count).step_by(rows.max(1)).map(move |first| {
            let length = rows.max(1).min(count - first);
            let input = Input {
                source: Arc::clone(&self.source),
                partition: Partition::new("test"),
                positions: (first..first + length).map(|position| Position::Offset(position as u64)).collect(),
                keys: None,
                headers: None,
                times: None,
                read_at: now,
            };
            Payloads {
                values: self.values.slice(first, length),
                metadata: self.metadata.iter().map(|column| column.slice(first, length)).collect(),
                input: Arc::new(input),
            }
        })
    }
}

/// All columns of the payload, also those that the plan does not read.
fn payload_schema(source: &SourceNode, metadata: usize) -> SchemaRef {
    let fields = source.schema.fields();
    let own = fields[..fields.len() - metadata].to_vec();
    Arc::new(Schema::new_with_metadata(own, source.schema.metadata().clone()))
}

fn header(source: &SourceNode, payload: &SchemaRef) -> Result<Option<Vec<u8>>, Error> {
    if !matches!(source.format.framing(), Framing::Csv { header: true, .. }) {
        return Ok(None);
    }
    let encoder = source.format.encoder(Arc::clone(payload)).map_err(|error| Error::of_node(&source.name, error))?;
    Ok(encoder.header())
}

fn payloads(source: &SourceNode, payload: &SchemaRef, given: &[Given]) -> Result<BinaryArray, Error> {
    let mut values: Vec<Vec<u8>> = Vec::with_capacity(given.len());
    for (number, given) in given.iter().enumerate() {
        values.push(match given {
            Given::Raw(bytes) => bytes.clone(),
            // As it is, so that wrong types and unknown keys reach the decoder.
            Given::Columns(columns) if source.format.name() == FormatName::Json => {
                Value::Object(columns.clone()).to_string().into_bytes()
            }
            Given::Columns(columns) => {
                let what = format!("record {} of `{}`", number + 1, source.name);
                let row = decode(&[Value::Object(columns.clone())], payload, &what)?;
                let encoder = source.format.encoder(Arc::clone(payload));
                let mut encoded = Encoded::default();
                encoder.map_err(|error| Error::of_node(&source.name, error))?.encode(&row, &mut encoded);
                encoded.row(0).to_vec()
            }
        });
    }
    Ok(BinaryArray::from_iter_values(values))
}

fn metadata_columns(source: &str, fields: Vec<FieldRef>, rows: &[Value]) -> Result<Vec<ArrayRef>, Error> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let schema = Arc::new(Schema::new(fields));
    Ok(decode(rows, &schema, &format!("metadata of `{source}`"))?.columns().to_vec())
}

/// A metadata column that a test does not give: null, or the least of its type.
fn blank(field: &Field) -> Value {
    if field.is_nullable() {
        return Value::Null;
    }
    match field.data_type() {
        DataType::Utf8 | DataType::Binary => "".into(),
        DataType::Boolean => false.into(),
        DataType::Timestamp(..) => "1970-01-01T00:00:00Z".into(),
        DataType::Date32 => "1970-01-01".into(),
        DataType::List(_) => json!([]),
        DataType::Struct(_) | DataType::Map(..) => json!({}),
        _ => 0.into(),
    }
}

/// Rows of a test as columns. `what` begins the error's sentence.
pub(crate) fn decode(rows: &[Value], schema: &SchemaRef, what: &str) -> Result<RecordBatch, Error> {
    let count = rows.len() as u64;
    let input = Input {
        source: what.into(),
        partition: Partition::new("test"),
        positions: (0..count).map(Position::Offset).collect(),
        keys: None,
        headers: None,
        times: None,
        read_at: 0,
    };
    let values = BinaryArray::from_iter_values(rows.iter().map(Value::to_string));
    let mut decoder = Format::default()
        .decoder(Arc::clone(schema))
        .map_err(|error| Error::failed(format!("{what} cannot be given as rows: {error}")))?;
    let decoded = decoder.decode(&Payloads { values, metadata: Vec::new(), input: Arc::new(input) });
    match decoded.failed.first() {
        Some(failed) => Err(Error::failed(format!("{what}, row {}: {}", failed.row + 1, failed.message))),
        None => Ok(decoded.records),
    }
}
