//! A function as SQL calls it: whatever it answers, each row gets one value or none, or fails.
//!
//! It stands around a function of any kind, so that answers that cannot be told apart, or are too many, are failures like
//! all others: tried again, halved and given up by the same policy.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, StructArray, UInt32Array};
use arrow_schema::{DataType, FieldRef, Fields, Schema, SchemaRef};
use arrow_select::take::take;
use riverhook_udf::{
    CallError, CallErrorKind, Caller, FailedRow, Function, Instance, Invocation, OpenError, Origin, Outcome, Reply,
};

/// A function whose answers become one column, one row for each row that it is given.
pub struct Scalar {
    inner: Arc<dyn Function>,
    shape: Shape,
}

/// How answers become results.
#[derive(Clone)]
struct Shape {
    /// The fields of a struct that the columns of an answer are; without, the only column is the result itself.
    fields: Option<Fields>,
    /// Whether each row must have an answer.
    required: bool,
    output: SchemaRef,
}

impl Scalar {
    /// The function `inner`, which answers rows of `answered`, with results of `result`; `None` if those do not fit.
    pub fn new(inner: Arc<dyn Function>, answered: &Schema, result: &FieldRef) -> Option<Self> {
        let fields = match (answered.fields().as_ref(), result.data_type()) {
            ([only], data_type) if only.data_type() == data_type => None,
            (columns, DataType::Struct(fields)) if is_struct_of(columns, fields) => Some(fields.clone()),
            _ => return None,
        };
        let column = Arc::new(result.as_ref().clone().with_nullable(true));
        let output = Arc::new(Schema::new(vec![column]));
        Some(Self { inner, shape: Shape { fields, required: !result.is_nullable(), output } })
    }
}

/// Whether the columns are a struct's fields, and null only where those may be.
fn is_struct_of(columns: &[FieldRef], fields: &Fields) -> bool {
    columns.len() == fields.len()
        && columns.iter().zip(fields).all(|(column, field)| {
            column.name() == field.name()
                && column.data_type() == field.data_type()
                && (field.is_nullable() || !column.is_nullable())
        })
}

impl Function for Scalar {
    fn describe(&self, _input: &Schema) -> Result<SchemaRef, OpenError> {
        Ok(Arc::clone(&self.shape.output))
    }

    fn instance(&self, input: SchemaRef, caller: &Caller) -> Result<Box<dyn Instance>, OpenError> {
        Ok(Box::new(Copy { inner: self.inner.instance(input, caller)?, shape: self.shape.clone() }))
    }

    fn version(&self) -> &str {
        self.inner.version()
    }
}

struct Copy {
    inner: Box<dyn Instance>,
    shape: Shape,
}

impl Instance for Copy {
    fn output(&self) -> &SchemaRef {
        &self.shape.output
    }

    fn call(&mut self, batch: &RecordBatch, invocation: &Invocation<'_>) -> Reply {
        let Reply { result, usage } = self.inner.call(batch, invocation);
        Reply { result: result.and_then(|outcome| self.shape.outcome(outcome, batch.num_rows())), usage }
    }
}

