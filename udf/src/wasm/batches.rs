//! One copy of a function over Arrow batches: opens it for a schema, calls it, checks its answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::Loaded;
use super::abi::{Field, OpenParams, OpenResults, ProcessParams, ProcessResults, Reply as GuestReply};
use super::exports::BatchExports;
use super::guest::{
    as_call_error, cut_code, cut_message, instantiate, invalid, refused, run, start_limit, too_large, wrong_type,
};
use super::slot::{Live, Slot};
use crate::columns::format::{FlatField, flatten, unflatten};
use crate::columns::{decode::decode, encode::encode};
use crate::contract::{CallError, Caller, FailedRow, Instance, Invocation, OpenError, Origin, Outcome, Reply};

/// A copy of a function, opened for one input.
pub(crate) struct BatchInstance {
    opening: Opening,
    output: SchemaRef,
    slot: Slot,
}

/// What a copy is opened with, each time anew.
struct Opening {
    function: Arc<Loaded>,
    exports: BatchExports,
    caller: Caller,
    input: Vec<Field>,
}

impl BatchInstance {
    pub(crate) fn open(
        function: Arc<Loaded>,
        exports: BatchExports,
        input: &SchemaRef,
        caller: Caller,
    ) -> Result<Self, OpenError> {
        let begun = Instant::now();
        let flat = flatten(input).map_err(OpenError::UnsupportedInput)?;
        let input: Vec<Field> = flat.into_iter().map(Field::from).collect();
        let opening = Opening { function, exports, caller, input };
        let (live, output) = opening.start()?;
        Ok(Self { opening, output, slot: Slot::new(live, begun.elapsed()) })
    }
}

impl Instance for BatchInstance {
    fn output(&self) -> &SchemaRef {
        &self.output
    }

    fn call(&mut self, batch: &RecordBatch, invocation: &Invocation<'_>) -> Reply {
        let Self { opening, output, slot } = self;
        let longest = opening.function.settings.limits.max_output;
        let (result, usage) = slot.call(
            &opening.function,
            invocation,
            || opening.restart(output),
            |live, limit| {
                let answer = run_process(&opening.function, live, batch, limit)?;
                match answer {
                    Ok(reply) => outcome(reply, output, batch.num_rows(), longest).map(Ok),
                    Err(failure) => Ok(Err(failure)),
                }
            },
        );
        Reply { result, usage }
    }
}

impl Opening {
    /// Starts a fresh copy and opens it.
    fn start(&self) -> Result<(Live, SchemaRef), OpenError> {
        let function = &*self.function;
        let (mut store, instance) = instantiate(function, &self.caller)?;
        let open = instance
            .get_typed_func::<OpenParams<'_>, OpenResults>(&mut store, &self.exports.open)
            .map_err(|error| wrong_type(&error))?;
        let process = instance
            .get_typed_func::<ProcessParams<'_>, ProcessResults>(&mut store, &self.exports.process)
            .map_err(|error| wrong_type(&error))?;
        let process = *process.func();
        let limit = start_limit(function);
        let (output,) =
            run(function, &mut store, limit, async |store| open.call_async(store, (&self.input[..],)).await)
                .map_err(OpenError::Start)?;
        let output = output.map_err(|message| OpenError::Refused(cut_message(&message)))?;
        let output = unflatten(output.into_iter().map(FlatField::from).collect()).map_err(OpenError::InvalidOutput)?;
        Ok((Live::new(store, process), Arc::new(output)))
    }

    /// The same for a copy in the place of an earlier one, which must answer the same.
    fn restart(&self, expected: &SchemaRef) -> Result<Live, CallError> {
        let (live, output) = self.start().map_err(as_call_error)?;
        if output != *expected {
            return Err(invalid("the function answers another output schema than the first time it was asked"));
        }
        Ok(live)
    }
}

/// A guest's answer: a batch, or its own word that the whole batch failed.
type Answer = Result<GuestReply, CallError>;

fn run_process(function: &Loaded, live: &mut Live, batch: &RecordBatch, limit: Duration) -> Result<Answer, CallError> {
    let rows = u32::try_from(batch.num_rows()).map_err(|_| invalid("a batch of more than 2^32 rows"))?;
    let buffers = encode(batch.columns().iter().cloned());
    let buffers: Vec<&[u8]> = buffers.iter().map(|buffer| buffer.as_slice()).collect();
    let process = live
        .process
        .typed::<ProcessParams<'_>, ProcessResults>(&live.store)
        .map_err(|error| as_call_error(wrong_type(&error)))?;
    let (answer,) =
        run(function, &mut live.store, limit, async |store| process.call_async(store, (rows, &buffers)).await)?;
    Ok(answer.map_err(|failure| refused(&failure.code, &failure.message, failure.retryable)))
}

/// The guest's answer as an outcome, if all of it holds.
fn outcome(reply: GuestReply, schema: &SchemaRef, input_rows: usize, longest: usize) -> Result<Outcome, CallError> {
    let bytes: usize = reply.buffers.iter().map(Vec::len).sum();
    if bytes > longest {
        return Err(too_large(longest));
    }
    let rows = reply.rows as usize;
    let origin = check_origin(reply.origin.into(), rows, input_rows).map_err(invalid)?;
    let output = decode(schema, rows, reply.buffers, longest).map_err(invalid)?;
    let mut failed = Vec::with_capacity(reply.failed.len());
    for row in reply.failed {
        let after_last = failed.last().is_none_or(|last: &FailedRow| last.row < row.row);
        if !after_last || row.row as usize >= input_rows {
            return Err(invalid(format!(
                "failed row {} is out of order or beyond the batch's {input_rows} rows",
                row.row
            )));
        }
        failed.push(FailedRow {
            row: row.row,
            code: cut_code(&row.code),
            message: cut_message(&row.message),
            retryable: row.retryable,
        });
    }
    Ok(Outcome { output, origin, failed })
}

fn check_origin(origin: Origin, rows: usize, input_rows: usize) -> Result<Origin, String> {
    match &origin {
        Origin::Same if rows != input_rows => Err(format!("{rows} rows said to be the {input_rows} rows of the input")),
        Origin::Rows(from) if from.len() != rows => {
            Err(format!("the origin of {} rows for an output of {rows}", from.len()))
        }
        Origin::Rows(from) if from.iter().any(|row| *row as usize >= input_rows) => {
            Err(format!("an origin beyond the batch's {input_rows} rows"))
        }
        _ => Ok(origin),
    }
}
