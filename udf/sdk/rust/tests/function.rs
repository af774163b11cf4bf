//! The attribute leaves the function as it is, and adds what the engine calls.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use riverhook_function::arrow_array::{Array as _, Int64Array, RecordBatch};
use riverhook_function::arrow_schema::{DataType, Field, Schema};
use riverhook_function::{BatchFunction as _, Failure, Origin};

/// Keeps the first column.
#[riverhook_function::function]
pub(crate) fn first(batch: RecordBatch) -> Result<RecordBatch, Failure> {
    if batch.num_columns() == 0 {
        return Err(Failure::new("Input.Empty", "needs a column"));
    }
    Ok(batch.project(&[0])?)
}

fn two_columns() -> RecordBatch {
    let column = Arc::new(Int64Array::from(vec![1, 2]));
    let schema = Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Int64, true)]);
    RecordBatch::try_new(Arc::new(schema), vec![column.clone(), column]).unwrap()
}

#[test]
fn the_function_is_still_one() {
    assert_eq!(first(two_columns()).unwrap().column(0).len(), 2);
}

#[test]
fn its_schema_is_what_it_gives_a_batch_without_rows() {
    let schema = RiverhookFunction::schema(&two_columns().schema()).unwrap();
    assert_eq!(schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(RiverhookFunction::schema(&Schema::empty()), Err("needs a column".to_owned()));
    let output = RiverhookFunction::process(two_columns()).unwrap();
    assert_eq!((output.batch.num_rows(), output.origin), (2, Origin::WholeBatch));
}
