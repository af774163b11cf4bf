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
    /// What was written since the newest barrier.
    waiting: Waiting,
    /// Barriers that were not answered, each with the bytes and rows before it. The task bounds their number.
    unanswered: VecDeque<(Epoch, usize, Waiting)>,
    closed: bool,
}

impl Outlet {
    pub(super) fn new(name: Arc<str>, on_error: OnError, meter: SinkMeter, writer: Box<dyn Writer>) -> Self {
        let (waiting, unanswered) = (Waiting::default(), VecDeque::new());
        Self { name, on_error, meter, writer, barrier: 0, durable: 0, given: 0, waiting, unanswered, closed: false }
    }

    pub(super) fn write(&mut self, batch: &Batch, clock: &dyn Clock) -> Result<(), Error> {
        let (rows, bytes) = (batch.records.num_rows(), batch.bytes());
        self.given += bytes;
        self.meter.pending(0, signed(bytes));
        self.writer.write(batch).map_err(|error| Error::of_node(&self.name, error))?;
        self.meter.written(rows, bytes, clock.now_micros() - batch.input.read_at);
        self.waiting.add(rows, batch.input.read_at);
        Ok(())
    }

    /// A barrier that reaches the sink over several edges counts once: a task's rows have all been written before.
    pub(super) fn barrier(&mut self, epoch: Epoch) -> Result<(), Error> {
        if epoch <= self.barrier {
            return Ok(());
        }
        self.barrier = epoch;
        self.unanswered.push_back((epoch, std::mem::take(&mut self.given), std::mem::take(&mut self.waiting)));
        self.meter.pending(1, 0);
        self.writer.barrier(epoch).map_err(|error| Error::of_node(&self.name, error))
    }

    /// The newest durable barrier, and rows handed back since the last answer.
    pub(super) fn poll(&mut self, clock: &dyn Clock) -> Result<(Epoch, Vec<Rejected>), Error> {
        let progress = self.writer.poll().map_err(|error| Error::of_node(&self.name, error))?;
        self.answered(progress.durable, clock);
        Ok((self.durable, progress.rejected))
    }

    fn answered(&mut self, durable: Epoch, clock: &dyn Clock) {
        self.durable = self.durable.max(durable);
        while let Some((_, bytes, waited)) = self.unanswered.pop_front_if(|(epoch, ..)| *epoch <= self.durable) {
            self.meter.pending(-1, -signed(bytes));
            let now = clock.now_micros();
            waited.0.into_iter().for_each(|(rows, read_at)| self.meter.durable(rows, now - read_at));
        }
    }

    /// Makes everything durable; gives the rows handed back. Again, for a second edge, it does nothing.
    pub(super) fn close(&mut self, clock: &dyn Clock) -> Result<Vec<Rejected>, Error> {
        if std::mem::replace(&mut self.closed, true) {
            return Ok(Vec::new());
        }
        let progress = self.writer.close().map_err(|error| Error::of_node(&self.name, error))?;
        self.answered(self.barrier, clock);
        self.meter.pending(0, -signed(std::mem::take(&mut self.given)));
        Ok(progress.rejected)
    }
}

/// Rows that are not known to be durable: how many, and when they were read, batch by batch.
#[derive(Default)]
struct Waiting(Vec<(usize, i64)>);

impl Waiting {
    /// The most batches that are told apart; the rows of later ones count as read with the last.
    const MOST: usize = 1024;

    fn add(&mut self, rows: usize, read_at: i64) {
        let full = self.0.len() >= Self::MOST;
        match self.0.last_mut() {
            Some((some, at)) if full || *at == read_at => *some += rows,
            _ => self.0.push((rows, read_at)),
        }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
