//! Choosing rows of a batch.

use arrow_array::{Array as _, ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow_data::transform::MutableArrayData;

/// The rows of `batch` at the indices `rows`, in that order. It serves columns of every type; where a function
/// knows its columns' types, a loop over their values is faster.
///
/// # Panics
/// If an index is beyond the batch, or the rows taken have more than 2 GiB of text in one column.
pub fn take_rows(batch: &RecordBatch, rows: &[u32]) -> RecordBatch {
    let columns = batch.columns().iter().map(|column| take(column, rows)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
        .expect("the columns have the batch's types and one length")
}

fn take(column: &ArrayRef, rows: &[u32]) -> ArrayRef {
    let data = column.to_data();
    let mut taken = MutableArrayData::new(vec![&data], false, rows.len());
    let mut rest = rows;
    while let Some(first) = rest.first() {
        // Neighbours are copied as one run.
        let run = rest.iter().zip(*first..).take_while(|(row, expected)| **row == *expected).count();
        let start = *first as usize;
        taken.try_extend(0, start, start + run).expect("the offsets of the rows taken fit their type");
        rest = &rest[run..];
    }
    make_array(taken.freeze())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn rows_are_taken_in_the_order_asked_for() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), None, Some(2), Some(3)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c", "d"]));
        let batch = RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("t", texts, true)]).unwrap();
        let taken = take_rows(&batch, &[1, 2, 3, 0, 0]);
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(2), Some(3), Some(0), Some(0)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["b", "c", "d", "a", "a"]));
        assert_eq!(taken.columns(), [numbers, texts]);
        assert_eq!(take_rows(&batch, &[]).num_rows(), 0);
    }
}
