//! Connectors: sources that bring records in, sinks that take results, and the formats between bytes and Arrow.
//!
//! The contracts come first: [`source`], [`sink`] and what flows between them, [`batch`]. `memory` is the connector to
//! copy for a new one; [`conformance`] is the suite that every connector passes; [`registry`] is the one list.

pub mod batch;
pub mod clock;
pub mod conformance;
pub mod error;
pub mod file;
pub mod format;
pub mod generate;
pub mod http;
pub mod kafka;
pub mod memory;
pub mod position;
pub mod registry;
pub mod reply;
pub mod schedule;
pub mod sink;
pub mod source;
pub mod status;
pub mod stdout;
pub mod template;
