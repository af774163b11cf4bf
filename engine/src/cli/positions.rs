//! `riverhook positions`: where sources go on, and putting them elsewhere.
//!
//! Positions are where the source's keeper has them: with the server (a consumer group) or in the pipeline's manifest.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Args, Subcommand};
use riverhook_config::{Diagnostics, ProcessEnvironment};
use riverhook_connectors::{
    clock::SystemClock,
    position::{Partition, Position, Positions},
    source::Keeper,
};

use super::{
    WRONG,
    load::{draw, with_surroundings},
    report,
};
use crate::{
    checkpoint::Store,
    error::Error,
    plan::{Alone, Purpose, alone},
};

#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct PositionsArguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLE: &str = "\
A position is that of the record that is read next: an offset in a Kafka partition, a byte in a file.
Stop the pipeline before you move one.

Examples:
  riverhook positions show pipeline.yaml                          all sources
  riverhook positions skip pipeline.yaml clicks clicks-0          go on one record further in that partition
  riverhook positions move pipeline.yaml clicks clicks-0 1042     go on at 1042";

#[derive(Subcommand)]
enum Command {
    /// Print where sources go on
    Show {
        /// The pipeline file
        file: PathBuf,
        /// One source; all unless given
        source: Option<String>,
    },
    /// Let a source go on elsewhere: the records between are left out, or read again
    Move {
        /// The pipeline file
        file: PathBuf,
        /// The source
        source: String,
        /// The partition, as `show` prints it
        partition: String,
        /// The position of the record to read next
        #[arg(value_parser = position)]
        position: Position,
    },
    /// Leave out the next record, such as one that cannot be handled
    Skip {
        /// The pipeline file
        file: PathBuf,
        /// The source
        source: String,
        /// The partition, as `show` prints it; may be left out where there is only one
        partition: Option<String>,
        /// The position of the record to leave out, to be sure that it is the next one
        #[arg(value_parser = position)]
        position: Option<Position>,
    },
}

