//! A branch of a query, as it runs: a batch of a node's rows in, what its operators make of them out.
//!
//! An error of one row (a bad cast, a division by zero) fails the expression for the whole batch, so the batch is halved
//! until the row is alone; its neighbours go on. A function must not be called again for that, so a branch runs in
//! segments: what lies between two calls is halved and done again, the calls themselves are not.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow_array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;
use datafusion::common::DataFusionError;
use riverhook_connectors::batch::{Batch, RowFailure, Rows};

use super::{
    call::Calls,
    failure::describe,
    operator::{Operator, conform},
};
use crate::{error::Error, functions::GivenUp};

/// What a query does with the rows of one table.
#[derive(Clone, Debug)]
pub struct Branch {
    /// The table: a node's name.
    pub table: String,
    /// The columns it reads, in the order its operators expect.
    pub columns: Vec<String>,
    pub(super) operators: Vec<Operator>,
    pub(super) output: Option<SchemaRef>,
}

impl Branch {
    pub(super) fn finish(mut self, output: SchemaRef) -> Self {
        self.output = Some(output);
        self
    }

    /// The branch made ready for batches of `schema`, which holds at least the columns it reads.
    pub fn bind(&self, schema: &SchemaRef) -> Result<BoundBranch, ArrowError> {
        let columns = self.columns.iter().map(|column| schema.index_of(column)).collect::<Result<Vec<_>, _>>()?;
        let input = Arc::new(schema.project(&columns)?);
        let output = self.output.clone().unwrap_or_else(|| Arc::clone(&input));
        Ok(BoundBranch { columns, input, operators: self.operators.clone(), output })
    }
}

/// A branch for batches of one schema.
#[derive(Clone, Debug)]
pub struct BoundBranch {
    columns: Vec<usize>,
    input: SchemaRef,
    operators: Vec<Operator>,
    output: SchemaRef,
}

/// What a branch made of a batch. A row of the batch either went on, with all that came of it, or failed, once.
#[derive(Debug, Default)]
pub struct Ran {
    /// The rows that go on, in order; in one batch unless a row failed.
    pub out: Vec<Batch>,
    /// The rows on which an expression failed, ascending, by their index in the batch.
    pub failed: Vec<RowFailure>,
    /// The rows on which a function failed, ascending, each with the function: its index in `Query::functions`.
    pub given_up: Vec<(usize, GivenUp)>,
}

impl BoundBranch {
    /// Runs the branch over a batch.
    ///
    /// # Errors
    /// If a function cannot be called at all, which no row is to blame for.
    pub fn run(&self, batch: &Batch, calls: &dyn Calls) -> Result<Ran, Error> {
        let mut ran = Ran::default();
        let mut parts = vec![self.read(batch)?];
        let mut rest = self.operators.as_slice();
        while let Some(next) = rest.iter().position(|operator| matches!(operator, Operator::Call(_))) {
            let (before, behind) = rest.split_at(next);
            let Some((Operator::Call(call), behind)) = behind.split_first() else { break };
            let mut ready = Vec::with_capacity(1);
            for part in &parts {
                Segment { operators: before, output: None }.run(part, &mut ran.failed, &mut ready);
            }
            parts.clear();
            for part in join(ready) {
                parts.extend(call.run(part, batch, calls, &mut ran.given_up)?);
            }
            rest = behind;
        }
        for part in &parts {
            Segment { operators: rest, output: Some(&self.output) }.run(part, &mut ran.failed, &mut ran.out);
        }
        self.settle(&mut ran);
        for out in &mut ran.out {
            out.rows = behind(&batch.rows, &out.rows);
        }
        Ok(ran)
    }

