//! What a guest answered, checked byte by byte, to an Arrow batch.
//!
//! Nothing here trusts its input: lengths are exact, offsets ascend, text is UTF-8, decimals fit their precision,
//! and no array is longer than the bytes a guest may send. Buffers become arrays without a copy.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ByteArrayType, Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, GenericBinaryType,
    GenericStringType,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, GenericByteArray, GenericListArray, MapArray, NullArray,
    OffsetSizeTrait, RecordBatch, RecordBatchOptions, StructArray, make_array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_data::ArrayData;
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};

/// Builds a batch of `schema` out of `buffers`, or says what is wrong with them and in which column.
///
/// `longest` bounds the rows of every array, also of those that need no bytes, such as nulls.
pub(crate) fn decode(
    schema: &SchemaRef,
    rows: usize,
    buffers: Vec<Vec<u8>>,
    longest: usize,
) -> Result<RecordBatch, String> {
    let mut reader = Reader { buffers: buffers.into_iter(), longest };
    let columns = schema
        .fields()
        .iter()
        .map(|field| reader.column(field, rows).map_err(|error| format!("column `{}`: {error}", field.name())))
        .collect::<Result<Vec<_>, _>>()?;
    if reader.buffers.next().is_some() {
        return Err("more buffers than the schema's columns have".to_owned());
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|error| text(&error))
}

/// Hands out the buffers in order.
struct Reader {
    buffers: std::vec::IntoIter<Vec<u8>>,
    longest: usize,
}

impl Reader {
    fn column(&mut self, field: &Field, length: usize) -> Result<ArrayRef, String> {
        if length > self.longest {
            return Err(format!("{length} rows, more than the {} that are allowed", self.longest));
        }
        if let DataType::Null = field.data_type() {
            return Ok(Arc::new(NullArray::new(length)));
        }
        let nulls = self.nulls(length)?;
        match field.data_type() {
            DataType::Boolean => {
                let bits = self.exactly(length.div_ceil(8), "bits")?;
                Ok(Arc::new(BooleanArray::new(BooleanBuffer::new(bits, 0, length), nulls)))
            }
            DataType::Utf8 => self.bytes::<GenericStringType<i32>>(length, nulls),
            DataType::LargeUtf8 => self.bytes::<GenericStringType<i64>>(length, nulls),
            DataType::Binary => self.bytes::<GenericBinaryType<i32>>(length, nulls),
            DataType::LargeBinary => self.bytes::<GenericBinaryType<i64>>(length, nulls),
            DataType::List(child) => self.list::<i32>(child, length, nulls),
            DataType::LargeList(child) => self.list::<i64>(child, length, nulls),
            DataType::Map(child, sorted) => {
                let (offsets, entries) = self.offsets_and_child::<i32>(child, length)?;
                let entries = entries.as_struct().clone();
                let map = MapArray::try_new(Arc::clone(child), offsets, entries, nulls, *sorted);
                Ok(Arc::new(map.map_err(|error| text(&error))?))
            }
            DataType::FixedSizeList(child, size) => self.fixed_list(child, *size, length, nulls),
            DataType::Struct(children) => {
                let arrays = children.iter().map(|child| self.column(child, length)).collect::<Result<Vec<_>, _>>()?;
                let array = StructArray::try_new_with_length(children.clone(), arrays, nulls, length);
                Ok(Arc::new(array.map_err(|error| text(&error))?))
            }
            other => self.fixed(other, length, nulls),
        }
    }

    fn next(&mut self, what: &str) -> Result<Buffer, String> {
        self.buffers.next().map(Buffer::from_vec).ok_or_else(|| format!("the buffer of its {what} is missing"))
    }

    fn exactly(&mut self, length: usize, what: &str) -> Result<Buffer, String> {
        let buffer = self.next(what)?;
        if buffer.len() == length {
            return Ok(buffer);
        }
        Err(format!("{} bytes of {what} where there must be {length}", buffer.len()))
    }

    fn nulls(&mut self, length: usize) -> Result<Option<NullBuffer>, String> {
        let buffer = self.next("validity")?;
        if buffer.is_empty() {
            return Ok(None);
        }
        if buffer.len() != length.div_ceil(8) {
            return Err(format!("{} bytes of validity for {length} rows", buffer.len()));
        }
        Ok(Some(NullBuffer::new(BooleanBuffer::new(buffer, 0, length))))
    }

