//! `riverhook invoke`: runs one function of a pipeline once, with records given by hand.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use arrow_array::{RecordBatch, temporal_conversions::timestamp_us_to_datetime};
use clap::Args;
use riverhook_connectors::{
    batch::{Batch, Input, Rows},
    clock::SystemClock,
    position::{Partition, Position},
};
use riverhook_udf::{Caller, Invocation, Reply};
use serde_json::Value;
use uuid::Uuid;

use super::{FAILED, WRONG, load::load};
use crate::{
    functions::{BatchOrigins, log},
    plan::{Call, Plan, SqlFunction, Work, with_causes},
    run::{rows_from_json, rows_to_json},
};

#[derive(Args)]
#[command(after_help = "\
The event is what the node that calls the function would give it: one record as a JSON object, or several in an array.
For a function that SQL calls, that is its arguments by name, and the result is the column `value`.
The result goes to standard output, one record a line, and so does an error, as {\"errorMessage\", \"errorType\"}; logs
and the report go to standard error. Exit codes: 0 answered, 1 it failed, 2 the file or the event is wrong.

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
    let records = rows_from_json(event, &call.input, "the event").map_err(|error| error.to_string())?;
    let batch = as_if_read(plan, node, records);
    let caller = Caller { pipeline: Arc::clone(&plan.name), node: Arc::clone(node) };
    let mut copy = call.function.instance(Arc::clone(&call.input), &caller).map_err(|error| with_causes(&error))?;
    call.log.divert(|level, _, message| line(&format!("{level:?}").to_uppercase(), message));
    let id = Uuid::new_v4();
    let origins = BatchOrigins::of(&batch);
    line("START", &log::start(id, call.function.version()));
    let reply = copy.call(&batch.records, &Invocation { id, origins: Some(&origins), ..Invocation::default() });
    if reply.usage.dropped_logs > 0 {
        line("WARN", &format!("{}: the function logs too much", log::were_dropped(reply.usage.dropped_logs)));
    }
    line("END", &log::end(id));
    line("REPORT", &log::report(id, &reply, call.memory));
    show(&reply)
}

/// A line of the log, with the time of day. What begins with its kind is not named twice.
fn line(kind: &str, text: &str) {
    let now = timestamp_us_to_datetime(SystemClock::shared().now_micros());
    let now = now.map_or_else(String::new, |now| now.format("%H:%M:%S%.3fZ").to_string());
    if text.starts_with(kind) { eprintln!("{now}  {text}") } else { eprintln!("{now}  {kind}  {text}") }
}

/// The records as a batch that came from the node's source, so that a handler gets the event that it would get there.
fn as_if_read(plan: &Plan, node: &Arc<str>, records: RecordBatch) -> Batch {
    let mut source = Arc::clone(node);
    while let Some(step) = plan.steps.iter().find(|step| step.name == source)
        && let Some(input) = step.inputs.first()
    {
        source = Arc::clone(input);
    }
    let input = Input {
        partition: Partition::new(format!("{source}-0")),
        source,
        positions: (0..records.num_rows() as u64).map(Position::Offset).collect(),
        keys: None,
        headers: None,
        times: None,
        read_at: SystemClock::shared().now_micros(),
    };
    Batch { records, rows: Rows::Same, input: Arc::new(input) }
}

/// Prints the answer: one record a line, or the error as Lambda's clients get it.
fn show(reply: &Reply) -> Result<bool, String> {
    let mut out = io::stdout().lock();
    let mut print = |text: &dyn std::fmt::Display| writeln!(out, "{text}").map_err(|error| error.to_string());
    let outcome = match &reply.result {
        Ok(outcome) => outcome,
        Err(error) => {
            print(&serde_json::json!({ "errorMessage": error.message, "errorType": error.code() }))?;
            return Ok(false);
        }
    };
    for row in rows_to_json(&outcome.output).map_err(|error| error.to_string())? {
        print(&row)?;
    }
    for failed in &outcome.failed {
        eprintln!("error: record {}: {}: {}", failed.row + 1, failed.code, failed.message);
    }
    Ok(outcome.failed.is_empty())
}
