//! `riverhook replay`: dead letters run again, each from the node where it failed.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::Args;
use riverhook_connectors::clock::{Clock, SystemClock};

use super::{
    FAILED,
    load::load,
    progress::{Progress, number},
    report,
    run::{Signals, drive, io_runtime},
};
use crate::{
    error::Error,
    plan::Plan,
    replay::{Counts, Done, Outcome, Places, Problem, Replay, Selection, Survey},
    run::{Options, start},
};

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayArguments {
    /// The pipeline file
    file: PathBuf,
    /// Files and folders with dead letters; where the pipeline's `dead_letters` writes unless given
    letters: Vec<PathBuf>,
    /// Only letters of this node (may be given several times)
    #[arg(long, value_name = "NODE")]
    node: Vec<String>,
    /// Only letters with this error code, such as Sandbox.Timedout (may be given several times)
    #[arg(long, value_name = "CODE")]
    error: Vec<String>,
    /// Only letters of this stage (may be given several times)
    #[arg(long, value_parser = ["decode", "sql", "function", "sink"])]
    stage: Vec<String>,
    /// Only letters from this time on: 2026-01-31, 2026-01-31T12:00:00Z, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<i64>,
    /// Only letters before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<i64>,
    /// Also letters that have run before
    #[arg(long)]
    again: bool,
    /// Print what would run, by node and error, and run nothing
    #[arg(long)]
    dry_run: bool,
}

const EXAMPLES: &str = "\
Each letter goes into the node that failed, as its input was then, and from there the way of all
rows: through the pipeline as its file is now, into its sinks. What fails again becomes a new
letter. A letter runs once: which ones have run is noted beside the checkpoints, when what came of
them is durable. The pipeline may run meanwhile.

Letters are read from files of JSON lines, CSV or Parquet, or from the Kafka topic of
`dead_letters` up to its present end. Records that could not be decoded and whose payload was cut
are read from their source again.

Examples:
  riverhook replay pipeline.yaml --dry-run                 what there is, by node and error
  riverhook replay pipeline.yaml                           run it, after the cause is mended
  riverhook replay pipeline.yaml --node enrich --since 2h  what failed at one node lately
  riverhook replay pipeline.yaml picked.jsonl              letters that were picked by hand";

/// A time as microseconds since 1970-01-01 UTC.
fn time(text: &str) -> Result<i64, String> {
    if let Some(ago) = riverhook_config::parse_duration(text) {
        let ago = i64::try_from(ago.as_micros()).unwrap_or(i64::MAX);
        return Ok(SystemClock::shared().now_micros().saturating_sub(ago));
    }
    let nanos = arrow_cast::parse::string_to_timestamp_nanos(text);
    nanos.map(|nanos| nanos.div_euclid(1000)).map_err(|_| {
        "expected a time such as 2026-01-31 or 2026-01-31T12:00:00Z (UTC), or how long ago, such as 2h".to_owned()
    })
}

