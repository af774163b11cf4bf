//! The source: which rows are due when, partition by partition.

use std::{sync::Arc, thread, time::Duration};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use riverhook_config::{Diagnostic, MapReader, Reading, Spanned};

use super::{
    GenerateSettings,
    column::{Column, Range},
    nexmark::Nexmark,
};
use crate::{
    batch::{Batch, Input, Rows},
    error::Error,
    format::refuse_format,
    position::{Partition, Position, Positions},
    registry::Setup,
    source::{Keeper, Polled, ReadContext, Reader, Source},
};

/// Partitions at most.
const MAX_PARTITIONS: u32 = 1024;

/// A source of made-up rows.
#[derive(Clone, Debug)]
pub(super) struct GenerateSource {
    rows: MadeUp,
    schema: SchemaRef,
    rate: Option<f64>,
    count: Option<u64>,
    partitions: u64,
}

#[derive(Clone, Debug)]
enum MadeUp {
    Fields(Vec<Column>),
    Nexmark(Box<Nexmark>),
}

/// From the node's settings.
pub(super) fn read(map: &mut MapReader<'_>, cx: &mut Reading<'_>, _setup: &Setup) -> Option<Box<dyn Source>> {
    let node = map.node();
    let refused = refuse_format(map, cx, "rows are made up as columns, not read from bytes", "leave it out");
    let settings = GenerateSettings::read_fields(map, cx)?;
    let mut problems = Vec::new();
    let made = MadeUp::new(&settings, &mut problems);
    if let Some(rate) = settings.rate.as_ref().filter(|rate| rate.value <= 0.0) {
        problems.push(rate.error("`rate` is rows a second: above 0, and left out for as many as can be"));
    }
    let partitions = settings.partitions.as_ref().map_or(1, |partitions| partitions.value);
    if let Some(wrong) = settings.partitions.filter(|_| !(1..=MAX_PARTITIONS).contains(&partitions)) {
        problems.push(wrong.error(format!("`partitions` is from 1 to {MAX_PARTITIONS}")));
    }
    if settings.fields.is_some() == settings.nexmark.is_some() {
        let wrong =
            node.error("this source does not say which rows, or says it twice").expected("`fields` or `nexmark`");
        problems.push(wrong.help("write for example  fields: { id: { sequence: {} }, user: { choice: [ann, bob] } }"));
    }
    let failed = refused || !problems.is_empty();
    problems.into_iter().for_each(|problem| cx.push(problem));
    let rows = made.filter(|_| !failed)?;
    let schema = rows.schema();
    let rate = settings.rate.map(|rate| rate.value);
    Some(Box::new(GenerateSource { rows, schema, rate, count: settings.count, partitions: partitions.into() }))
}

impl MadeUp {
    fn new(settings: &GenerateSettings, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        fn said<T, S>(place: &Spanned<S>, made: Result<T, String>, problems: &mut Vec<Diagnostic>) -> Option<T> {
            made.map_err(|message| problems.push(place.error(message))).ok()
        }
        if let Some(nexmark) = &settings.nexmark {
            return said(nexmark, Nexmark::new(nexmark), problems).map(Box::new).map(Self::Nexmark);
        }
        let step = match &settings.rate {
            Some(rate) if rate.value > 0.0 => Duration::try_from_secs_f64(1.0 / rate.value).unwrap_or(Duration::MAX),
            _ => Duration::from_millis(1),
        };
        let fields = settings.fields.as_ref()?.iter();
        let columns: Vec<_> =
            fields.map(|(name, field)| said(field, Column::new(name, field, settings.seed, step), problems)).collect();
        columns.into_iter().collect::<Option<_>>().map(Self::Fields)
    }

    fn schema(&self) -> SchemaRef {
        match self {
            Self::Fields(columns) => {
                Arc::new(Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>()))
            }
            Self::Nexmark(nexmark) => nexmark.schema(),
        }
    }

    /// The columns of `schema`, in its order, of these rows.
    fn make(&self, schema: &SchemaRef, range: Range) -> RecordBatch {
        let options = RecordBatchOptions::new().with_row_count(Some(range.count));
        let names = schema.fields().iter().map(|field| field.name());
        let columns = match self {
            Self::Fields(all) => {
                let named = |name| all.iter().find(|column| column.field.name() == name);
                names.map(|name| named(name).expect("the plan knows the schema").make(range)).collect()
            }
            Self::Nexmark(nexmark) => {
                let all = nexmark.make(range);
                names.map(|name| Arc::clone(all.column_by_name(name).expect("the plan knows the schema"))).collect()
            }
        };
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).expect("the columns are the schema's")
    }
}

impl Source for GenerateSource {
    fn keeper(&self) -> Keeper {
        Keeper::Manifest
    }

    fn schema(&self) -> Result<Option<SchemaRef>, Error> {
        Ok(Some(Arc::clone(&self.schema)))
    }

    fn is_finite(&self) -> bool {
        self.count.is_some()
    }

    fn probe(&self, _timeout: Duration) -> Result<String, Error> {
        Ok("rows are made up here".into())
    }

