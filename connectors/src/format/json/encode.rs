//! Rows to JSON: one object a row, every column present, nulls written as `null`.
//!
//! Timestamps are RFC 3339 in UTC with the digits of their unit, decimals strings, bytes base64, NaN and the
//! infinities null; a `json` column's text stands as it is. What the decoder reads back is what was written.

use std::{ops::Range, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, PrimitiveArray, RecordBatch, StringArray,
    StructArray,
    cast::AsArray,
    types::{
        ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
        Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
        UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, SchemaRef, TimeUnit};

use super::scan::special;
use crate::{
    error::Error,
    format::{Encoded, Encoder, print, schema},
};

/// Encodes JSON.
pub(crate) struct JsonEncoder {
    fields: Vec<FieldRef>,
    keys: Vec<Vec<u8>>,
}

impl JsonEncoder {
    /// An encoder of batches of `schema`.
    pub(crate) fn new(schema: &SchemaRef) -> Result<Self, Error> {
        for field in schema.fields() {
            writable(field.data_type()).ok_or_else(|| Error::config(unwritable(field)))?;
        }
        Ok(Self { fields: schema.fields().to_vec(), keys: object_keys(schema.fields()) })
    }
}

/// Why a column cannot be written.
pub(crate) fn unwritable(field: &Field) -> String {
    format!(
        "column `{}`: text formats cannot write {}; CAST it to a string in SQL",
        field.name(),
        schema::type_text(field)
    )
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, records: &RecordBatch, out: &mut Encoded) {
        let writers: Vec<_> =
            self.fields.iter().zip(records.columns()).map(|(field, column)| ValueWriter::new(field, column)).collect();
        out.ends.reserve(records.num_rows());
        for row in 0..records.num_rows() {
            write_object(&self.keys, &writers, row, &mut out.bytes);
            out.ends.push(out.bytes.len());
        }
    }
}

/// Writes the values of one array. Binds to the array's type once, so that a row costs one `match` a value.
pub(crate) struct ValueWriter {
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Null,
    Bool(BooleanArray),
    Int8(ScalarBuffer<i8>),
    Int16(ScalarBuffer<i16>),
    Int32(ScalarBuffer<i32>),
    Int64(ScalarBuffer<i64>),
    UInt8(ScalarBuffer<u8>),
    UInt16(ScalarBuffer<u16>),
    UInt32(ScalarBuffer<u32>),
    UInt64(ScalarBuffer<u64>),
    Float32(ScalarBuffer<f32>),
    Float64(ScalarBuffer<f64>),
    Decimal(Decimal128Array),
    Date(Date32Array),
    Timestamp(ScalarBuffer<i64>, TimeUnit),
    Text(StringArray),
    Json(StringArray),
    Binary(BinaryArray),
    List(OffsetBuffer<i32>, Box<ValueWriter>),
    Map(OffsetBuffer<i32>, StringArray, Box<ValueWriter>),
    Struct(Vec<Vec<u8>>, Vec<ValueWriter>),
}

impl ValueWriter {
    /// A writer of `array`, whose type [`writable`] accepts.
    pub(crate) fn new(field: &Field, array: &ArrayRef) -> Self {
        let target = writable(array.data_type()).expect("the schema was checked when the encoder was made");
        let array = if &target == array.data_type() {
            Arc::clone(array)
        } else {
            arrow_cast::cast(array, &target).expect("`writable` names types that can be cast to")
        };
        Self { nulls: array.logical_nulls(), values: Values::new(field, &array) }
    }

