//! Dead letters: one row for each record that could not be handled, the same for every stage, so that all can be
//! looked at, counted and replayed in one way.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array, UInt64Array,
    builder::StringBuilder,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow_select::take::take_record_batch;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use riverhook_connectors::{
    batch::{Batch, Input, RowFailure, Rows},
    format::{Encoded, Encoder},
    source::Whole,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::source_stage::Beside;

/// Where in a pipeline a record failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Its bytes could not be read as the source's format and schema.
    Decode,
    /// A transform's or an alert's SQL failed on it.
    Sql,
    /// A function failed on it.
    Function,
    /// A sink can never take it.
    Sink,
}

impl Stage {
    /// The name in letters and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Sql => "sql",
            Self::Function => "function",
            Self::Sink => "sink",
        }
    }
}

/// The columns of a dead letter.
///
/// `payload` is the input of the node that failed: for `decode` the raw bytes, else the row as JSON. Bytes that are not
/// UTF-8 are written in base64, and `payload_encoding` says so. Above the limit it is cut: `payload_bytes` has the whole
/// length and `payload_sha256` the whole's hash. `input` names the node whose rows a step was given, and `header` and
/// `metadata` hold what a record was decoded with: all that running it again takes. `id` tells a letter from all others,
/// wherever it is copied to.
pub fn letter_schema() -> SchemaRef {
    let text = |name: &str, nullable: bool| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("pipeline", false),
        text("node", false),
        text("stage", false),
        text("error_code", false),
        text("error_message", false),
        Field::new("attempts", DataType::UInt32, false),
        Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))), false),
        text("source", false),
        text("partition", false),
        text("position", true),
        text("key", true),
        text("payload", true),
        text("payload_encoding", false),
        Field::new("payload_bytes", DataType::UInt64, false),
        text("payload_sha256", true),
        riverhook_connectors::format::schema::json_field("headers", true),
        text("function", true),
        text("version", true),
        text("invocation", true),
        text("key_encoding", true),
        text("input", true),
        text("header", true),
        riverhook_connectors::format::schema::json_field("metadata", true),
        text("id", true),
    ]))
}

/// How a row was tried that a function failed on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    /// How often.
    pub(super) attempts: u32,
    /// The last invocation that it was part of.
    pub(super) invocation: Uuid,
}

/// What all letters of one failure have in common.
pub(super) struct Failure<'a> {
    /// The pipeline.
    pub(super) pipeline: &'a str,
    /// The node that failed.
    pub(super) node: &'a str,
    /// Where it failed.
    pub(super) stage: Stage,
    /// How often each was tried, unless `tries` says.
    pub(super) attempts: u32,
    /// How each row was tried; empty: all the same.
    pub(super) tries: &'a [Try],
    /// The time: microseconds since 1970-01-01 UTC.
    pub(super) time: i64,
    /// The function and its version, where one failed.
    pub(super) function: Option<(&'a str, &'a str)>,
    /// The node whose rows a step was given.
    pub(super) input: Option<&'a str>,
    /// What records were decoded with.
    pub(super) beside: Option<&'a Beside>,
    /// Payload bytes that are kept.
    pub(super) max_payload: usize,
}