    /// Offsets that begin with 0 and never decrease.
    fn offsets<O: OffsetSizeTrait>(&mut self, length: usize) -> Result<OffsetBuffer<O>, String> {
        let bytes = (length + 1) * size_of::<O>();
        let buffer = aligned(self.exactly(bytes, "offsets")?, align_of::<O>());
        let offsets = ScalarBuffer::<O>::new(buffer, 0, length + 1);
        // One pass without an early exit, which the compiler turns into vector instructions.
        let ascending = offsets.windows(2).fold(true, |so_far, pair| so_far & (pair[0] <= pair[1]));
        if offsets[0] != O::default() || !ascending {
            return Err("its offsets do not ascend from 0".to_owned());
        }
        Ok(OffsetBuffer::new(offsets))
    }

    fn bytes<T: ByteArrayType>(&mut self, length: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, String> {
        let offsets = self.offsets::<T::Offset>(length)?;
        let values = self.exactly(last(&offsets), "values")?;
        let array = GenericByteArray::<T>::try_new(offsets, values, nulls);
        Ok(Arc::new(array.map_err(|error| text(&error))?))
    }

    fn offsets_and_child<O: OffsetSizeTrait>(
        &mut self,
        child: &Field,
        length: usize,
    ) -> Result<(OffsetBuffer<O>, ArrayRef), String> {
        let offsets = self.offsets::<O>(length)?;
        let values = self.column(child, last(&offsets))?;
        Ok((offsets, values))
    }

    fn list<O: OffsetSizeTrait>(
        &mut self,
        child: &Arc<Field>,
        length: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef, String> {
        let (offsets, values) = self.offsets_and_child::<O>(child, length)?;
        let array = GenericListArray::try_new(Arc::clone(child), offsets, values, nulls);
        Ok(Arc::new(array.map_err(|error| text(&error))?))
    }

    fn fixed_list(
        &mut self,
        child: &Arc<Field>,
        size: i32,
        length: usize,
        nulls: Option<NullBuffer>,
    ) -> Result<ArrayRef, String> {
        let items = usize::try_from(size).ok().and_then(|size| size.checked_mul(length));
        let values = self.column(child, items.ok_or("its items overflow")?)?;
        let array = FixedSizeListArray::try_new_with_length(Arc::clone(child), size, values, nulls, length);
        Ok(Arc::new(array.map_err(|error| text(&error))?))
    }

    fn fixed(&mut self, data_type: &DataType, length: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, String> {
        let width = match data_type {
            DataType::FixedSizeBinary(width) => usize::try_from(*width).ok(),
            other => other.primitive_width(),
        };
        let width = width.ok_or_else(|| format!("the type {data_type} cannot cross"))?;
        let bytes = width.checked_mul(length).ok_or("its values overflow")?;
        let data = ArrayData::builder(data_type.clone())
            .len(length)
            .nulls(nulls)
            .add_buffer(self.exactly(bytes, "values")?)
            .align_buffers(true)
            .build()
            .map_err(|error| text(&error))?;
        let array = make_array(data);
        if decimals_fit(array.as_ref()) { Ok(array) } else { Err("a decimal has more digits than its type".to_owned()) }
    }
}

/// Arrow itself does not look at the digits of a decimal; a value beyond its precision would surface far from here.
fn decimals_fit(array: &dyn Array) -> bool {
    match array.data_type() {
        DataType::Decimal32(precision, _) => digits_fit::<Decimal32Type>(array, *precision),
        DataType::Decimal64(precision, _) => digits_fit::<Decimal64Type>(array, *precision),
        DataType::Decimal128(precision, _) => digits_fit::<Decimal128Type>(array, *precision),
        DataType::Decimal256(precision, _) => digits_fit::<Decimal256Type>(array, *precision),
        _ => true,
    }
}

// `PrimitiveArray::validate_decimal_precision` refuses every negative scale.
fn digits_fit<T: DecimalType>(array: &dyn Array, precision: u8) -> bool {
    let values = array.as_primitive::<T>();
    values.iter().flatten().all(|value| T::is_valid_decimal_precision(value, precision))
}

fn last<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>) -> usize {
    offsets[offsets.len() - 1].as_usize()
}

/// The buffer itself, or a copy where the allocator happened to place it badly.
fn aligned(buffer: Buffer, alignment: usize) -> Buffer {
    if buffer.as_ptr().align_offset(alignment) == 0 { buffer } else { Buffer::from_slice_ref(buffer.as_slice()) }
}

/// Arrow's message without its kind in front, which says nothing to a function's author.
fn text(error: &ArrowError) -> String {
    match error {
        ArrowError::InvalidArgumentError(message) => message.clone(),
        other => other.to_string(),
    }
}