    fn open(&self, context: ReadContext) -> Result<Vec<Box<dyn Reader>>, Error> {
        let readers = (context.parallelism.max(1) as u64).min(self.partitions);
        let places: Vec<Place> = (0..self.partitions).map(|number| self.place(number, &context)).collect();
        // Rows whose time begins `now` go on now, also after a restart.
        let first = places.iter().map(|place| place.next * self.partitions + place.number).min().unwrap_or(0);
        let now = context.clock.now_micros();
        let begun = context.clock.monotonic();
        context.status.up();
        let reader = |number: u64| {
            let own = places.iter().filter(|place| place.number % readers == number).cloned().collect();
            let row_bytes = 64;
            GenerateReader {
                source: self.clone(),
                places: own,
                turn: 0,
                context: context.clone(),
                now,
                first,
                begun,
                row_bytes,
            }
        };
        Ok((0..readers).map(|number| Box::new(reader(number)) as Box<dyn Reader>).collect())
    }
}

impl GenerateSource {
    fn place(&self, number: u64, context: &ReadContext) -> Place {
        let partition = Partition::new(format!("{}-{number}", context.source));
        let Position::Offset(next) = context.positions.get(&partition).copied().unwrap_or(Position::Offset(0));
        let end = self.count.map(|count| count.saturating_sub(number).div_ceil(self.partitions));
        Place { partition, number, next, begin: next, end }
    }
}

/// Where one partition is. Its row `i` is row `i * partitions + number` of all.
#[derive(Clone, Debug)]
struct Place {
    partition: Partition,
    number: u64,
    next: u64,
    /// The first one since the source was opened.
    begin: u64,
    end: Option<u64>,
}

impl Place {
    fn left(&self) -> u64 {
        self.end.map_or(u64::MAX, |end| end.saturating_sub(self.next))
    }
}

struct GenerateReader {
    source: GenerateSource,
    places: Vec<Place>,
    /// Which partition is looked at first: they take turns.
    turn: usize,
    context: ReadContext,
    /// The time when the source was opened, in microseconds, and the first row then.
    now: i64,
    first: u64,
    /// The same moment by the clock that never jumps: what is due is counted from here, so that pauses do not add up.
    begun: Duration,
    /// How large rows are, from the last batch.
    row_bytes: usize,
}

impl Reader for GenerateReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        if self.places.iter().all(|place| place.left() == 0) {
            return Ok(Polled::End);
        }
        if let Some(polled) = self.due_now() {
            return Ok(polled);
        }
        thread::sleep(self.until_due().min(wait));
        Ok(self.due_now().unwrap_or(Polled::Idle))
    }

    fn positions(&self) -> Positions {
        self.places.iter().map(|place| (place.partition.clone(), Position::Offset(place.next))).collect()
    }

    fn commit(&mut self, _positions: &Positions) -> Result<(), Error> {
        Ok(())
    }

    fn lag(&self) -> Vec<(Partition, u64)> {
        let ending = self.places.iter().filter(|place| place.end.is_some());
        ending.map(|place| (place.partition.clone(), place.left())).collect()
    }
}

impl GenerateReader {
    fn due_now(&mut self) -> Option<Polled> {
        let elapsed = self.context.clock.monotonic().saturating_sub(self.begun);
        let count = self.places.len();
        for which in (0..count).map(|step| (self.turn + step) % count) {
            let due = self.due(&self.places[which], elapsed).min(self.places[which].left());
            if due > 0 {
                self.turn = which + 1;
                return Some(Polled::Batch(self.make(which, due)));
            }
        }
        None
    }

    /// How many rows of the partition are due and not yet made.
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "53 bits of rows are enough"
    )]
    fn due(&self, place: &Place, elapsed: Duration) -> u64 {
        let Some(rate) = self.source.rate else { return u64::MAX };
        // Row 0 of all is due at once, and each partition's turn comes one row of all later.
        let of_all = (elapsed.as_secs_f64() * rate) as u64 + 1;
        let due = of_all.saturating_sub(place.number).div_ceil(self.source.partitions);
        due.saturating_sub(place.next - place.begin)
    }

    /// How long until the next row is due, by the rate alone.
    #[allow(clippy::cast_precision_loss, reason = "53 bits of rows are enough")]
    fn until_due(&self) -> Duration {
        let Some(rate) = self.source.rate else { return Duration::ZERO };
        let elapsed = self.context.clock.monotonic().saturating_sub(self.begun).as_secs_f64();
        let waiting = self.places.iter().filter(|place| place.left() > 0);
        let at = |place: &Place| ((place.next - place.begin) * self.source.partitions + place.number) as f64 / rate;
        let soonest = waiting.map(at).fold(f64::INFINITY, f64::min);
        Duration::try_from_secs_f64(soonest - elapsed).unwrap_or(Duration::ZERO)
    }

    fn make(&mut self, which: usize, due: u64) -> Batch {
        let limits = self.context.limits;
        let most = (limits.bytes / self.row_bytes.max(1)).clamp(1, limits.rows.max(1));
        let count = usize::try_from(due).unwrap_or(usize::MAX).min(most);
        let (partitions, schema) = (self.source.partitions, &self.context.schema);
        let place = &mut self.places[which];
        let begin = place.next;
        place.next += count as u64;
        let range = Range {
            first: begin * partitions + place.number,
            step: partitions,
            count,
            now: self.now,
            since: self.first,
        };
        let records = self.source.rows.make(schema, range);
        let batch = Batch {
            records,
            rows: Rows::Same,
            input: Arc::new(Input {
                source: Arc::clone(&self.context.source),
                partition: place.partition.clone(),
                positions: (begin..place.next).map(Position::Offset).collect(),
                keys: None,
                headers: None,
                times: None,
                read_at: self.context.clock.now_micros(),
            }),
        };
        self.row_bytes = batch.bytes() / count;
        batch
    }
}
