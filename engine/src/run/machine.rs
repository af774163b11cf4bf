//! What a step does to a batch, made ready for one task.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use riverhook_connectors::{
    batch::{Batch, RowFailure},
    clock::Clock,
    format::Encoder,
};

use super::{
    chain::row_encoder,
    letters::{Stage, Try},
};
use crate::{
    error::Error,
    functions::{Accounts, Delivered, Dispatch, GivenUp},
    plan::{Alert, Plan, Work},
    sql::{BoundBranch, set_batch_time},
};

/// What a step does, made ready for one task.
pub(super) enum Machine {
    Sql(Vec<Option<BoundBranch>>),
    Call { dispatch: Arc<Dispatch>, node: Arc<str>, name: Arc<str>, version: String },
    Alert { plan: Arc<Plan>, step: usize, when: BoundBranch, row_json: Box<dyn Encoder> },
}

pub(super) fn bind(plan: &Plan, step: usize, branch: usize, schema: &SchemaRef) -> Result<BoundBranch, Error> {
    let node = &plan.steps[step];
    let Work::Sql(branches) = &node.work else { unreachable!("only SQL has branches") };
    branches[branch].bind(schema).map_err(|error| Error::failed(format!("`{}`: {error}", node.name)))
}

pub(super) fn machine(
    plan: &Arc<Plan>,
    step: usize,
    branch: usize,
    schema: &SchemaRef,
    accounts: &Accounts,
) -> Result<Machine, Error> {
    let node = &plan.steps[step];
    let failed = |error: &dyn std::fmt::Display| Error::failed(format!("`{}`: {error}", node.name));
    Ok(match &node.work {
        Work::Sql(branches) => {
            let mut bound: Vec<Option<BoundBranch>> = branches.iter().map(|_| None).collect();
            bound[branch] = Some(bind(plan, step, branch, schema)?);
            Machine::Sql(bound)
        }
        Work::Call(call) => Machine::Call {
            dispatch: Arc::clone(call.dispatch(&plan.name, &node.name, accounts)),
            node: Arc::clone(&node.name),
            name: Arc::clone(&call.name),
            version: call.function.version().to_owned(),
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
    /// How each failed row was tried; empty: once each.
    pub(super) tries: Vec<Try>,
    /// The function that failed, and its version.
    pub(super) function: Option<(Arc<str>, String)>,
}

impl Done {
    fn once(out: Vec<Batch>, failed: Vec<RowFailure>) -> Self {
        Self { out, failed, stage: Stage::Sql, tries: Vec::new(), function: None }
    }
}

impl Machine {
    /// Runs the step.
    pub(super) fn run(&mut self, branch: usize, batch: &Batch, clock: &dyn Clock) -> Result<Done, Error> {
        let now = clock.now_micros();
        set_batch_time(now);
        let mut failed = Vec::new();
        Ok(match self {
            Self::Sql(branches) => {
                let bound = branches[branch].as_ref().expect("an edge to a branch bound it");
                let out = bound.run(batch, &mut failed);
                Done::once(out, failed)
            }
            Self::Alert { plan, step, when, row_json } => {
                let matching = when.run(batch, &mut failed);
                let alert: &Alert = match &plan.steps[*step].work {
                    Work::Alert(alert) => alert,
                    _ => unreachable!("the machine was made for an alert"),
                };
                let out = matching.iter().filter_map(|rows| alert.messages(rows, &mut **row_json, now)).collect();
                Done::once(out, failed)
            }
            Self::Call { dispatch, node, name, version } => {
                let delivered = dispatch.run(batch, clock).map_err(|error| {
                    Error::failed(format!("`{node}`: the function `{name}` cannot be started: {error}"))
                })?;
                called(delivered, name, version)
            }
        })
    }

    /// Does what is due by time.
    pub(super) fn tick(&self) {
        if let Self::Call { dispatch, .. } = self {
            dispatch.copies.reap();
        }
    }
}

fn called(delivered: Delivered, name: &Arc<str>, version: &str) -> Done {
    let Delivered { out, failed } = delivered;
    let function = (!failed.is_empty()).then(|| (Arc::clone(name), version.to_owned()));
    let tries = failed.iter().map(|failed| Try { attempts: failed.attempts, invocation: failed.invocation }).collect();
    let failed = failed.into_iter().map(|GivenUp { row, code, message, .. }| RowFailure { row, code, message });
    Done { out, failed: failed.collect(), stage: Stage::Function, tries, function }
}