/// The payload of each failed row.
pub(super) enum PayloadOf<'a> {
    /// The records as they were read: failures name records of these values.
    Raw(&'a BinaryArray),
    /// The beginning of the only record, and what is known of all of it.
    Beginning(&'a BinaryArray, Whole),
    /// Rows, to be written as JSON: failures name rows of this batch.
    Rows(&'a Batch, &'a mut dyn Encoder),
}

/// The letters of some failures, as a batch for the dead letters' sink.
pub(super) fn letters(
    failure: &Failure<'_>,
    input: &Arc<Input>,
    rows: &Rows,
    payload: PayloadOf<'_>,
    failures: &[RowFailure],
) -> Batch {
    let count = failures.len();
    let record = |row: u32| rows.record(row as usize);
    let same = |text: &str| Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, count))) as ArrayRef;
    let optional = |text: Option<&str>| Arc::new(std::iter::repeat_n(text, count).collect::<StringArray>()) as ArrayRef;
    let position = |failed: &RowFailure| {
        record(failed.row).and_then(|record| input.positions.get(record)).map(ToString::to_string)
    };
    let payload = Payload::of(payload, failures, failure.max_payload);
    let keys: Vec<_> = failures.iter().map(|failed| key(input, record(failed.row))).collect();
    let header = failure.beside.and_then(|beside| beside.header.as_deref()).map(readable);
    let columns: Vec<ArrayRef> = vec![
        same(failure.pipeline),
        same(failure.node),
        same(failure.stage.name()),
        Arc::new(StringArray::from_iter_values(failures.iter().map(|failed| failed.code))),
        Arc::new(StringArray::from_iter_values(failures.iter().map(|failed| &failed.message))),
        attempts(failure, count),
        Arc::new(TimestampMicrosecondArray::from_value(failure.time, count).with_timezone("UTC")),
        same(&input.source),
        same(input.partition.as_str()),
        Arc::new(failures.iter().map(position).collect::<StringArray>()),
        Arc::new(keys.iter().map(|key| key.as_ref().map(|(text, _)| text)).collect::<StringArray>()),
        Arc::new(payload.text),
        Arc::new(payload.encoding),
        Arc::new(payload.bytes),
        Arc::new(payload.sha256),
        headers(input, failures, rows),
        optional(failure.function.map(|(name, _)| name)),
        optional(failure.function.map(|(_, version)| version)),
        Arc::new(
            (0..count)
                .map(|row| failure.tries.get(row).map(|tried| tried.invocation.to_string()))
                .collect::<StringArray>(),
        ),
        Arc::new(keys.iter().map(|key| key.as_ref().map(|(_, encoding)| *encoding)).collect::<StringArray>()),
        optional(failure.input),
        optional(header.as_ref().map(|(text, _)| text.as_str())),
        metadata(failure.beside, failures),
        Arc::new(StringArray::from_iter_values(failures.iter().map(|_| Uuid::new_v4().to_string()))),
    ];
    let records =
        RecordBatch::try_new(letter_schema(), columns).expect("the columns are made in the schema's order and types");
    let index: Option<UInt32Array> = failures
        .iter()
        .map(|failed| record(failed.row).map(|record| record as u32))
        .map(|record| record.map(Some))
        .collect::<Option<_>>();
    Batch { records, rows: index.map_or(Rows::All, Rows::Index), input: Arc::clone(input) }
}

fn attempts(failure: &Failure<'_>, count: usize) -> ArrayRef {
    let of = |row: usize| failure.tries.get(row).map_or(failure.attempts, |tried| tried.attempts);
    Arc::new(UInt32Array::from_iter_values((0..count).map(of)))
}

fn key(input: &Input, record: Option<usize>) -> Option<(String, &'static str)> {
    let keys = input.keys.as_ref()?;
    let record = record?;
    (record < keys.len() && !keys.is_null(record)).then(|| readable(keys.value(record)))
}

/// Each record's metadata columns as one JSON object.
fn metadata(beside: Option<&Beside>, failures: &[RowFailure]) -> ArrayRef {
    let rows = beside.and_then(|beside| beside.metadata.as_ref()).filter(|rows| rows.num_columns() > 0);
    let texts = rows.and_then(|rows| {
        let picked: UInt32Array = failures.iter().map(|failed| Some(failed.row)).collect();
        let rows = take_record_batch(rows, &picked).ok()?;
        super::chain::rows_to_json(&rows).ok()
    });
    match texts {
        Some(texts) => Arc::new(StringArray::from_iter_values(texts)),
        None => Arc::new(StringArray::new_null(failures.len())),
    }
}

/// Bytes as text a person can read, and what that text is.
fn readable(bytes: &[u8]) -> (String, &'static str) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), "utf8"),
        Err(_) => (BASE64.encode(bytes), "base64"),
    }
}

