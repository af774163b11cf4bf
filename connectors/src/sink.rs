//! The contract of a sink.
//!
//! A [`Sink`] is settings that were checked; nothing is connected. Each task has a [`Writer`] of its own for each sink
//! it reaches. *Accepted* is not *durable*: positions move only behind [`Progress::durable`].

use std::{path::PathBuf, sync::Arc, time::Duration};

use arrow_schema::{Schema, SchemaRef};

use crate::{
    batch::{Batch, Epoch, RowFailure},
    clock::Clock,
    error::Error,
    format::Format,
    source::Source,
    status::Status,
};

/// What kind of stream a sink takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Rows that are only ever added.
    Append,
    /// The newest row of each key, and deletions.
    Upsert,
    /// Rows with `_weight` −1 or +1.
    Changelog,
}

/// What a sink promises for each row behind a durable barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Written once or, after a crash, more often.
    AtLeastOnce,
    /// Shown to a person or a test, not stored.
    Display,
}

/// What a writer is opened with.
#[derive(Clone)]
pub struct WriteContext {
    /// The sink's name in the pipeline file.
    pub sink: Arc<str>,
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// The schema of every batch that will be written.
    pub schema: SchemaRef,
    /// Which of the sink's writers this is, from 0: for names of files and the like.
    pub task: usize,
    /// Bytes that the writer may hold that are not yet durable.
    pub inflight_bytes: usize,
    /// A folder for small files of the sink's own; beside the checkpoint store.
    pub state_dir: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where the sink says whether its server answers.
    pub status: Status,
    /// The runtime for I/O that must not block the task.
    pub io: tokio::runtime::Handle,
}

/// Rows that a sink cannot take, ever (too large, refused by the server for what they are).
#[derive(Clone, Debug)]
pub struct Rejected {
    /// A batch that holds the rows: only they, or the one they were written with.
    pub batch: Batch,
    /// Which rows of it, and why. Rows not named are fine.
    pub failures: Vec<RowFailure>,
    /// How often delivery was tried.
    pub attempts: u32,
}

/// How far a writer is.
#[derive(Debug, Default)]
pub struct Progress {
    /// All rows before this barrier are durable or were handed back as rejected, at the latest with this very answer.
    /// 0 before the first.
    pub durable: Epoch,
    /// Rows handed back since the last answer. They count as handled: the engine sends them where `on_error` says.
    pub rejected: Vec<Rejected>,
}

/// A configured sink: checked settings, not connected.
pub trait Sink: Send + Sync {
    /// What kind of stream it takes.
    fn takes(&self) -> Takes {
        Takes::Append
    }

    /// What it promises.
    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    /// Whether it can take rows of this schema (all the columns its key, templates and format need). Problems are
    /// sentences that name the column.
    fn check(&self, schema: &Schema) -> Result<(), Vec<String>>;

    /// Reaches the server, for `validate --connect`: one line about what was found.
    fn probe(&self, timeout: Duration) -> Result<String, Error>;

    /// Opens a writer. Several may be open at once, one a task.
    fn open(&self, context: WriteContext) -> Result<Box<dyn Writer>, Error>;

    /// What was written, to be read again from its beginning to its present end, also while somebody writes: by dead
    /// letters' replay. Nothing where what was written cannot be read.
    fn read_back(&self) -> Option<ReadBack> {
        None
    }
}

/// A sink's rows as a source. It ends by itself, keeps no positions, and is no member of a group.
pub struct ReadBack {
    /// The source.
    pub source: Box<dyn Source>,
    /// How its payloads are decoded.
    pub format: Format,
}

/// Writes the batches of one task. Keeps the order of what it is given, within a partition of its own.
pub trait Writer: Send {
    /// Accepts the rows. Blocks while [`WriteContext::inflight_bytes`] are not durable: that is backpressure. Passing
    /// trouble (a server that is down) is retried inside for as long as it takes, and told through the status; an
    /// error ends the pipeline.
    fn write(&mut self, batch: &Batch) -> Result<(), Error>;

    /// Puts a barrier behind all that was written. Does not wait; barriers come in ascending order. A sink that
    /// gathers (a file until it rolls) may answer for it late, but must answer in time of its own accord.
    fn barrier(&mut self, epoch: Epoch) -> Result<(), Error>;

    /// How far it is, and does what is due by time. Called often (every few milliseconds); does not block.
    fn poll(&mut self) -> Result<Progress, Error>;

    /// Makes everything durable, waiting for it, and closes. The answer's `durable` is the last barrier. Called once.
    fn close(&mut self) -> Result<Progress, Error>;
}
