//! A tick as a row: the scheduled event that Lambda handlers know.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, ListArray, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray,
    builder::{ListBuilder, StringBuilder},
};
use arrow_schema::{Schema, SchemaRef};
use sha2::{Digest, Sha256};

use crate::format::schema::parse_type;

/// The columns and their types.
const COLUMNS: [(&str, &str); 9] = [
    ("version", "string!"),
    ("id", "string!"),
    ("detail-type", "string!"),
    ("source", "string!"),
    ("account", "string!"),
    ("time", "timestamp(ms, UTC)!"),
    ("region", "string!"),
    ("resources", "list<string>!"),
    ("detail", "json!"),
];

/// What tells a schedule from others.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    pub(super) pipeline: Arc<str>,
    pub(super) source: Arc<str>,
}

/// The columns of a scheduled event.
pub(super) fn schema() -> SchemaRef {
    let fields = COLUMNS.map(|(name, text)| parse_type(name, text).expect("the types above are types"));
    Arc::new(Schema::new(fields.to_vec()))
}

/// The columns of `schema`, in its order, of these ticks.
pub(super) fn rows(schema: &SchemaRef, identity: &Identity, ticks: &[i64]) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(ticks.len()));
    let columns = schema.fields().iter().map(|field| column(field.name(), identity, ticks)).collect();
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).expect("the columns are the schema's")
}

fn column(name: &str, identity: &Identity, ticks: &[i64]) -> ArrayRef {
    let same = |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(ticks.iter().map(|_| text))) };
    match name {
        "version" => same("0"),
        "id" => Arc::new(StringArray::from_iter_values(ticks.iter().map(|tick| id(identity, *tick)))),
        "detail-type" => same("Scheduled Event"),
        "source" => same("aws.events"),
        // What is not on AWS has no account; twelve digits are what handlers expect.
        "account" => same("000000000000"),
        "time" => {
            let millis = ticks.iter().map(|tick| tick.div_euclid(1000));
            Arc::new(TimestampMillisecondArray::from_iter_values(millis).with_timezone("UTC"))
        }
        "region" => same("local"),
        "resources" => Arc::new(resources(&identity.source, ticks.len())),
        "detail" => same("{}"),
        _ => unreachable!("the plan reads columns of the schema"),
    }
}

fn resources(name: &str, rows: usize) -> ListArray {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for _ in 0..rows {
        lists.append_value([Some(name)]);
    }
    lists.finish()
}

/// The same for the same tick, so that whoever handles it can tell that it comes again.
fn id(identity: &Identity, tick: i64) -> String {
    let mut hash = Sha256::new();
    // Names of pipelines and nodes have no NUL.
    for part in [identity.pipeline.as_bytes(), b"\0", identity.source.as_bytes(), b"\0", &tick.to_be_bytes()] {
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}