    /// Whether row `row` is null.
    #[inline(always)]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the value of row `row`.
    #[inline]
    pub(crate) fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.values {
            Values::Null => out.extend_from_slice(b"null"),
            Values::Bool(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            Values::Int8(values) => print::number(values[row], out),
            Values::Int16(values) => print::number(values[row], out),
            Values::Int32(values) => print::number(values[row], out),
            Values::Int64(values) => print::number(values[row], out),
            Values::UInt8(values) => print::number(values[row], out),
            Values::UInt16(values) => print::number(values[row], out),
            Values::UInt32(values) => print::number(values[row], out),
            Values::UInt64(values) => print::number(values[row], out),
            Values::Float32(values) if values[row].is_finite() => print::number(values[row], out),
            Values::Float64(values) if values[row].is_finite() => print::number(values[row], out),
            Values::Float32(_) | Values::Float64(_) => out.extend_from_slice(b"null"),
            Values::Decimal(values) => quoted(out, |out| print::decimal(values.value(row), values.scale(), out)),
            Values::Date(values) => quoted(out, |out| print::date(values.value(row), out)),
            Values::Timestamp(values, unit) => write_timestamp(values[row], *unit, out),
            Values::Text(values) => write_string(values.value(row).as_bytes(), out),
            Values::Json(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Values::Binary(values) => write_base64(values.value(row), out),
            Values::List(offsets, elements) => write_list(range(offsets, row), elements, out),
            Values::Map(offsets, keys, values) => write_map(range(offsets, row), keys, values, out),
            Values::Struct(keys, columns) => write_object(keys, columns, row, out),
        }
    }

    /// Appends the value of row `row` as a format without quoted strings has it: strings, times, decimals and base64 as
    /// they are, all else as JSON. `false` for what JSON writes as null.
    pub(crate) fn write_plain(&self, row: usize, out: &mut Vec<u8>) -> bool {
        if self.is_null(row) {
            return false;
        }
        match &self.values {
            Values::Null => return false,
            Values::Float32(values) if !values[row].is_finite() => return false,
            Values::Float64(values) if !values[row].is_finite() => return false,
            Values::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Values::Decimal(values) => print::decimal(values.value(row), values.scale(), out),
            Values::Date(values) => print::date(values.value(row), out),
            Values::Binary(values) => print::base64(values.value(row), out),
            Values::Timestamp(values, unit) => {
                let start = out.len();
                if !print::timestamp(values[row], *unit, out) {
                    out.truncate(start);
                    print::number(values[row], out);
                }
            }
            _ => self.write(row, out),
        }
        true
    }
}

impl Values {
    fn new(field: &Field, array: &ArrayRef) -> Self {
        match array.data_type() {
            DataType::Boolean => Self::Bool(array.as_boolean().clone()),
            DataType::Int8 => Self::Int8(values::<Int8Type>(array)),
            DataType::Int16 => Self::Int16(values::<Int16Type>(array)),
            DataType::Int32 => Self::Int32(values::<Int32Type>(array)),
            DataType::Int64 => Self::Int64(values::<Int64Type>(array)),
            DataType::UInt8 => Self::UInt8(values::<UInt8Type>(array)),
            DataType::UInt16 => Self::UInt16(values::<UInt16Type>(array)),
            DataType::UInt32 => Self::UInt32(values::<UInt32Type>(array)),
            DataType::UInt64 => Self::UInt64(values::<UInt64Type>(array)),
            DataType::Float32 => Self::Float32(values::<Float32Type>(array)),
            DataType::Float64 => Self::Float64(values::<Float64Type>(array)),
            DataType::Decimal128(..) => Self::Decimal(array.as_primitive::<Decimal128Type>().clone()),
            DataType::Date32 => Self::Date(array.as_primitive::<Date32Type>().clone()),
            DataType::Timestamp(unit, _) => Self::Timestamp(
                match unit {
                    TimeUnit::Second => values::<TimestampSecondType>(array),
                    TimeUnit::Millisecond => values::<TimestampMillisecondType>(array),
                    TimeUnit::Microsecond => values::<TimestampMicrosecondType>(array),
                    TimeUnit::Nanosecond => values::<TimestampNanosecondType>(array),
                },
                *unit,
            ),
            DataType::Utf8 if schema::is_json(field) => Self::Json(array.as_string().clone()),
            DataType::Utf8 => Self::Text(array.as_string().clone()),
            DataType::Binary => Self::Binary(array.as_binary().clone()),
            DataType::List(element) => {
                let list = array.as_list::<i32>();
                Self::List(list.offsets().clone(), Box::new(ValueWriter::new(element, list.values())))
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let value = map.entries().fields()[1].clone();
                Self::Map(
                    map.offsets().clone(),
                    map.keys().as_string().clone(),
                    Box::new(ValueWriter::new(&value, map.values())),
                )
            }
            DataType::Struct(fields) => {
                let columns: &StructArray = array.as_struct();
                let writers = fields
                    .iter()
                    .zip(columns.columns())
                    .map(|(field, column)| ValueWriter::new(field, column))
                    .collect();
                Self::Struct(object_keys(fields), writers)
            }
            _ => Self::Null,
        }
    }
}

fn values<T: ArrowPrimitiveType>(array: &ArrayRef) -> ScalarBuffer<T::Native> {
    let array: &PrimitiveArray<T> = array.as_primitive();
    array.values().clone()
}

/// The type that columns of `data_type` are written as: itself, a plainer one that it is cast to, or none.
pub(crate) fn writable(data_type: &DataType) -> Option<DataType> {
    use DataType as T;
    let inside = |field: &FieldRef| Some(Arc::new(field.as_ref().clone().with_data_type(writable(field.data_type())?)));
    Some(match data_type {
        T::Null
        | T::Boolean
        | T::Int8
        | T::Int16
        | T::Int32
        | T::Int64
        | T::UInt8
        | T::UInt16
        | T::UInt32
        | T::UInt64 => data_type.clone(),
        T::Float32 | T::Float64 | T::Decimal128(..) | T::Date32 | T::Timestamp(..) | T::Utf8 | T::Binary => {
            data_type.clone()
        }
        T::Float16 => T::Float32,
        T::Date64 => T::Timestamp(TimeUnit::Millisecond, None),
        T::Decimal32(precision, scale) | T::Decimal64(precision, scale) => T::Decimal128(*precision, *scale),
        T::Utf8View
        | T::LargeUtf8
        | T::Time32(_)
        | T::Time64(_)
        | T::Duration(_)
        | T::Interval(_)
        | T::Decimal256(..) => T::Utf8,
        T::BinaryView | T::LargeBinary | T::FixedSizeBinary(_) => T::Binary,
        T::Dictionary(_, values) => writable(values)?,
        T::List(element) | T::LargeList(element) | T::FixedSizeList(element, _) => T::List(inside(element)?),
        T::Struct(fields) => T::Struct(fields.iter().map(inside).collect::<Option<Vec<_>>>()?.into()),
        T::Map(entries, sorted) => {
            let T::Struct(fields) = entries.data_type() else { return None };
            let [key, _] = fields.as_ref() else { return None };
            if writable(key.data_type())? != T::Utf8 {
                return None;
            }
            T::Map(inside(entries)?, *sorted)
        }
        _ => return None,
    })
}

/// `{"first":`, `,"second":` and so on.
fn object_keys(fields: &[FieldRef]) -> Vec<Vec<u8>> {
    let mut keys = Vec::with_capacity(fields.len());
    for (i, field) in fields.iter().enumerate() {
        let mut key = vec![if i == 0 { b'{' } else { b',' }];
        write_string(field.name().as_bytes(), &mut key);
        key.push(b':');
        keys.push(key);
    }
    keys
}

#[inline(always)]
fn write_object(keys: &[Vec<u8>], columns: &[ValueWriter], row: usize, out: &mut Vec<u8>) {
    if keys.is_empty() {
        out.push(b'{');
    }
    for (key, column) in keys.iter().zip(columns) {
        out.extend_from_slice(key);
        column.write(row, out);
    }
    out.push(b'}');
}

fn write_list(list: Range<usize>, elements: &ValueWriter, out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, element) in list.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        elements.write(element, out);
    }
    out.push(b']');
}

