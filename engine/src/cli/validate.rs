//! `riverhook validate`.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use riverhook_connectors::format::schema::type_text;

use super::{
    FAILED,
    load::{load, plural},
};
use crate::plan::{Plan, guarantees};

#[derive(Args)]
#[command(after_help = "\
Examples:
  riverhook validate pipeline.yaml                every mistake at once, and each path's delivery guarantee
  riverhook validate --columns pipeline.yaml      also the columns of every node, with their types
  riverhook validate --connect pipeline.yaml      also reaches every server")]
pub(super) struct ValidateArguments {
    /// The pipeline files
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Also reach every server, and say what was found there
    #[arg(long)]
    connect: bool,
    /// How long to wait for each server, in seconds
    #[arg(long, default_value_t = 10, requires = "connect")]
    connect_timeout: u64,
    /// Print the columns of every node
    #[arg(long)]
    columns: bool,
}

pub(super) fn validate(arguments: &ValidateArguments) -> ExitCode {
    let mut worst = ExitCode::SUCCESS;
    for file in &arguments.files {
        let plan = match load(file) {
            Ok(plan) => plan,
            Err(code) => {
                worst = code;
                continue;
            }
        };
        let counts = [(plan.sources.len(), "source"), (plan.steps.len(), "step"), (plan.sinks.len(), "sink")];
        let counts: Vec<String> = counts.iter().map(|(count, noun)| plural(*count, noun)).collect();
        println!("{}: `{}` is fine: {}", file.display(), plan.name, counts.join(", "));
        print_guarantees(&plan);
        if arguments.columns {
            print_columns(&plan);
        }
        if arguments.connect && !connect(&plan, Duration::from_secs(arguments.connect_timeout)) {
            worst = ExitCode::from(FAILED);
        }
    }
    worst
}

fn print_guarantees(plan: &Plan) {
    println!("\nDelivery:");
    for path in guarantees(plan) {
        println!("  {} → {}: {} ({})", path.source, path.sink, path.promise, path.why);
    }
}

fn print_columns(plan: &Plan) {
    if !plan.functions.is_empty() {
        println!("\nFunctions of SQL:");
    }
    for function in &plan.functions {
        println!("  {}: {}", function.call.name, function.signature);
    }
    println!("\nColumns:");
    let sources = plan.sources.iter().map(|source| (&source.name, &source.schema));
    for (name, schema) in sources.chain(plan.steps.iter().map(|step| (&step.name, &step.schema))) {
        println!("  {name}:");
        for field in schema.fields() {
            println!("    {}: {}", field.name(), type_text(field));
        }
    }
}

/// Reaches every server; whether all answered.
fn connect(plan: &Plan, timeout: Duration) -> bool {
    println!("\nServers:");
    let sources = plan.sources.iter().map(|source| (&source.name, source.source.probe(timeout)));
    let sinks = plan.sinks.iter().map(|sink| (&sink.name, sink.sink.probe(timeout)));
    let mut fine = true;
    for (name, found) in sources.chain(sinks) {
        match found {
            Ok(found) => println!("  {name}: {found}"),
            Err(error) => {
                fine = false;
                println!("  {name}: FAILED: {error}");
            }
        }
    }
    fine
}
