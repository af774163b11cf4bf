//! Writes the rows of one task to its files, and knows which epochs are in files that have their names.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    time::Duration,
};

use arrow_array::{RecordBatch, UInt32Array, cast::AsArray};
use chrono::DateTime;

use super::{
    Compression, FileSink,
    output::{Kind, Output},
    patient::Patience,
    template::Place,
};
use crate::{
    batch::{Batch, Epoch, RowFailure},
    error::Error,
    format::{Encoded, Encoder, Format, FormatName},
    sink::{Progress, Rejected, WriteContext, Writer},
};

/// Files that may be on their way to the disk at once.
const MOST_FINISHING: usize = 4;
/// What all open Parquet files together hold in memory.
const MEMORY: usize = 64 << 20;
/// How long closing waits for space on a full disk.
const CLOSE_WAIT: Duration = Duration::from_secs(20);

/// Writes to files.
pub(super) struct FileWriter {
    sink: FileSink,
    context: WriteContext,
    mark: String,
    /// What the names of this writer's files have in common, and those of no other.
    run: String,
    encoder: Option<Box<dyn Encoder>>,
    encoded: Encoded,
    patience: Patience,
    open: BTreeMap<Place, Output>,
    finishing: Finishing,
    rejected: Vec<Rejected>,
    barrier: Epoch,
    /// Files begun, and writes made.
    files: u64,
    writes: u64,
}

/// Files that are being made durable, each with the epoch of its first row.
struct Finishing {
    files: BTreeMap<u64, Epoch>,
    next: u64,
    done: Receiver<(u64, io::Result<()>)>,
    tell: SyncSender<(u64, io::Result<()>)>,
}

impl FileWriter {
    pub(super) fn new(sink: FileSink, context: WriteContext) -> Result<Self, Error> {
        let encoder = match sink.format {
            Format::Parquet => None,
            _ => Some(sink.format.encoder(context.schema.clone())?),
        };
        let now = DateTime::from_timestamp_micros(context.clock.now_micros()).unwrap_or_default();
        let random = uuid::Uuid::new_v4().simple().to_string();
        let (tell, done) = sync_channel(MOST_FINISHING);
        Ok(Self {
            mark: sink.mark(&context),
            run: format!("{}-{}-{}", context.task, now.format("%Y%m%dT%H%M%S"), &random[..8]),
            encoder,
            encoded: Encoded::default(),
            patience: Patience::new(context.status.clone()),
            open: BTreeMap::new(),
            finishing: Finishing { files: BTreeMap::new(), next: 0, done, tell },
            rejected: Vec::new(),
            barrier: 0,
            files: 0,
            writes: 0,
            sink,
            context,
        })
    }

    /// What fits on the disk, for tests.
    #[cfg(test)]
    pub(super) fn room(&self) -> super::patient::Room {
        self.patience.room()
    }
}

impl Writer for FileWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        for (place, rows) in self.places(batch) {
            match rows {
                None => self.write_to(place, &batch.records)?,
                Some(rows) => self.write_to(place, &batch.take(&rows).records)?,
            }
        }
        Ok(())
    }

    fn barrier(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.barrier = epoch;
        Ok(())
    }

    fn poll(&mut self) -> Result<Progress, Error> {
        while let Ok((file, answer)) = self.finishing.done.try_recv() {
            self.finished(file, answer)?;
        }
        let (now, time) = (self.context.clock.monotonic(), self.sink.settings.roll.time);
        while self.finishing.files.len() < MOST_FINISHING {
            let due = self.open.iter().find(|(_, file)| now.saturating_sub(file.begun) >= time);
            let Some(place) = due.map(|(place, _)| place.clone()) else { break };
            self.roll(&place)?;
        }
        Ok(self.progress())
    }

    fn close(&mut self) -> Result<Progress, Error> {
        self.patience.give_up_after(CLOSE_WAIT);
        while let Some(place) = self.open.keys().next().cloned() {
            self.roll(&place)?;
        }
        while !self.finishing.files.is_empty() {
            self.wait_for_one()?;
        }
        Ok(self.progress())
    }
}

