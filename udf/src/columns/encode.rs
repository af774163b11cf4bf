//! Arrow arrays to the buffers that cross between host and guest, in the order that `wit/function.wit` gives.
//!
//! Buffers are shared, not copied, unless an array is a slice that begins inside a byte or whose offsets do not
//! begin at 0. The SDK for Rust compiles this same file (a symbolic link).

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, OffsetSizeTrait};
use arrow_buffer::{ArrowNativeType, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::DataType;

/// The buffers of the columns. Their types must be ones that `format::flatten` accepts.
///
/// Columns are taken by value, so that a caller that holds no other reference gets sole ownership of the buffers.
pub(crate) fn encode(columns: impl IntoIterator<Item = ArrayRef>) -> Vec<Buffer> {
    let mut buffers = Vec::new();
    for column in columns {
        push_array(column, &mut buffers);
    }
    buffers
}

fn push_array(array: ArrayRef, out: &mut Vec<Buffer>) {
    let length = array.len();
    if !matches!(array.data_type(), DataType::Null) {
        out.push(validity(array.nulls()));
    }
    match array.data_type() {
        DataType::Null => {}
        DataType::Boolean => out.push(bits(array.as_boolean().values())),
        DataType::Utf8 | DataType::Binary => push_bytes::<i32>(array, out),
        DataType::LargeUtf8 | DataType::LargeBinary => push_bytes::<i64>(array, out),
        DataType::List(_) => push_list(array.as_list::<i32>().offsets(), array.as_list::<i32>().values(), out),
        DataType::LargeList(_) => push_list(array.as_list::<i64>().offsets(), array.as_list::<i64>().values(), out),
        DataType::Map(_, _) => {
            let map = array.as_map();
            let entries: ArrayRef = std::sync::Arc::new(map.entries().clone());
            push_list(map.offsets(), &entries, out);
        }
        DataType::FixedSizeList(_, size) => {
            let list = array.as_fixed_size_list();
            push_array(list.values().slice(0, length * size.as_usize()), out);
        }
        DataType::Struct(_) => {
            let children = array.as_struct().columns().to_vec();
            drop(array);
            children.into_iter().for_each(|child| push_array(child, out));
        }
        _ => push_fixed(array, out),
    }
}

fn validity(nulls: Option<&NullBuffer>) -> Buffer {
    match nulls {
        Some(nulls) if nulls.null_count() > 0 => bits(nulls.inner()),
        _ => Buffer::from_vec(Vec::<u8>::new()),
    }
}

/// The bits from the start of a byte, as many bytes as they need.
fn bits(values: &BooleanBuffer) -> Buffer {
    values.inner().bit_slice(values.offset(), values.len())
}

fn push_fixed(array: ArrayRef, out: &mut Vec<Buffer>) {
    let width = match array.data_type() {
        DataType::FixedSizeBinary(width) => width.as_usize(),
        other => other.primitive_width().expect("format::flatten refused all other types"),
    };
    let data = array.to_data();
    drop(array);
    let (_, length, _, offset, mut buffers, _) = data.into_parts();
    let values = buffers.swap_remove(0);
    let (start, bytes) = (offset * width, length * width);
    if start == 0 && bytes == values.len() {
        out.push(values);
    } else {
        out.push(values.slice_with_length(start, bytes));
    }
}

fn push_bytes<O: OffsetSizeTrait>(array: ArrayRef, out: &mut Vec<Buffer>) {
    let data = array.to_data();
    drop(array);
    let (_, length, _, offset, mut buffers, _) = data.into_parts();
    let values = buffers.swap_remove(1);
    let offsets = buffers.swap_remove(0);
    // An array of no rows may lack even the one offset that the format asks for.
    let offsets = if offsets.is_empty() {
        ScalarBuffer::from(vec![O::default()])
    } else {
        ScalarBuffer::<O>::new(offsets, offset, length + 1)
    };
    let (first, last) = rebase(offsets, out);
    if first == 0 && last == values.len() {
        out.push(values);
    } else {
        out.push(values.slice_with_length(first, last - first));
    }
}

fn push_list<O: OffsetSizeTrait>(offsets: &OffsetBuffer<O>, values: &ArrayRef, out: &mut Vec<Buffer>) {
    let (first, last) = rebase(offsets.inner().clone(), out);
    push_array(values.slice(first, last - first), out);
}

/// Pushes the offsets, moved to begin at 0, and returns the range of the child that they span.
fn rebase<O: OffsetSizeTrait>(offsets: ScalarBuffer<O>, out: &mut Vec<Buffer>) -> (usize, usize) {
    let first = offsets[0];
    let last = offsets[offsets.len() - 1];
    out.push(if first == O::default() {
        offsets.into_inner()
    } else {
        Buffer::from_vec(offsets.iter().map(|offset| *offset - first).collect::<Vec<O>>())
    });
    (first.as_usize(), last.as_usize())
}
