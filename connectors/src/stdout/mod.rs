//! The `stdout` connector: rows for a person to look at, as tables, or for another program, as lines of JSON.
//!
//! What several tasks write at once goes through one screen, so that whole tables come out and not
//! pieces of them. It shows and does not store: its guarantee is [`Display`](crate::sink::Guarantee::Display).

mod screen;
mod settings;
mod sink;
mod table;
#[cfg(test)]
mod tests;

use riverhook_config::Setting;

pub use self::{
    settings::{StdoutSettings, Style},
    sink::StdoutSink,
};
use crate::registry::{Connector, SinkEntry};

/// The connector, for the registry.
pub const CONNECTOR: Connector = Connector {
    name: "stdout",
    source: None,
    sink: Some(SinkEntry { shape: StdoutSettings::shape, read: StdoutSink::read }),
};
