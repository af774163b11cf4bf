//! One copy of a function over JSON records: writes rows as records, calls it, reads its answers as rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use wasmtime::component::ComponentExportIndex;

use super::Loaded;
use super::abi::{Answer, RecordsParams, RecordsResults};
use super::answers::Reader;
use super::guest::{as_call_error, instantiate, invalid, refused, run, wrong_type};
use super::sandbox::ANSWER_ROOM;
use super::settings::Records;
use super::slot::{Live, Slot};
use crate::codec::JsonRows;
use crate::contract::{CallError, Caller, Instance, Invocation, OpenError, Reply};

/// A copy of a function, opened for one input.
pub(crate) struct RecordInstance {
    function: Arc<Loaded>,
    caller: Caller,
    process: ComponentExportIndex,
    reader: Reader,
    /// The records of the call that runs; kept for its memory.
    texts: JsonRows,
    slot: Slot,
}

impl RecordInstance {
    pub(crate) fn open(
        function: Arc<Loaded>,
        process: ComponentExportIndex,
        records: &Records,
        input: &SchemaRef,
        caller: Caller,
    ) -> Result<Self, OpenError> {
        let begun = Instant::now();
        let reader = Reader::new(records, input).map_err(OpenError::UnsupportedInput)?;
        let live = start(&function, &process, &caller)?;
        let slot = Slot::new(live, begun.elapsed());
        Ok(Self { function, caller, process, reader, texts: JsonRows::default(), slot })
    }
}

impl Instance for RecordInstance {
    fn output(&self) -> &SchemaRef {
        self.reader.schema()
    }

    fn call(&mut self, batch: &RecordBatch, invocation: &Invocation<'_>) -> Reply {
        let Self { function, caller, process, reader, texts, slot } = self;
        let longest = function.settings.limits.max_output;
        let (result, usage) = slot.call(
            function,
            invocation,
            || start(function, process, caller).map_err(as_call_error),
            |live, limit| {
                texts.clear();
                reader.encode(batch, texts);
                match run_process(function, live, texts, limit)? {
                    Ok(answers) => reader.outcome(answers, batch.num_rows(), longest).map(Ok),
                    Err(failure) => Ok(Err(failure)),
                }
            },
        );
        Reply { result, usage }
    }
}

/// Starts a fresh copy.
fn start(function: &Loaded, process: &ComponentExportIndex, caller: &Caller) -> Result<Live, OpenError> {
    let (mut store, instance) = instantiate(function, caller)?;
    let process = instance
        .get_typed_func::<RecordsParams<'_>, RecordsResults>(&mut store, process)
        .map_err(|error| wrong_type(&error))?;
    let process = *process.func();
    Ok(Live::new(store, process))
}

/// The guest's answers, or its own word that the whole batch failed.
fn run_process(
    function: &Loaded,
    live: &mut Live,
    texts: &JsonRows,
    limit: Duration,
) -> Result<Result<Vec<Answer>, CallError>, CallError> {
    let records = texts.iter().map(std::str::from_utf8).collect::<Result<Vec<_>, _>>();
    let records = records.map_err(|_| invalid("the batch's JSON is not UTF-8"))?;
    // Each answer costs its own size besides the texts in it, which are what `max_output` is meant for.
    let room = records.len().saturating_mul(size_of::<Answer>() + size_of::<String>()).saturating_add(ANSWER_ROOM);
    live.store.set_hostcall_fuel(function.settings.limits.max_output.saturating_add(room));
    let process = live
        .process
        .typed::<RecordsParams<'_>, RecordsResults>(&live.store)
        .map_err(|error| as_call_error(wrong_type(&error)))?;
    let (answer,) =
        run(function, &mut live.store, limit, async |store| process.call_async(store, (&records[..],)).await)?;
    Ok(answer.map_err(|failure| refused(&failure.code, &failure.message, failure.retryable)))
}
