//! Reads files, one after the other, for one task.

use std::{collections::VecDeque, fs::File, io, sync::Arc, time::Duration};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};

use super::{
    FileSource, Replaced,
    follow::{Change, Watch},
    input::{Identity, Packing},
    marks::{MOST_BYTES, Mark, Marks},
    metadata::About,
    names::{Found, Queue},
    records::{Cutting, Next, Records},
    remembered::Remembered,
    rows::Rows,
    source::{cannot_open, cannot_read},
    whole,
};
use crate::{
    batch::{Batch, Input, Payloads, RowFailure, Rows as BatchRows},
    error::Error,
    format::Framing,
    position::{Partition, Position, Positions},
    source::{Polled, ReadContext, Reader, Refused},
};

/// Reads files that it takes from the queue.
pub(super) struct FileReader {
    source: Arc<FileSource>,
    queue: Arc<Queue>,
    context: ReadContext,
    current: Option<Current>,
    /// Records that wait for their header to be handed over.
    held: Option<(Polled, u64)>,
    /// The file whose header was handed over last.
    header_of: Option<Partition>,
    remembered: Remembered,
    watch: Watch,
    ready: VecDeque<Change>,
    /// The file's columns that are wanted, without those of its metadata: for Parquet.
    columns: SchemaRef,
}

/// The file that is being read.
struct Current {
    found: Found,
    about: About,
    identity: Identity,
    handle: File,
    open: Open,
    fate: Fate,
}

/// What has become of a file that is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is there.
    Stays,
    /// Another one has taken its name, to be read next.
    Replaced,
    /// It is gone, and no other has its name.
    Gone,
}

enum Open {
    Records(Box<Records>),
    /// `None` when it was read.
    Whole(Option<File>),
    Rows(Box<Rows>),
}

impl FileReader {
    pub(super) fn new(source: &Arc<FileSource>, queue: &Arc<Queue>, marks: &Arc<Marks>, context: &ReadContext) -> Self {
        let metadata = &source.settings.metadata;
        let own = |name: &str| metadata.iter().all(|metadata| metadata.as_str() != name);
        let columns = context.schema.fields().iter().filter(|field| own(field.name())).cloned();
        Self {
            columns: Arc::new(Schema::new(columns.collect::<Vec<_>>())),
            source: Arc::clone(source),
            queue: Arc::clone(queue),
            context: context.clone(),
            current: None,
            held: None,
            header_of: None,
            remembered: Remembered::new(Arc::clone(marks), context.positions.clone()),
            watch: Watch::default(),
            ready: VecDeque::new(),
        }
    }
}

impl Reader for FileReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        self.remembered.check()?;
        loop {
            if let Some((polled, position)) = self.held.take() {
                self.advance_to(position)?;
                return Ok(polled);
            }
            if self.current.is_some() {
                if let Some(polled) = self.step()? {
                    return Ok(polled);
                }
            } else if !self.take_next()? {
                if !self.source.settings.follow {
                    return Ok(Polled::End);
                }
                std::thread::sleep(wait.min(self.source.settings.poll));
                return Ok(Polled::Idle);
            }
        }
    }

    fn positions(&self) -> Positions {
        self.remembered.note()
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), Error> {
        for partition in self.remembered.commit(positions)? {
            tracing::info!(source = %self.context.source, file = %partition, "the file is gone and forgotten");
            self.queue.forget(&partition);
            // One that comes under its name has a header of its own.
            self.header_of.take_if(|header_of| *header_of == partition);
        }
        Ok(())
    }

    fn gone(&self, positions: &Positions) -> Vec<Partition> {
        self.remembered.gone(positions)
    }
}

impl FileReader {
    /// Waits for files that have a position and are not there.
    pub(super) fn miss(&mut self, found: impl Iterator<Item = Found>) {
        let now = self.context.clock.monotonic();
        found.for_each(|found| self.watch.miss(found, now));
    }

    fn advance_to(&mut self, position: u64) -> Result<(), Error> {
        let Some(current) = &self.current else { return Ok(()) };
        let partition = &current.found.partition;
        let mark = if position > 0 { self.better_mark(current, position) } else { Ok(None) };
        let mark = mark.map_err(|error| cannot_read(partition, position, error))?;
        self.remembered.advance(partition, position, mark)
    }

