//! Events in the shapes in which AWS's handlers know them. All of those shapes are in this file.
//!
//! - Rows from Kafka are what Lambda makes of a self-managed cluster: `{eventSource, bootstrapServers, records:
//!   {"topic-0": [{topic, partition, offset, timestamp, timestampType, key, value, headers}]}}`. The value is the row's
//!   JSON, not the message's bytes: a function may stand behind transforms.
//! - A tick of a schedule on its own is the scheduled event, and a request on its own that of a function URL: their rows
//!   already have the columns.
//! - Files that are a record each are S3's notification of new objects: `{Records: [{eventSource: "aws:s3", eventTime,
//!   eventName, s3: {bucket: {name}, object: {key, size?}}}]}`. The bucket is the file's folder as found, the key its name,
//!   encoded as S3 does; the size is there if the row has it as `size`. The row itself is in `body`, as in the plain shape.
//! - All else is `{Records: [{eventSource: "riverhook:<kind>", eventSourceARN?, partition, position, body}]}`, with the
//!   row as an object in `body`. Where rows did not come from one record each, `position` is the index in the batch and
//!   `partition` is left out.

use std::collections::HashMap;

use arrow_array::cast::AsArray as _;
use arrow_array::types::UInt64Type;
use arrow_array::{Array as _, ListArray, RecordBatch, UInt64Array};
use arrow_schema::Schema;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};

use super::JsonSettings;
use crate::codec::JsonRows;
use crate::contract::{Invocation, RecordOrigin};

/// What a function's code gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// An event as AWS shapes it, by where the rows came from.
    #[default]
    Event,
    /// A JSON array of the rows.
    Records,
}

/// The transport that a source's rows come from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventSource {
    /// A Kafka cluster, with its `bootstrap.servers`.
    Kafka {
        /// The brokers as the source names them, separated by commas.
        brokers: String,
    },
    /// The clock. Its rows have the columns of AWS's scheduled event.
    Schedule,
    /// HTTP requests, each with the columns of a function URL's event.
    Requests,
    /// Files that are one record each, and what S3 would call objects.
    Files,
    /// Any other.
    Other {
        /// What kind of source it is, in one word: `file`, `http`.
        kind: String,
        /// The ARN of what AWS would call it, if the handler asks for one.
        arn: Option<String>,
    },
}

impl EventSource {
    fn kind(&self) -> &str {
        match self {
            Self::Kafka { .. } => "kafka",
            Self::Schedule => "schedule",
            Self::Requests => "http",
            Self::Files => "file",
            Self::Other { kind, .. } => kind,
        }
    }

    fn arn(&self) -> Option<&str> {
        match self {
            Self::Other { arn, .. } => arn.as_deref(),
            Self::Kafka { .. } | Self::Schedule | Self::Requests | Self::Files => None,
        }
    }

    /// Whether a row of `schema` is an event by itself: it still has the event's own columns, also behind transforms.
    fn is_event(&self, schema: &Schema) -> bool {
        let columns: &[&str] = match self {
            Self::Schedule => &["detail-type", "source", "time", "resources", "detail"],
            Self::Requests => &["version", "rawPath", "headers", "requestContext", "isBase64Encoded"],
            Self::Kafka { .. } | Self::Files | Self::Other { .. } => return false,
        };
        columns.iter().all(|name| schema.index_of(name).is_ok())
    }
}

/// One event to be written: its form, and where its rows came from.
pub(super) struct Event<'a> {
    pub(super) form: Form<'a>,
    /// One a row; empty unless every row came from a record that is known.
    pub(super) origins: Vec<RecordOrigin<'a>>,
    settings: &'a JsonSettings,
    /// The sizes of objects, if the rows tell.
    sizes: Option<&'a UInt64Array>,
}

/// The forms of events.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form<'a> {
    /// An array of the rows.
    Array,
    /// The only row is the event.
    Itself,
    /// What Lambda makes of Kafka's records.
    Kafka { brokers: &'a str },
    /// S3's notification of new objects.
    Objects,
    /// The shape of our own.
    Records,
}

