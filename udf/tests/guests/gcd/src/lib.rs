//! The greatest common divisor of two int32 columns: the arithmetic by which kinds of functions are usually compared,
//! here for the benchmarks.
//!
//! Build it, from the repository's root: `udf/sdk/rust/build.sh udf/tests/guests/gcd udf/tests/guests/gcd.wasm`

use std::sync::Arc;

use riverhook_function::arrow_array::cast::AsArray;
use riverhook_function::arrow_array::{Array, ArrayRef, Int32Array, RecordBatch};
use riverhook_function::arrow_schema::{DataType, Field, Schema};
use riverhook_function::{Failure, Output};

#[riverhook_function::function]
fn divisors(batch: RecordBatch) -> Result<Output, Failure> {
    let column = |name| {
        let column: Option<&Int32Array> = batch.column_by_name(name).and_then(|column| column.as_primitive_opt());
        column.ok_or_else(|| Failure::new("Gcd.NoColumn", format!("needs the column `{name}` of int32")))
    };
    let (a, b) = (column("a")?, column("b")?);
    let gcd: Int32Array = if a.null_count() + b.null_count() == 0 {
        Int32Array::from_iter_values(a.values().iter().zip(b.values()).map(|(&a, &b)| gcd(a, b)))
    } else {
        a.iter().zip(b).map(|(a, b)| Some(gcd(a?, b?))).collect()
    };
    let schema = Schema::new(vec![Field::new("gcd", DataType::Int32, true)]);
    let columns: Vec<ArrayRef> = vec![Arc::new(gcd)];
    Ok(Output::same(RecordBatch::try_new(Arc::new(schema), columns)?))
}

fn gcd(mut a: i32, mut b: i32) -> i32 {
    while b != 0 {
        (a, b) = (b, a.wrapping_rem(b));
    }
    a
}
