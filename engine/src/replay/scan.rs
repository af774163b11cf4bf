//! Reads letters from where they are: files, folders, what the pipeline's own `dead_letters` wrote.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use riverhook_connectors::{
    clock::Clock,
    error::Error as ConnectorError,
    file::FileSource,
    format::{Decoder, Format},
    position::{Partition, Position},
    sink::ReadBack,
    source::{BatchLimits, Polled, ReadContext, Reader, Source},
    status::Status,
};

use super::letter::{Letter, known_columns, letters_of};
use crate::{error::Error, run::letter_schema, scratch::Scratch};

/// Where letters are.
#[derive(Clone)]
pub struct Places(Arc<Vec<Place>>);

struct Place {
    source: Box<dyn Source>,
    format: Format,
}

impl Places {
    /// What a sink wrote.
    pub fn of_sink(written: ReadBack) -> Self {
        Self(Arc::new(vec![Place { source: written.source, format: written.format }]))
    }

    /// Files, and all files in folders whose names end as letters' do.
    ///
    /// # Errors
    /// If there is no such file or folder.
    pub fn of_paths(paths: &[PathBuf]) -> Result<Self, Error> {
        let mut files = Vec::new();
        for path in paths {
            let trouble = |error| Error::Config(format!("cannot read the letters in {}: {error}", path.display()));
            if path.metadata().map_err(trouble)?.is_dir() {
                walk(path, &mut files).map_err(trouble)?;
            } else {
                files.push(path.clone());
            }
        }
        let mut places: Vec<(Option<Format>, Vec<String>)> = Vec::new();
        for file in files {
            let kind = kind_of(&file);
            let name = file.to_string_lossy().into_owned();
            match places.last_mut() {
                // Each Parquet file has columns of its own.
                Some((last, names)) if same_kind(last.as_ref(), kind.as_ref()) => names.push(name),
                _ => places.push((kind, vec![name])),
            }
        }
        let place = |(kind, names): (Option<Format>, Vec<String>)| {
            let format = kind.unwrap_or_default().prepare(Path::new("."), Some(&letter_schema()));
            let format = format.map_err(|error| Error::Config(error.to_string()))?;
            Ok(Place { source: Box::new(FileSource::of_files(names, &format)), format })
        };
        Ok(Self(Arc::new(places.into_iter().map(place).collect::<Result<_, Error>>()?)))
    }
}

/// How a file is read, by its name; nothing if the name does not say.
fn kind_of(file: &Path) -> Option<Format> {
    let name = file.file_name()?.to_str()?;
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    match name.rsplit_once('.')?.1 {
        "jsonl" | "json" | "ndjson" => Some(Format::default()),
        "csv" => Some(Format::Csv(Default::default(), None)),
        "parquet" => Some(Format::Parquet),
        _ => None,
    }
}

fn same_kind(one: Option<&Format>, other: Option<&Format>) -> bool {
    let name = |format: Option<&Format>| format.cloned().unwrap_or_default().name().as_str();
    name(one) == name(other) && name(one) != "parquet"
}

/// The letters' files in a folder and those below it, in order. Hidden ones are still being written.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut paths = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<PathBuf>, std::io::Error>>()?;
    paths.sort();
    for path in paths {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden {
            continue;
        }
        if path.is_dir() {
            walk(&path, files)?;
        } else if kind_of(&path).is_some() {
            files.push(path);
        }
    }
    Ok(())
}

/// Some records of one partition of letters.
pub(super) struct Found {
    /// Where they are.
    pub(super) partition: Partition,
    /// Each with its position; nothing for what is no letter.
    pub(super) letters: Vec<(Position, Option<Letter>)>,
}

/// What a look gave.
pub(super) enum Scanned {
    Found(Found),
    /// Nothing came in time.
    Idle,
    /// There are no more.
    End,
}

/// With what letters are read.
#[derive(Clone)]
pub(super) struct Scanning {
    pub(super) pipeline: Arc<str>,
    pub(super) limits: BatchLimits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) io: tokio::runtime::Handle,
    pub(super) status: Status,
}

/// Goes over all letters once.
pub(super) struct Scan {
    places: Places,
    next: usize,
    current: Option<Open>,
    with: Scanning,
    scratch: Scratch,
}

/// A place that is being read.
struct Open {
    readers: VecDeque<Box<dyn Reader>>,
    decoder: Box<dyn Decoder>,
}

impl Scan {
    pub(super) fn new(places: &Places, with: Scanning) -> Result<Self, Error> {
        Ok(Self { places: places.clone(), next: 0, current: None, with, scratch: Scratch::new()? })
    }

    pub(super) fn next(&mut self, wait: Duration) -> Result<Scanned, ConnectorError> {
        loop {
            let Some(open) = &mut self.current else {
                let Some(place) = self.places.0.get(self.next) else { return Ok(Scanned::End) };
                self.current = Some(open(place, &self.with, &self.scratch)?);
                self.next += 1;
                continue;
            };
            let Some(reader) = open.readers.front_mut() else {
                self.current = None;
                continue;
            };
            match reader.poll(wait)? {
                Polled::Payloads(payloads) => {
                    let decoded = open.decoder.decode(&payloads);
                    let mut letters = letters_of(&decoded.records).into_iter();
                    let is_failed =
                        |row: usize| decoded.failed.binary_search_by_key(&row, |failed| failed.row as usize).is_ok();
                    let letter = |(row, position): (usize, &Position)| {
                        (*position, if is_failed(row) { None } else { letters.next().flatten() })
                    };
                    let letters = payloads.input.positions.iter().enumerate().map(letter).collect();
                    return Ok(Scanned::Found(Found { partition: payloads.input.partition.clone(), letters }));
                }
                Polled::Batch(batch) => {
                    let letters = batch.input.positions.iter().copied().zip(letters_of(&batch.records)).collect();
                    return Ok(Scanned::Found(Found { partition: batch.input.partition.clone(), letters }));
                }
                Polled::Refused(refused) => {
                    let input = &refused.payloads.input;
                    let letters = input.positions.iter().map(|position| (*position, None)).collect();
                    return Ok(Scanned::Found(Found { partition: input.partition.clone(), letters }));
                }
                Polled::Header(header) => open.decoder.header(&header)?,
                Polled::Idle => return Ok(Scanned::Idle),
                Polled::End => {
                    reader.close();
                    open.readers.pop_front();
                }
            }
        }
    }
}

fn open(place: &Place, with: &Scanning, scratch: &Scratch) -> Result<Open, ConnectorError> {
    let own = place.source.schema()?;
    let schema = own.map_or_else(letter_schema, |own| known_columns(&own));
    // Rows of a container need no decoder; this one is never asked.
    let format = if place.format.name().as_str() == "parquet" { Format::default() } else { place.format.clone() };
    let readers = place.source.open(ReadContext {
        source: "dead_letters".into(),
        pipeline: Arc::clone(&with.pipeline),
        parallelism: 1,
        positions: Default::default(),
        schema,
        limits: with.limits,
        prefetch_bytes: 16 * 1024 * 1024,
        state_dir: scratch.path().to_owned(),
        clock: Arc::clone(&with.clock),
        status: with.status.clone(),
        io: with.io.clone(),
    })?;
    Ok(Open { readers: readers.into(), decoder: format.decoder(letter_schema())? })
}
