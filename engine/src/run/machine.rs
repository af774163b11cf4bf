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
    control::Control,
    letters::{Stage, Try},
    sql_calls::SqlCalls,
};
use crate::{
    error::Error,
    functions::{Bell, Calls, Delivered, GivenUp, Released},
    plan::{Alert, Plan, Work},
    sql::{BoundBranch, Ran, set_batch_time},
};

/// What a step does, made ready for one task.
pub(super) enum Machine {
    Sql { branches: Vec<Option<BoundBranch>>, calls: SqlCalls },
    Call(CallMachine),
    Alert { plan: Arc<Plan>, step: usize, when: BoundBranch, calls: SqlCalls, row_json: Box<dyn Encoder> },
}

/// A function's calls, and what is said of rows that it failed on.
pub(super) struct CallMachine {
    pub(super) calls: Calls,
    node: Arc<str>,
    name: Arc<str>,
    version: String,
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
    control: &Control,
    bell: &Arc<Bell>,
) -> Result<Machine, Error> {
    let node = &plan.steps[step];
    let failed = |error: &dyn std::fmt::Display| Error::failed(format!("`{}`: {error}", node.name));
    Ok(match &node.work {
        Work::Sql(branches) => {
            let mut bound: Vec<Option<BoundBranch>> = branches.iter().map(|_| None).collect();
            bound[branch] = Some(bind(plan, step, branch, schema)?);
            Machine::Sql { branches: bound, calls: SqlCalls::of(plan, node, &control.accounts) }
        }
        Work::Call(call) => {
            let dispatch = Arc::clone(call.dispatch(&plan.name, &node.name, &control.accounts));
            Machine::Call(CallMachine {
                calls: Calls::new(dispatch, Arc::clone(&control.clock), Arc::clone(bell), control.overlap),
                node: Arc::clone(&node.name),
                name: Arc::clone(&call.name),
                version: call.function.version().to_owned(),
            })
        }
        Work::Alert(alert) => Machine::Alert {
            when: alert.when.bind(schema).map_err(|error| failed(&error))?,
            calls: SqlCalls::of(plan, node, &control.accounts),
            row_json: row_encoder(schema)?,
            plan: Arc::clone(plan),
            step,
        },
    })
}

/// What a step made of a batch.
pub(super) struct Done {
    pub(super) out: Vec<Batch>,
    pub(super) failures: Vec<Failed>,
}

/// Rows that failed in the same way.
pub(super) struct Failed {
    /// At least one, ascending.
    pub(super) rows: Vec<RowFailure>,
    pub(super) stage: Stage,
    /// How each row was tried; empty: once each.
    pub(super) tries: Vec<Try>,
    /// The function that failed, and its version.
    pub(super) function: Option<(Arc<str>, String)>,
}

impl Machine {
    /// Runs a step that is done when this returns: one that calls a function is not among them.
    pub(super) fn run(&mut self, branch: usize, batch: &Batch, clock: &dyn Clock) -> Result<Done, Error> {
        let now = clock.now_micros();
        set_batch_time(now);
        Ok(match self {
            Self::Sql { branches, calls } => {
                let bound = branches[branch].as_ref().expect("an edge to a branch bound it");
                calls.done(bound.run(batch, &calls.at(clock))?)
            }
            Self::Alert { plan, step, when, calls, row_json } => {
                let matching = when.run(batch, &calls.at(clock))?;
                let alert: &Alert = match &plan.steps[*step].work {
                    Work::Alert(alert) => alert,
                    _ => unreachable!("the machine was made for an alert"),
                };
                let out = matching.out.iter().filter_map(|rows| alert.messages(rows, &mut **row_json, now)).collect();
                calls.done(Ran { out, ..matching })
            }
            Self::Call(_) => unreachable!("what calls of functions give is released later"),
        })
    }

    /// Does what is due by time.
    pub(super) fn tick(&self) {
        match self {
            Self::Call(call) => call.calls.tick(),
            Self::Sql { calls, .. } | Self::Alert { calls, .. } => calls.tick(),
        }
    }
}

impl CallMachine {
    /// What the next calls gave that may leave, if any may.
    ///
    /// # Errors
    /// If the function cannot be started at all.
    pub(super) fn released(&mut self) -> Result<Option<Released>, Error> {
        let (node, name) = (&self.node, &self.name);
        let failed = |error| Error::failed(format!("`{node}`: the function `{name}` cannot be started: {error}"));
        self.calls.released().map_err(failed)
    }

    /// What the function made of a batch.
    pub(super) fn done(&self, delivered: Delivered) -> Done {
        let Delivered { out, failed } = delivered;
        if failed.is_empty() {
            return Done { out, failures: Vec::new() };
        }
        let tried = |failed: &GivenUp| Try { attempts: failed.attempts, invocation: failed.invocation };
        let tries = failed.iter().map(tried).collect();
        let rows = failed.into_iter().map(|GivenUp { row, code, message, .. }| RowFailure { row, code, message });
        let function = Some((Arc::clone(&self.name), self.version.clone()));
        Done { out, failures: vec![Failed { rows: rows.collect(), stage: Stage::Function, tries, function }] }
    }
}
