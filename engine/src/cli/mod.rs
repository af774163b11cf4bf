//! The command line. Each command is a file; this one says what there is.

mod graph;
mod infer;
mod init;
mod invoke;
mod load;
mod logging;
mod positions;
mod progress;
mod replay;
mod run;
mod schema;
mod test;
mod usage;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
#[cfg(test)]
pub(crate) use load::plan as plan_of_file;

/// Stream processing with function hooks: one pipeline file, from events through SQL and your functions to sinks.
#[derive(Parser)]
#[command(name = "riverhook", version, max_term_width = 100, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    log: logging::LogArguments,
}

const EXAMPLES: &str = "\
Examples:
  riverhook init my-pipeline             a first pipeline to edit
  riverhook validate pipeline.yaml       find every mistake before it runs
  riverhook run pipeline.yaml            run it

Exit codes: 0 done, 1 failed while running, 2 the file or the command line is wrong.";

#[derive(Subcommand)]
enum Command {
    /// Run a pipeline until its input ends or it is stopped
    Run(run::RunArguments),
    /// Check a pipeline file: keys, names, SQL, functions, sinks
    Validate(validate::ValidateArguments),
    /// Draw a pipeline, as Mermaid or DOT
    Graph(graph::GraphArguments),
    /// Make a first pipeline to edit, with data and a test
    Init(init::InitArguments),
    /// Run pipeline tests: given records, expected rows of any node
    Test(test::TestArguments),
    /// Print the `schema:` of a source, guessed from its records
    Infer(infer::InferArguments),
    /// Run one function of a pipeline once, and show its result, logs and report
    Invoke(invoke::InvokeArguments),
    /// Run dead letters again, each from the node where it failed
    Replay(replay::ReplayArguments),
    /// Show and move the positions at which sources go on
    Positions(positions::PositionsArguments),
    /// Show what functions used: invocations, time, memory, by day
    Usage(usage::UsageArguments),
    /// Print the JSON Schema of the pipeline file, or its reference page
    Schema(schema::SchemaArguments),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return not_understood(&error),
    };
    arguments.log.install();
    match arguments.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Validate(arguments) => validate::validate(&arguments),
        Command::Graph(arguments) => graph::graph(&arguments),
        Command::Init(arguments) => init::init(&arguments),
        Command::Test(arguments) => test::test(&arguments),
        Command::Infer(arguments) => infer::infer(&arguments),
        Command::Invoke(arguments) => invoke::invoke(&arguments),
        Command::Replay(arguments) => replay::replay(&arguments),
        Command::Positions(arguments) => positions::positions(&arguments),
        Command::Usage(arguments) => usage::usage(&arguments),
        Command::Schema(arguments) => schema::schema(&arguments),
    }
}

/// Commands that are not there yet, and what they will do.
const LATER: [(&str, &str); 2] =
    [("serve", "a server with many pipelines"), ("tap", "showing the records of a running pipeline")];

/// Says what is wrong with the command line, or the help that was asked for.
fn not_understood(error: &clap::Error) -> ExitCode {
    use clap::error::{ContextKind, ContextValue};
    if let Some(ContextValue::String(name)) = error.get(ContextKind::InvalidSubcommand)
        && let Some((_, what)) = LATER.iter().find(|(later, _)| later == name)
    {
        eprintln!("error: `{name}` is not there yet: {what} will come with a later version");
        return ExitCode::from(WRONG);
    }
    error.exit()
}

/// The exit code for a wrong file or command line.
const WRONG: u8 = 2;
/// The exit code for a run that failed.
const FAILED: u8 = 1;

/// Prints an error and what caused it.
fn report(error: &dyn std::error::Error) {
    use std::io::IsTerminal;
    if logging::is_json() {
        let causes: Vec<String> =
            std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string).collect();
        return tracing::error!(?causes, "{error}");
    }
    let color = std::io::stderr().is_terminal();
    let (red, plain) = if color { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    eprintln!("{red}error{plain}: {error}");
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            eprintln!("  because: {text}");
        }
        said = text;
        cause = error.source();
    }
}
