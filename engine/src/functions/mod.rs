//! Functions as nodes call them: how many copies run, how rows are grouped, what is done when a call fails, and what it
//! cost. What a function is made of is the crate `riverhook-udf`'s.

mod codec;
mod copies;
mod dispatch;
mod meter;
mod origins;
mod policy;
#[cfg(test)]
mod tests;
mod usage;

pub use codec::PipelineJson;
pub use copies::{Copies, Slots};
pub use dispatch::{Dispatch, Grouping};
pub use meter::{Billed, FunctionMeter, report};
pub use policy::{Delivered, GivenUp, Policy};
pub(crate) use usage::day;
pub use usage::{Accounts, FLUSH, Ledger, Summary, Used};

/// The column in which the records of functions without `output` are passed on.
pub const PASSTHROUGH: &str = "value";