impl Shape {
    /// The outcome with one row for each of `rows` that did not fail.
    fn outcome(&self, outcome: Outcome, rows: usize) -> Result<Outcome, CallError> {
        let Outcome { output, origin, mut failed } = outcome;
        let column = self.column(output)?;
        if failed.is_empty() && is_same(&origin, rows) && !(self.required && column.null_count() > 0) {
            return self.answered(column, Origin::Same, failed);
        }
        let mut answers: Vec<Option<u32>> = vec![None; rows];
        let mut wrong: Vec<u32> = Vec::new();
        for (answer, row) in (0u32..).zip(rows_of(origin, rows, column.len())?) {
            let place = &mut answers[row as usize];
            if place.replace(answer).is_some() {
                wrong.push(row);
            }
        }
        let is_null = |answer: &Option<u32>| answer.is_none_or(|answer| column.is_null(answer as usize));
        if self.required {
            wrong.extend((0u32..).zip(&answers).filter(|(_, answer)| is_null(answer)).map(|(row, _)| row));
        }
        wrong.sort_unstable();
        wrong.dedup();
        for row in wrong {
            if let Err(place) = failed.binary_search_by_key(&row, |failed| failed.row) {
                let none = is_null(&answers[row as usize]);
                failed.insert(place, unfit(row, none));
            }
        }
        let is_well = |row: &u32| failed.binary_search_by_key(row, |failed| failed.row).is_err();
        let kept: Vec<u32> = (0..rows as u32).filter(is_well).collect();
        let picked: UInt32Array = kept.iter().map(|row| answers[*row as usize]).collect();
        let column = take(&column, &picked, None).map_err(|error| invalid(error.to_string()))?;
        let origin = if failed.is_empty() { Origin::Same } else { Origin::Rows(kept) };
        self.answered(column, origin, failed)
    }

    fn column(&self, output: RecordBatch) -> Result<ArrayRef, CallError> {
        let (_, columns, _) = output.into_parts();
        match &self.fields {
            Some(fields) => StructArray::try_new(fields.clone(), columns, None)
                .map(|column| Arc::new(column) as ArrayRef)
                .map_err(|error| invalid(error.to_string())),
            None => columns.into_iter().next().ok_or_else(|| invalid("its answer has no column")),
        }
    }

    fn answered(&self, column: ArrayRef, origin: Origin, failed: Vec<FailedRow>) -> Result<Outcome, CallError> {
        let output = RecordBatch::try_new(Arc::clone(&self.output), vec![column]);
        Ok(Outcome { output: output.map_err(|error| invalid(error.to_string()))?, origin, failed })
    }
}

/// Whether each row has its answer at its own place. Functions over records name all rows, in order, when all is well.
fn is_same(origin: &Origin, rows: usize) -> bool {
    match origin {
        Origin::Same => true,
        Origin::Rows(from) => from.len() == rows && (0u32..).zip(from).all(|(row, from)| row == *from),
        Origin::WholeBatch => false,
    }
}

/// For each answer its row.
fn rows_of(origin: Origin, rows: usize, answers: usize) -> Result<Vec<u32>, CallError> {
    match origin {
        Origin::Same => Ok((0..rows as u32).collect()),
        Origin::Rows(from) => Ok(from),
        Origin::WholeBatch if answers == 0 => Ok(Vec::new()),
        Origin::WholeBatch if rows == 1 => Ok(vec![0; answers]),
        Origin::WholeBatch => Err(invalid(format!(
            "{answers} answers to {rows} rows, which cannot be told apart: answer one for each row, null for none"
        ))),
    }
}

fn unfit(row: u32, none: bool) -> FailedRow {
    let message = if none {
        "it gave no answer to this row, and the result of its signature ends in `!`"
    } else {
        "it gave several answers to this row, where SQL wants one value"
    };
    FailedRow { row, code: "Function.InvalidResponse".to_owned(), message: message.to_owned(), retryable: false }
}