/// A batch's rows, sorted by where they go.
#[derive(Default)]
struct Sorted {
    piles: Vec<Vec<u32>>,
    by_place: BTreeMap<Place, usize>,
}

impl Sorted {
    /// The pile of the rows that go to a place.
    fn pile(&mut self, place: &Place) -> usize {
        if let Some(pile) = self.by_place.get(place) {
            return *pile;
        }
        self.piles.push(Vec::new());
        self.by_place.insert(place.clone(), self.piles.len() - 1);
        self.piles.len() - 1
    }

    /// The rows of each place; without a list it is all of `count`.
    fn finish(mut self, count: usize) -> Vec<(Place, Option<UInt32Array>)> {
        let mut found = Vec::with_capacity(self.piles.len());
        for (place, pile) in self.by_place {
            let rows = std::mem::take(&mut self.piles[pile]);
            if rows.len() == count {
                found.push((place, None));
            } else if !rows.is_empty() {
                found.push((place, Some(UInt32Array::from(rows))));
            }
        }
        found
    }
}

impl FileWriter {
    /// The rows of each place; without a list it is all of them. Rows without a place are noted as rejected.
    fn places(&mut self, batch: &Batch) -> Vec<(Place, Option<UInt32Array>)> {
        let count = batch.records.num_rows();
        let places = self.sink.template.with(&batch.records, self.context.clock.now_micros());
        if count == 0 {
            return Vec::new();
        }
        let is_text = self.sink.format.name() == FormatName::Text;
        let texts = batch.records.columns().first().filter(|_| is_text).and_then(|texts| texts.as_string_opt::<i32>());
        let splits = |row: usize| texts.is_some_and(|texts| texts.value(row).contains(['\n', '\r']));
        let mut place = Place::default();
        if places.is_one() && !(0..count).any(splits) {
            return places.of(0, &mut place).map(|()| vec![(place, None)]).unwrap_or_default();
        }
        let mut sorted = Sorted::default();
        let mut failures = Vec::new();
        let mut goes = Err("no row was looked at yet");
        for row in 0..count {
            if row == 0 || !places.go_together(row, row - 1) {
                goes = places.of(row, &mut place).map(|()| sorted.pile(&place));
            }
            let number = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
            let (code, message) = match goes {
                _ if splits(row) => {
                    ("sink.file.line_end", "a text with a line end would be two lines: use json or csv".into())
                }
                Err(why) => ("sink.file.path", format!("a value of the row cannot be in the path of a file: {why}")),
                Ok(pile) => {
                    sorted.piles[pile].push(number);
                    continue;
                }
            };
            failures.push(RowFailure { row: number, code, message });
        }
        if !failures.is_empty() {
            self.rejected.push(Rejected { batch: batch.clone(), failures, attempts: 1 });
        }
        sorted.finish(count)
    }

    fn write_to(&mut self, place: Place, rows: &RecordBatch) -> Result<(), Error> {
        let most = self.sink.settings.roll.rows.unwrap_or(u64::MAX).max(1);
        let mut done = 0;
        while done < rows.num_rows() {
            self.make_open(&place)?;
            let file = self.open.get_mut(&place).expect("the file was just opened");
            let room = usize::try_from(most - file.rows()).unwrap_or(usize::MAX);
            let part = rows.slice(done, room.min(rows.num_rows() - done));
            done += part.num_rows();
            self.writes += 1;
            file.used = self.writes;
            let encoder = self.encoder.as_mut().map(|encoder| &mut **encoder as &mut dyn Encoder);
            let written = file.write(&part, encoder, &mut self.encoded);
            let is_full = file.rows() >= most || file.size() >= self.sink.settings.roll.size.0;
            written.map_err(|error| self.failed(error))?;
            if is_full {
                self.roll(&place)?;
            }
        }
        self.bound_memory()
    }

