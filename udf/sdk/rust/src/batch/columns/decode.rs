//! The host's buffers to an Arrow batch, without a copy and without checking what the host has checked.

use arrow_array::{RecordBatch, RecordBatchOptions, make_array};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, SchemaRef};

/// Builds the batch that the host encoded.
///
/// # Panics
/// If there are fewer buffers than the schema's columns have, which the host never sends.
pub(crate) fn decode(schema: &SchemaRef, rows: usize, buffers: Vec<Vec<u8>>) -> RecordBatch {
    let mut buffers = buffers.into_iter();
    let columns =
        schema.fields().iter().map(|field| make_array(column(field.data_type(), rows, &mut buffers))).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .expect("the host sends batches of the schema it opened with")
}

fn column(data_type: &DataType, rows: usize, buffers: &mut impl Iterator<Item = Vec<u8>>) -> ArrayData {
    let mut next = || Buffer::from_vec(buffers.next().expect("the host sends every buffer"));
    let mut data = ArrayData::builder(data_type.clone()).len(rows).align_buffers(true);
    if !matches!(data_type, DataType::Null) {
        let validity = next();
        if !validity.is_empty() {
            data = data.nulls(Some(NullBuffer::new(BooleanBuffer::new(validity, 0, rows))));
        }
    }
    match data_type {
        DataType::Null => {}
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => {
            data = data.add_buffer(next()).add_buffer(next());
        }
        DataType::List(child) | DataType::Map(child, _) => {
            let offsets = next();
            let items = offsets.typed_data::<i32>()[rows] as usize;
            data = data.add_buffer(offsets).add_child_data(column(child.data_type(), items, buffers));
        }
        DataType::LargeList(child) => {
            let offsets = next();
            let items = offsets.typed_data::<i64>()[rows] as usize;
            data = data.add_buffer(offsets).add_child_data(column(child.data_type(), items, buffers));
        }
        DataType::FixedSizeList(child, size) => {
            data = data.add_child_data(column(child.data_type(), rows * *size as usize, buffers));
        }
        DataType::Struct(children) => {
            for child in children {
                data = data.add_child_data(column(child.data_type(), rows, buffers));
            }
        }
        _ => data = data.add_buffer(next()),
    }
    // SAFETY: the buffers are those of valid Arrow arrays of this type: the host encodes them from arrays that it
    // holds itself, and this memory is the guest's own. Checking UTF-8 again would cost as much as a whole call.
    unsafe { data.build_unchecked() }
}
