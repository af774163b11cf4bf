//! The operators of stateless SQL, as they run: a batch in, a batch out. A row keeps the way back to where it came from.

use std::sync::Arc;

use arrow_array::{Array, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::filter::FilterBuilder;
use datafusion::{common::DataFusionError, physical_expr::PhysicalExpr};
use riverhook_connectors::batch::Batch;

use super::{call::Call, unnest::Unnest};

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
    /// A function of the file, called on the last columns: its result takes their place.
    Call(Call),
}

impl Operator {
    /// The rows that this makes of some.
    pub(super) fn run(&self, batch: Batch) -> Result<Batch, DataFusionError> {
        match self {
            Self::Filter(condition) => filter(batch, condition),
            Self::Project { expressions, schema } => project(batch, expressions, schema),
            Self::Unnest(unnest) => unnest.run(batch),
            Self::Call(_) => Err(DataFusionError::Internal("a call is no expression".to_owned())),
        }
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
pub(super) fn conform(records: &RecordBatch, output: &SchemaRef) -> Result<RecordBatch, DataFusionError> {
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
