//! What a step does to a batch, made ready for one task.

use std::sync::Arc;

use arrow_array::UInt32Array;
use arrow_schema::SchemaRef;
use metrics::Histogram;
use riverhook_connectors::{
    batch::{Batch, RowFailure, Rows},
    format::Encoder,
};
use riverhook_udf::{CallErrorKind, Instance, Invocation, Origin, Reply};

use super::{chain::row_encoder, letters::Stage, meter::function_seconds};
use crate::{
    error::Error,
    plan::{Alert, Plan, Work},
    sql::{BoundBranch, set_batch_time},
};

/// What a step does, made ready for one task.
pub(super) enum Machine {
    Sql(Vec<Option<BoundBranch>>),
    Call { instance: Box<dyn Instance>, name: Arc<str>, version: String, seconds: Histogram, calls: u64 },
    Alert { plan: Arc<Plan>, step: usize, when: BoundBranch, row_json: Box<dyn Encoder> },
}

pub(super) fn bind(plan: &Plan, step: usize, branch: usize, schema: &SchemaRef) -> Result<BoundBranch, Error> {
    let node = &plan.steps[step];
    let Work::Sql(branches) = &node.work else { unreachable!("only SQL has branches") };
    branches[branch].bind(schema).map_err(|error| Error::failed(format!("`{}`: {error}", node.name)))
}

pub(super) fn machine(plan: &Arc<Plan>, step: usize, branch: usize, schema: &SchemaRef) -> Result<Machine, Error> {
    let node = &plan.steps[step];
    let failed = |error: &dyn std::fmt::Display| Error::failed(format!("`{}`: {error}", node.name));
    Ok(match &node.work {
        Work::Sql(branches) => {
            let mut bound: Vec<Option<BoundBranch>> = branches.iter().map(|_| None).collect();
            bound[branch] = Some(bind(plan, step, branch, schema)?);
            Machine::Sql(bound)
        }
        Work::Call(call) => Machine::Call {
            instance: call.function.instance(Arc::clone(&call.input)).map_err(|error| failed(&error))?,
            name: Arc::clone(&call.name),
            version: call.function.version().to_owned(),
            seconds: function_seconds(&plan.name, &node.name, &call.name),
            calls: 0,
        },
        Work::Alert(alert) => Machine::Alert {
            when: alert.when.bind(schema).map_err(|error| failed(&error))?,
            row_json: row_encoder(schema)?,
            plan: Arc::clone(plan),
            step,
        },
    })
}

/// What a step made of a batch.
pub(super) struct Done {
    pub(super) out: Vec<Batch>,
    pub(super) failed: Vec<RowFailure>,
    pub(super) stage: Stage,
    /// The function that failed, and its version.
    pub(super) function: Option<(Arc<str>, String)>,
}

impl Machine {
    /// Runs the step. `now` is microseconds since 1970-01-01 UTC.
    pub(super) fn run(&mut self, branch: usize, batch: &Batch, now: i64) -> Done {
        set_batch_time(now);
        let mut failed = Vec::new();
        match self {
            Self::Sql(branches) => {
                let bound = branches[branch].as_ref().expect("an edge to a branch bound it");
                let out = bound.run(batch, &mut failed);
                Done { out, failed, stage: Stage::Sql, function: None }
            }
            Self::Alert { plan, step, when, row_json } => {
                let matching = when.run(batch, &mut failed);
                let alert: &Alert = match &plan.steps[*step].work {
                    Work::Alert(alert) => alert,
                    _ => unreachable!("the machine was made for an alert"),
                };
                let out = matching.iter().filter_map(|rows| alert.messages(rows, &mut **row_json, now)).collect();
                Done { out, failed, stage: Stage::Sql, function: None }
            }
            Self::Call { instance, name, version, seconds, calls } => {
                *calls += 1;
                let reply = instance.call(&batch.records, &Invocation { id: *calls, deadline: None });
                seconds.record(reply.usage.duration.as_secs_f64());
                let (out, failed) = answered(batch, reply);
                let function = (!failed.is_empty()).then(|| (Arc::clone(name), version.clone()));
                Done { out, failed, stage: Stage::Function, function }
            }
        }
    }
}

/// What a function's answer means for the batch: output rows, and failed rows of its input.
fn answered(batch: &Batch, reply: Reply) -> (Vec<Batch>, Vec<RowFailure>) {
    match reply.result {
        Ok(outcome) => {
            let rows = match outcome.origin {
                Origin::Same => batch.rows.clone(),
                Origin::Rows(index) => batch.rows.take(&UInt32Array::from(index)),
                Origin::WholeBatch => Rows::All,
            };
            let failed = |failed: riverhook_udf::FailedRow| RowFailure {
                row: failed.row,
                code: "Function.RowFailed",
                message: format!("{}: {}", failed.code, failed.message),
            };
            let failed = outcome.failed.into_iter().map(failed).collect();
            let out = Batch { records: outcome.output, rows, input: Arc::clone(&batch.input) };
            (if out.records.num_rows() == 0 { Vec::new() } else { vec![out] }, failed)
        }
        Err(error) => {
            // A crash says nothing of single rows: the whole batch failed.
            let count = u32::try_from(batch.records.num_rows()).expect("a batch has fewer than 2^32 rows");
            let code = code_of(&error.kind);
            let message = error.message;
            (Vec::new(), (0..count).map(|row| RowFailure { row, code, message: message.clone() }).collect())
        }
    }
}

/// The error's name as AWS Lambda spells it. A name of the function's own is part of the message instead: metrics have
/// one series a code, and a function must not be able to make any number of them.
fn code_of(kind: &CallErrorKind) -> &'static str {
    match kind {
        CallErrorKind::Timeout => "Sandbox.Timedout",
        CallErrorKind::Crash => "Runtime.ExitError",
        CallErrorKind::OutOfMemory => "Runtime.OutOfMemory",
        CallErrorKind::OutputTooLarge => "Function.ResponseSizeTooLarge",
        CallErrorKind::InvalidResponse => "Function.InvalidResponse",
        _ => "Function.Failed",
    }
}
