//! Columns under construction: they grow value by value and can be cut back to a row, so that a message that fails
//! half-way leaves nothing behind.
//!
//! Knows the schema, not the format: JSON and CSV fill the same columns.

use std::{mem, sync::Arc};

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray, StructArray,
    timezone::Tz,
    types::{
        ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
        UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_buffer::{BooleanBufferBuilder, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};

use super::{json::Keys, schema};
use crate::error::Error;

/// One column.
pub(crate) struct Column {
    field: FieldRef,
    nulls: NullBufferBuilder,
    /// The values. Whoever appends one also calls [`Column::push_valid`].
    pub(crate) values: Values,
}

/// The values of a column, by type.
pub(crate) enum Values {
    Bool(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    UInt8(Vec<u8>),
    UInt16(Vec<u16>),
    UInt32(Vec<u32>),
    UInt64(Vec<u64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal { values: Vec<i128>, precision: u8, scale: i8 },
    Date(Vec<i32>),
    Timestamp { values: Vec<i64>, unit: TimeUnit, zone: Option<Tz> },
    Text(Bytes),
    Json(Bytes),
    Binary(Bytes),
    List { ends: Vec<i32>, element: Box<Column> },
    Map { ends: Vec<i32>, key: Box<Column>, value: Box<Column> },
    Struct(Record),
}

/// Columns that grow together: those of a batch or of a struct.
pub(crate) struct Record {
    /// In the schema's order.
    pub(crate) columns: Vec<Column>,
    /// What JSON calls them.
    pub(crate) keys: Keys,
}

/// Byte strings, one after the other. Their total is bounded by the payloads', which Arrow bounds to 2 GiB.
#[derive(Default)]
pub(crate) struct Bytes {
    /// The strings' bytes; what follows the last end belongs to the string being appended.
    pub(crate) data: Vec<u8>,
    ends: Vec<i32>,
}

impl Bytes {
    /// Ends the string being appended.
    #[inline(always)]
    pub(crate) fn end(&mut self) {
        self.ends.push(offset(self.data.len()));
    }

    fn truncate(&mut self, length: usize) {
        self.ends.truncate(length);
        self.data.truncate(last(&self.ends));
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Vec<u8>) {
        let next = Vec::with_capacity(self.data.len());
        (take_offsets(&mut self.ends), mem::replace(&mut self.data, next))
    }
}

fn offset(length: usize) -> i32 {
    i32::try_from(length).expect("a column is not larger than the payloads it was read from")
}

fn last(ends: &[i32]) -> usize {
    ends.last().map_or(0, |end| usize::try_from(*end).expect("ends are never negative"))
}

fn take_offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.append(ends);
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}

/// The values, leaving room for as many.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let next = Vec::with_capacity(values.len());
    mem::replace(values, next)
}

impl Record {
    /// Empty columns of these fields.
    pub(crate) fn new(fields: &Fields) -> Result<Self, Error> {
        let columns = fields.iter().map(Column::new).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { keys: Keys::new(fields), columns })
    }

    /// Cuts every column back to `rows`.
    pub(crate) fn truncate(&mut self, rows: usize) {
        for column in &mut self.columns {
            column.truncate(rows);
        }
    }

    /// The finished columns; they are empty afterwards.
    pub(crate) fn finish(&mut self) -> Vec<ArrayRef> {
        self.columns.iter_mut().map(Column::finish).collect()
    }
}

impl Column {
    /// An empty column of this field.
    pub(crate) fn new(field: &FieldRef) -> Result<Self, Error> {
        let unsupported =
            || Error::config(format!("column `{}`: text formats cannot hold {}", field.name(), field.data_type()));
        let values = match field.data_type() {
            DataType::Boolean => Values::Bool(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Values::Int8(Vec::new()),
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::UInt8 => Values::UInt8(Vec::new()),
            DataType::UInt16 => Values::UInt16(Vec::new()),
            DataType::UInt32 => Values::UInt32(Vec::new()),
            DataType::UInt64 => Values::UInt64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Decimal128(precision, scale) => {
                Values::Decimal { values: Vec::new(), precision: *precision, scale: *scale }
            }
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Timestamp(unit, zone) => {
                let zone = zone.as_ref().map(|zone| zone.parse()).transpose().map_err(|_| unsupported())?;
                Values::Timestamp { values: Vec::new(), unit: *unit, zone }
            }
            DataType::Utf8 if schema::is_json(field) => Values::Json(Bytes::default()),
            DataType::Utf8 => Values::Text(Bytes::default()),
            DataType::Binary => Values::Binary(Bytes::default()),
            DataType::List(element) => Values::List { ends: Vec::new(), element: Box::new(Self::new(element)?) },
            DataType::Struct(fields) => Values::Struct(Record::new(fields)?),
            DataType::Map(entries, false) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 && fields[0].data_type() == &DataType::Utf8 => {
                    Values::Map {
                        ends: Vec::new(),
                        key: Box::new(Self::new(&fields[0])?),
                        value: Box::new(Self::new(&fields[1])?),
                    }
                }
                _ => return Err(unsupported()),
            },
            _ => return Err(unsupported()),
        };
        Ok(Self { field: Arc::clone(field), nulls: NullBufferBuilder::new(0), values })
    }

    /// The column's field.
    pub(crate) fn field(&self) -> &Field {
        &self.field
    }

    /// The number of complete values.
    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Completes a value that was appended to `values`.
    #[inline(always)]
    pub(crate) fn push_valid(&mut self) {
        self.nulls.append_non_null();
    }

