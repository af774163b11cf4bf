//! Writes to a store.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use arrow_array::UInt32Array;
use arrow_schema::Schema;
use riverhook_config::{MapReader, Reading};

use super::{
    MemorySinkSettings,
    store::{Delivered, MOST_BYTES, Memory, State},
};
use crate::{
    batch::{Batch, Epoch, RowFailure},
    error::Error,
    registry::Setup,
    sink::{Progress, Rejected, Sink, WriteContext, Writer},
};

/// How long closing waits for a store that hangs.
const CLOSE_WAIT: Duration = Duration::from_secs(10);
/// How long writing waits before it looks again whether the store goes on.
const FOREVER: Duration = Duration::from_secs(3600);

/// A store as a sink.
pub struct MemorySink {
    name: Arc<str>,
    store: Memory,
}

impl MemorySink {
    /// A sink to the store of this name.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), store: Memory::named(name) }
    }

    /// From the node's settings.
    pub(super) fn read(map: &mut MapReader<'_>, cx: &mut Reading<'_>, setup: &Setup) -> Option<Box<dyn Sink>> {
        let settings = MemorySinkSettings::read_fields(map, cx)?;
        Some(Box::new(Self::new(&settings.name.unwrap_or_else(|| setup.node.to_string()))))
    }
}

impl Sink for MemorySink {
    fn check(&self, _schema: &Schema) -> Result<(), Vec<String>> {
        Ok(())
    }

    fn probe(&self, _timeout: Duration) -> Result<String, Error> {
        Ok(format!("store `{}` in this process", self.name))
    }

    fn open(&self, context: WriteContext) -> Result<Box<dyn Writer>, Error> {
        context.status.up();
        Ok(Box::new(MemoryWriter {
            store: self.store.clone(),
            context,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            rejected: Vec::new(),
            barrier: 0,
        }))
    }
}

struct MemoryWriter {
    store: Memory,
    context: WriteContext,
    /// Accepted, and not yet in the store.
    waiting: VecDeque<Delivered>,
    waiting_bytes: usize,
    rejected: Vec<Rejected>,
    barrier: Epoch,
}

impl Writer for MemoryWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let Some(batch) = self.without_refused(batch) else { return Ok(()) };
        self.waiting_bytes += batch.bytes();
        self.waiting.push_back(Delivered { task: self.context.task, epoch: self.barrier + 1, batch });
        self.deliver(Duration::ZERO)?;
        while self.waiting_bytes > self.context.inflight_bytes {
            self.deliver(FOREVER)?;
        }
        Ok(())
    }

    fn barrier(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.barrier = epoch;
        Ok(())
    }

    fn poll(&mut self) -> Result<Progress, Error> {
        self.deliver(Duration::ZERO)?;
        // A batch's epoch ends with the barrier of its number: the one before is the newest that has all its rows.
        let durable = self.waiting.front().map_or(self.barrier, |batch| batch.epoch - 1);
        Ok(Progress { durable, rejected: std::mem::take(&mut self.rejected) })
    }

    fn close(&mut self) -> Result<Progress, Error> {
        self.deliver(CLOSE_WAIT)?;
        if !self.waiting.is_empty() {
            return Err(Error::unavailable(format!("sink `{}`: the store still hangs", self.context.sink)));
        }
        self.poll()
    }
}

impl MemoryWriter {
    /// Moves what waits into the store, waiting at most this long while it hangs.
    fn deliver(&mut self, wait: Duration) -> Result<(), Error> {
        let (waiting, waiting_bytes) = (&mut self.waiting, &mut self.waiting_bytes);
        let answer = self.store.watch(wait, |state: &mut State| {
            if let Some(why) = &state.failure {
                return Some(Err(Error::fatal(format!("sink `{}`: {why}", self.context.sink))));
            }
            if state.stalled && !waiting.is_empty() {
                return None;
            }
            state.bytes += std::mem::take(waiting_bytes);
            state.delivered.extend(waiting.drain(..));
            Some(Ok(state.bytes))
        });
        match answer {
            Some(Ok(bytes)) if bytes > MOST_BYTES => {
                Err(Error::fatal(format!("sink `{}`: the store holds more than {MOST_BYTES} bytes", self.context.sink)))
            }
            Some(answer) => answer.map(drop),
            None => Ok(()),
        }
    }

    /// The rows that the store takes; those it does not are noted as rejected.
    fn without_refused(&mut self, batch: &Batch) -> Option<Batch> {
        let Some(refuses) = self.store.update(|state| state.refuses.clone()) else { return Some(batch.clone()) };
        let rows = u32::try_from(batch.records.num_rows()).expect("a batch has fewer than 2^32 rows");
        let (refused, taken): (Vec<u32>, Vec<u32>) = (0..rows).partition(|row| refuses(&batch.records, *row as usize));
        if !refused.is_empty() {
            let failure = |row| RowFailure { row, code: "sink.memory.refused", message: "the test refuses it".into() };
            let failures = refused.into_iter().map(failure).collect();
            self.rejected.push(Rejected { batch: batch.clone(), failures, attempts: 1 });
        }
        (!taken.is_empty()).then(|| batch.take(&UInt32Array::from(taken)))
    }
}
