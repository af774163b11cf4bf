//! Write [Riverhook](https://github.com/riverhook/riverhook) functions in Rust, compiled to a WebAssembly component.
//!
//! A function over single records is a function over structs of serde:
//!
//! ```ignore
//! #[derive(serde::Deserialize)]
//! struct Order { id: u64, price: f64, quantity: u32 }
//!
//! #[derive(serde::Serialize)]
//! struct Total { id: u64, total: f64 }
//!
//! #[riverhook_function::record]
//! fn total(order: Order) -> Result<Option<Total>, Failure> {
//!     let total = order.price * f64::from(order.quantity);
//!     Ok((total > 0.0).then_some(Total { id: order.id, total }))
//! }
//! ```
//!
//! It returns one record, an `Option` of one or a `Vec` of many; an error fails that record alone. A function over Arrow
//! batches is faster, and gets whole columns:
//!
//! ```ignore
//! #[riverhook_function::function]
//! fn upper(batch: RecordBatch) -> Result<RecordBatch, Failure> { … }
//! ```
//!
//! It may return an [`Output`] instead, which says where rows came from and which failed. An error fails its batch.
//!
//! The crate is a `cdylib`; `rustup target add wasm32-unknown-unknown` and the linker `wasm-component-ld`, which comes
//! with Rust, make it a component in one step:
//!
//! ```text
//! CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-component-ld cargo build --release --target wasm32-unknown-unknown
//! ```
//!
//! Functions stay plain functions, so their unit tests need neither an engine nor WebAssembly. A panic ends up in the
//! function's log and fails its batch alone.

#[cfg(feature = "batch")]
mod batch;
mod failure;
mod host;
pub mod log;
#[cfg(feature = "record")]
mod record;

#[cfg(feature = "batch")]
pub use {arrow_array, arrow_buffer, arrow_schema};

#[cfg(feature = "batch")]
pub use batch::{BatchFunction, FailedRow, Origin, Output, take_rows};
pub use failure::Failure;
pub use host::{Context, config, context, counter, gauge};
#[cfg(feature = "record")]
pub use record::{RecordFunction, call};

/// Makes a function over batches a component: `fn(RecordBatch) -> Result<impl Into<Output>, impl Into<Failure>>`. Use it
/// once in a crate.
///
/// What the function makes of a batch without rows tells the engine its output's columns, when a pipeline is validated;
/// an error there refuses the pipeline. `#[function(schema = NAME)]` names a function `fn(&Schema) -> Result<Schema,
/// String>` to ask instead.
#[cfg(feature = "batch")]
pub use riverhook_function_macros::function;

/// Makes a function over one record a component: `fn(impl DeserializeOwned) -> Result<impl Serialize, impl
/// Into<Failure>>`. Use it once in a crate.
#[cfg(feature = "record")]
pub use riverhook_function_macros::record;

#[cfg(feature = "batch")]
#[doc(hidden)]
pub use batch::{
    export::{Adapter, bindings},
    schema_of,
};
#[cfg(feature = "record")]
#[doc(hidden)]
pub use record::{RecordAdapter, bindings as record_bindings};