fn position(text: &str) -> Result<Position, String> {
    text.parse()
}

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn positions(arguments: &PositionsArguments) -> ExitCode {
    let (file, source) = match &arguments.command {
        Command::Show { file, source } => (file, source.as_ref()),
        Command::Move { file, source, .. } | Command::Skip { file, source, .. } => (file, Some(source)),
    };
    let Some(sources) = sources(file, source.map(String::as_str)) else { return ExitCode::from(WRONG) };
    match done(&arguments.command, sources, file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn sources(file: &Path, source: Option<&str>) -> Option<Vec<Alone>> {
    let mut diagnostics = Diagnostics::new();
    let sources =
        with_surroundings(file, &ProcessEnvironment::beside(file), &mut diagnostics, |root, around, planner, cx| {
            alone(root, around, planner, source, Purpose::Positions, cx)
        });
    draw(file, &diagnostics);
    sources
}

fn done(command: &Command, sources: Vec<Alone>, file: &Path) -> Result<(), Error> {
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Error::failed(format!("cannot start: {error}")))?;
    let kept = |source: Alone| Kept::open(source, io.handle());
    let mut sources = sources.into_iter().map(kept).collect::<Result<Vec<_>, Error>>()?;
    match (command, sources.pop()) {
        (Command::Show { .. }, last) => {
            sources.extend(last);
            show(&sources);
            Ok(())
        }
        (Command::Move { partition, position, .. }, Some(source)) => {
            source.put(&source.partition(partition)?, *position)
        }
        (Command::Skip { partition, position, .. }, Some(source)) => source.skip(partition.as_deref(), *position, file),
        (Command::Move { .. } | Command::Skip { .. }, None) => Err(Error::Config("there is no such source".to_owned())),
    }
}

fn show(sources: &[Kept]) {
    let mut rows = vec![["SOURCE".to_owned(), "PARTITION".to_owned(), "POSITION".to_owned()]];
    let mut notes = Vec::new();
    for source in sources {
        let name = &source.of.name;
        if source.of.source.keeper() == Keeper::Nobody {
            notes.push(format!("`{name}` keeps no positions: whoever sends must send again what was not answered"));
        } else if source.positions.is_empty() {
            notes.push(format!("`{name}` has no positions yet: nothing of it was read and made durable"));
        }
        let row = |(partition, position): (&Partition, &Position)| {
            [name.to_string(), partition.to_string(), position.to_string()]
        };
        rows.extend(source.positions.iter().map(row));
    }
    if rows.len() > 1 {
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (first, second) = (width(0), width(1));
        rows.iter().for_each(|[source, partition, position]| {
            println!("{source:first$}  {partition:second$}  {position}");
        });
    }
    notes.iter().for_each(|note| println!("{note}"));
}

/// A source with its positions and who keeps them.
struct Kept {
    of: Alone,
    store: Option<Arc<Store>>,
    positions: Positions,
    io: tokio::runtime::Handle,
}

impl Kept {
    fn open(of: Alone, io: &tokio::runtime::Handle) -> Result<Self, Error> {
        let (store, positions) = match of.source.keeper() {
            Keeper::Server => {
                let committed = of.source.committed(PATIENCE).map_err(|error| Error::of_node(&of.name, error))?;
                (None, committed)
            }
            // Looking must not make a store.
            Keeper::Manifest if of.store.is_dir() => {
                let store = Store::open(of.store.clone(), &of.pipeline, io.clone(), SystemClock::shared())?;
                let positions = store.positions(&of.name);
                (Some(Arc::new(store)), positions)
            }
            Keeper::Manifest | Keeper::Nobody => (None, Positions::new()),
        };
        Ok(Self { of, store, positions, io: io.clone() })
    }

    /// A partition by its name.
    fn partition(&self, name: &str) -> Result<Partition, Error> {
        let partition = Partition::new(name);
        // A group need not have committed in a partition for it to be there: the server knows all of them.
        // While nothing was made durable we know of none: the one that a failed first run names must do.
        if self.positions.contains_key(&partition)
            || self.of.source.keeper() == Keeper::Server
            || self.positions.is_empty()
        {
            return Ok(partition);
        }
        let known = || self.positions.keys().map(Partition::as_str);
        let meant = match riverhook_config::nearest(name, known()) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("there are {}", known().collect::<Vec<_>>().join(", ")),
        };
        Err(Error::Config(format!("`{}` has no partition `{name}`: {meant}", self.of.name)))
    }

    fn skip(&self, partition: Option<&str>, record: Option<Position>, file: &Path) -> Result<(), Error> {
        let name = &self.of.name;
        let partition = match (partition, self.positions.len()) {
            (Some(partition), _) => self.partition(partition)?,
            (None, 1) => self.positions.keys().next().expect("there is one").clone(),
            (None, 0) => {
                let message = format!(
                    "`{name}` has no positions yet: nothing of it was made durable. To go on past records that cannot be \
                     handled set `on_error: dead_letter` (or `skip`); `positions move` sets a position"
                );
                return Err(Error::Config(message));
            }
            (None, count) => {
                let message = format!("`{name}` has {count} partitions with positions: say which one");
                return Err(Error::Config(message));
            }
        };
        let after = |record| self.of.source.after(&partition, record).map_err(|error| Error::of_node(name, error));
        let Some(next) = self.positions.get(&partition).copied() else {
            let message = match record {
                Some(record) => format!(
                    "`{name}` has no position in {partition} yet: records before the one at {record} would be left out as well. If that is meant: riverhook positions move {} {name} {partition} {}",
                    file.display(),
                    after(record)?
                ),
                None => format!("`{name}` has no position in {partition} yet: set one with `positions move`"),
            };
            return Err(Error::Config(format!(
                "{message}. To go on past such records set `on_error: dead_letter` (or `skip`)"
            )));
        };
        match record {
            Some(record) if record != next => Err(Error::Config(format!(
                "`{name}` goes on in {partition} at {next}, not at {record}: records between the two would be left out as well, or some be read again. If that is meant: riverhook positions move {} {name} {partition} {}",
                file.display(),
                after(record)?
            ))),
            Some(_) | None => self.put(&partition, after(next)?),
        }
    }

    fn put(&self, partition: &Partition, position: Position) -> Result<(), Error> {
        let name = &self.of.name;
        let moved = Positions::from([(partition.clone(), position)]);
        match (self.of.source.keeper(), &self.store) {
            (Keeper::Server, _) => {
                self.of.source.move_committed(&moved, PATIENCE).map_err(|error| Error::of_node(name, error))?;
            }
            (Keeper::Manifest, Some(store)) => store.commit(name, &moved)?,
            (Keeper::Manifest, None) => {
                let (folder, clock) = (self.of.store.clone(), SystemClock::shared());
                Store::open(folder, &self.of.pipeline, self.io.clone(), clock)?.commit(name, &moved)?;
            }
            (Keeper::Nobody, _) => {
                return Err(Error::Config(format!("`{name}` has no positions that could be moved")));
            }
        }
        match self.positions.get(partition) {
            Some(before) => println!("`{name}` goes on in {partition} at {position} (before: {before})"),
            None => println!("`{name}` goes on in {partition} at {position}"),
        }
        Ok(())
    }
}
