//! User code in a pipeline: the contract of a function, the limits that hold it, and the kinds that run it.
//!
//! A [`Function`] is code with a name and limits; its [`Instance`]s are stateless copies that turn an Arrow batch
//! into another, with the rows that failed. The one kind so far is a WebAssembly component ([`Runtime::load`]);
//! others stand beside it behind the same two traits.
//!
//! The crate is the only one that knows wasmtime, and knows nothing of connectors, SQL or the pipeline file: what to
//! do with a failed row, when to try again and how many copies to run is the engine's to say.

mod columns;
mod contract;
mod limits;
mod logs;
mod wasm;

pub use contract::{
    CallError, CallErrorKind, FailedRow, Function, Instance, Invocation, LogLevel, LogLine, LogSink, OpenError, Origin,
    Outcome, Reply, Usage,
};
pub use limits::{Grants, Limits};
pub use wasm::{LoadError, Runtime, RuntimeError, Settings, WasmFunction};
