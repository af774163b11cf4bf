//! The operators of stateless SQL, as they run: a batch in, a batch out.
//!
//! A row keeps the way back to the record it came from. An error of one row (a bad cast, a division by zero) fails the
//! expression for the whole batch, so the batch is halved until the row is alone; its neighbours go on.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow_array::{Array, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{ArrowError, DataType, SchemaRef};
use arrow_select::filter::FilterBuilder;
use datafusion::{common::DataFusionError, physical_expr::PhysicalExpr};
use riverhook_connectors::batch::{Batch, RowFailure};

use super::{failure::describe, unnest::Unnest};

/// One step of a branch.
#[derive(Clone, Debug)]
pub(super) enum Operator {
    /// Keeps the rows for which the condition is true.
    Filter(Arc<dyn PhysicalExpr>),
    /// Makes new columns.
    Project {
        /// One expression a column.
        expressions: Vec<Arc<dyn PhysicalExpr>>,
        /// The columns made.
        schema: SchemaRef,
    },
    /// One row for each element of lists.
    Unnest(Unnest),
}

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

impl BoundBranch {
    /// Runs the branch over a batch. Rows that fail are appended to `failed` by their index in `batch`; the others come
    /// out in order, in one batch unless a row failed.
    pub fn run(&self, batch: &Batch, failed: &mut Vec<RowFailure>) -> Vec<Batch> {
        let mut out = Vec::with_capacity(1);
        self.run_slice(batch, 0, batch.records.num_rows(), failed, &mut out);
        out
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
                row: u32::try_from(from).expect("a batch has fewer than 2^32 rows"),
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

    fn try_run(&self, batch: Batch) -> Result<Batch, DataFusionError> {
        let columns = self.columns.iter().map(|column| Arc::clone(batch.records.column(*column))).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.records.num_rows()));
        let records = RecordBatch::try_new_with_options(Arc::clone(&self.input), columns, &options)?;
        let mut batch = Batch { records, ..batch };
        for operator in &self.operators {
            if batch.records.num_rows() == 0 {
                break;
            }
            batch = match operator {
                Operator::Filter(condition) => filter(batch, condition)?,
                Operator::Project { expressions, schema } => project(batch, expressions, schema)?,
                Operator::Unnest(unnest) => unnest.run(batch)?,
            };
        }
        if batch.records.num_rows() == 0 {
            return Ok(Batch { records: RecordBatch::new_empty(Arc::clone(&self.output)), ..batch });
        }
        Ok(Batch { records: conform(&batch.records, &self.output)?, ..batch })
    }
}

fn filter(batch: Batch, condition: &Arc<dyn PhysicalExpr>) -> Result<Batch, DataFusionError> {
    let value = condition.evaluate(&batch.records)?.into_array(batch.records.num_rows())?;
    let mask = value
        .as_any()
        .downcast_ref::<BooleanArray>()
        .ok_or_else(|| DataFusionError::Internal(format!("a WHERE that is {} and not a boolean", value.data_type())))?;
    // NULL is not true.
    let mask = match mask.nulls() {
        Some(valid) => BooleanArray::new(mask.values() & valid.inner(), None),
        None => mask.clone(),
    };
    if mask.true_count() == batch.records.num_rows() {
        return Ok(batch);
    }
    let kept: UInt32Array = mask.values().set_indices_u32().collect();
    let predicate = FilterBuilder::new(&mask).optimize().build();
    let records = predicate.filter_record_batch(&batch.records)?;
    Ok(Batch { records, rows: batch.rows.take(&kept), input: batch.input })
}

fn project(batch: Batch, expressions: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef) -> Result<Batch, DataFusionError> {
    let rows = batch.records.num_rows();
    let columns = expressions
        .iter()
        .map(|expression| expression.evaluate(&batch.records)?.into_array(rows))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let records = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
    Ok(Batch { records, ..batch })
}

/// The columns in the types that edges have (never views or dictionaries), under the output's names.
fn conform(records: &RecordBatch, output: &SchemaRef) -> Result<RecordBatch, DataFusionError> {
    let columns = records
        .columns()
        .iter()
        .zip(output.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                return Ok(Arc::clone(column));
            }
            arrow_cast::cast(column, field.data_type())
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(output), columns)?)
}

/// The type a column has on an edge.
pub(super) fn edge_type(data_type: &DataType) -> DataType {
    let edge_field =
        |field: &arrow_schema::FieldRef| Arc::new(field.as_ref().clone().with_data_type(edge_type(field.data_type())));
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, values) => edge_type(values),
        DataType::LargeList(item) | DataType::ListView(item) | DataType::LargeListView(item) | DataType::List(item) => {
            DataType::List(edge_field(item))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(edge_field).collect()),
        other => other.clone(),
    }
}
