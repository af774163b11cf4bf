//! Reads files, one after the other, for one task.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    fs::File,
    io,
    sync::Arc,
    time::Duration,
};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};

use super::{
    FileSource, Replaced,
    follow::{Change, Watch},
    input::{Identity, Packing},
    marks::{Known, MOST_BYTES, Mark, Marks},
    metadata::About,
    names::{Found, Queue},
    noted::Noted,
    records::{Cutting, Next, Records},
    rows::Rows,
    source::{cannot_keep, cannot_open, cannot_read},
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
    /// Where reading goes on in every file this reader has had.
    positions: Positions,
    marks: Arc<Marks>,
    /// How often what the positions stand for has changed other than by reading on.
    changes: u64,
    /// Files that took another one's name, and at which change. Until a commit of a later state the manifest has the
    /// other one's position.
    replaced: BTreeMap<Partition, u64>,
    noted: Noted,
    /// What kept marks from being written.
    unwritten: RefCell<Option<io::Error>>,
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
    /// Whether another file has taken its name, to be read next.
    replaced: bool,
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
            positions: Positions::new(),
            marks: Arc::clone(marks),
            changes: 0,
            replaced: BTreeMap::new(),
            noted: Noted::default(),
            unwritten: RefCell::default(),
            watch: Watch::default(),
            ready: VecDeque::new(),
        }
    }
}

impl Reader for FileReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        if let Some(error) = self.unwritten.take() {
            return Err(cannot_keep(&self.marks, error));
        }
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
        // What these positions depend on must be durable before them; if it cannot be, none is committed.
        if let Err(error) = self.marks.sync() {
            self.unwritten.replace(Some(error));
            return Positions::new();
        }
        self.noted.add(&self.positions, self.changes);
        self.positions.clone()
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), Error> {
        let state = self.noted.take(positions);
        let sure = self.replaced.extract_if(.., |_, change| *change <= state);
        for (partition, _) in sure.collect::<Vec<_>>() {
            self.keep(&partition, Known { unsure: false, ..self.marks.get(&partition) })?;
        }
        Ok(())
    }
}

impl FileReader {
    fn advance_to(&mut self, position: u64) -> Result<(), Error> {
        let Some(current) = &self.current else { return Ok(()) };
        let partition = current.found.partition.clone();
        if position > 0
            && let Some(mark) = self.better_mark(current, position)?
        {
            let unsure = self.replaced.contains_key(&partition);
            self.keep(&partition, Known { mark: Some(mark), unsure })?;
        }
        self.positions.insert(partition, Position::Offset(position));
        Ok(())
    }

    /// A mark of the file that is read, if it says more than the one there is. Only bytes that were read are in it: those
    /// behind them may still change.
    fn better_mark(&self, current: &Current, position: u64) -> Result<Option<Mark>, Error> {
        let had = self.marks.get(&current.found.partition).mark;
        let bytes = match Packing::of(&current.found.path) {
            Packing::Plain => position.min(MOST_BYTES),
            Packing::Gzip | Packing::Zstd => current.identity.size.min(MOST_BYTES),
        };
        let made = if self.is_lines() {
            let wanted = had.is_none_or(|mark| mark.is_weaker_than(bytes));
            wanted.then(|| Mark::of_beginning(&current.handle, bytes))
        } else {
            had.is_none().then(|| Mark::of_whole(&current.handle))
        };
        match made.transpose() {
            // Cut off this very moment, which will be noticed at its end.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            made => made.map_err(|error| cannot_read(&current.found.partition, position, error)),
        }
    }

    fn keep(&self, partition: &Partition, known: Known) -> Result<(), Error> {
        self.marks.set(partition, known).map_err(|error| cannot_keep(&self.marks, error))
    }

    fn position_in(&self, partition: &Partition) -> u64 {
        let known = self.positions.get(partition).or_else(|| self.context.positions.get(partition));
        known.map_or(0, |Position::Offset(position)| *position)
    }

    /// Begins to read another file, if there is one.
    fn take_next(&mut self) -> Result<bool, Error> {
        if self.source.settings.follow && self.watch.is_due(self.context.clock.monotonic(), self.source.settings.poll) {
            self.queue.add(self.source.names.find()?);
            let changes = self.watch.look();
            self.ready.extend(changes.map_err(|error| Error::fatal("cannot look after the files").caused_by(error))?);
        }
        match self.ready.pop_front() {
            Some(Change::Ready(found, handle)) => self.begin(found, handle)?,
            Some(Change::Replaced(found, old)) => self.begin_replaced(found, old)?,
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
                return Ok(());
            }
            Err(error) => return Err(cannot_open(&found.partition, error)),
        };
        let from = self.position_in(&found.partition);
        if self.has_changed(&found, &file, from).map_err(|error| cannot_open(&found.partition, error))? {
            self.restart(&found.partition, from)?;
        }
        self.begin_with(found, file, false)
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
        let known = self.marks.get(&found.partition);
        // Left by a run that ended before the position in the file that had come anew was in the manifest.
        let unsure = known.unsure && !self.replaced.contains_key(&found.partition);
        Ok(other_size || unsure || !known.mark.map_or(Ok(true), |mark| mark.fits(file))?)
    }

    /// Reads what is left of a file that lost its name, then the one that has it now.
    fn begin_replaced(&mut self, found: Found, old: Option<File>) -> Result<(), Error> {
        match old {
            Some(old) if self.is_lines() => self.begin_with(found, old, true),
            _ => {
                self.restart(&found.partition, self.position_in(&found.partition))?;
                self.begin(found, None)
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
        self.changes += 1;
        self.replaced.insert(partition.clone(), self.changes);
        self.keep(partition, Known { mark: None, unsure: true })?;
        self.positions.insert(partition.clone(), Position::Offset(0));
        // It has a header of its own.
        self.header_of = None;
        Ok(())
    }

    fn begin_with(&mut self, found: Found, file: File, replaced: bool) -> Result<(), Error> {
        let from = self.position_in(&found.partition);
        let opened =
            self.open(&found, &file, from, replaced).map_err(|error| cannot_read(&found.partition, from, error))?;
        let metadata = file.metadata().map_err(|error| cannot_open(&found.partition, error))?;
        self.current = Some(Current {
            about: About::new(&found.partition, &metadata),
            identity: Identity::of(&metadata),
            handle: file,
            open: opened,
            found,
            replaced,
        });
        self.advance_to(from)
    }

    fn open(&self, found: &Found, file: &File, from: u64, replaced: bool) -> io::Result<Open> {
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
                let last_counts = !follow || replaced || packing != Packing::Plain;
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
        if current.replaced {
            self.restart(&current.found.partition, position)?;
            self.ready.push_front(Change::Ready(current.found, None));
        } else if self.source.settings.follow {
            self.watch.add(current.found, current.identity, current.handle);
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
        let from = self.position_in(&current.found.partition);
        let unfinished =
            error.kind() == io::ErrorKind::UnexpectedEof && Packing::of(&current.found.path) != Packing::Plain;
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
