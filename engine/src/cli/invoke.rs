//! `riverhook invoke`: runs one function of a pipeline once, with records given by hand.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use riverhook_udf::{Caller, Invocation, Reply};
use serde_json::Value;
use uuid::Uuid;

use super::{FAILED, WRONG, load::load};
use crate::{
    functions::report,
    plan::{Call, Plan, SqlFunction, Work},
    run::{rows_from_json, rows_to_json},
};

#[derive(Args)]
#[command(after_help = "\
The event is what the node that calls the function would give it: one record as a JSON object, or several in an array.
For a function that SQL calls, that is its arguments by name, and the result is the column `value`.
The result goes to standard output, one record a line; logs and the report go to standard error.

Examples:
  riverhook invoke pipeline.yaml enrich --event event.json
  echo '{\"url\": \"/\"}' | riverhook invoke pipeline.yaml enrich --event -")]
pub(super) struct InvokeArguments {
    /// The pipeline file
    file: PathBuf,
    /// The function
    function: String,
    /// A file with the event; `-` is standard input
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// The node whose call it is, where several nodes call the function
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
}

pub(super) fn invoke(arguments: &InvokeArguments) -> ExitCode {
    let plan = match load(&arguments.file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    let invoked = event(&arguments.event)
        .and_then(|event| Ok((find(&plan, arguments)?, event)))
        .map(|((node, call), event)| once(&plan, node, call, &event));
    match invoked {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        Ok(Ok(false)) => ExitCode::from(FAILED),
        Ok(Err(error)) | Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(WRONG)
        }
    }
}

/// The records of the event.
fn event(path: &PathBuf) -> Result<Vec<Value>, String> {
    let shown = path.display();
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| format!("cannot read {shown}: {error}"))?;
    match serde_json::from_str(&text) {
        Ok(Value::Array(records)) => Ok(records),
        Ok(record @ Value::Object(_)) => Ok(vec![record]),
        Ok(_) => Err(format!("{shown}: expected one record as a JSON object, or an array of records")),
        Err(error) => Err(format!("{shown}: this is no JSON: {error}")),
    }
}

/// The function, and the node that calls it. SQL calls it in the same way from every node, so that one stands for all;
/// where none does, its name stands for the node's.
fn find<'p>(plan: &'p Plan, arguments: &InvokeArguments) -> Result<(&'p Arc<str>, &'p Call), String> {
    let nodes = plan.steps.iter().filter_map(|step| match &step.work {
        Work::Call(call) => Some((&step.name, call)),
        _ => None,
    });
    let sql = plan.functions.iter().map(|SqlFunction { call, .. }| {
        let caller = plan.steps.iter().find(|step| step.calls.iter().any(|other| other.name == call.name));
        (caller.map_or(&call.name, |step| &step.name), call)
    });
    let all: Vec<_> = nodes.chain(sql).collect();
    let calls: Vec<_> = all.iter().filter(|(_, call)| *call.name == *arguments.function).copied().collect();
    let names = || calls.iter().map(|(node, _)| format!("`{node}`")).collect::<Vec<_>>().join(", ");
    match (&arguments.node, calls.as_slice()) {
        (_, []) => {
            let near = riverhook_config::nearest(&arguments.function, all.iter().map(|(_, call)| &*call.name));
            let help = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            Err(format!("no node of {} calls a function `{}`{help}", arguments.file.display(), arguments.function))
        }
        (None, [call]) => Ok(*call),
        (None, _) => Err(format!("several nodes call `{}`: say which with --node ({})", arguments.function, names())),
        (Some(node), calls) => calls
            .iter()
            .find(|(name, _)| ***name == **node)
            .copied()
            .ok_or_else(|| format!("`{node}` does not call `{}`; {} do", arguments.function, names())),
    }
}

/// Calls it; whether every record was answered.
fn once(plan: &Plan, node: &Arc<str>, call: &Call, event: &[Value]) -> Result<bool, String> {
    let rows = rows_from_json(event, &call.input, "the event").map_err(|error| error.to_string())?;
    let caller = Caller { pipeline: Arc::clone(&plan.name), node: Arc::clone(node) };
    let mut copy = call.function.instance(Arc::clone(&call.input), &caller).map_err(|error| error.to_string())?;
    let id = Uuid::new_v4();
    let version: String = call.function.version().chars().take(12).collect();
    eprintln!("START RequestId: {id} Version: {version}");
    let reply = copy.call(&rows, &Invocation { id, ..Invocation::default() });
    eprintln!("END RequestId: {id}\n{}", report(id, &reply, call.memory));
    show(&reply)
}

fn show(reply: &Reply) -> Result<bool, String> {
    let outcome = match &reply.result {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(false);
        }
    };
    let mut out = io::stdout().lock();
    for row in rows_to_json(&outcome.output).map_err(|error| error.to_string())? {
        writeln!(out, "{row}").map_err(|error| error.to_string())?;
    }
    for failed in &outcome.failed {
        eprintln!("error: record {}: {}: {}", failed.row + 1, failed.code, failed.message);
    }
    Ok(outcome.failed.is_empty())
}
