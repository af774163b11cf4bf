//! A function that does not run: it gives the same answer to every batch.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::{DataType, Schema, SchemaRef};
use arrow_select::take::take_record_batch;
use riverhook_udf::{
    CallError, CallErrorKind, Caller, Function, Instance, Invocation, OpenError, Origin, Outcome, Reply, Usage,
};
use serde_json::Value;

use super::given::decode;
use crate::{error::Error, functions::Scalar, plan::Call};

/// What a function answers in place of its code.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// These rows, with the columns that the function's code says it answers.
    Rows(Vec<Value>),
    /// A failure of the whole call.
    Failure(String),
}

/// The stub of the function `name`, whose rows have the columns of `output`.
pub(super) fn stub(name: &str, answer: &Answer, output: &SchemaRef) -> Result<Arc<dyn Function>, Error> {
    Ok(Arc::new(Stub::new(name, answer, output)?))
}

/// The stub of a function that SQL calls. Its rows have the fields of its result, or the column `value`; one row alone is
/// the answer to each row, none is NULL for each.
pub(super) fn scalar_stub(call: &Call, answer: &Answer) -> Result<Arc<dyn Function>, Error> {
    let failed = |what: &dyn std::fmt::Display| Error::failed(format!("the function `{}`: {what}", call.name));
    let output = call.function.describe(&call.input).map_err(|error| failed(&error))?;
    let result = output.fields().first().ok_or_else(|| failed(&"it has no result"))?;
    let columns = match result.data_type() {
        DataType::Struct(fields) => Arc::new(Schema::new(fields.clone())),
        _ => Arc::clone(&output),
    };
    let stub = Stub { repeats: true, ..Stub::new(&call.name, answer, &columns)? };
    let scalar =
        Scalar::new(Arc::new(stub), &columns, result).ok_or_else(|| failed(&"its result has other columns"))?;
    Ok(Arc::new(scalar))
}

#[derive(Clone)]
struct Stub {
    output: SchemaRef,
    result: Result<RecordBatch, String>,
    /// Whether a single row is the answer to each row.
    repeats: bool,
}

impl Stub {
    fn new(name: &str, answer: &Answer, output: &SchemaRef) -> Result<Self, Error> {
        let result = match answer {
            Answer::Rows(rows) => Ok(decode(rows, output, &format!("the answer of the function `{name}`"))?),
            Answer::Failure(message) => Err(message.clone()),
        };
        Ok(Self { output: Arc::clone(output), result, repeats: false })
    }
}

impl Function for Stub {
    fn describe(&self, _input: &Schema) -> Result<SchemaRef, OpenError> {
        Ok(Arc::clone(&self.output))
    }

    fn instance(&self, _input: SchemaRef, _caller: &Caller) -> Result<Box<dyn Instance>, OpenError> {
        Ok(Box::new(self.clone()))
    }

    fn version(&self) -> &str {
        "stub"
    }
}

impl Instance for Stub {
    fn output(&self) -> &SchemaRef {
        &self.output
    }

    fn call(&mut self, batch: &RecordBatch, _invocation: &Invocation<'_>) -> Reply {
        let result = match &self.result {
            Ok(rows) if self.repeats && rows.num_rows() == 1 => {
                let first = UInt32Array::from_value(0, batch.num_rows());
                let output = take_record_batch(rows, &first).expect("it has a first row");
                Ok(Outcome { output, origin: Origin::Same, failed: Vec::new() })
            }
            Ok(rows) => {
                // As many rows as came in are taken for theirs, one by one; others could be of any of them.
                let same = rows.num_rows() == batch.num_rows();
                let origin = if same { Origin::Same } else { Origin::WholeBatch };
                Ok(Outcome { output: rows.clone(), origin, failed: Vec::new() })
            }
            Err(message) => {
                let kind = CallErrorKind::Failed("Stub".to_owned());
                Err(CallError { kind, message: message.clone(), retryable: false })
            }
        };
        Reply { result, usage: Usage::default() }
    }
}