pub(super) fn replay(arguments: &ReplayArguments) -> ExitCode {
    let plan = match load(&arguments.file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    match replay_plan(plan, arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn replay_plan(plan: Plan, arguments: &ReplayArguments) -> Result<bool, Error> {
    let io = io_runtime()?;
    let done = replay_on(&io, plan, arguments);
    // See `run`: I/O that never ends must not keep the process.
    io.shutdown_timeout(std::time::Duration::from_secs(1));
    done
}

/// Whether all went well.
fn replay_on(io: &tokio::runtime::Runtime, plan: Plan, arguments: &ReplayArguments) -> Result<bool, Error> {
    let clock = SystemClock::shared();
    let replay = Replay {
        places: places(&plan, arguments)?,
        selection: selection(arguments),
        done: done(&plan, arguments, &clock)?,
    };
    let survey = replay.survey(&plan, &clock, io.handle())?;
    if arguments.dry_run {
        list(&survey);
        tell_problems(&survey.counts);
        return Ok(survey.counts.problems.is_empty());
    }
    let name = Arc::clone(&plan.name);
    if survey.kinds.is_empty() {
        summary(&name, &survey.counts);
        return Ok(survey.counts.is_well());
    }
    let signals = Signals::watch(io)?;
    let shutdown_timeout = plan.settings.shutdown_timeout;
    let (plan, ended) = replay.plan(plan, survey);
    let options = Options { clock, io: io.handle().clone(), limit: None, from_scratch: false };
    let running = start(plan, &options)?;
    let progress = Progress::new(&running, true);
    let ran = drive(running, &signals, None, shutdown_timeout, progress);
    let counts = ended.counts();
    summary(&name, &counts);
    ran?;
    if signals.count() > 0 {
        eprintln!("stopped before the end: run it again for the rest");
        return Ok(false);
    }
    Ok(counts.is_well())
}

fn places(plan: &Plan, arguments: &ReplayArguments) -> Result<Places, Error> {
    if !arguments.letters.is_empty() {
        return Places::of_paths(&arguments.letters);
    }
    let Some(sink) = plan.letters else {
        return Err(Error::Config(format!(
            "`{}` has no `dead_letters:`, so there is nothing to replay; if you have letters, name their files",
            plan.name
        )));
    };
    let written = plan.sinks[sink].sink.read_back().ok_or_else(|| {
        Error::Config(
            "what `dead_letters` of this pipeline wrote cannot be read back from here: name files with the letters"
                .to_owned(),
        )
    })?;
    Ok(Places::of_sink(written))
}

fn done(plan: &Plan, arguments: &ReplayArguments, clock: &Arc<dyn Clock>) -> Result<Done, Error> {
    let (store, clock) = (&plan.settings.store, Arc::clone(clock));
    // Looking must leave nothing behind.
    if arguments.dry_run { Done::read(store, clock) } else { Done::lock(store, clock) }
}

fn selection(arguments: &ReplayArguments) -> Selection {
    Selection {
        nodes: arguments.node.clone(),
        errors: arguments.error.clone(),
        stages: arguments.stage.clone(),
        since: arguments.since,
        until: arguments.until,
        again: arguments.again,
    }
}

/// What would run.
fn list(survey: &Survey) {
    let mut rows = vec![["NODE", "STAGE", "ERROR", "LETTERS"].map(str::to_owned)];
    for (kind, count) in &survey.kinds {
        rows.push([kind.node.clone(), kind.stage.clone(), kind.error.clone(), number(*count)]);
    }
    if rows.len() > 1 {
        table(&rows).lines().for_each(|line| println!("{line}"));
    }
    let total: u64 = survey.kinds.values().sum();
    println!("{} would run, {} have run before", letters(total), number(survey.counts.sum().skipped));
}

/// What became of all.
fn summary(pipeline: &str, counts: &Counts) {
    let sum = counts.sum();
    if counts.nodes.len() > 1 {
        let row = |name: &str, outcome: &Outcome| {
            let Outcome { replayed, failed, skipped } = *outcome;
            [name.to_owned(), number(replayed), number(replayed - failed), number(failed), number(skipped)]
        };
        let mut rows = vec![["NODE", "REPLAYED", "DELIVERED", "FAILED AGAIN", "SKIPPED"].map(str::to_owned)];
        rows.extend(counts.nodes.iter().map(|(name, outcome)| row(name, outcome)));
        eprint!("{}", table(&rows));
    }
    let Outcome { replayed, failed, skipped } = sum;
    let of = match counts.nodes.keys().next() {
        Some(node) if counts.nodes.len() == 1 => format!(" of `{node}`"),
        _ => String::new(),
    };
    eprintln!(
        "{pipeline}: replayed {}{of}, {} delivered, {} failed again, {} skipped (replayed before)",
        letters(replayed),
        number(replayed - failed),
        number(failed),
        number(skipped)
    );
    if failed > 0 {
        eprintln!("what failed again is in the dead letters anew, or went where `on_error` of its node says");
    }
    tell_problems(counts);
}

fn tell_problems(counts: &Counts) {
    for (problem, (count, place)) in &counts.problems {
        let what = match problem {
            Problem::Foreign if *count == 1 => "1 record".to_owned(),
            Problem::Foreign => format!("{} records", number(*count)),
            _ => letters(*count),
        };
        eprintln!("error: {what} {problem} (the first: {place})");
    }
}

fn letters(count: u64) -> String {
    if count == 1 { "1 letter".to_owned() } else { format!("{} letters", number(count)) }
}

/// Rows below each other: the words to the left, the numbers (behind the first column of them) to the right.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let is_number = |column: usize| rows[1..].iter().all(|row| row[column].starts_with(|c: char| c.is_ascii_digit()));
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if is_number(column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        out += cells.collect::<Vec<_>>().join("  ").trim_end();
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_moments_or_how_long_ago() {
        assert_eq!(time("1970-01-02"), Ok(86_400_000_000));
        assert_eq!(time("1970-01-01T00:00:01.5Z"), Ok(1_500_000));
        assert_eq!(time("1970-01-01T01:00:00+01:00"), Ok(0));
        let now = SystemClock::shared().now_micros();
        assert!((now - time("2h").unwrap() - 7_200_000_000).abs() < 10_000_000);
        assert!(time("yesterday").unwrap_err().contains("2026-01-31"));
    }
}
