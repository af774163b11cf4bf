//! One task's way into one sink: the writer, and which barriers it has answered.

use std::sync::Arc;

use riverhook_connectors::{
    batch::{Batch, Epoch},
    sink::{Rejected, Writer},
};

use super::meter::NodeMeter;
use crate::{config::OnError, error::Error};

/// A writer and its bookkeeping.
pub(super) struct Outlet {
    pub(super) name: Arc<str>,
    pub(super) on_error: OnError,
    pub(super) meter: NodeMeter,
    writer: Box<dyn Writer>,
    /// The newest barrier that was put behind the rows.
    barrier: Epoch,
    /// The newest barrier that was answered.
    durable: Epoch,
    closed: bool,
}

impl Outlet {
    pub(super) fn new(name: Arc<str>, on_error: OnError, meter: NodeMeter, writer: Box<dyn Writer>) -> Self {
        Self { name, on_error, meter, writer, barrier: 0, durable: 0, closed: false }
    }

    pub(super) fn write(&mut self, batch: &Batch, now: i64) -> Result<(), Error> {
        let rows = batch.records.num_rows();
        self.meter.rows_in(rows);
        self.writer.write(batch).map_err(|error| Error::of_node(&self.name, error))?;
        self.meter.written(rows, batch.bytes(), now - batch.input.read_at);
        Ok(())
    }

    /// A barrier that reaches the sink over several edges counts once: a task's rows have all been written before.
    pub(super) fn barrier(&mut self, epoch: Epoch) -> Result<(), Error> {
        if epoch <= self.barrier {
            return Ok(());
        }
        self.barrier = epoch;
        self.writer.barrier(epoch).map_err(|error| Error::of_node(&self.name, error))
    }

    /// The newest durable barrier, and rows handed back since the last answer.
    pub(super) fn poll(&mut self) -> Result<(Epoch, Vec<Rejected>), Error> {
        let progress = self.writer.poll().map_err(|error| Error::of_node(&self.name, error))?;
        self.durable = self.durable.max(progress.durable);
        self.meter.pending(self.barrier - self.durable);
        Ok((self.durable, progress.rejected))
    }

    /// Makes everything durable; gives the rows handed back. Again, for a second edge, it does nothing.
    pub(super) fn close(&mut self) -> Result<Vec<Rejected>, Error> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(Vec::new());
        }
        let progress = self.writer.close().map_err(|error| Error::of_node(&self.name, error))?;
        self.durable = self.barrier;
        Ok(progress.rejected)
    }
}
