//! User code in a pipeline: the contract of a function, the limits that hold it, and the kinds that run it.
//!
//! A [`Function`] is code with a name and limits; its [`Instance`]s are stateless copies that turn an Arrow batch
//! into another, with the rows that failed. A WebAssembly component ([`Runtime::load`]) sees the batch itself; other
//! kinds see JSON events ([`JsonFunction`]).
//!
//! The crate is the only one that knows wasmtime, and knows nothing of connectors, SQL or the pipeline file: what to
//! do with a failed row, when to try again and how many copies to run is the engine's to say.

// The tests' codec is shared with the tests beside the crate, which know it by its name.
#[cfg(test)]
extern crate self as riverhook_udf;

mod codec;
mod columns;
pub mod conformance;
mod contract;
mod http;
mod json;
mod limits;
mod logs;
mod metrics;
#[cfg(target_os = "linux")]
mod process;
mod wasm;

pub use codec::{Codec, Codecs, JsonRows};
pub use contract::{
    CallError, CallErrorKind, Caller, FailedRow, Function, Instance, Invocation, LogLevel, LogLine, LogSink, OpenError,
    Origin, Origins, Outcome, RecordOrigin, Reply, Usage,
};
pub use http::{HttpError, HttpSettings, HttpVersion, Secret};
pub use json::{EventSource, JsonFunction, JsonSettings, Shape};
pub use limits::{Grants, Limits};
pub use metrics::{Metric, MetricSink, MetricValue};
#[cfg(target_os = "linux")]
pub use process::{ProcessCopy, ProcessFunction, ProcessSettings, SettingsError};
pub use wasm::{LoadError, Records, Recycle, Runtime, RuntimeError, Settings, WasmFunction};
