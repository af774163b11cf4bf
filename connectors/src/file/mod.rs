//! The `file` connector: reads files by name patterns, once or as they grow and arrive, and writes files that appear
//! whole under their names.
//!
//! The source's way: `names` finds files, a reader (`source`) takes one after the other, `input` gives a file's
//! bytes unpacked, `records` cuts them by `cut`, `whole` and `rows` do it for formats that are not lines;
//! `follow` watches what was read to its end. Where reading goes on is `remembered`, with `marks` of what tells a file
//! from another one under its name, and what was `noted` of it and is durable. A partition is a file by its name as
//! found, a position the next byte of the unpacked file (for Parquet the next row).
//!
//! The sink's way: `template` says which file a row goes to, a writer (`sink`) keeps the open files, and an
//! `output` is one of them: hidden while it is written, then synced and renamed. `patient` waits out a full disk.
//! `leftovers` removes what a crashed run left behind.

mod cut;
mod follow;
mod input;
mod large;
mod leftovers;
mod marks;
mod metadata;
mod names;
mod noted;
mod output;
mod patient;
mod reader;
mod records;
mod remembered;
mod rows;
mod settings;
mod sink;
mod source;
mod template;
#[cfg(test)]
mod tests;
mod whole;
mod writer;

use riverhook_config::Setting;

pub(crate) use self::cut::Cut;
pub use self::{
    settings::{Compression, FileMetadata, FileSinkSettings, FileSourceSettings, Replaced, Roll},
    sink::FileSink,
    source::FileSource,
};
use crate::registry::{Connector, SinkEntry, SourceEntry};

/// The connector, for the registry.
pub const CONNECTOR: Connector = Connector {
    name: "file",
    source: Some(SourceEntry { shape: FileSourceSettings::shape, read: FileSource::read }),
    sink: Some(SinkEntry { shape: FileSinkSettings::shape, read: FileSink::read }),
};