    /// The columns that the branch reads. The way back from its rows is to those of the batch, so that failures can name
    /// them, until the branch has run.
    fn read(&self, batch: &Batch) -> Result<Batch, Error> {
        let columns = self.columns.iter().map(|column| Arc::clone(batch.records.column(*column))).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.records.num_rows()));
        let records = RecordBatch::try_new_with_options(Arc::clone(&self.input), columns, &options)
            .map_err(|error| Error::failed(format!("rows are not what they were planned as: {error}")))?;
        Ok(Batch { records, rows: Rows::Same, input: Arc::clone(&batch.input) })
    }

    /// A row fails once and as a whole: where a list was taken apart, nothing else that came of it goes on.
    fn settle(&self, ran: &mut Ran) {
        if ran.failed.is_empty() && ran.given_up.is_empty() {
            return;
        }
        let mut failed = BTreeSet::new();
        ran.failed.retain(|failure| failed.insert(failure.row));
        ran.given_up.retain(|(_, given_up)| failed.insert(given_up.row));
        ran.failed.sort_by_key(|failure| failure.row);
        ran.given_up.sort_by_key(|(_, given_up)| given_up.row);
        if !self.operators.iter().any(|operator| matches!(operator, Operator::Unnest(_))) {
            return;
        }
        for out in &mut ran.out {
            let of = |row: usize| out.rows.record(row).and_then(|row| u32::try_from(row).ok());
            let well = |row: usize| of(row).is_none_or(|row| !failed.contains(&row));
            let kept: UInt32Array =
                (0..out.records.num_rows()).filter(|row| well(*row)).map(|row| row as u32).map(Some).collect();
            if kept.len() < out.records.num_rows() {
                *out = out.take(&kept);
            }
        }
        ran.out.retain(|out| out.records.num_rows() > 0);
    }
}

/// Operators without calls, and the columns that are to leave them where those are known.
struct Segment<'a> {
    operators: &'a [Operator],
    output: Option<&'a SchemaRef>,
}

impl Segment<'_> {
    fn run(&self, batch: &Batch, failed: &mut Vec<RowFailure>, out: &mut Vec<Batch>) {
        if batch.records.num_rows() > 0 {
            self.run_slice(batch, 0, batch.records.num_rows(), failed, out);
        }
    }

    fn run_slice(&self, batch: &Batch, from: usize, rows: usize, failed: &mut Vec<RowFailure>, out: &mut Vec<Batch>) {
        let whole = from == 0 && rows == batch.records.num_rows();
        let slice = if whole { batch.clone() } else { batch.slice(from, rows) };
        // A function of SQL that breaks inside (text longer than can be) fails its row, as an error of its own would.
        let result = catch_unwind(AssertUnwindSafe(|| self.try_run(slice)))
            .unwrap_or_else(|_| Err(DataFusionError::Execution("a SQL function broke on its arguments".to_owned())));
        match result {
            Ok(done) if done.records.num_rows() == 0 => {}
            Ok(done) => out.push(done),
            Err(error) if rows <= 1 => failed.push(RowFailure {
                row: row_of(&batch.rows, from),
                code: "sql.evaluate",
                message: describe(&error),
            }),
            Err(_) => {
                let half = rows / 2;
                self.run_slice(batch, from, half, failed, out);
                self.run_slice(batch, from + half, rows - half, failed, out);
            }
        }
    }

    fn try_run(&self, mut batch: Batch) -> Result<Batch, DataFusionError> {
        for operator in self.operators {
            batch = operator.run(batch)?;
            if batch.records.num_rows() == 0 {
                return Ok(batch);
            }
        }
        match self.output {
            Some(output) => Ok(Batch { records: conform(&batch.records, output)?, ..batch }),
            None => Ok(batch),
        }
    }
}

/// The row of the node's input that a row came from.
pub(super) fn row_of(rows: &Rows, row: usize) -> u32 {
    let row = rows.record(row).expect("within a branch the way back is always known");
    u32::try_from(row).expect("a batch has fewer than 2^32 rows")
}

/// The way from rows to records, when `rows` leads to rows and `first` from those to records.
pub(super) fn behind(first: &Rows, rows: &Rows) -> Rows {
    match rows {
        Rows::Same => first.clone(),
        Rows::Index(index) => first.take(index),
        Rows::All => Rows::All,
    }
}

/// What halving cut apart, made one again, so that a function is called once for all of it.
fn join(parts: Vec<Batch>) -> Vec<Batch> {
    let [first, _, ..] = parts.as_slice() else { return parts };
    let index: UInt32Array =
        parts.iter().flat_map(|part| (0..part.records.num_rows()).map(|row| Some(row_of(&part.rows, row)))).collect();
    match concat_batches(first.records.schema_ref(), parts.iter().map(|part| &part.records)) {
        Ok(records) => vec![Batch { records, rows: Rows::Index(index), input: Arc::clone(&first.input) }],
        // More text than one column can have, which UNNEST may make: a call for each part, then.
        Err(_) => parts,
    }
}
