//! The `schedule` connector: the clock as a source, one record a tick, in the shape of a scheduled event.
//!
//! | file | what |
//! |---|---|
//! | `settings.rs` | the keys a user writes |
//! | `ticks.rs` | when the ticks are: arithmetic on times, zones included, that knows nothing of sources |
//! | `event.rs` | a tick as a row |
//! | `source.rs` | checked settings; and the reader, which waits for ticks and catches up on those that were missed |
//!
//! There is one partition, and a position is the time from which on the next tick is looked for, in microseconds since
//! 1970. The pipeline's manifest keeps it, so that a pipeline that was down knows which ticks it missed, and a clock
//! that is set back does not make a tick come twice.

mod event;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod ticks;

use riverhook_config::Setting;

pub use self::settings::{FirstTick, Missed, ScheduleSettings};
use crate::registry::{Connector, SourceEntry};

/// The connector, for the registry.
pub const CONNECTOR: Connector = Connector {
    name: "schedule",
    source: Some(SourceEntry { shape: ScheduleSettings::shape, read: source::read }),
    sink: None,
};