    /// A mark of the file that is read, if it says more than the one there is. Only bytes that were read are in it: those
    /// behind them may still change.
    fn better_mark(&self, current: &Current, position: u64) -> io::Result<Option<Mark>> {
        let had = self.remembered.mark(&current.found.partition);
        let bytes = match Packing::of(&current.found.path) {
            Packing::Plain => position.min(MOST_BYTES),
            Packing::Gzip | Packing::Zstd => current.identity.size.min(MOST_BYTES),
        };
        let is_lines = self.is_lines();
        match &had {
            Some(had) if !is_lines || !had.is_weaker_than(bytes) => return Ok(None),
            // Written anew this very moment, which will be noticed at its end.
            Some(had) if !had.fits(&current.handle)? => return Ok(None),
            _ => {}
        }
        let handle = &current.handle;
        let made = if is_lines { Mark::of_beginning(handle, bytes) } else { Mark::of_whole(handle) };
        match made {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            made => made.map(Some),
        }
    }

    /// Begins to read another file, if there is one.
    fn take_next(&mut self) -> Result<bool, Error> {
        if self.source.settings.follow && self.watch.is_due(self.context.clock.monotonic(), self.source.settings.poll) {
            self.queue.add(self.source.names.find()?);
            let changes = self.watch.look(self.context.clock.monotonic());
            self.ready.extend(changes.map_err(|error| Error::fatal("cannot look after the files").caused_by(error))?);
        }
        match self.ready.pop_front() {
            Some(Change::Ready(found, handle)) => self.begin(found, handle)?,
            Some(Change::Replaced(found, old)) => self.begin_replaced(found, old)?,
            Some(Change::Gone(found, old)) => self.begin_gone(found, old)?,
            None => match self.queue.take() {
                None => return Ok(false),
                // Of use only whole: somebody may still be writing it.
                Some(found) if self.source.settings.follow && !self.is_lines() => self.watch.settle(found),
                Some(found) => self.begin(found, None)?,
            },
        }
        Ok(true)
    }

    fn is_lines(&self) -> bool {
        matches!(self.source.framing(), Framing::Lines | Framing::Csv { .. })
    }

