//! The functions that a node's SQL calls: how it calls them, and what is told of the rows that they fail on.

use std::sync::Arc;

use riverhook_connectors::{
    batch::{Batch, RowFailure},
    clock::Clock,
};

use super::{
    letters::{Stage, Try},
    machine::{Done, Failed},
};
use crate::{
    error::Error,
    functions::{Accounts, Delivered, Dispatch, GivenUp},
    plan::{Plan, StepNode},
    sql::{Calls, Ran},
};

/// The functions of one node, by their index in its query.
pub(super) struct SqlCalls {
    node: Arc<str>,
    functions: Vec<SqlFunction>,
}

struct SqlFunction {
    name: Arc<str>,
    version: String,
    dispatch: Arc<Dispatch>,
}

impl SqlCalls {
    pub(super) fn of(plan: &Plan, node: &StepNode, accounts: &Accounts) -> Self {
        let functions = node.calls.iter().map(|call| SqlFunction {
            name: Arc::clone(&call.name),
            version: call.function.version().to_owned(),
            dispatch: Arc::clone(call.dispatch(&plan.name, &node.name, accounts)),
        });
        Self { node: Arc::clone(&node.name), functions: functions.collect() }
    }

    /// For one batch.
    pub(super) fn at<'a>(&'a self, clock: &'a dyn Clock) -> impl Calls + 'a {
        Now { calls: self, clock }
    }

    /// Does what is due by time.
    pub(super) fn tick(&self) {
        self.functions.iter().for_each(|function| function.dispatch.copies.reap());
    }

    /// What a branch made of a batch, with the failures told apart by who failed.
    pub(super) fn done(&self, ran: Ran) -> Done {
        let Ran { out, failed, given_up } = ran;
        let mut failures = Vec::new();
        if !failed.is_empty() {
            failures.push(Failed { rows: failed, stage: Stage::Sql, tries: Vec::new(), function: None });
        }
        for (function, GivenUp { row, code, message, attempts, invocation }) in given_up {
            let SqlFunction { name, version, .. } = &self.functions[function];
            let is_its = |failed: &&mut Failed| failed.function.as_ref().is_some_and(|(other, _)| other == name);
            let place = match failures.iter_mut().find(is_its) {
                Some(place) => place,
                None => {
                    let function = Some((Arc::clone(name), version.clone()));
                    failures.push(Failed { rows: Vec::new(), stage: Stage::Function, tries: Vec::new(), function });
                    failures.last_mut().expect("it was just pushed")
                }
            };
            place.rows.push(RowFailure { row, code, message });
            place.tries.push(Try { attempts, invocation });
        }
        // The row that came first is what a pipeline stops with.
        failures.sort_by_key(|failed| failed.rows[0].row);
        Done { out, failures }
    }
}

struct Now<'a> {
    calls: &'a SqlCalls,
    clock: &'a dyn Clock,
}

impl Calls for Now<'_> {
    fn call(&self, function: usize, arguments: &Batch) -> Result<Delivered, Error> {
        let SqlFunction { name, dispatch, .. } = &self.calls.functions[function];
        dispatch.run(arguments, self.clock).map_err(|error| {
            Error::failed(format!("`{}`: the function `{name}` cannot be started: {error}", self.calls.node))
        })
    }
}
