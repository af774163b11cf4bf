//! Fetched records into Arrow: values, keys and headers copied side by side, so that librdkafka's memory goes back at once.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, Int32Array, Int64Array, StringArray, TimestampMillisecondArray, builder::BinaryBuilder,
    builder::ListBuilder, builder::StringBuilder, builder::StructBuilder, builder::TimestampMillisecondBuilder,
};
use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};

use super::queue::Fetched;
use crate::{
    batch::{Input, Payloads},
    position::{Partition, Position},
};

/// What a metadata column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metadata {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Headers,
}

impl Metadata {
    /// All of them, in the order of the documentation.
    pub(super) const ALL: [Self; 6] =
        [Self::Topic, Self::Partition, Self::Offset, Self::Timestamp, Self::Key, Self::Headers];

    /// Its name in the pipeline file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Partition => "partition",
            Self::Offset => "offset",
            Self::Timestamp => "timestamp",
            Self::Key => "key",
            Self::Headers => "headers",
        }
    }

    /// The column it makes, under `name`.
    pub(super) fn field(self, name: &str) -> FieldRef {
        let (data_type, nullable) = match self {
            Self::Topic => (DataType::Utf8, false),
            Self::Partition => (DataType::Int32, false),
            Self::Offset => (DataType::Int64, false),
            Self::Timestamp => (DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), true),
            Self::Key => (DataType::Binary, true),
            Self::Headers => (headers_type(), false),
        };
        Arc::new(Field::new(name, data_type, nullable))
    }
}

fn header_fields() -> Fields {
    Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)])
}

/// `list<struct<key: utf8, value: binary>>`.
pub(super) fn headers_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Struct(header_fields()), false)))
}

/// Gathers the records of one batch.
pub(super) struct Gathering {
    values: BinaryBuilder,
    keys: BinaryBuilder,
    any_key: bool,
    headers: Option<ListBuilder<StructBuilder>>,
    times: TimestampMillisecondBuilder,
    positions: Vec<Position>,
    bytes: usize,
}

impl Gathering {
    /// Room for `rows` records of `bytes` bytes together; both may grow.
    pub(super) fn with_capacity(rows: usize, bytes: usize) -> Self {
        Self {
            values: BinaryBuilder::with_capacity(rows, bytes),
            keys: BinaryBuilder::with_capacity(rows, 0),
            any_key: false,
            headers: None,
            times: TimestampMillisecondBuilder::with_capacity(rows),
            positions: Vec::with_capacity(rows),
            bytes: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    /// Bytes of keys and values so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Copies a record.
    pub(super) fn push(&mut self, record: &Fetched) {
        if self.headers.is_some() || record.has_headers() {
            self.push_headers(record);
        }
        self.values.append_option(record.payload());
        let key = record.key();
        self.any_key |= key.is_some();
        self.keys.append_option(key);
        self.times.append_option(record.timestamp());
        self.positions.push(Position::Offset(record.offset().unsigned_abs()));
        self.bytes += record.size();
    }

    fn push_headers(&mut self, record: &Fetched) {
        let rows = self.positions.len();
        let lists = self.headers.get_or_insert_with(|| empty_headers(rows));
        record.headers(|name, value| {
            let entry = lists.values();
            entry.field_builder::<StringBuilder>(0).expect("headers begin with a name").append_value(name);
            entry.field_builder::<BinaryBuilder>(1).expect("headers end with a value").append_option(value);
            entry.append(true);
        });
        lists.append(true);
    }

    /// The batch.
    pub(super) fn finish(
        mut self,
        source: &Arc<str>,
        partition: &Partition,
        from: &From<'_>,
        read_at: i64,
    ) -> Payloads {
        let rows = self.positions.len();
        let keys = self.any_key.then(|| self.keys.finish());
        let headers = self.headers.as_mut().map(|lists| Arc::new(lists.finish()) as ArrayRef);
        let times = self.times.finish();
        let held = Held { keys: keys.as_ref(), headers: headers.as_ref(), times: &times };
        let metadata = from.metadata.iter().map(|what| self.column(*what, rows, &held, from)).collect();
        Payloads {
            values: self.values.finish(),
            metadata,
            input: Arc::new(Input {
                source: Arc::clone(source),
                partition: partition.clone(),
                positions: self.positions,
                keys,
                headers,
                times: Some(times),
                read_at,
            }),
        }
    }

    fn column(&self, what: Metadata, rows: usize, held: &Held<'_>, from: &From<'_>) -> ArrayRef {
        match what {
            Metadata::Topic => Arc::new(StringArray::new_repeated(from.topic, rows)),
            Metadata::Partition => Arc::new(Int32Array::from(vec![from.number; rows])),
            Metadata::Offset => {
                let offsets = self.positions.iter().map(|Position::Offset(offset)| offset.cast_signed());
                Arc::new(Int64Array::from_iter_values(offsets))
            }
            Metadata::Timestamp => Arc::new(held.times.clone().with_timezone("UTC")),
            Metadata::Key => match held.keys {
                Some(keys) => Arc::new(keys.clone()),
                None => Arc::new(BinaryArray::new_null(rows)),
            },
            Metadata::Headers => held.headers.cloned().unwrap_or_else(|| Arc::new(empty_headers(rows).finish())),
        }
    }
}

/// What a batch holds beside values and positions.
struct Held<'a> {
    keys: Option<&'a BinaryArray>,
    headers: Option<&'a ArrayRef>,
    times: &'a TimestampMillisecondArray,
}

/// Which partition a batch is of, and what is asked for beside the payload.
pub(super) struct From<'a> {
    pub(super) topic: &'a str,
    pub(super) number: i32,
    pub(super) metadata: &'a [Metadata],
}

fn empty_headers(rows: usize) -> ListBuilder<StructBuilder> {
    let entry = StructBuilder::new(
        header_fields(),
        vec![Box::new(StringBuilder::new()) as _, Box::new(BinaryBuilder::new()) as _],
    );
    let item = Field::new("item", DataType::Struct(header_fields()), false);
    let mut lists = ListBuilder::new(entry).with_field(item);
    for _ in 0..rows {
        lists.append(true);
    }
    lists
}