    /// Begins a file where reading is to go on.
    fn begin(&mut self, found: Found, handle: Option<File>) -> Result<(), Error> {
        let file = match handle.map_or_else(|| File::open(&found.path), Ok) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tracing::warn!(source = %self.context.source, file = %found.partition, "the file is gone, and was not read");
                self.remembered.leave(found.partition);
                return Ok(());
            }
            Err(error) => return Err(cannot_open(&found.partition, error)),
        };
        let from = self.remembered.position(&found.partition);
        if self.has_changed(&found, &file, from).map_err(|error| cannot_open(&found.partition, error))? {
            self.restart(&found.partition, from)?;
        }
        self.begin_with(found, file, Fate::Stays)
    }

    /// Whether what was read of a file cannot have been of the file that is there now.
    fn has_changed(&self, found: &Found, file: &File, from: u64) -> io::Result<bool> {
        if from == 0 {
            return Ok(false);
        }
        let size = file.metadata()?.len();
        let plain = Packing::of(&found.path) == Packing::Plain;
        let other_size = match self.source.framing() {
            Framing::Lines | Framing::Csv { .. } => plain && size < from,
            Framing::Whole => plain && self.source.settings.follow && size != from,
            Framing::Container => false,
        };
        let mark = self.remembered.mark(&found.partition);
        Ok(other_size
            || self.remembered.is_unsure(&found.partition)
            || !mark.map_or(Ok(true), |mark| mark.fits(file))?)
    }

    /// Reads what is left of a file that lost its name, then the one that has it now.
    fn begin_replaced(&mut self, found: Found, old: Option<File>) -> Result<(), Error> {
        match old {
            Some(old) if self.is_lines() => self.begin_with(found, old, Fate::Replaced),
            _ => {
                self.restart(&found.partition, self.remembered.position(&found.partition))?;
                self.begin(found, None)
            }
        }
    }

    /// Reads what is left of a file that lost its name.
    fn begin_gone(&mut self, found: Found, old: Option<File>) -> Result<(), Error> {
        match old {
            Some(old) if self.is_lines() => self.begin_with(found, old, Fate::Gone),
            _ => {
                self.remembered.leave(found.partition);
                Ok(())
            }
        }
    }

    fn restart(&mut self, partition: &Partition, from: u64) -> Result<(), Error> {
        let what = format!("{partition} is shorter than what was read of it (up to position {from}), or another file");
        if self.source.settings.replaced == Replaced::Fail {
            return Err(Error::fatal(format!(
                "{what}, and `replaced` is `fail`; to read it from its beginning, move it to position 0 with `riverhook positions`"
            )));
        }
        tracing::warn!(source = %self.context.source, "{what}: it is read from its beginning");
        self.remembered.restart(partition)?;
        // It has a header of its own.
        self.header_of = None;
        Ok(())
    }

    fn begin_with(&mut self, found: Found, file: File, fate: Fate) -> Result<(), Error> {
        let from = self.remembered.position(&found.partition);
        let opened =
            self.open(&found, &file, from, fate).map_err(|error| cannot_read(&found.partition, from, error))?;
        let metadata = file.metadata().map_err(|error| cannot_open(&found.partition, error))?;
        self.current = Some(Current {
            about: About::new(&found.partition, &metadata),
            identity: Identity::of(&metadata),
            handle: file,
            open: opened,
            found,
            fate,
        });
        self.advance_to(from)
    }

    fn open(&self, found: &Found, file: &File, from: u64, fate: Fate) -> io::Result<Open> {
        let own = file.try_clone()?;
        let follow = self.source.settings.follow;
        Ok(match self.source.framing() {
            Framing::Container => {
                let rows = Rows::new(own, &self.columns, self.context.limits.rows, from).map_err(io::Error::other)?;
                Open::Rows(Box::new(rows))
            }
            Framing::Whole => Open::Whole((from == 0).then_some(own)),
            Framing::Lines | Framing::Csv { .. } => {
                let packing = Packing::of(&found.path);
                // A line that is not ended may still be being written, but not in a packed file that can be unpacked.
                let last_counts = !follow || fate != Fate::Stays || packing != Packing::Plain;
                Open::Records(Box::new(Records::new(own, packing, &self.source.rules, from, last_counts)?))
            }
        })
    }

    /// Goes on in the file that is being read. Nothing is returned when it is at its end.
    fn step(&mut self) -> Result<Option<Polled>, Error> {
        let current = self.current.as_mut().expect("a step is made in an open file");
        let limits = self.context.limits;
        let (next, position) = match &mut current.open {
            Open::Rows(_) => return self.step_rows(),
            Open::Whole(file) => {
                let packing = Packing::of(&current.found.path);
                let read = file.take().map(|file| whole::read(file, packing, self.source.rules.max_record));
                let next = read.unwrap_or(Ok(Next::End));
                let length = match &next {
                    Ok(Next::Records(cutting)) => cutting.values.value_data().len() as u64,
                    Ok(Next::TooLarge(_, whole)) => whole.bytes,
                    _ => 0,
                };
                (next, length)
            }
            Open::Records(records) => (records.next(limits), records.position()),
        };
        match next {
            Ok(Next::Records(cutting)) => {
                let payloads = self.payloads(cutting);
                self.hand_over(Polled::Payloads(payloads), position).map(Some)
            }
            Ok(Next::TooLarge(cutting, whole)) => {
                let failure = self.too_large(whole.bytes);
                let payloads = self.payloads(cutting);
                self.hand_over(Polled::Refused(Refused { payloads, failure, whole }), position).map(Some)
            }
            Ok(Next::End) => self.finish(position).map(|()| None),
            Ok(Next::Short) => self.read_again(position).map(|()| None),
            Err(error) => self.damaged(error).map(|()| None),
        }
    }

    fn step_rows(&mut self) -> Result<Option<Polled>, Error> {
        let current = self.current.as_mut().expect("a step is made in an open file");
        let Open::Rows(rows) = &mut current.open else { unreachable!("rows are read of a container") };
        let next = rows.next().map_err(|error| cannot_read(&current.found.partition, rows.position(), error))?;
        let position = rows.position();
        let Some((first, batch)) = next else {
            let total = rows.total();
            return self.finish(total).map(|()| None);
        };
        let lines: Vec<u64> = (first + 1..=position).collect();
        let metadata = current.about.columns(&self.source.settings.metadata, &lines);
        let records = with_metadata(&self.context.schema, &self.source, &batch, &metadata);
        let input = self.input((first..position).map(Position::Offset).collect());
        self.hand_over(Polled::Batch(Batch { records, rows: BatchRows::Same, input }), position).map(Some)
    }

    /// Gives records to the task, behind the header of their file if it has one that was not given yet.
    fn hand_over(&mut self, polled: Polled, position: u64) -> Result<Polled, Error> {
        let current = self.current.as_ref().expect("records come from an open file");
        let header = match &current.open {
            Open::Records(records) => records.header(),
            _ => None,
        };
        if let Some(header) = header.filter(|_| self.header_of.as_ref() != Some(&current.found.partition)) {
            self.header_of = Some(current.found.partition.clone());
            let header = Arc::clone(header);
            self.held = Some((polled, position));
            return Ok(Polled::Header(header));
        }
        self.advance_to(position)?;
        Ok(polled)
    }

    fn payloads(&self, cutting: Cutting) -> Payloads {
        let current = self.current.as_ref().expect("records come from an open file");
        let metadata = current.about.columns(&self.source.settings.metadata, &cutting.lines);
        Payloads { values: cutting.values, metadata, input: self.input(cutting.positions) }
    }

    fn input(&self, positions: Vec<Position>) -> Arc<Input> {
        let current = self.current.as_ref().expect("records come from an open file");
        Arc::new(Input {
            source: Arc::clone(&self.context.source),
            partition: current.found.partition.clone(),
            positions,
            keys: None,
            headers: None,
            times: None,
            read_at: self.context.clock.now_micros(),
        })
    }

    fn too_large(&self, length: u64) -> RowFailure {
        let most = self.source.rules.max_record;
        let message = format!("the record has {length} bytes and `max_record` is {most}");
        RowFailure { row: 0, code: "source.file.too_large", message }
    }

    /// Leaves a file at its end.
    fn finish(&mut self, position: u64) -> Result<(), Error> {
        let is_whole = matches!(self.source.framing(), Framing::Whole);
        if !is_whole {
            self.advance_to(position)?;
        }
        let current = self.current.take().expect("an open file is left");
        match current.fate {
            Fate::Replaced => {
                self.restart(&current.found.partition, position)?;
                self.ready.push_front(Change::Ready(current.found, None));
            }
            Fate::Gone => self.remembered.leave(current.found.partition),
            Fate::Stays if self.source.settings.follow => {
                self.watch.add(current.found, current.identity, current.handle);
            }
            Fate::Stays => {}
        }
        Ok(())
    }

    /// Reads a packed file from its beginning that ended before the position where reading was to go on.
    fn read_again(&mut self, position: u64) -> Result<(), Error> {
        let current = self.current.take().expect("an open file is left");
        self.restart(&current.found.partition, position)?;
        self.begin(current.found, None)
    }

    /// A packed file that is still being written looks damaged; else it is.
    fn damaged(&mut self, error: io::Error) -> Result<(), Error> {
        let current = self.current.take().expect("an open file is read");
        let from = self.remembered.position(&current.found.partition);
        let unfinished =
            error.kind() == io::ErrorKind::UnexpectedEof && Packing::of(&current.found.path) != Packing::Plain;
        if unfinished && current.fate == Fate::Gone {
            let (source, file) = (&self.context.source, &current.found.partition);
            tracing::warn!(%source, %file, "the file is gone, and was never complete: it was read as far as it went");
            self.remembered.leave(current.found.partition);
            return Ok(());
        }
        if unfinished && self.source.settings.follow {
            self.watch.add(current.found, current.identity, current.handle);
            return Ok(());
        }
        Err(cannot_read(&current.found.partition, from, error))
    }
}

/// A container's rows with the columns about the file, in the order of `schema`.
fn with_metadata(schema: &SchemaRef, source: &FileSource, rows: &RecordBatch, metadata: &[ArrayRef]) -> RecordBatch {
    let column = |name: &str| {
        let place = source.settings.metadata.iter().position(|metadata| metadata.as_str() == name);
        let column = place.map(|place| &metadata[place]).or_else(|| rows.column_by_name(name));
        Arc::clone(column.expect("the plan reads columns that the source announced"))
    };
    let columns = schema.fields().iter().map(|field| column(field.name())).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).expect("columns were cast to this schema")
}