    /// Opens the file of a place, completing another one if too many are open.
    fn make_open(&mut self, place: &Place) -> Result<(), Error> {
        if self.open.contains_key(place) {
            return Ok(());
        }
        if self.open.len() >= self.sink.settings.open_files.max(1) as usize {
            let oldest = self.open.iter().min_by_key(|(_, file)| file.used).map(|(place, _)| place.clone());
            oldest.map_or(Ok(()), |place| self.roll(&place))?;
        }
        self.files += 1;
        let path = self.path(place);
        let kind = match &self.encoder {
            None => Kind::Rows(&self.context.schema),
            Some(encoder) => Kind::Lines { header: encoder.header(), compression: self.sink.settings.compression },
        };
        let mut file = Output::begin(path, &self.mark, kind, &self.patience).map_err(|error| self.failed(error))?;
        file.first_epoch = self.barrier + 1;
        file.begun = self.context.clock.monotonic();
        self.open.insert(place.clone(), file);
        Ok(())
    }

    fn path(&self, place: &Place) -> PathBuf {
        let ending = match &self.sink.format {
            Format::Json(_) => "jsonl",
            Format::Csv(..) => "csv",
            Format::Parquet => "parquet",
            _ => "txt",
        };
        let packed = match (&self.encoder, self.sink.settings.compression) {
            (None, _) | (_, Compression::None) => "",
            (_, Compression::Gzip) => ".gz",
            (_, Compression::Zstd) => ".zst",
        };
        let name = format!("{}-{}-{:06}.{ending}{packed}", place.prefix, self.run, self.files);
        self.sink.base.join(&place.folder).join(name)
    }

    /// Completes a file: from here it makes its own way to the disk.
    fn roll(&mut self, place: &Place) -> Result<(), Error> {
        while self.finishing.files.len() >= MOST_FINISHING {
            self.wait_for_one()?;
        }
        let Some(file) = self.open.remove(place) else { return Ok(()) };
        let (number, tell) = (self.finishing.next, self.finishing.tell.clone());
        self.finishing.next += 1;
        self.finishing.files.insert(number, file.first_epoch);
        self.context.io.spawn_blocking(move || {
            let answer = file.finish();
            // Nobody listens any more when the writer was dropped: then the rows are read again.
            let _ = tell.send((number, answer));
        });
        Ok(())
    }

    fn wait_for_one(&mut self) -> Result<(), Error> {
        let (file, answer) = self.finishing.done.recv().expect("the writer holds a sender itself");
        self.finished(file, answer)
    }

    fn finished(&mut self, file: u64, answer: io::Result<()>) -> Result<(), Error> {
        self.finishing.files.remove(&file);
        answer.map_err(|error| self.failed(error))
    }

    /// Writes out Parquet rows held in memory, the largest first, while they are too many.
    fn bound_memory(&mut self) -> Result<(), Error> {
        while self.open.values().map(Output::in_memory).sum::<usize>() > MEMORY {
            let largest = self.open.values_mut().max_by_key(|file| file.in_memory());
            let spilled = largest.map_or(Ok(()), Output::spill);
            spilled.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    /// Everything before a barrier is durable if no file that is not yet durable has a row from before it.
    fn progress(&mut self) -> Progress {
        let open = self.open.values().map(|file| file.first_epoch);
        let first = open.chain(self.finishing.files.values().copied()).min();
        let durable = first.map_or(self.barrier, |first| first - 1);
        Progress { durable, rejected: std::mem::take(&mut self.rejected) }
    }

    fn failed(&self, error: io::Error) -> Error {
        let sink = &self.context.sink;
        let what = match error.kind() {
            io::ErrorKind::StorageFull => format!("sink `{sink}`: the disk is full: make space and start again"),
            _ => format!("sink `{sink}`: a file cannot be written"),
        };
        Error::fatal(what).caused_by(error)
    }
}
