//! The source: its settings, and what can be said of it without reading records.

use std::{collections::BTreeSet, fs::File, sync::Arc, time::Duration};

use arrow_schema::{FieldRef, Schema, SchemaRef};
use riverhook_config::{ByteSize, MapReader, OneOrMany, Reading};

use super::{
    FileMetadata, FileSourceSettings, Replaced,
    input::Packing,
    marks::Marks,
    names::{Found, Names, Queue},
    reader::FileReader,
    records::{Next, Records, Rules},
    rows,
};
use crate::{
    error::Error,
    format::{Format, Framing},
    position::{Partition, Position, Positions},
    registry::Setup,
    source::{BatchLimits, Keeper, ReadContext, Reader, Source},
};

/// Files as a source.
#[derive(Clone)]
pub struct FileSource {
    pub(super) settings: Ways,
    pub(super) names: Names,
    pub(super) rules: Rules,
    /// Whether it is no mistake when there is no file.
    pub(super) may_be_none: bool,
}

/// How files are read.
#[derive(Clone)]
pub(super) struct Ways {
    pub(super) metadata: Vec<FileMetadata>,
    pub(super) follow: bool,
    pub(super) poll: Duration,
    pub(super) replaced: Replaced,
}

/// The largest record of files that are read back: what was written may be read.
const LARGEST: ByteSize = ByteSize::mib(256);

fn rules(format: &Format, max_record: ByteSize, count_lines: bool) -> Rules {
    // A batch of Arrow holds at most 2 GiB.
    Rules { format: format.clone(), max_record: max_record.as_usize().min(1 << 30), count_lines }
}

impl FileSource {
    /// From the node's settings.
    pub(super) fn read(map: &mut MapReader<'_>, cx: &mut Reading<'_>, setup: &Setup) -> Option<Box<dyn Source>> {
        let settings = FileSourceSettings::read_fields(map, cx)?;
        let OneOrMany(patterns) = &settings.path.value;
        match Names::new(&setup.base, patterns) {
            Ok(names) => Some(Box::new(Self::new(settings, names, &setup.format))),
            Err(problem) => {
                cx.push(settings.path.error(problem));
                None
            }
        }
    }

    fn new(settings: FileSourceSettings, names: Names, format: &Format) -> Self {
        let FileSourceSettings { path: _, metadata, follow, poll, replaced, max_record } = settings;
        let rules = rules(format, max_record, metadata.contains(&FileMetadata::Line));
        Self { settings: Ways { metadata, follow, poll, replaced }, names, rules, may_be_none: false }
    }

    /// Files of these names, whatever characters are in them, to be read once.
    pub fn of_files(files: Vec<String>, format: &Format) -> Self {
        Self::once(Names::of_files(files), format)
    }

    /// Whatever there is of these files, to be read once.
    pub(super) fn once(names: Names, format: &Format) -> Self {
        let settings =
            Ways { metadata: Vec::new(), follow: false, poll: Duration::ZERO, replaced: Replaced::default() };
        Self { settings, names, rules: rules(format, LARGEST, false), may_be_none: true }
    }

    pub(super) fn framing(&self) -> Framing {
        self.rules.format.framing()
    }

    fn fields(&self) -> Vec<FieldRef> {
        self.settings.metadata.iter().map(|metadata| metadata.field()).collect()
    }

    /// Files that have a position and are not among those that were found.
    fn missing(&self, found: &[Found], positions: &Positions) -> Vec<Found> {
        let there: BTreeSet<&Partition> = found.iter().map(|found| &found.partition).collect();
        let missing = positions.keys().filter(|partition| !there.contains(partition));
        missing.map(|partition| self.names.found_as(partition)).collect()
    }

    fn no_match(&self) -> Error {
        Error::config(format!("no file matches {}: give the path relative to the pipeline file", self.names.describe()))
    }
}

impl Source for FileSource {
    fn keeper(&self) -> Keeper {
        Keeper::Manifest
    }

    fn schema(&self) -> Result<Option<SchemaRef>, Error> {
        if self.framing() != Framing::Container {
            return Ok(None);
        }
        let Some(first) = self.names.find()?.into_iter().next() else {
            return if self.may_be_none { Ok(None) } else { Err(self.no_match()) };
        };
        let file = File::open(&first.path).map_err(|error| cannot_open(&first.partition, error))?;
        let schema = rows::schema(file).map_err(|error| {
            Error::config(format!("{} is not a Parquet file that can be read", first.partition)).caused_by(error)
        })?;
        let metadata = self.fields();
        if let Some(clash) = metadata.iter().find(|field| schema.index_of(field.name()).is_ok()) {
            let name = clash.name();
            return Err(Error::config(format!("{}: the column `{name}` is also in `metadata`", first.partition)));
        }
        Ok(Some(Arc::new(Schema::new(schema.fields().iter().cloned().chain(metadata).collect::<Vec<_>>()))))
    }