fn write_map(map: Range<usize>, keys: &StringArray, values: &ValueWriter, out: &mut Vec<u8>) {
    out.push(b'{');
    for (i, entry) in map.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_string(keys.value(entry).as_bytes(), out);
        out.push(b':');
        values.write(entry, out);
    }
    out.push(b'}');
}

fn range(offsets: &[i32], row: usize) -> Range<usize> {
    let place = |offset: i32| usize::try_from(offset).expect("offsets are never negative");
    place(offsets[row])..place(offsets[row + 1])
}

/// RFC 3339; beyond its years the bare number, which the decoder reads, too.
fn write_timestamp(value: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    let start = out.len();
    out.push(b'"');
    if print::timestamp(value, unit, out) {
        out.push(b'"');
    } else {
        out.truncate(start);
        print::number(value, out);
    }
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    print::base64(bytes, out);
    out.push(b'"');
}

fn quoted(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

/// Appends a string with its quotes. Escapes only what JSON demands.
#[inline(always)]
pub(crate) fn write_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut start = 0;
    loop {
        let end = special(text, start);
        out.extend_from_slice(&text[start..end]);
        let Some(byte) = text.get(end) else { break };
        escape(*byte, out);
        start = end + 1;
    }
    out.push(b'"');
}

#[cold]
fn escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
