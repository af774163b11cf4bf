//! A function that does not run: it gives the same answer to every batch.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use riverhook_udf::{
    CallError, CallErrorKind, Caller, Function, Instance, Invocation, OpenError, Origin, Outcome, Reply, Usage,
};
use serde_json::Value;

use super::given::decode;
use crate::error::Error;

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
    let result = match answer {
        Answer::Rows(rows) => Ok(decode(rows, output, &format!("the answer of the function `{name}`"))?),
        Answer::Failure(message) => Err(message.clone()),
    };
    Ok(Arc::new(Stub { output: Arc::clone(output), result }))
}

#[derive(Clone)]
struct Stub {
    output: SchemaRef,
    result: Result<RecordBatch, String>,
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