fn invalid(problem: impl Into<String>) -> CallError {
    CallError { kind: CallErrorKind::InvalidResponse, message: problem.into(), retryable: false }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, StringArray};
    use arrow_schema::Field;

    use super::*;

    fn shape(required: bool) -> Shape {
        let fields: Fields =
            vec![Field::new("country", DataType::Utf8, true), Field::new("lat", DataType::Float64, true)].into();
        let field = Field::new("value", DataType::Struct(fields.clone()), true);
        Shape { fields: Some(fields), required, output: Arc::new(Schema::new(vec![field])) }
    }

    fn answers(of: &[f64]) -> RecordBatch {
        let countries: StringArray = of.iter().map(|lat| Some(format!("c{lat}"))).collect();
        let fields = vec![Field::new("country", DataType::Utf8, true), Field::new("lat", DataType::Float64, true)];
        let columns: Vec<ArrayRef> = vec![Arc::new(countries), Arc::new(Float64Array::from(of.to_vec()))];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    /// The latitudes that rows got, the way back, and the rows that failed.
    fn said(outcome: &Outcome) -> (Vec<Option<f64>>, &Origin, Vec<u32>) {
        let column: &StructArray = outcome.output.column(0).as_any().downcast_ref().unwrap();
        let lats: &Float64Array = column.column(1).as_any().downcast_ref().unwrap();
        let lat = |row| (!column.is_null(row)).then(|| lats.value(row));
        let failed = outcome.failed.iter().map(|failed| failed.row).collect();
        ((0..column.len()).map(lat).collect(), &outcome.origin, failed)
    }

    fn failed(row: u32) -> FailedRow {
        FailedRow { row, code: "No".to_owned(), message: "no".to_owned(), retryable: true }
    }

    #[track_caller]
    fn check(required: bool, origin: Origin, of: &[f64], own: &[u32], expected: (Vec<Option<f64>>, Origin, Vec<u32>)) {
        let outcome = Outcome { output: answers(of), origin, failed: own.iter().copied().map(failed).collect() };
        let outcome = shape(required).outcome(outcome, 4).unwrap();
        assert_eq!(said(&outcome), (expected.0, &expected.1, expected.2));
    }

    #[test]
    fn each_row_has_its_answer_or_none() {
        let all = [0., 1., 2., 3.];
        let some = |of: &[f64]| of.iter().copied().map(Some).collect::<Vec<_>>();
        check(false, Origin::Same, &all, &[], (some(&all), Origin::Same, vec![]));
        check(false, Origin::Rows(vec![0, 1, 2, 3]), &all, &[], (some(&all), Origin::Same, vec![]));
        check(
            false,
            Origin::Rows(vec![3, 1]),
            &[3., 1.],
            &[],
            (vec![None, Some(1.), None, Some(3.)], Origin::Same, vec![]),
        );
        check(false, Origin::WholeBatch, &[], &[], (vec![None; 4], Origin::Same, vec![]));
        check(true, Origin::Same, &all, &[], (some(&all), Origin::Same, vec![]));
    }

    #[test]
    fn rows_that_fail_have_none_and_are_not_among_the_rows() {
        let rows = Origin::Rows(vec![0, 2, 3]);
        check(
            false,
            rows,
            &[0., 2., 3.],
            &[1],
            (vec![Some(0.), Some(2.), Some(3.)], Origin::Rows(vec![0, 2, 3]), vec![1]),
        );
        // A second answer to a row fails it, and so does none where there must be one.
        let twice = Origin::Rows(vec![0, 1, 1, 3]);
        check(
            false,
            twice.clone(),
            &[0., 1., 1., 3.],
            &[],
            (vec![Some(0.), None, Some(3.)], Origin::Rows(vec![0, 2, 3]), vec![1]),
        );
        check(true, twice, &[0., 1., 1., 3.], &[], (vec![Some(0.), Some(3.)], Origin::Rows(vec![0, 3]), vec![1, 2]));
        // The function's own word about a row stands.
        let outcome = Outcome { output: answers(&[]), origin: Origin::Rows(vec![]), failed: vec![failed(2)] };
        let outcome = shape(true).outcome(outcome, 4).unwrap();
        assert_eq!((said(&outcome).2, outcome.failed[2].code.as_str()), (vec![0, 1, 2, 3], "No"));
    }

    #[test]
    fn answers_that_cannot_be_told_apart_fail_the_call() {
        let outcome = Outcome { output: answers(&[1., 2.]), origin: Origin::WholeBatch, failed: vec![] };
        let error = shape(false).outcome(outcome.clone(), 3).unwrap_err();
        assert_eq!((error.kind, error.retryable), (CallErrorKind::InvalidResponse, false));
        assert_eq!(said(&shape(false).outcome(outcome, 1).unwrap()).2, [0], "of one row they are known to be too many");
    }
}
