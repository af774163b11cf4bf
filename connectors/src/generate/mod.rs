//! The `generate` connector: rows made up from a seed, or the events of the NEXMark benchmark.
//!
//! A row is a function of the seed and of its number alone, so that it is the same whatever the batches, and again after
//! a restart. Positions are numbers of rows; the pipeline's manifest keeps them.

mod column;
mod nexmark;
mod random;
mod settings;
mod source;

#[cfg(test)]
mod tests;

pub use self::settings::{
    FieldSettings, GenerateSettings, NexmarkEvents, NexmarkSettings, NormalSettings, SequenceSettings,
    TimestampSettings, UniformSettings, ZipfSettings,
};

use riverhook_config::Setting;

use crate::registry::{Connector, SourceEntry};

/// The connector, for the registry.
pub const CONNECTOR: Connector = Connector {
    name: "generate",
    source: Some(SourceEntry { shape: GenerateSettings::shape, read: source::read }),
    sink: None,
};
