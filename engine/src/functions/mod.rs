//! Functions as nodes call them: how many copies run, how rows are grouped, what is done when a call fails, and what it
//! cost. What a function is made of is the crate `riverhook-udf`'s.

mod calls;
#[cfg(test)]
mod calls_tests;
mod codec;
mod copies;
mod dispatch;
mod gather;
pub(crate) mod log;
mod log_queue;
mod log_source;
mod meter;
mod origins;
mod policy;
mod scalar;
#[cfg(test)]
mod tests;
mod usage;
mod workers;

pub use calls::{Bell, Calls, Part, Released};
pub use codec::{PipelineJson, ValueJson};
pub use copies::{Copies, Slots};
pub use dispatch::{Dispatch, Grouping};
pub use log::FunctionLog;
pub use log_queue::{LogQueue, log_schema};
pub use log_source::LogSource;
pub use meter::{Billed, FunctionMeter};
pub(crate) use origins::BatchOrigins;
pub use policy::{Delivered, GivenUp, Policy};
pub use scalar::Scalar;
pub use usage::{Accounts, FLUSH, FLUSH_EVERY, Ledger, Summary, Used};

/// The column in which the records of functions without `output` are passed on.
pub const PASSTHROUGH: &str = "value";
