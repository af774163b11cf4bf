//! Running a plan: tasks on threads of their own, each reading some partitions and running the whole chain on them.

mod chain;
mod chain_calls;
mod control;
mod latency;
mod letters;
mod machine;
mod meter;
mod outlet;
mod pipeline;
mod rehearsal;
mod replies;
mod source_stage;
mod sql_calls;
mod task;

pub(crate) use chain::rows_to_json;
pub use control::{Control, NodeCounts, Totals};
pub(crate) use latency::render_latencies;
pub use letters::{Stage, letter_schema};
pub use pipeline::{Options, Running, start};
pub(crate) use rehearsal::rows_from_json;
pub use rehearsal::{Answer, Given, Rehearsal, Seen, rehearse};
