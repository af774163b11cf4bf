//! One task's way into one sink: the writer, and which barriers it has answered.

use std::{collections::VecDeque, sync::Arc};

use riverhook_connectors::{
    batch::{Batch, Epoch},
    clock::Clock,
    sink::{Rejected, Writer},
};

use super::meter::SinkMeter;
use crate::{config::OnError, error::Error};

/// A writer and its bookkeeping.
pub(super) struct Outlet {
    pub(super) name: Arc<str>,
    pub(super) on_error: OnError,
    pub(super) meter: SinkMeter,
    writer: Box<dyn Writer>,
    /// The newest barrier that was put behind the rows.
    barrier: Epoch,
    /// The newest barrier that was answered.
    durable: Epoch,
    /// Bytes written since the newest barrier.
    given: usize,
    /// Barriers that were not answered, each with the bytes before it. The task bounds their number.
    unanswered: VecDeque<(Epoch, usize)>,
    closed: bool,
}

impl Outlet {
    pub(super) fn new(name: Arc<str>, on_error: OnError, meter: SinkMeter, writer: Box<dyn Writer>) -> Self {
        let unanswered = VecDeque::new();
        Self { name, on_error, meter, writer, barrier: 0, durable: 0, given: 0, unanswered, closed: false }
    }

    pub(super) fn write(&mut self, batch: &Batch, clock: &dyn Clock) -> Result<(), Error> {
        let (rows, bytes) = (batch.records.num_rows(), batch.bytes());
        self.given += bytes;
        self.meter.pending(0, signed(bytes));
        self.writer.write(batch).map_err(|error| Error::of_node(&self.name, error))?;
        self.meter.written(rows, bytes, clock.now_micros() - batch.input.read_at);
        Ok(())
    }

    /// A barrier that reaches the sink over several edges counts once: a task's rows have all been written before.
    pub(super) fn barrier(&mut self, epoch: Epoch) -> Result<(), Error> {
        if epoch <= self.barrier {
            return Ok(());
        }
        self.barrier = epoch;
        self.unanswered.push_back((epoch, std::mem::take(&mut self.given)));
        self.meter.pending(1, 0);
        self.writer.barrier(epoch).map_err(|error| Error::of_node(&self.name, error))
    }

    /// The newest durable barrier, and rows handed back since the last answer.
    pub(super) fn poll(&mut self) -> Result<(Epoch, Vec<Rejected>), Error> {
        let progress = self.writer.poll().map_err(|error| Error::of_node(&self.name, error))?;
        self.answered(progress.durable);
        Ok((self.durable, progress.rejected))
    }

    fn answered(&mut self, durable: Epoch) {
        self.durable = self.durable.max(durable);
        while let Some((_, bytes)) = self.unanswered.pop_front_if(|(epoch, _)| *epoch <= self.durable) {
            self.meter.pending(-1, -signed(bytes));
        }
    }

    /// Makes everything durable; gives the rows handed back. Again, for a second edge, it does nothing.
    pub(super) fn close(&mut self) -> Result<Vec<Rejected>, Error> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(Vec::new());
        }
        let progress = self.writer.close().map_err(|error| Error::of_node(&self.name, error))?;
        self.answered(self.barrier);
        self.meter.pending(0, -signed(std::mem::take(&mut self.given)));
        Ok(progress.rejected)
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
