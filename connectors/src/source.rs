//! The contract of a source.
//!
//! A [`Source`] is settings that were checked; nothing is connected. Opening it gives [`Reader`]s, each owned by one
//! task, which polls it, runs the whole chain of nodes on what it got, and polls again.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arrow_schema::{FieldRef, SchemaRef};

use crate::{
    batch::{Batch, Payloads, RowFailure},
    clock::Clock,
    error::Error,
    position::{Partition, Position, Positions},
    reply::Replies,
    status::Status,
};

/// Who remembers how far a source was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The server read from (a Kafka consumer group): [`Reader::commit`] stores the positions.
    Server,
    /// The pipeline's manifest: positions come back in [`ReadContext::positions`].
    Manifest,
    /// Nobody: a restart begins anew, and whoever sends must send again what was not acknowledged (HTTP).
    Nobody,
}

/// How much one poll gathers: it ends by rows, bytes or time, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Rows at most.
    pub rows: usize,
    /// Payload bytes at most; a single larger record is a batch of its own.
    pub bytes: usize,
    /// How long to wait for the first record. What is queued goes at once: nobody waits to fill a batch.
    pub wait: Duration,
}

/// What a source is opened with.
#[derive(Clone)]
pub struct ReadContext {
    /// The source's name in the pipeline file.
    pub source: Arc<str>,
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// Readers at most. A source gives fewer where it has fewer partitions; at least one.
    pub parallelism: usize,
    /// Where to go on, by partition. Empty on a first start, and for [`Keeper::Server`].
    pub positions: Positions,
    /// The columns the plan reads, of those that the source decodes itself (see [`Source::schema`]).
    pub schema: SchemaRef,
    /// Limits of a batch.
    pub limits: BatchLimits,
    /// Bytes the source may hold ahead of the tasks, all readers together.
    pub prefetch_bytes: usize,
    /// A folder for locks and the like; beside the checkpoint store.
    pub state_dir: PathBuf,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where the source says whether its server answers.
    pub status: Status,
    /// The runtime for I/O that must go on while the task is busy.
    pub io: tokio::runtime::Handle,
}

/// What a poll gave.
#[derive(Debug)]
pub enum Polled {
    /// Records to be decoded by the source's format.
    Payloads(Payloads),
    /// The header of the file or body that the payloads from here to the next header are of: it is for
    /// [`Decoder::header`](crate::format::Decoder::header). Comes again whenever reading changes between files.
    Header(Arc<[u8]>),
    /// One record that cannot be had whole (larger than the source's limit): a failure like one of decoding. Reading goes
    /// on behind it.
    Refused(Refused),
    /// Rows that need no decoding.
    Batch(Batch),
    /// Nothing came in time.
    Idle,
    /// There will never be more.
    End,
}

/// A record that cannot be had whole.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The record alone, with the beginning of its value.
    pub payloads: Payloads,
    /// Why.
    pub failure: RowFailure,
    /// What is known of all of its value.
    pub whole: Whole,
}

/// What is known of a value of which only the beginning was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// How long it is.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// A configured source: checked settings, not connected.
pub trait Source: Send + Sync {
    /// Who remembers the positions.
    fn keeper(&self) -> Keeper;

    /// The schema of the rows if the source makes Arrow batches itself, or knows the payloads' schema from the data
    /// (Parquet); `None` when rows are decoded by the node's `format` and `schema`.
    fn schema(&self) -> Result<Option<SchemaRef>, Error> {
        Ok(None)
    }

    /// Columns beside the payload's that the user asked for, in the order in which [`Payloads::metadata`] holds them.
    fn metadata(&self) -> Vec<FieldRef> {
        Vec::new()
    }

    /// Whether the source ends by itself.
    fn is_finite(&self) -> bool {
        false
    }

    /// Where the rows of a node go to be the answers to whoever sent the records, if the pipeline file names a node for
    /// that. Positions in answers are those of the records' [`Input`](crate::batch::Input).
    fn replies(&self) -> Option<Replies> {
        None
    }

    /// Reaches the server, for `validate --connect`: one line about what was found.
    fn probe(&self, timeout: Duration) -> Result<String, Error>;

    /// Opens the source. Waits for a server that is down, saying so through [`ReadContext::status`], until the
    /// connector's `connect_timeout` ends it with [`Error::unavailable`]; waiting may also happen in the first polls.
    fn open(&self, context: ReadContext) -> Result<Vec<Box<dyn Reader>>, Error>;

    /// The positions that the server holds, for [`Keeper::Server`] (the `positions` command).
    fn committed(&self, _timeout: Duration) -> Result<Positions, Error> {
        Ok(Positions::new())
    }

    /// Moves positions that the server holds, for [`Keeper::Server`]. Refused while the pipeline runs.
    fn move_committed(&self, _positions: &Positions, _timeout: Duration) -> Result<(), Error> {
        Err(Error::config("this source keeps no positions"))
    }

    /// The position of the record after the one at `position`, to skip one that cannot be handled.
    fn after(&self, _partition: &Partition, position: Position) -> Result<Position, Error> {
        let Position::Offset(offset) = position;
        Ok(Position::Offset(offset + 1))
    }

    /// The value of one record once more, whole, moving nothing; none where it is not there any more, or cannot be had
    /// (by a source that cannot look back).
    fn again(
        &self,
        _partition: &Partition,
        _position: Position,
        _patience: Duration,
    ) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }
}

/// Reads some partitions of a source, for one task. Order within a partition is the partition's.
pub trait Reader: Send {
    /// The next records, of one partition. Returns within `wait` when there are none. An error ends the reader:
    /// passing trouble is retried inside (and told through the status), not returned.
    fn poll(&mut self, wait: Duration) -> Result<Polled, Error>;

    /// Where reading goes on after all that was polled so far: what a barrier put here stands for. Partitions that
    /// have not moved since they were opened may be left out.
    fn positions(&self) -> Positions;

    /// All records before these positions are durable at every sink. Called in order, not for every barrier.
    fn commit(&mut self, positions: &Positions) -> Result<(), Error>;

    /// Partitions that no longer exist, all of which is before these positions: when they are committed, the manifest
    /// forgets them. For [`Keeper::Manifest`].
    fn gone(&self, _positions: &Positions) -> Vec<Partition> {
        Vec::new()
    }

    /// Whether somebody waits for what was polled to be durable: the task then sends a barrier at once.
    fn wants_barrier(&self) -> bool {
        false
    }

    /// Records between what was polled and the partition's end, where that is known.
    fn lag(&self) -> Vec<(Partition, u64)> {
        Vec::new()
    }

    /// Records that were fetched and wait for the next polls, for sources that fetch ahead.
    fn queued(&self) -> Vec<(Partition, u64)> {
        Vec::new()
    }

    /// Before reading ends: takes nothing more in, and says whether records are left whose senders were already told that
    /// they are taken. The next polls give those.
    fn promised(&mut self) -> bool {
        false
    }

    /// Ends reading. After the last commit; must not block for long.
    fn close(&mut self) {}
}
