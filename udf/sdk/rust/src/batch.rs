//! Functions over Arrow batches.

mod columns;
pub(crate) mod export;
mod outcome;
mod rows;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;

pub use self::outcome::{FailedRow, Origin, Output};
pub use self::rows::take_rows;
use crate::Failure;

/// A function over batches. [`function`](macro@crate::function) and [`export_batch_function!`](crate::export_batch_function)
/// implement it for plain functions; implement it by hand only for something that those cannot say.
pub trait BatchFunction {
    /// The output's schema for an input of `input`, or why the function cannot take it. It must answer the same
    /// for the same input.
    fn schema(input: &Schema) -> Result<Schema, String>;

    /// Turns one batch into another. An error fails the whole batch; [`Output::failed`] fails single rows.
    fn process(batch: RecordBatch) -> Result<Output, Failure>;
}

/// The schema of what `process` makes of a batch without rows.
#[doc(hidden)]
pub fn schema_of<O: Into<Output>, E: Into<Failure>>(
    process: impl Fn(RecordBatch) -> Result<O, E>,
    input: &Schema,
) -> Result<Schema, String> {
    let empty = RecordBatch::new_empty(Arc::new(input.clone()));
    match process(empty) {
        Ok(output) => Ok(output.into().batch.schema().as_ref().clone()),
        Err(failure) => Err(failure.into().message),
    }
}

/// Makes a component of two functions: `fn(&Schema) -> Result<Schema, String>` and `fn(RecordBatch) ->
/// Result<impl Into<Output>, impl Into<Failure>>`. Use it once in a crate.
#[macro_export]
macro_rules! export_batch_function {
    ($schema:expr, $process:expr $(,)?) => {
        struct RiverhookFunction;

        impl $crate::BatchFunction for RiverhookFunction {
            fn schema(
                input: &$crate::arrow_schema::Schema,
            ) -> ::core::result::Result<$crate::arrow_schema::Schema, ::std::string::String> {
                ($schema)(input)
            }

            fn process(
                batch: $crate::arrow_array::RecordBatch,
            ) -> ::core::result::Result<$crate::Output, $crate::Failure> {
                match ($process)(batch) {
                    Ok(output) => Ok(output.into()),
                    Err(error) => Err(error.into()),
                }
            }
        }

        type RiverhookAdapter = $crate::Adapter<RiverhookFunction>;
        // A component's exports exist on WebAssembly alone; elsewhere the crate is an ordinary one with tests.
        #[cfg(target_family = "wasm")]
        $crate::bindings::export!(RiverhookAdapter with_types_in $crate::bindings);
    };
}