fn headers(input: &Input, failures: &[RowFailure], rows: &Rows) -> ArrayRef {
    let mut out = StringBuilder::new();
    for failed in failures {
        let record = rows.record(failed.row as usize);
        match input.headers.as_ref().zip(record) {
            Some((headers, record)) if record < headers.len() && !headers.is_null(record) => {
                out.append_value(headers_json(headers, record))
            }
            _ => out.append_null(),
        }
    }
    Arc::new(out.finish())
}

/// `[{"key": …, "value": …}]`: a list, because a key may come twice. A value that is not UTF-8 is in base64, and
/// `"encoding": "base64"` stands beside it.
fn headers_json(headers: &ArrayRef, record: usize) -> String {
    use arrow_array::cast::AsArray;
    let Some(list) = headers.as_list_opt::<i32>() else { return "[]".into() };
    let entries = list.value(record);
    let Some(entries) = entries.as_struct_opt() else { return "[]".into() };
    let (keys, values) = (entries.column(0).as_string_opt::<i32>(), entries.column(1).as_binary_opt::<i32>());
    let (Some(keys), Some(values)) = (keys, values) else { return "[]".into() };
    let pair = |i: usize| {
        let value = (!values.is_null(i)).then(|| readable(values.value(i)));
        match value {
            Some((value, "base64")) => {
                serde_json::json!({ "key": keys.value(i), "value": value, "encoding": "base64" })
            }
            value => serde_json::json!({ "key": keys.value(i), "value": value.map(|(text, _)| text) }),
        }
    };
    serde_json::Value::Array((0..entries.len()).map(pair).collect()).to_string()
}

/// The payload columns.
struct Payload {
    text: StringArray,
    encoding: StringArray,
    bytes: UInt64Array,
    sha256: StringArray,
}

impl Payload {
    fn of(payload: PayloadOf<'_>, failures: &[RowFailure], limit: usize) -> Self {
        match payload {
            PayloadOf::Raw(values) => Self::build(named(values, failures), limit),
            PayloadOf::Beginning(values, whole) => {
                let rest = Self::build(named(values, failures), limit);
                let (bytes, sha256) = (UInt64Array::from_value(whole.bytes, failures.len()), hex(&whole.sha256));
                let sha256 = StringArray::from_iter_values(failures.iter().map(|_| &sha256));
                Self { bytes, sha256, ..rest }
            }
            PayloadOf::Rows(batch, encoder) => {
                let selection: UInt32Array = failures.iter().map(|failed| Some(failed.row)).collect();
                let mut encoded = Encoded::default();
                encoder.encode(&batch.take(&selection).records, &mut encoded);
                Self::build((0..encoded.len()).map(|row| Some(encoded.row(row))), limit)
            }
        }
    }

    fn build<'b>(payloads: impl Iterator<Item = Option<&'b [u8]>>, limit: usize) -> Self {
        let (mut text, mut encoding) = (Vec::new(), Vec::new());
        let (mut bytes, mut sha256) = (Vec::new(), Vec::new());
        for payload in payloads {
            let Some(payload) = payload else {
                text.push(None);
                encoding.push("utf8");
                bytes.push(0);
                sha256.push(None);
                continue;
            };
            let (kept, how) = readable(cut(payload, limit));
            text.push(Some(kept));
            encoding.push(how);
            bytes.push(payload.len() as u64);
            sha256.push((payload.len() > limit).then(|| hex(&Sha256::digest(payload))));
        }
        Self { text: text.into(), encoding: encoding.into(), bytes: bytes.into(), sha256: sha256.into() }
    }
}

/// The values that these failures name.
fn named<'v>(values: &'v BinaryArray, failures: &'v [RowFailure]) -> impl Iterator<Item = Option<&'v [u8]>> {
    let rows = failures.iter().map(|failed| failed.row as usize);
    rows.map(move |row| (!values.is_null(row)).then(|| values.value(row)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first `limit` bytes, not ending within a character.
fn cut(payload: &[u8], limit: usize) -> &[u8] {
    if payload.len() <= limit {
        return payload;
    }
    let mut end = limit;
    while end > 0 && limit - end < 4 && payload[end] & 0b1100_0000 == 0b1000_0000 {
        end -= 1;
    }
    &payload[..end]
}
