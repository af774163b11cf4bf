//! A task: reads some partitions of one source and runs the chain on them, until told to stop.
//!
//! Positions move by barriers: the task notes where its reader is, sends a barrier behind what it read, and commits the
//! noted positions when every sink has answered. Several barriers may be under way; answers cover earlier ones too.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use riverhook_connectors::{
    batch::{Batch, Epoch, Payloads},
    position::{Partition, Position, Positions},
    source::{Keeper, Polled, Reader, Refused},
};

use super::{
    chain::Chain,
    control::{Control, Handling},
    source_stage::{Beside, SourceStage, Staged, payload_bytes},
};
use crate::{checkpoint::Store, error::Error};

/// The most barriers that may be unanswered; then no new one is sent until a sink answers.
const MAX_PENDING: usize = 1024;
/// How long a poll may wait while a sink owes an answer or has something due by time.
const BUSY_WAIT: Duration = Duration::from_millis(5);
/// How long a task whose calls are under way waits for one to end before it looks for records again.
const CALL_WAIT: Duration = Duration::from_micros(500);
/// How long a poll may wait at most, so that an order to stop is heard.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// One task.
pub(super) struct Task {
    pub(super) source: Arc<str>,
    /// Which of the source's tasks this is.
    pub(super) number: usize,
    pub(super) reader: Box<dyn Reader>,
    pub(super) stage: SourceStage,
    pub(super) chain: Chain,
    pub(super) control: Arc<Control>,
    pub(super) store: Arc<Store>,
    pub(super) keeper: Keeper,
    pub(super) every: Duration,
    /// How long to wait for a record.
    pub(super) wait: Duration,
    pub(super) barriers: Barriers,
    /// Held while calls of functions are under way.
    pub(super) calling: Option<Handling>,
}

/// The barriers of a task.
#[derive(Default)]
pub(super) struct Barriers {
    epoch: Epoch,
    pending: VecDeque<(Epoch, Positions)>,
    /// When the last one was sent: monotonic.
    sent: Duration,
    /// Whether anything was read since.
    dirty: bool,
    /// Where reading must go on, for partitions of which the reader gave more than `--limit` admits.
    held: Positions,
}

impl Barriers {
    /// Whether everything that was read is durable.
    fn is_settled(&self) -> bool {
        !self.dirty && self.pending.is_empty()
    }
}

impl Task {
    /// Runs until the input ends, the run is stopped, or something fails. Failing, it commits nothing more: what was not
    /// committed is read again by the next run.
    pub(super) fn run(&mut self) -> Result<(), Error> {
        while !self.control.stopping() {
            let under_way = self.chain.under_way();
            self.calling = under_way.then(|| self.calling.take().unwrap_or_else(|| self.control.handling()));
            // While nothing is due, nobody is served by looking often: records end the wait.
            let wait = if self.barriers.is_settled() { LONGEST_WAIT } else { self.wait.min(BUSY_WAIT) };
            let wait = if under_way { Duration::ZERO } else { wait };
            match self.reader.poll(wait).map_err(|error| Error::of_node(&self.source, error))? {
                Polled::Idle if under_way => self.chain.wait_for_call(CALL_WAIT),
                Polled::Idle => self.report_lag(),
                Polled::End => break,
                polled => self.polled(polled)?,
            }
            self.advance()?;
        }
        self.drain()
    }

    fn polled(&mut self, polled: Polled) -> Result<(), Error> {
        match polled {
            Polled::Payloads(payloads) => self.payloads(payloads),
            Polled::Batch(batch) => self.batch(batch),
            Polled::Header(header) => self.stage.header(&header).map_err(|error| Error::of_node(&self.source, error)),
            Polled::Refused(refused) => self.refused(refused),
            Polled::Idle | Polled::End => Ok(()),
        }
    }

    fn payloads(&mut self, payloads: Payloads) -> Result<(), Error> {
        let records = payloads.input.len();
        let admitted = self.admit(records);
        let payloads = if admitted < records { self.first(payloads, admitted) } else { payloads };
        self.control.totals.read.add(admitted, payload_bytes(&payloads.values));
        let staged = self.stage.decode(payloads);
        self.through(&staged)
    }