    fn metadata(&self) -> Vec<FieldRef> {
        // Rows of a container come with their metadata columns.
        if self.framing() == Framing::Container { Vec::new() } else { self.fields() }
    }

    fn is_finite(&self) -> bool {
        !self.settings.follow
    }

    fn probe(&self, _timeout: Duration) -> Result<String, Error> {
        match self.names.find()?.as_slice() {
            [] if self.settings.follow => Ok(format!("no file matches {} yet", self.names.describe())),
            [] => Err(self.no_match()),
            [one] => Ok(format!("one file: {}", one.partition)),
            [first, rest @ ..] => Ok(format!("{} files, from {} on", rest.len() + 1, first.partition)),
        }
    }

    fn open(&self, context: ReadContext) -> Result<Vec<Box<dyn Reader>>, Error> {
        let found = self.names.find()?;
        if found.is_empty() && !self.settings.follow && !self.may_be_none {
            return Err(self.no_match());
        }
        let missing = self.missing(&found, &context.positions);
        let files = if self.settings.follow { usize::MAX } else { found.len().max(1) };
        let readers = context.parallelism.clamp(1, files);
        let marks = Marks::open(&context.state_dir, &context.source, &context.positions);
        let marks = marks.map_err(|error| {
            Error::fatal(format!("cannot look into the state folder {}", context.state_dir.display())).caused_by(error)
        })?;
        context.status.up();
        let (queue, marks) = (Arc::new(Queue::new(found)), Arc::new(marks));
        let source = Arc::new(self.clone());
        let reader = |_| FileReader::new(&source, &queue, &marks, &context);
        let mut readers: Vec<FileReader> = (0..readers).map(reader).collect();
        if self.settings.follow {
            readers[0].miss(missing.into_iter());
        }
        Ok(readers.into_iter().map(|reader| Box::new(reader) as Box<dyn Reader>).collect())
    }

    fn after(&self, partition: &Partition, position: Position) -> Result<Position, Error> {
        let Position::Offset(from) = position;
        let path = self.names.path_of(partition);
        let file = File::open(&path).map_err(|error| cannot_open(partition, error))?;
        let next = match self.framing() {
            Framing::Container => Some(from + 1),
            Framing::Whole => file.metadata().ok().map(|metadata| metadata.len().max(1)),
            Framing::Lines | Framing::Csv { .. } => {
                let records = Records::new(file, Packing::of(&path), &self.rules, from, true);
                let end = records.and_then(|mut records| records.first_end());
                end.map_err(|error| cannot_read(partition, from, error))?
            }
        };
        let none = || Error::config(format!("{partition} has no record at {position}"));
        next.map(Position::Offset).ok_or_else(none)
    }

    fn again(&self, partition: &Partition, position: Position, _patience: Duration) -> Result<Option<Vec<u8>>, Error> {
        let Position::Offset(from) = position;
        let path = self.names.path_of(partition);
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| cannot_open(partition, error))?,
        };
        if !matches!(self.framing(), Framing::Lines | Framing::Csv { .. }) {
            return Ok(None);
        }
        let limits = BatchLimits { rows: 1, bytes: self.rules.max_record, wait: Duration::ZERO };
        let next = Records::new(file, Packing::of(&path), &self.rules, from, true);
        match next.and_then(|mut records| records.next(limits)).map_err(|error| cannot_read(partition, from, error))? {
            Next::Records(cutting) if cutting.positions.first() == Some(&position) => {
                Ok(Some(cutting.values.value(0).to_vec()))
            }
            Next::Records(_) | Next::TooLarge(..) | Next::End | Next::Short => Ok(None),
        }
    }
}

pub(super) fn cannot_open(partition: &Partition, error: std::io::Error) -> Error {
    Error::fatal(format!("cannot open {partition}")).caused_by(error)
}

/// What files are known by cannot be kept.
pub(super) fn cannot_keep(marks: &Marks, error: std::io::Error) -> Error {
    Error::fatal(format!("cannot write {}: is the disk full, or the folder read-only?", marks.path().display()))
        .caused_by(error)
}

pub(super) fn cannot_read(
    partition: &Partition,
    position: u64,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    let message = format!("{partition} cannot be read from position {position} on: it is damaged or incomplete");
    Error::fatal(message).caused_by(error)
}