impl<'a> Event<'a> {
    /// The event for these rows.
    pub(super) fn new(settings: &'a JsonSettings, rows: &'a RecordBatch, invocation: &Invocation<'a>) -> Event<'a> {
        if settings.shape == Shape::Records {
            return Event { form: Form::Array, origins: Vec::new(), settings, sizes: None };
        }
        let origins = origins(invocation, rows.num_rows());
        let form = form(settings, rows.schema_ref(), &origins);
        let sizes = rows.column_by_name("size").and_then(|sizes| sizes.as_primitive_opt::<UInt64Type>());
        Event { form, origins, settings, sizes }
    }

    /// Appends it to `out`.
    pub(super) fn write(&self, rows: &JsonRows, out: &mut Vec<u8>) {
        match self.form {
            Form::Array => {
                out.push(b'[');
                separated(out, 0..rows.len(), |out, row| out.extend_from_slice(rows.get(row)));
                out.push(b']');
            }
            Form::Itself => out.extend_from_slice(rows.get(0)),
            Form::Kafka { brokers } => self.kafka(brokers, rows, out),
            Form::Objects => self.objects(rows, out),
            Form::Records => self.records(rows, out),
        }
    }

    fn kafka(&self, brokers: &str, rows: &JsonRows, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"eventSource":"SelfManagedKafka","bootstrapServers":"#);
        string(out, brokers);
        out.extend_from_slice(br#","records":{"#);
        separated(out, by_partition(&self.origins).into_iter(), |out, (partition, members)| {
            string(out, partition);
            out.extend_from_slice(b":[");
            separated(out, members.into_iter(), |out, row| kafka_record(out, &self.origins[row], rows.get(row)));
            out.push(b']');
        });
        out.extend_from_slice(b"}}");
    }

    fn objects(&self, rows: &JsonRows, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"Records":["#);
        separated(out, self.origins.iter().enumerate(), |out, (row, origin)| {
            let size = self.sizes.filter(|sizes| sizes.is_valid(row)).map(|sizes| sizes.value(row));
            object(out, origin, size);
            out.extend_from_slice(br#","body":"#);
            out.extend_from_slice(rows.get(row));
            out.push(b'}');
        });
        out.extend_from_slice(b"]}");
    }

    fn records(&self, rows: &JsonRows, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"Records":["#);
        separated(out, 0..rows.len(), |out, row| {
            let origin = self.origins.get(row);
            let source = origin.and_then(|origin| self.settings.sources.get(origin.source));
            out.extend_from_slice(br#"{"eventSource":"#);
            string(out, &format!("riverhook:{}", source.map_or("rows", EventSource::kind)));
            if let Some(arn) = source.and_then(EventSource::arn) {
                out.extend_from_slice(br#","eventSourceARN":"#);
                string(out, arn);
            }
            if let Some(origin) = origin {
                out.extend_from_slice(br#","partition":"#);
                string(out, origin.partition);
            }
            let position = origin.map_or(row as u64, |origin| origin.position);
            out.extend_from_slice(format!(r#","position":{position},"body":"#).as_bytes());
            out.extend_from_slice(rows.get(row));
            out.push(b'}');
        });
        out.extend_from_slice(b"]}");
    }
}

/// Where each row came from, or nothing unless that is known of all.
fn origins<'a>(invocation: &Invocation<'a>, rows: usize) -> Vec<RecordOrigin<'a>> {
    let Some(origins) = invocation.origins else { return Vec::new() };
    (0..rows).map(|row| origins.of(row)).collect::<Option<_>>().unwrap_or_default()
}

fn form<'a>(settings: &'a JsonSettings, schema: &Schema, origins: &[RecordOrigin<'_>]) -> Form<'a> {
    let Some(first) = origins.first() else { return Form::Records };
    match settings.sources.get(first.source) {
        Some(EventSource::Kafka { brokers }) => {
            let kafka = |origin: &RecordOrigin<'_>| {
                origin.source == first.source && topic_and_number(origin.partition).is_some()
            };
            if origins.iter().all(kafka) { Form::Kafka { brokers } } else { Form::Records }
        }
        Some(EventSource::Files) if origins.iter().all(|origin| origin.source == first.source) => Form::Objects,
        Some(source) if settings.single && origins.len() == 1 && source.is_event(schema) => Form::Itself,
        _ => Form::Records,
    }
}

/// `clicks-3` is topic `clicks`, partition 3; topics may have hyphens too.
fn topic_and_number(partition: &str) -> Option<(&str, u32)> {
    let (topic, number) = partition.rsplit_once('-')?;
    Some((topic, number.parse().ok()?))
}

/// The rows of each partition, in order; partitions as they first appear.
fn by_partition<'a>(origins: &[RecordOrigin<'a>]) -> Vec<(&'a str, Vec<usize>)> {
    let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (row, origin) in origins.iter().enumerate() {
        let place = *places.entry(origin.partition).or_insert(groups.len());
        if place == groups.len() {
            groups.push((origin.partition, Vec::new()));
        }
        groups[place].1.push(row);
    }
    groups
}

fn kafka_record(out: &mut Vec<u8>, origin: &RecordOrigin<'_>, row: &[u8]) {
    let (topic, number) = topic_and_number(origin.partition).expect("the form is Kafka's only if all partitions are");
    out.extend_from_slice(br#"{"topic":"#);
    string(out, topic);
    let (offset, timestamp) = (origin.position, origin.timestamp);
    let numbers =
        format!(r#","partition":{number},"offset":{offset},"timestamp":{timestamp},"timestampType":"CREATE_TIME","#);
    out.extend_from_slice(numbers.as_bytes());
    if let Some(key) = origin.key {
        out.extend_from_slice(br#""key":"#);
        base64(out, key);
        out.push(b',');
    }
    out.extend_from_slice(br#""value":"#);
    base64(out, row);
    out.extend_from_slice(br#","headers":["#);
    if let Some((all, record)) = origin.headers {
        headers(out, all, record);
    }
    out.extend_from_slice(b"]}");
}

/// S3's record of a new object, without its end.
fn object(out: &mut Vec<u8>, origin: &RecordOrigin<'_>, size: Option<u64>) {
    let (folder, name) = origin.partition.rsplit_once('/').unwrap_or((".", origin.partition));
    // A file of the root.
    let bucket = if folder.is_empty() { "/" } else { folder };
    out.extend_from_slice(br#"{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"local","eventTime":"#);
    let time = DateTime::from_timestamp_millis(origin.timestamp).unwrap_or_default();
    string(out, &time.to_rfc3339_opts(SecondsFormat::Millis, true));
    out.extend_from_slice(br#","eventName":"ObjectCreated:Put","s3":{"s3SchemaVersion":"1.0","configurationId":"#);
    string(out, origin.source);
    out.extend_from_slice(br#","bucket":{"name":"#);
    string(out, bucket);
    out.extend_from_slice(br#","arn":"#);
    string(out, &format!("arn:aws:s3:::{bucket}"));
    out.extend_from_slice(br#"},"object":{"key":"#);
    string(out, &encoded(name));
    if let Some(size) = size {
        out.extend_from_slice(format!(r#","size":{size}"#).as_bytes());
    }
    out.extend_from_slice(b"}}");
}

/// An object's key as S3 writes it into events: as forms are encoded.
fn encoded(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b' ' => text.push('+'),
            b'-' | b'_' | b'.' | b'*' | b'/' => text.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Headers, each an object of its own, with the value's bytes as numbers.
fn headers(out: &mut Vec<u8>, all: &ListArray, record: usize) {
    let range = all.value_offsets()[record] as usize..all.value_offsets()[record + 1] as usize;
    let Some(entries) = all.values().as_struct_opt().filter(|entries| entries.num_columns() == 2) else { return };
    let names = entries.column(0).as_string_opt::<i32>();
    let (Some(names), Some(values)) = (names, entries.column(1).as_binary_opt::<i32>()) else { return };
    separated(out, range, |out, entry| {
        out.push(b'{');
        string(out, names.value(entry));
        out.extend_from_slice(b":[");
        let value = if values.is_null(entry) { &[][..] } else { values.value(entry) };
        separated(out, value.iter(), |out, byte| out.extend_from_slice(byte.to_string().as_bytes()));
        out.extend_from_slice(b"]}");
    });
}

/// Writes each item, with commas between.
fn separated<T>(out: &mut Vec<u8>, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    for (place, item) in items.enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("memory takes every text");
}

fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).expect("four characters for three bytes are enough");
    out.truncate(start + written);
    out.push(b'"');
}
