//! The identity: what comes in goes out. For tests of the crossing, and the benchmark of its cost.
//!
//! Build it, from the repository's root: `udf/sdk/rust/build.sh udf/tests/guests/echo udf/tests/guests/echo.wasm`

use riverhook_function::arrow_array::RecordBatch;
use riverhook_function::{Failure, Output};

#[riverhook_function::function]
fn echo(batch: RecordBatch) -> Result<Output, Failure> {
    Ok(Output::same(batch))
}
