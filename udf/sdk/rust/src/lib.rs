//! Write [Riverhook](https://github.com/riverhook/riverhook) functions in Rust: Arrow batches in, Arrow batches
//! out, compiled to a WebAssembly component.
//!
//! ```ignore
//! use riverhook_function::{export_batch_function, arrow_array::RecordBatch, arrow_schema::Schema};
//!
//! /// The columns that go out for the columns that come in; asked once, and by `riverhook validate`.
//! fn schema(input: &Schema) -> Result<Schema, String> {
//!     Ok(input.clone())
//! }
//!
//! /// Called once a batch.
//! fn process(batch: RecordBatch) -> Result<RecordBatch, String> {
//!     Ok(batch)
//! }
//!
//! export_batch_function!(schema, process);
//! ```
//!
//! The crate is a `cdylib`; `rustup target add wasm32-unknown-unknown` and the linker `wasm-component-ld`, which
//! comes with Rust, make it a component in one step:
//!
//! ```text
//! CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-component-ld cargo build --release --target wasm32-unknown-unknown
//! ```
//!
//! Functions are plain functions over a [`RecordBatch`], so their unit tests need neither an engine nor
//! WebAssembly. A panic ends up in the function's log and fails its batch alone.

mod columns;
mod export;
pub mod log;
mod outcome;
mod rows;

pub use arrow_array;
pub use arrow_buffer;
pub use arrow_schema;

pub use outcome::{FailedRow, Failure, Origin, Output};
pub use rows::take_rows;

use arrow_array::RecordBatch;
use arrow_schema::Schema;

#[doc(hidden)]
pub use export::{Adapter, bindings};

/// A function over batches. [`export_batch_function!`] implements it for two plain functions; implement it by hand
/// only for something that those cannot say.
pub trait BatchFunction {
    /// The output's schema for an input of `input`, or why the function cannot take it. It must answer the same
    /// for the same input.
    fn schema(input: &Schema) -> Result<Schema, String>;

    /// Turns one batch into another. An error fails the whole batch; [`Output::failed`] fails single rows.
    fn process(batch: RecordBatch) -> Result<Output, Failure>;
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
                $schema(input)
            }

            fn process(
                batch: $crate::arrow_array::RecordBatch,
            ) -> ::core::result::Result<$crate::Output, $crate::Failure> {
                match $process(batch) {
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
