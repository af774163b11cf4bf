//! Calls of the file's functions between the operators of a branch: arguments in, a column of results out.
//!
//! How a function is called, tried again and measured is not known here: [`Calls`] does it. It answers each row once or
//! gives it up; here the answers find their rows again, and rows that are given up leave the batch.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::{interleave::interleave, take::take};
use riverhook_connectors::batch::{Batch, Input, Rows};
use uuid::Uuid;

use super::branch::{behind, row_of};
use crate::{
    error::Error,
    functions::{Delivered, GivenUp},
};

/// Calls functions for the branches of a query.
pub trait Calls {
    /// Calls the function of this index in `Query::functions` with rows whose columns are its arguments. Each row is
    /// answered with one row of one column, or given up.
    ///
    /// # Errors
    /// If the function cannot be started at all.
    fn call(&self, function: usize, arguments: &Batch) -> Result<Delivered, Error>;
}

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Which function: index into `Query::functions`.
    pub(super) function: usize,
    /// The columns of its arguments: the last of the batch.
    pub(super) input: SchemaRef,
    /// The batch's columns behind the call: those before the arguments, and the result.
    pub(super) schema: SchemaRef,
}

impl Call {
    /// Calls; the rows that were answered. `node` are the rows that the branch was given.
    pub(super) fn run(
        &self,
        batch: Batch,
        node: &Batch,
        calls: &dyn Calls,
        given_up: &mut Vec<(usize, GivenUp)>,
    ) -> Result<Option<Batch>, Error> {
        let count = batch.records.num_rows();
        if count == 0 {
            return Ok(None);
        }
        let (_, mut columns, _) = batch.records.into_parts();
        let arguments = columns.split_off(columns.len() - self.input.fields().len());
        let arguments = RecordBatch::try_new(Arc::clone(&self.input), arguments).map_err(wrong)?;
        let way = behind(&node.rows, &batch.rows);
        let arguments = traceable(Batch { records: arguments, rows: way, input: Arc::clone(&node.input) });
        let Delivered { out, failed } = calls.call(self.function, &arguments)?;
        let mut give_up = |failed: GivenUp| {
            let row = row_of(&batch.rows, failed.row as usize);
            given_up.push((self.function, GivenUp { row, ..failed }));
        };
        if let ([only], true) = (out.as_slice(), failed.is_empty())
            && only.records.num_rows() == count
            && only.rows == arguments.rows
        {
            columns.push(Arc::clone(only.records.column(0)));
            return self.answered(columns, batch.rows, batch.input, count).map(Some);
        }
        let mut places = places(&out, &arguments.rows, count);
        for failed in failed {
            places[failed.row as usize] = Place::Failed;
            give_up(failed);
        }
        for (row, _) in places.iter().enumerate().filter(|(_, place)| matches!(place, Place::Nowhere)) {
            give_up(forgotten(row));
        }
        let (kept, found): (Vec<u32>, Vec<(usize, usize)>) = (0u32..)
            .zip(&places)
            .filter_map(|(row, place)| match place {
                Place::At(batch, at) => Some((row, (*batch, *at))),
                Place::Nowhere | Place::Failed => None,
            })
            .unzip();
        if kept.is_empty() {
            return Ok(None);
        }
        let results: Vec<&dyn Array> = out.iter().map(|batch| batch.records.column(0).as_ref()).collect();
        let result = interleave(&results, &found).map_err(wrong)?;
        let kept = UInt32Array::from(kept);
        if kept.len() < count {
            columns =
                columns.iter().map(|column| take(column, &kept, None)).collect::<Result<_, _>>().map_err(wrong)?;
        }
        columns.push(result);
        let rows = if kept.len() < count { batch.rows.take(&kept) } else { batch.rows };
        self.answered(columns, rows, batch.input, kept.len()).map(Some)
    }

    fn answered(&self, columns: Vec<ArrayRef>, rows: Rows, input: Arc<Input>, count: usize) -> Result<Batch, Error> {
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let records = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(wrong)?;
        Ok(Batch { records, rows, input })
    }
}

/// Where the answer to a row is.
#[derive(Clone, Copy)]
enum Place {
    Nowhere,
    /// In this batch, at this row.
    At(usize, usize),
    Failed,
}

fn places(out: &[Batch], rows: &Rows, count: usize) -> Vec<Place> {
    let mut places = vec![Place::Nowhere; count];
    for (number, batch) in out.iter().enumerate() {
        for at in 0..batch.records.num_rows() {
            let row = batch.rows.record(at).and_then(|record| match rows {
                Rows::Index(index) => index.values().binary_search(&u32::try_from(record).ok()?).ok(),
                _ => Some(record),
            });
            if let Some(place) = row.and_then(|row| places.get_mut(row)) {
                *place = Place::At(number, at);
            }
        }
    }
    places
}

/// The same rows with a way back that tells each from the others: a record of its own for each, where several came from
/// one or it is not known from which.
fn traceable(batch: Batch) -> Batch {
    let index = match &batch.rows {
        Rows::Same => return batch,
        Rows::Index(index) if index.values().is_sorted_by(|one, next| one < next) => return batch,
        Rows::Index(index) => Some(index),
        Rows::All => None,
    };
    let input = &*batch.input;
    let of_records = |column: &dyn Array| index.and_then(|index| take(column, index, None).ok());
    let positions = index.into_iter().flat_map(|index| index.values());
    let keys = input.keys.as_ref().and_then(|keys| of_records(keys));
    let times = input.times.as_ref().and_then(|times| of_records(times));
    let input = Input {
        source: Arc::clone(&input.source),
        partition: input.partition.clone(),
        positions: positions.filter_map(|record| input.positions.get(*record as usize).copied()).collect(),
        keys: keys.and_then(|keys| keys.as_any().downcast_ref().cloned()),
        headers: input.headers.as_ref().and_then(|headers| of_records(headers)),
        times: times.and_then(|times| times.as_any().downcast_ref().cloned()),
        read_at: input.read_at,
    };
    Batch { records: batch.records, rows: Rows::Same, input: Arc::new(input) }
}

/// A row that was neither answered nor given up. Nothing may get lost, also where somebody broke their word.
fn forgotten(row: usize) -> GivenUp {
    GivenUp {
        row: u32::try_from(row).expect("a batch has fewer than 2^32 rows"),
        code: "Function.InvalidResponse",
        message: "no answer came for this row".to_owned(),
        attempts: 1,
        invocation: Uuid::nil(),
    }
}

fn wrong(error: ArrowError) -> Error {
    Error::failed(format!("a function's rows are not what they were planned as: {error}"))
}
