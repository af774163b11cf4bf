//! Waits for ticks, and catches up on those that were missed.
//!
//! The wall clock decides: a tick is due when it shows the tick's time. What was due already when the source was opened
//! again, or is found to be due more than [`LATE`] ago (the pipeline was busy, the machine slept, the clock was set
//! forward), counts as missed, and `missed` says what comes of it. A clock that is set back changes nothing: reading is
//! behind the last tick, and waits until that time comes again.

use std::{collections::VecDeque, sync::Arc, thread, time::Duration};

use arrow_schema::SchemaRef;
use riverhook_config::{MapReader, Reading};

use super::{
    FirstTick, Missed, ScheduleSettings,
    event::{self, Identity},
    ticks::Ticks,
};
use crate::{
    batch::{Batch, Input, Rows},
    clock::SystemClock,
    error::Error,
    format::refuse_format,
    position::{Partition, Position, Positions},
    registry::Setup,
    source::{Keeper, Polled, ReadContext, Reader, Source},
};

/// A tick that comes later than this was missed, in microseconds.
const LATE: i64 = 60_000_000;

/// Missed ticks that come with `missed: all`.
const MOST_MISSED: usize = 10_000;

/// Ticks that are left out are counted up to here.
const MOST_COUNTED: usize = 100_000;

/// The clock as a source.
#[derive(Clone, Debug)]
pub(super) struct ScheduleSource {
    ticks: Ticks,
    missed: Missed,
    start: FirstTick,
}

/// From the node's settings.
pub(super) fn read(map: &mut MapReader<'_>, cx: &mut Reading<'_>, _setup: &Setup) -> Option<Box<dyn Source>> {
    let node = map.node();
    let refused = refuse_format(map, cx, "ticks have columns, and are not read from bytes", "leave it out");
    let settings = ScheduleSettings::read_fields(map, cx)?;
    let ticks = settings.ticks(node).map_err(|problems| problems.into_iter().for_each(|problem| cx.push(problem)));
    let ticks = ticks.ok().filter(|_| !refused)?;
    Some(Box::new(ScheduleSource { ticks, missed: settings.missed, start: settings.start }))
}

impl ScheduleSource {
    /// The next three ticks, for people.
    pub(super) fn outlook(&self, now: i64) -> String {
        let next: Vec<String> = self.ticks.between(now, i64::MAX).take(3).map(|tick| self.ticks.show(tick)).collect();
        format!("the next ticks are at {}", next.join(", "))
    }
}

impl Source for ScheduleSource {
    fn keeper(&self) -> Keeper {
        Keeper::Manifest
    }

    fn schema(&self) -> Result<Option<SchemaRef>, Error> {
        Ok(Some(event::schema()))
    }

    fn probe(&self, _timeout: Duration) -> Result<String, Error> {
        Ok(self.outlook(SystemClock::shared().now_micros()))
    }

    fn open(&self, context: ReadContext) -> Result<Vec<Box<dyn Reader>>, Error> {
        let now = context.clock.now_micros();
        let partition = Partition::new(&*context.source);
        let resumed = context.positions.get(&partition).map(|Position::Offset(next)| i64::try_from(*next));
        let next = resumed.map_or(now, |next| next.unwrap_or(i64::MAX));
        let first = resumed.is_none() && self.start == FirstTick::Now;
        if next - 1 > now.saturating_add(LATE) {
            let (last, source) = (self.ticks.show(next - 1), &*context.source);
            tracing::warn!(source, "the clock is behind the last tick, at {last}: the next one comes after that time");
        }
        context.status.up();
        let identity = Identity { pipeline: Arc::clone(&context.pipeline), source: Arc::clone(&context.source) };
        Ok(vec![Box::new(ScheduleReader {
            schedule: self.clone(),
            context,
            identity,
            partition,
            next,
            opened: now,
            pending: first.then_some(now).into_iter().collect(),
        })])
    }
}

struct ScheduleReader {
    schedule: ScheduleSource,
    context: ReadContext,
    identity: Identity,
    partition: Partition,
    /// From when on the next tick is looked for.
    next: i64,
    /// When the source was opened: what was due before was missed.
    opened: i64,
    /// Ticks to be handed on, in order.
    pending: VecDeque<i64>,
}

impl Reader for ScheduleReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        if let Some(batch) = self.due() {
            return Ok(Polled::Batch(batch));
        }
        thread::sleep(self.until_next().min(wait));
        Ok(self.due().map_or(Polled::Idle, Polled::Batch))
    }

    fn positions(&self) -> Positions {
        Positions::from([(self.partition.clone(), Position::Offset(self.next.max(0).unsigned_abs()))])
    }

    fn commit(&mut self, _positions: &Positions) -> Result<(), Error> {
        Ok(())
    }

    fn lag(&self) -> Vec<(Partition, u64)> {
        vec![(self.partition.clone(), self.pending.len() as u64)]
    }
}

impl ScheduleReader {
    fn until_next(&self) -> Duration {
        let Some(next) = self.schedule.ticks.next(self.next) else { return Duration::MAX };
        let left = next.saturating_sub(self.context.clock.now_micros());
        Duration::from_micros(left.max(0).unsigned_abs())
    }

    /// The ticks that are due, as many as may come at once.
    fn due(&mut self) -> Option<Batch> {
        if self.pending.is_empty() {
            self.look(self.context.clock.now_micros());
        }
        let count = self.pending.len().min(self.context.limits.rows.max(1));
        let ticks: Vec<i64> = self.pending.drain(..count).collect();
        let last = ticks.last()?;
        self.next = last + 1;
        Some(self.batch(&ticks))
    }

    /// Finds the ticks that are due now.
    fn look(&mut self, now: i64) {
        let Some(first) = self.schedule.ticks.next(self.next).filter(|first| *first <= now) else { return };
        if now - first > LATE {
            self.catch_up(now);
        } else if first < self.opened {
            self.catch_up(self.opened - 1);
        } else {
            let ticks = self.schedule.ticks.between(first, now);
            self.pending.extend(ticks.take(self.context.limits.rows.max(1)));
        }
    }

    /// Takes of the ticks until `until`, which were missed, those that are to come, and goes on behind the others.
    fn catch_up(&mut self, until: i64) {
        let ticks = &self.schedule.ticks;
        let most = match self.schedule.missed {
            Missed::None => 0,
            Missed::Once => 1,
            Missed::All => MOST_MISSED,
        };
        let kept = ticks.newest(self.next, until, most);
        let before = kept.first().map_or(until, |first| first - 1);
        let left_out = ticks.between(self.next, before).take(MOST_COUNTED).count();
        if left_out > 0 || !kept.is_empty() {
            let (source, since) = (&*self.context.source, ticks.show(self.next));
            let more = if left_out == MOST_COUNTED { "at least " } else { "" };
            let kept = kept.len();
            tracing::warn!(source, "ticks were missed since {since}: {kept} come now, {more}{left_out} are left out");
        }
        self.next = before + 1;
        self.pending.extend(kept);
    }

    fn batch(&self, ticks: &[i64]) -> Batch {
        let input = Input {
            source: Arc::clone(&self.context.source),
            partition: self.partition.clone(),
            positions: ticks.iter().map(|tick| Position::Offset(tick.max(&0).unsigned_abs())).collect(),
            keys: None,
            headers: None,
            times: None,
            read_at: self.context.clock.now_micros(),
        };
        let records = event::rows(&self.context.schema, &self.identity, ticks);
        Batch { records, rows: Rows::Same, input: Arc::new(input) }
    }
}
