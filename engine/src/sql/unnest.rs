//! UNNEST: one row for each element of a list, a column for each field of a struct.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, StructArray, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::{concat::concat, take::take};
use datafusion::{common::DataFusionError, logical_expr::Unnest as Plan};
use riverhook_connectors::batch::Batch;

use super::{SqlError, operator::edge_type, schema_of};

/// Lists of one row are taken apart side by side: the longest decides how many rows come of it, shorter ones are filled
/// with nulls. A row whose lists are all empty or null gives no row.
#[derive(Clone, Debug)]
pub(super) struct Unnest {
    /// Input columns that are lists to be taken apart.
    lists: Vec<usize>,
    /// Input columns that are structs to be spread.
    structs: Vec<usize>,
    /// For each output column its input column.
    origins: Vec<usize>,
    pub(super) schema: SchemaRef,
}

impl Unnest {
    pub(super) fn new(plan: &Plan) -> Result<Self, SqlError> {
        if plan.list_type_columns.iter().any(|(_, list)| list.depth != 1) {
            return Err(SqlError::whole("UNNEST of an UNNEST is not supported")
                .help("take the inner list apart in a transform of its own"));
        }
        let fields = plan.schema.fields().iter();
        let fields = fields.map(|field| {
            Arc::new(field.as_ref().clone().with_data_type(edge_type(field.data_type())).with_nullable(true))
        });
        Ok(Self {
            lists: plan.list_type_columns.iter().map(|(column, _)| *column).collect(),
            structs: plan.struct_type_columns.clone(),
            origins: plan.dependency_indices.clone(),
            schema: schema_of(fields.collect()),
        })
    }

    pub(super) fn run(&self, batch: Batch) -> Result<Batch, DataFusionError> {
        let lists =
            self.lists.iter().map(|column| as_list(batch.records.column(*column))).collect::<Result<Vec<_>, _>>()?;
        let (parents, lengths) = parents(batch.records.num_rows(), &lists)?;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        let mut seen: Vec<usize> = Vec::new();
        for origin in &self.origins {
            let nth = seen.iter().filter(|other| *other == origin).count();
            seen.push(*origin);
            columns.push(self.column(*origin, nth, &batch.records, &lists, &parents, &lengths)?);
        }
        let records = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        let rows = if lists.is_empty() { batch.rows } else { batch.rows.take(&parents) };
        Ok(Batch { records, rows, input: batch.input })
    }

    fn column(
        &self,
        origin: usize,
        nth: usize,
        records: &RecordBatch,
        lists: &[ListArray],
        parents: &UInt32Array,
        lengths: &[usize],
    ) -> Result<ArrayRef, DataFusionError> {
        if let Some(which) = self.lists.iter().position(|column| *column == origin) {
            return elements(&lists[which], lengths);
        }
        let column = if self.structs.contains(&origin) {
            let fields = records.column(origin).as_any().downcast_ref::<StructArray>();
            let fields = fields.ok_or_else(|| DataFusionError::Internal("UNNEST of a struct that is none".into()))?;
            // Fields of a null struct are null.
            let all: Vec<Option<u32>> =
                (0..fields.len()).map(|row| (!fields.is_null(row)).then_some(row as u32)).collect();
            take(fields.column(nth), &UInt32Array::from(all), None)?
        } else {
            Arc::clone(records.column(origin))
        };
        if lists.is_empty() { Ok(column) } else { Ok(take(&column, parents, None)?) }
    }
}

fn as_list(column: &ArrayRef) -> Result<ListArray, DataFusionError> {
    let list = arrow_cast::cast(column, &edge_type(column.data_type()))?;
    let list = list.as_any().downcast_ref::<ListArray>().cloned();
    list.ok_or_else(|| DataFusionError::Internal(format!("UNNEST of {} is not supported", column.data_type())))
}

/// For each output row its input row, and for each input row how many rows come of it.
fn parents(rows: usize, lists: &[ListArray]) -> Result<(UInt32Array, Vec<usize>), DataFusionError> {
    let length = |list: &ListArray, row: usize| if list.is_null(row) { 0 } else { list.value_length(row) as usize };
    let lengths: Vec<usize> =
        (0..rows).map(|row| lists.iter().map(|list| length(list, row)).max().unwrap_or(1)).collect();
    let total: usize = lengths.iter().sum();
    if total > MAX_ROWS {
        return Err(DataFusionError::Execution(format!(
            "UNNEST makes {total} rows of one batch; at most {MAX_ROWS} are allowed"
        )));
    }
    let parents =
        lengths.iter().enumerate().flat_map(|(row, length)| std::iter::repeat_n(row as u32, *length)).collect();
    Ok((parents, lengths))
}

/// A batch whose lists have more elements is halved until it fits; a single row beyond it fails.
const MAX_ROWS: usize = 4_000_000;

fn elements(list: &ListArray, lengths: &[usize]) -> Result<ArrayRef, DataFusionError> {
    let mut indices: Vec<Option<u32>> = Vec::with_capacity(lengths.iter().sum());
    for (row, length) in lengths.iter().enumerate() {
        let (start, own) = if list.is_null(row) {
            (0, 0)
        } else {
            (list.value_offsets()[row] as u32, list.value_length(row) as usize)
        };
        indices.extend((0..*length).map(|i| (i < own).then_some(start + i as u32)));
    }
    if indices.is_empty() {
        return Ok(concat(&[list.values().slice(0, 0).as_ref()])?);
    }
    Ok(take(list.values(), &UInt32Array::from(indices), None)?)
}
