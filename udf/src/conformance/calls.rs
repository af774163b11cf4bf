//! A copy that is called by the suite, and everything that must hold for every reply.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array as _, RecordBatch};
use uuid::Uuid;

use super::subject::{PRIVATE, batch, schema};
use super::{Finding, ensure};
use crate::contract::{CallError, Caller, Function, Instance, Invocation, Origin, Outcome, Usage};
use crate::limits::Limits;

/// How long the suite waits for something that must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Limits that no check but one of limits reaches, also on a busy machine.
pub(super) fn ample() -> Limits {
    Limits { timeout: Duration::from_secs(20), compile_timeout: Duration::from_secs(300), ..Limits::default() }
}

/// A copy of a function.
pub(super) struct Copy {
    instance: Box<dyn Instance>,
}

impl Copy {
    pub(super) fn of(function: &dyn Function) -> Result<Self, String> {
        let caller = Caller { pipeline: "conformance".into(), node: "suite".into() };
        let instance = function.instance(schema(), &caller).map_err(|error| format!("no copy opens: {error}"))?;
        let described = function.describe(&schema()).map_err(|error| format!("it has no schema: {error}"))?;
        ensure!(&described == instance.output(), "a copy's schema is not the described one");
        Ok(Self { instance })
    }

    /// One call.
    pub(super) fn call(&mut self, rows: &RecordBatch) -> Result<(Result<Outcome, CallError>, Usage), String> {
        self.call_until(rows, None)
    }

    /// One call that must end by a deadline.
    pub(super) fn call_until(
        &mut self,
        rows: &RecordBatch,
        deadline: Option<Instant>,
    ) -> Result<(Result<Outcome, CallError>, Usage), String> {
        let invocation = Invocation { id: Uuid::new_v4(), deadline, origins: None };
        let reply = self.instance.call(rows, &invocation);
        match &reply.result {
            Ok(outcome) => self.sound(outcome, rows.num_rows())?,
            Err(error) => {
                ensure!(!error.message.contains(PRIVATE), "an error repeats what is in the rows");
                ensure!(!error.code().is_empty() && !error.message.is_empty(), "an error says nothing");
            }
        }
        Ok((reply.result, reply.usage))
    }

    /// A call with rows of these ids that must succeed. While the code cannot be reached, as when a copy of it is
    /// started again, it is tried again.
    pub(super) fn succeed(&mut self, ids: impl IntoIterator<Item = i64>) -> Result<(Outcome, Usage), String> {
        let rows = batch(ids);
        let started = Instant::now();
        loop {
            match self.call(&rows)? {
                (Ok(outcome), usage) => return Ok((outcome, usage)),
                (Err(error), _) if error.is_unavailable() && started.elapsed() < PATIENCE => {
                    thread::sleep(error.retry_after().unwrap_or(Duration::from_millis(20)).min(PATIENCE / 10));
                }
                (Err(error), _) => return Err(format!("a call failed with {error}")),
            }
        }
    }

    /// Calls with good rows, which must come back as they were.
    pub(super) fn works(&mut self) -> Finding {
        let (outcome, _) = self.succeed(0..3)?;
        same(&outcome, &batch(0..3))
    }

    /// Calls with a bad row, which must fail the call.
    pub(super) fn fail(&mut self) -> Result<(CallError, Usage), String> {
        match self.call(&batch([1, -2, 3]))? {
            (Err(error), usage) => Ok((error, usage)),
            (Ok(_), _) => Err("the call did not fail".to_owned()),
        }
    }

    /// What the contract says of every outcome.
    fn sound(&self, outcome: &Outcome, rows: usize) -> Finding {
        let answered = outcome.output.num_rows();
        ensure!(outcome.output.schema_ref() == self.instance.output(), "an answer has another schema than the copy");
        match &outcome.origin {
            Origin::Same => ensure!(answered == rows, "{answered} rows are said to be the {rows} of the input"),
            Origin::Rows(from) => {
                ensure!(from.len() == answered, "{} origins came with {answered} rows", from.len());
                ensure!(from.iter().all(|row| (*row as usize) < rows), "an origin is not in the input");
            }
            Origin::WholeBatch => {}
        }
        let failed: Vec<u32> = outcome.failed.iter().map(|failed| failed.row).collect();
        ensure!(failed.is_sorted_by(|a, b| a < b), "failed rows are not in ascending order: {failed:?}");
        ensure!(failed.iter().all(|row| (*row as usize) < rows), "a failed row is not in the input");
        let private = outcome.failed.iter().any(|failed| failed.message.contains(PRIVATE));
        ensure!(!private, "a failed row's message repeats what is in it");
        Ok(())
    }
}

/// Whether the outcome is these rows, with none failed.
pub(super) fn same(outcome: &Outcome, rows: &RecordBatch) -> Finding {
    ensure!(outcome.failed.is_empty(), "{} rows failed", outcome.failed.len());
    ensure!(ids(&outcome.output) == ids(rows), "rows {:?} came back as {:?}", ids(rows), ids(&outcome.output));
    let texts = |rows: &RecordBatch| Arc::clone(rows.column(1));
    ensure!(texts(&outcome.output).to_data() == texts(rows).to_data(), "a text came back as another");
    Ok(())
}

/// The rows' ids.
pub(super) fn ids(rows: &RecordBatch) -> Vec<i64> {
    rows.column(0).as_primitive::<Int64Type>().values().to_vec()
}