    /// Appends a null, whether or not the field may be null: under a null struct it may.
    pub(crate) fn push_null(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.append(false),
            Values::Int8(values) => values.push(0),
            Values::Int16(values) => values.push(0),
            Values::Int32(values) | Values::Date(values) => values.push(0),
            Values::Int64(values) | Values::Timestamp { values, .. } => values.push(0),
            Values::UInt8(values) => values.push(0),
            Values::UInt16(values) => values.push(0),
            Values::UInt32(values) => values.push(0),
            Values::UInt64(values) => values.push(0),
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Decimal { values, .. } => values.push(0),
            Values::Text(bytes) | Values::Json(bytes) | Values::Binary(bytes) => bytes.end(),
            Values::List { ends, .. } | Values::Map { ends, .. } => ends.push(ends.last().copied().unwrap_or(0)),
            Values::Struct(record) => record.columns.iter_mut().for_each(Self::push_null),
        }
        self.nulls.append_null();
    }

    /// Cuts back to `length` values, whether the last one was completed or not.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.nulls.truncate(length);
        match &mut self.values {
            Values::Bool(values) => values.truncate(length),
            Values::Int8(values) => values.truncate(length),
            Values::Int16(values) => values.truncate(length),
            Values::Int32(values) | Values::Date(values) => values.truncate(length),
            Values::Int64(values) | Values::Timestamp { values, .. } => values.truncate(length),
            Values::UInt8(values) => values.truncate(length),
            Values::UInt16(values) => values.truncate(length),
            Values::UInt32(values) => values.truncate(length),
            Values::UInt64(values) => values.truncate(length),
            Values::Float32(values) => values.truncate(length),
            Values::Float64(values) => values.truncate(length),
            Values::Decimal { values, .. } => values.truncate(length),
            Values::Text(bytes) | Values::Json(bytes) | Values::Binary(bytes) => bytes.truncate(length),
            Values::List { ends, element } => {
                ends.truncate(length);
                element.truncate(last(ends));
            }
            Values::Map { ends, key, value } => {
                ends.truncate(length);
                key.truncate(last(ends));
                value.truncate(last(ends));
            }
            Values::Struct(record) => record.truncate(length),
        }
    }

    /// The finished column; it is empty afterwards.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        let length = self.len();
        let nulls = self.nulls.finish();
        match &mut self.values {
            Values::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int8(values) => primitive::<Int8Type>(values, nulls, &self.field),
            Values::Int16(values) => primitive::<Int16Type>(values, nulls, &self.field),
            Values::Int32(values) => primitive::<Int32Type>(values, nulls, &self.field),
            Values::Int64(values) => primitive::<Int64Type>(values, nulls, &self.field),
            Values::UInt8(values) => primitive::<UInt8Type>(values, nulls, &self.field),
            Values::UInt16(values) => primitive::<UInt16Type>(values, nulls, &self.field),
            Values::UInt32(values) => primitive::<UInt32Type>(values, nulls, &self.field),
            Values::UInt64(values) => primitive::<UInt64Type>(values, nulls, &self.field),
            Values::Float32(values) => primitive::<Float32Type>(values, nulls, &self.field),
            Values::Float64(values) => primitive::<Float64Type>(values, nulls, &self.field),
            Values::Decimal { values, .. } => primitive::<Decimal128Type>(values, nulls, &self.field),
            Values::Date(values) => primitive::<Date32Type>(values, nulls, &self.field),
            Values::Timestamp { values, unit, .. } => match unit {
                TimeUnit::Second => primitive::<TimestampSecondType>(values, nulls, &self.field),
                TimeUnit::Millisecond => primitive::<TimestampMillisecondType>(values, nulls, &self.field),
                TimeUnit::Microsecond => primitive::<TimestampMicrosecondType>(values, nulls, &self.field),
                TimeUnit::Nanosecond => primitive::<TimestampNanosecondType>(values, nulls, &self.field),
            },
            Values::Text(bytes) | Values::Json(bytes) => {
                let (offsets, data) = bytes.take();
                Arc::new(StringArray::try_new(offsets, data.into(), nulls).expect("only UTF-8 was appended"))
            }
            Values::Binary(bytes) => {
                let (offsets, data) = bytes.take();
                Arc::new(BinaryArray::new(offsets, data.into(), nulls))
            }
            Values::List { ends, element } => {
                let field = Arc::clone(&element.field);
                Arc::new(ListArray::new(field, take_offsets(ends), element.finish(), nulls))
            }
            Values::Map { ends, key, value } => {
                let DataType::Map(entries, sorted) = self.field.data_type() else {
                    unreachable!("a map column has a map's type")
                };
                let fields = Fields::from(vec![Arc::clone(&key.field), Arc::clone(&value.field)]);
                let columns = StructArray::new(fields, vec![key.finish(), value.finish()], None);
                Arc::new(MapArray::new(Arc::clone(entries), take_offsets(ends), columns, nulls, *sorted))
            }
            Values::Struct(record) => {
                let DataType::Struct(fields) = self.field.data_type() else {
                    unreachable!("a struct column has a struct's type")
                };
                let columns = record.finish();
                let array = StructArray::try_new_with_length(fields.clone(), columns, nulls, length);
                Arc::new(array.expect("the columns of a struct grow together"))
            }
        }
    }
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<arrow_buffer::NullBuffer>,
    field: &Field,
) -> ArrayRef {
    Arc::new(
        PrimitiveArray::<T>::new(ScalarBuffer::from(take(values)), nulls).with_data_type(field.data_type().clone()),
    )
}

/// Ends a list or map of which `length` elements exist in all.
pub(crate) fn end_elements(ends: &mut Vec<i32>, length: usize) {
    ends.push(offset(length));
}