    /// A record that cannot be had whole goes the way of one that cannot be decoded.
    fn refused(&mut self, refused: Refused) -> Result<(), Error> {
        let payloads = &refused.payloads;
        if self.control.admit(1) == 0 {
            self.hold(&payloads.input.partition, payloads.input.positions.first().copied());
            return Ok(());
        }
        self.control.totals.read.add(1, payloads.values.value_data().len());
        let staged = self.stage.refused(refused);
        self.through(&staged)
    }

    fn batch(&mut self, batch: Batch) -> Result<(), Error> {
        let records = batch.records.num_rows();
        let admitted = self.admit(records);
        if admitted < records {
            self.hold(&batch.input.partition, batch.input.positions.get(admitted).copied());
        }
        let batch = if admitted < records { batch.slice(0, admitted) } else { batch };
        self.control.totals.read.add(admitted, batch.bytes());
        self.stage.meter.read(&batch.input.partition, admitted, batch.bytes());
        let values = arrow_array::BinaryArray::new_null(0);
        self.through(&Staged { batch, failed: Vec::new(), values, whole: None, beside: Beside::default() })
    }

    /// How many of these records `--limit` admits. Where nobody remembers positions, the rest could not be read again.
    fn admit(&self, records: usize) -> usize {
        let admitted = self.control.admit(records);
        if self.keeper == Keeper::Nobody { records } else { admitted }
    }

    fn through(&mut self, staged: &Staged) -> Result<(), Error> {
        self.barriers.dirty = true;
        let _handling = self.control.handling();
        let watermark = self.stage.watermark(&staged.batch, self.control.clock.now_micros());
        self.chain.run(staged, watermark)
    }

    /// The first `admitted` records; reading will go on at the next.
    fn first(&mut self, mut payloads: Payloads, admitted: usize) -> Payloads {
        self.hold(&payloads.input.partition, payloads.input.positions.get(admitted).copied());
        payloads.values = payloads.values.slice(0, admitted);
        payloads.metadata = payloads.metadata.iter().map(|column| column.slice(0, admitted)).collect();
        payloads
    }

    fn hold(&mut self, partition: &Partition, next: Option<Position>) {
        if let Some(next) = next {
            self.barriers.held.entry(partition.clone()).or_insert(next);
        }
    }

    /// Sends a barrier if one is due, and commits what has become durable.
    fn advance(&mut self) -> Result<(), Error> {
        let now = self.control.clock.monotonic();
        let due = self.reader.wants_barrier() || now.saturating_sub(self.barriers.sent) >= self.every;
        if due && self.barriers.dirty && self.barriers.pending.len() < MAX_PENDING {
            self.send_barrier()?;
            self.barriers.sent = now;
            self.report_lag();
        }
        let durable = self.chain.poll()?;
        self.commit(durable)
    }

    fn send_barrier(&mut self) -> Result<(), Error> {
        let barriers = &mut self.barriers;
        barriers.epoch += 1;
        let mut positions = self.reader.positions();
        positions.extend(barriers.held.clone());
        barriers.pending.push_back((barriers.epoch, positions));
        barriers.dirty = false;
        self.chain.barrier(barriers.epoch)
    }

    fn commit(&mut self, durable: Epoch) -> Result<(), Error> {
        let mut newest = None;
        while self.barriers.pending.front().is_some_and(|(epoch, _)| *epoch <= durable) {
            newest = self.barriers.pending.pop_front();
        }
        let Some((_, positions)) = newest else { return Ok(()) };
        if self.keeper == Keeper::Manifest {
            self.store.commit_and_forget(&self.source, &positions, &self.reader.gone(&positions))?;
        }
        self.reader.commit(&positions).map_err(|error| Error::of_node(&self.source, error))
    }

    /// The end: a last barrier, everything made durable, the last commit.
    fn drain(&mut self) -> Result<(), Error> {
        if self.control.failed() {
            self.reader.close();
            return Ok(());
        }
        while self.reader.promised() {
            let polled = self.reader.poll(Duration::ZERO).map_err(|error| Error::of_node(&self.source, error))?;
            self.polled(polled)?;
        }
        self.send_barrier()?;
        self.chain.close()?;
        self.commit(Epoch::MAX)?;
        self.reader.close();
        Ok(())
    }

    fn report_lag(&mut self) {
        let lags = self.reader.lag();
        self.stage.meter.lags(&lags, &self.reader.queued());
        self.control.set_lag((Arc::clone(&self.source), self.number), lags.iter().map(|(_, records)| records).sum());
    }
}
