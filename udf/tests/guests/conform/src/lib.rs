//! What the conformance suite asks of a function over batches: `BEHAVIOUR` in its configuration names what it does.
//!
//! Build it, from the repository's root: `udf/sdk/rust/build.sh udf/tests/guests/conform udf/tests/guests/conform.wasm`

use std::sync::Arc;
use std::time::Duration;

use riverhook_function::arrow_array::cast::AsArray;
use riverhook_function::arrow_array::types::Int64Type;
use riverhook_function::arrow_array::{ArrayRef, RecordBatch, StringArray};
use riverhook_function::arrow_schema::{DataType, Field, Schema};
use riverhook_function::{FailedRow, Failure, Output, config, context, take_rows};

fn schema(input: &Schema) -> Result<Schema, String> {
    match behaviour().as_str() {
        "slow-start" => pass(Duration::from_millis(600)),
        "relabel" => return Ok(labels()),
        _ => {}
    }
    Ok(input.clone())
}

#[riverhook_function::function(schema = schema)]
fn process(batch: RecordBatch) -> Result<Output, Failure> {
    let ids = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    let rows = || 0..batch.num_rows() as u32;
    let (bad, good): (Vec<u32>, Vec<u32>) = rows().partition(|row| ids[*row as usize] < 0);
    match behaviour().as_str() {
        "filter" => Ok(Output::rows(take_rows(&batch, &good), good)),
        "twice" => {
            let twice: Vec<u32> = rows().flat_map(|row| [row, row]).collect();
            Ok(Output::rows(take_rows(&batch, &twice), twice))
        }
        "relabel" => {
            let labels_of: ArrayRef = Arc::new(ids.iter().map(|id| Some(format!("row {id}"))).collect::<StringArray>());
            Ok(Output::same(RecordBatch::try_new(Arc::new(labels()), vec![labels_of])?))
        }
        "fail-rows" => {
            let failed = |row| FailedRow {
                row,
                code: "Row.Bad".to_owned(),
                message: "its id is negative".to_owned(),
                retryable: false,
            };
            let failed = bad.into_iter().map(failed).collect();
            Ok(Output::rows(take_rows(&batch, &good), good).with_failed(failed))
        }
        _ if bad.is_empty() => Ok(Output::same(batch)),
        bad_row => misbehave(bad_row, batch),
    }
}

fn misbehave(behaviour: &str, batch: RecordBatch) -> Result<Output, Failure> {
    match behaviour {
        "fail-batch" => return Err(Failure::new("Batch.Bad", "has a bad row")),
        "hang" => loop {
            std::hint::spin_loop();
        },
        "crash" => panic!("told to"),
        "grow" => {
            let mut held = Vec::new();
            loop {
                held.push(std::hint::black_box(vec![1u8; 1 << 20]));
            }
        }
        "flood" => {
            let long: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(2 << 20); batch.num_rows()]));
            let columns = vec![batch.column(0).clone(), long];
            return Ok(Output::same(RecordBatch::try_new(batch.schema(), columns)?));
        }
        // Rows that the input does not have.
        "garbage" => return Ok(Output::rows(batch.clone(), vec![u32::MAX; batch.num_rows()])),
        "nap" => pass(Duration::from_millis(400)),
        _ => {}
    }
    Ok(Output::same(batch))
}

fn behaviour() -> String {
    config("BEHAVIOUR").unwrap_or_default()
}

fn labels() -> Schema {
    Schema::new(vec![Field::new("label", DataType::Utf8, true)])
}

/// Lets time pass. The time that is left is the only clock there is.
fn pass(time: Duration) {
    let end = context().time_left.saturating_sub(time);
    while context().time_left > end {}
}
