//! `riverhook infer`: reads some records of a source and prints the schema they have.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_schema::{Schema, SchemaRef};
use clap::Args;
use riverhook_config::{Diagnostics, ProcessEnvironment};
use riverhook_connectors::{
    clock::SystemClock,
    format::schema::schema_text,
    source::{BatchLimits, Polled, ReadContext, Reader},
    status::Status,
};

use super::{
    WRONG,
    load::{draw, plural, with_surroundings},
    report,
};
use crate::{
    error::Error,
    plan::{Alone, Purpose, alone},
    scratch::Scratch,
};

#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct InferArguments {
    /// The pipeline file; the rest of it need not be finished
    file: PathBuf,
    /// The source, which needs no `schema:`
    source: String,
    /// How many records to look at
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    records: u32,
    /// How long to wait for records, such as 10s
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = super::run::duration)]
    wait: Duration,
}

const EXAMPLE: &str = "\
Reads from the beginning, moves no position, and is no member of a pipeline's consumer group.
Columns that some records lack may be null; look at the types before you rely on them.

Examples:
  riverhook infer pipeline.yaml clicks                    prints a `schema:` to paste below the source
  riverhook infer pipeline.yaml clicks --records 100000   looks at more records";

pub(super) fn infer(arguments: &InferArguments) -> ExitCode {
    let mut diagnostics = Diagnostics::new();
    let environment = ProcessEnvironment::beside(&arguments.file);
    let sources = with_surroundings(&arguments.file, &environment, &mut diagnostics, |root, around, planner, cx| {
        alone(root, around, planner, Some(&arguments.source), Purpose::Look, cx)
    });
    draw(&arguments.file, &diagnostics);
    let Some(source) = sources.and_then(|mut sources| sources.pop()) else { return ExitCode::from(WRONG) };
    match guess(&source, arguments) {
        Ok(schema) => {
            print!("    schema:\n{}", schema_text(&schema, 6));
            ExitCode::SUCCESS
        }
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn guess(source: &Alone, arguments: &InferArguments) -> Result<SchemaRef, Error> {
    let own = source.source.schema().map_err(|error| Error::of_node(&source.name, error))?;
    if let Some(known) = own.or_else(|| source.format.fixed_schema()) {
        eprintln!("`{}` needs no schema: its columns are known", source.name);
        return Ok(known);
    }
    let mut records = look(source, arguments)?;
    if records.values.is_empty() {
        let seconds = arguments.wait.as_secs_f64();
        return Err(Error::failed(format!("`{}` gave no record within {seconds} s", source.name)));
    }
    let count = records.values.len();
    if let Some(header) = records.header {
        records.values.insert(0, header.to_vec());
    }
    let guessed = riverhook_connectors::format::infer(&source.format, &records.values)
        .map_err(|error| Error::of_node(&source.name, error))?;
    eprintln!("guessed from {}", plural(count, "record"));
    Ok(Arc::new(guessed))
}

/// What was read.
#[derive(Default)]
struct Records {
    header: Option<Arc<[u8]>>,
    values: Vec<Vec<u8>>,
}

impl Records {
    /// Takes what a poll gave; whether the source has ended.
    fn take(&mut self, polled: Polled) -> bool {
        match polled {
            Polled::Payloads(payloads) => {
                self.values.extend(payloads.values.iter().flatten().map(<[u8]>::to_vec));
            }
            Polled::Header(header) => {
                self.header.get_or_insert(header);
            }
            Polled::End => return true,
            // Rows come only from sources that know their columns, and those are not read.
            Polled::Batch(_) | Polled::Refused(..) | Polled::Idle => {}
        }
        false
    }
}

/// Reads records until there are enough, the source ends or the time is up.
fn look(source: &Alone, arguments: &InferArguments) -> Result<Records, Error> {
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Error::failed(format!("cannot start: {error}")))?;
    let state = Scratch::new()?;
    let status = Status::starting("starting");
    let failed = |error| Error::of_node(&source.name, error);
    let mut readers = source.source.open(context(source, &io, &state, status.clone())).map_err(failed)?;
    let wanted = arguments.records as usize;
    let started = Instant::now();
    let mut records = Records::default();
    let read = read_all(&mut readers, |polled| {
        let ended = records.take(polled);
        (ended, records.values.len() >= wanted || started.elapsed() > arguments.wait)
    });
    readers.iter_mut().for_each(|reader| reader.close());
    read.map_err(failed)?;
    if let (true, Some(trouble)) = (records.values.is_empty(), status.trouble()) {
        return Err(Error::failed(format!("`{}`: {trouble}", source.name)));
    }
    records.values.truncate(wanted);
    Ok(records)
}

/// Polls the readers in turn until all have ended or `take`, which says whether one has ended and whether it is enough,
/// has enough.
fn read_all(
    readers: &mut [Box<dyn Reader>],
    mut take: impl FnMut(Polled) -> (bool, bool),
) -> Result<(), riverhook_connectors::error::Error> {
    let mut going: Vec<bool> = vec![true; readers.len()];
    while going.contains(&true) {
        for (reader, going) in readers.iter_mut().zip(&mut going).filter(|(_, going)| **going) {
            let (ended, enough) = take(reader.poll(Duration::from_millis(50))?);
            if enough {
                return Ok(());
            }
            *going = !ended;
        }
    }
    Ok(())
}

fn context(source: &Alone, io: &tokio::runtime::Runtime, state: &Scratch, status: Status) -> ReadContext {
    ReadContext {
        source: Arc::clone(&source.name),
        pipeline: Arc::clone(&source.pipeline),
        parallelism: 1,
        positions: Default::default(),
        schema: Arc::new(Schema::empty()),
        limits: BatchLimits { rows: 1000, bytes: 4 * 1024 * 1024, wait: Duration::from_millis(50) },
        prefetch_bytes: 16 * 1024 * 1024,
        state_dir: state.path().to_owned(),
        clock: SystemClock::shared(),
        status,
        io: io.handle().clone(),
    }
}
