//! The `memory` connector: records that a test pushes in, rows that it reads back. **The one to copy for a new
//! connector**: it does everything a connector must do, and nothing else.
//!
//! # The parts
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | what the connector is, and [`CONNECTOR`], its line in the [registry](crate::registry) |
//! | `settings.rs` | the keys a user writes, with their documentation: the reference page is made of it |
//! | `source.rs` | [`Source`](crate::source::Source): checked settings; and [`Reader`](crate::source::Reader): what one task polls |
//! | `sink.rs` | [`Sink`](crate::sink::Sink): checked settings; and [`Writer`](crate::sink::Writer): what one task writes to |
//! | `tests.rs` | the [conformance suite](crate::conformance), and what only this connector does |
//! | `store.rs` | the other side: what for a real connector is a server |
//!
//! # What a source owes
//!
//! A source is cut into *partitions*, ordered lists of records, and a *position* says where to go on in one. Here a
//! partition is a list of records and a position an index. Three promises carry everything the engine builds on them:
//!
//! 1. [`poll`](crate::source::Reader::poll) gives the records of a partition in order, some at a time, and comes back
//!    within `wait` when there are none. It takes what is there; it never waits to fill a batch.
//! 2. [`positions`](crate::source::Reader::positions) is always where the *next* poll goes on. The engine notes it when
//!    it sends a barrier, so it must never run ahead of what was handed out.
//! 3. A source that is opened with those positions gives exactly the rest: nothing lost, nothing twice.
//!
//! Whoever remembers the positions is the [`Keeper`](crate::source::Keeper). Here it is the pipeline's manifest;
//! [`commit`](crate::source::Reader::commit) then has nothing to do but to let go of what only a replay would need.
//! (This connector keeps all and notes the commit, so that tests can look at it.)
//!
//! A source never decodes. It hands over payloads as bytes and the engine's decoder makes columns of them, unless the
//! source knows columns of its own, as a database does: then it gives batches and says so in
//! [`schema`](crate::source::Source::schema). This one does either; see [`Memory::set_schema`].
//!
//! # What a sink owes
//!
//! *Accepted* is not *durable*. [`write`](crate::sink::Writer::write) only takes the rows. A barrier put behind them is
//! answered by [`poll`](crate::sink::Writer::poll) when everything before it is safe, and not a moment earlier: the
//! answer lets the source forget the records. Rows that can never be written come back as
//! [`Rejected`](crate::sink::Rejected), each once. When the other side is slow, `write` blocks once
//! [`inflight_bytes`](crate::sink::WriteContext::inflight_bytes) are waiting: that is the whole of backpressure.
//!
//! # Making a new one
//!
//! Copy this folder. Replace `store.rs` by the client of the real thing, write the settings, pass the suite in
//! `tests.rs`, and add the connector to the list in [`registry`](crate::registry). What waits for a server says so
//! through [`Status`](crate::status::Status); what can be retried is retried inside; an [`Error`](crate::error::Error)
//! that comes out ends the pipeline.

mod settings;
mod sink;
mod source;
mod store;
#[cfg(test)]
mod tests;

use riverhook_config::Setting;

pub use self::{
    settings::{MemorySinkSettings, MemorySourceSettings},
    sink::MemorySink,
    source::MemorySource,
    store::{Delivered, MOST_BYTES, Memory},
};
use crate::registry::{Connector, SinkEntry, SourceEntry};

/// The connector, for the registry.
pub const CONNECTOR: Connector = Connector {
    name: "memory",
    source: Some(SourceEntry { shape: MemorySourceSettings::shape, read: MemorySource::read }),
    sink: Some(SinkEntry { shape: MemorySinkSettings::shape, read: MemorySink::read }),
};
