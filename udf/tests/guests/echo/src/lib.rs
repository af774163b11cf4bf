//! The identity: what comes in goes out. For tests of the crossing, and the benchmark of its cost.

use riverhook_function::arrow_array::RecordBatch;
use riverhook_function::arrow_schema::Schema;
use riverhook_function::{Output, export_batch_function};

fn schema(input: &Schema) -> Result<Schema, String> {
    Ok(input.clone())
}

fn process(batch: RecordBatch) -> Result<Output, String> {
    Ok(Output::same(batch))
}

export_batch_function!(schema, process);
