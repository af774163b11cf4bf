//! Tests of the file connector, on real files in folders of their own.

mod container;
mod follow;
mod lines;
mod restart;
mod sink;
mod sink_faults;

use std::{path::Path, sync::Arc, time::Duration};

use arrow_schema::Schema;
use riverhook_config::{Diagnostics, FixedEnvironment, MapReader, Reading, SourceFile, parse};
use tempfile::TempDir;

use super::{FileSink, FileSource};
use crate::{
    batch::RowFailure,
    clock::{Clock, SystemClock},
    error::Error,
    format::Format,
    position::{Partition, Position, Positions},
    registry::Setup,
    sink::Sink,
    source::{BatchLimits, Polled, ReadContext, Reader, Refused, Source, Whole},
    status::Status,
};

fn setup(base: &Path, format: &Format) -> Setup {
    Setup { pipeline: "p".into(), node: "files".into(), base: base.into(), format: format.clone(), schema: None }
}

/// A node's settings as they would be read from a pipeline file, or the first thing wrong with them.
fn node<T>(
    yaml: &str,
    setup: &Setup,
    read: fn(&mut MapReader<'_>, &mut Reading<'_>, &Setup) -> Option<T>,
) -> Result<T, String> {
    let mut diagnostics = Diagnostics::new();
    let root = parse(&SourceFile::new("p.yaml", yaml), &mut diagnostics).expect("the test's YAML is YAML");
    let environment = FixedEnvironment::new();
    let mut cx = Reading::new(&environment, &mut diagnostics);
    let mut map = MapReader::new(&root);
    let made = read(&mut map, &mut cx, setup);
    map.finish(&mut cx);
    match diagnostics.iter().next() {
        Some(wrong) => Err(wrong.message.clone()),
        None => Ok(made.expect("nothing is wrong")),
    }
}

fn source(base: &Path, yaml: &str, format: &Format) -> Box<dyn Source> {
    node(yaml, &setup(base, format), FileSource::read).unwrap()
}

fn sink(base: &Path, yaml: &str, format: &Format) -> Box<dyn Sink> {
    node(yaml, &setup(base, format), FileSink::read).unwrap()
}

fn csv() -> Format {
    Format::Csv(crate::format::CsvSettings::default(), None)
}

/// A reader of everything the source has, with a runtime that lives as long.
struct Open {
    reader: Box<dyn Reader>,
    headers: Vec<String>,
    refused: Vec<(RowFailure, Whole)>,
    state: TempDir,
    _io: tokio::runtime::Runtime,
}

fn context(positions: Positions, clock: Arc<dyn Clock>, io: &tokio::runtime::Runtime, state_dir: &Path) -> ReadContext {
    ReadContext {
        source: "files".into(),
        pipeline: "p".into(),
        parallelism: 1,
        positions,
        schema: Arc::new(Schema::empty()),
        limits: BatchLimits { rows: 1000, bytes: 1 << 20, wait: Duration::from_millis(5) },
        prefetch_bytes: 1 << 20,
        state_dir: state_dir.into(),
        clock,
        status: Status::starting("opening"),
        io: io.handle().clone(),
    }
}

fn try_open(source: &dyn Source, positions: Positions, clock: Arc<dyn Clock>) -> Result<Open, Error> {
    try_open_in(folder(), source, positions, clock)
}

/// Opens with the state folder of a run before.
fn try_open_in(
    state: TempDir,
    source: &dyn Source,
    positions: Positions,
    clock: Arc<dyn Clock>,
) -> Result<Open, Error> {
    let io = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut context = context(positions, clock, &io, state.path());
    if let Some(schema) = source.schema()? {
        context.schema = schema;
    }
    let reader = source.open(context)?.remove(0);
    Ok(Open { reader, headers: Vec::new(), refused: Vec::new(), state, _io: io })
}

fn open(source: &dyn Source) -> Open {
    try_open(source, Positions::new(), SystemClock::shared()).unwrap()
}

impl Open {
    /// Records until nothing comes: their text, each with where it is.
    fn read(&mut self) -> Vec<(String, u64, String)> {
        let mut records = Vec::new();
        loop {
            let payloads = match self.reader.poll(Duration::from_millis(1)).unwrap() {
                Polled::Payloads(payloads) => payloads,
                Polled::Refused(Refused { payloads, failure, whole }) => {
                    self.refused.push((failure, whole));
                    payloads
                }
                Polled::Header(header) => {
                    self.headers.push(String::from_utf8(header.to_vec()).unwrap());
                    continue;
                }
                Polled::Idle | Polled::End => return records,
                Polled::Batch(_) => panic!("lines are payloads"),
            };
            for (value, Position::Offset(at)) in payloads.values.iter().zip(&payloads.input.positions) {
                let text = String::from_utf8_lossy(value.unwrap()).into_owned();
                records.push((payloads.input.partition.to_string(), *at, text));
            }
        }
    }

    /// Ends this run and begins another one, at these positions and with what was kept beside them.
    fn restart(self, source: &dyn Source, positions: Positions) -> Self {
        drop(self.reader);
        try_open_in(self.state, source, positions, SystemClock::shared()).unwrap()
    }

    fn texts(&mut self) -> Vec<String> {
        self.read().into_iter().map(|(_, _, text)| text).collect()
    }

    fn position(&self, file: &str) -> Option<u64> {
        self.reader.positions().get(&Partition::new(file)).map(|Position::Offset(at)| *at)
    }
}

fn at(file: &str, position: u64) -> Positions {
    [(Partition::new(file), Position::Offset(position))].into()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}
