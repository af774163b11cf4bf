//! One copy of a WebAssembly function: starts it, calls it, judges how a call ended, replaces it when it is beyond use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use wasmtime::component::Func;
use wasmtime::{Store, Trap};
use wasmtime_wasi::I32Exit;

use super::Loaded;
use super::abi::{Field, OpenParams, OpenResults, ProcessParams, ProcessResults, Reply as GuestReply};
use super::block_on::block_on;
use super::sandbox::{self, State};
use super::ticker::Ticker;
use crate::columns::format::{FlatField, flatten, unflatten};
use crate::columns::{decode::decode, encode::encode};
use crate::contract::{
    CallError, CallErrorKind, FailedRow, Instance, Invocation, OpenError, Origin, Outcome, Reply, Usage,
};
use crate::logs::cut;

/// The least time that a copy has to start, even if a call has less.
const START: Duration = Duration::from_secs(1);
/// The longest code and message of a failure, in bytes; what is longer is cut.
const MAX_CODE: usize = 64;
const MAX_MESSAGE: usize = 4 << 10;

/// A copy of a function, opened for one input.
pub(crate) struct WasmInstance {
    function: Arc<Loaded>,
    input: Vec<Field>,
    output: SchemaRef,
    /// None after a call that left the copy in doubt; the next call starts a fresh one.
    live: Option<Live>,
    /// How long the first copy took to start, until a call has reported it as its cold start.
    start: Option<Duration>,
}

/// A component's instance, with `open` behind it.
struct Live {
    store: Store<State>,
    process: Func,
}

impl WasmInstance {
    pub(crate) fn open(function: Arc<Loaded>, input: SchemaRef) -> Result<Self, OpenError> {
        let begun = Instant::now();
        let flat = flatten(&input).map_err(OpenError::UnsupportedInput)?;
        let input: Vec<Field> = flat.into_iter().map(Field::from).collect();
        let (live, output) = start(&function, &input)?;
        Ok(Self { function, input, output, live: Some(live), start: Some(begun.elapsed()) })
    }

    /// The copy that is warm, or a fresh one and how long it took to start.
    fn take_live(&mut self) -> Result<(Live, Option<Duration>), CallError> {
        if let Some(live) = self.live.take() {
            return Ok((live, self.start.take()));
        }
        let begun = Instant::now();
        let (live, output) = start(&self.function, &self.input).map_err(|error| match error {
            OpenError::Start(error) => error,
            other => CallError::new(CallErrorKind::InvalidResponse, other.to_string()),
        })?;
        if output != self.output {
            return Err(CallError::new(
                CallErrorKind::InvalidResponse,
                "the function answers another output schema than the first time it was asked",
            ));
        }
        Ok((live, Some(begun.elapsed())))
    }
}

impl Instance for WasmInstance {
    fn output(&self) -> &SchemaRef {
        &self.output
    }

    fn call(&mut self, batch: &RecordBatch, invocation: &Invocation) -> Reply {
        let (mut live, cold_start) = match self.take_live() {
            Ok(live) => live,
            Err(error) => return Reply { result: Err(error), usage: Usage::default() },
        };
        let begun = Instant::now();
        let limit = self.function.settings.limits.timeout;
        let limit = match invocation.deadline {
            Some(deadline) => limit.min(deadline.saturating_duration_since(begun)),
            None => limit,
        };
        live.store.data_mut().begin(invocation.id);
        let answer = run_process(&self.function, &mut live, batch, limit);
        let result = answer.and_then(|answer| match answer {
            Ok(reply) => self.outcome(reply, batch.num_rows()).map(Ok),
            Err(failure) => Ok(Err(failure)),
        });
        let state = live.store.data();
        let usage = Usage {
            duration: begun.elapsed(),
            cold_start,
            peak_memory: state.limiter.peak(),
            dropped_logs: state.log.dropped,
        };
        // A guest that says no is as good as before. One that broke the contract, or was stopped, is not.
        let result = match result {
            Ok(answer) => {
                self.live = Some(live);
                answer
            }
            Err(error) => Err(error),
        };
        Reply { result, usage }
    }
}

/// A guest's answer: a batch, or its own word that the whole batch failed.
type Answer = Result<GuestReply, CallError>;

fn run_process(function: &Loaded, live: &mut Live, batch: &RecordBatch, limit: Duration) -> Result<Answer, CallError> {
    let invalid = |problem: String| CallError::new(CallErrorKind::InvalidResponse, problem);
    let rows = u32::try_from(batch.num_rows()).map_err(|_| invalid("a batch of more than 2^32 rows".to_owned()))?;
    let buffers = encode(batch.columns().iter().cloned());
    let buffers: Vec<&[u8]> = buffers.iter().map(|buffer| buffer.as_slice()).collect();
    let process = live
        .process
        .typed::<ProcessParams<'_>, ProcessResults>(&live.store)
        .map_err(|error| invalid(format!("its `process` has another type than the contract's: {error}")))?;
    let (answer,) =
        run(function, &mut live.store, limit, async |store| process.call_async(store, (rows, &buffers)).await)?;
    Ok(answer.map_err(|failure| CallError {
        kind: CallErrorKind::Failed(cut(&failure.code, MAX_CODE).to_owned()),
        message: cut(&failure.message, MAX_MESSAGE).to_owned(),
        retryable: failure.retryable,
    }))
}

impl WasmInstance {
    /// The guest's answer as an outcome, if all of it holds.
    fn outcome(&self, reply: GuestReply, input_rows: usize) -> Result<Outcome, CallError> {
        let longest = self.function.settings.limits.max_output;
        let invalid = |problem: String| CallError::new(CallErrorKind::InvalidResponse, problem);
        let bytes: usize = reply.buffers.iter().map(Vec::len).sum();
        if bytes > longest {
            return Err(too_large(longest));
        }
        let rows = reply.rows as usize;
        let origin = check_origin(reply.origin.into(), rows, input_rows).map_err(invalid)?;
        let output = decode(&self.output, rows, reply.buffers, longest).map_err(invalid)?;
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
                code: cut(&row.code, MAX_CODE).to_owned(),
                message: cut(&row.message, MAX_MESSAGE).to_owned(),
                retryable: row.retryable,
            });
        }
        Ok(Outcome { output, origin, failed })
    }
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

/// Starts a fresh copy and opens it for `input`.
fn start(function: &Loaded, input: &[Field]) -> Result<(Live, SchemaRef), OpenError> {
    let limit = function.settings.limits.timeout.max(START);
    let mut store = sandbox::store(function);
    let broken =
        |error: wasmtime::Error| OpenError::Start(CallError::new(CallErrorKind::InvalidResponse, format!("{error:#}")));
    let instance = run(function, &mut store, limit, async |store| function.component.instantiate_async(store).await)
        .map_err(OpenError::Start)?;
    let open =
        instance.get_typed_func::<OpenParams<'_>, OpenResults>(&mut store, &function.exports.open).map_err(broken)?;
    let process = instance
        .get_typed_func::<ProcessParams<'_>, ProcessResults>(&mut store, &function.exports.process)
        .map_err(broken)?;
    let process = *process.func();
    let (output,) = run(function, &mut store, limit, async |store| open.call_async(store, (input,)).await)
        .map_err(OpenError::Start)?;
    let output = output.map_err(|message| OpenError::Refused(cut(&message, MAX_MESSAGE).to_owned()))?;
    let output = unflatten(output.into_iter().map(FlatField::from).collect()).map_err(OpenError::InvalidOutput)?;
    Ok((Live { store, process }, Arc::new(output)))
}

/// Runs a piece of guest code for at most `limit`.
fn run<R>(
    function: &Loaded,
    store: &mut Store<State>,
    limit: Duration,
    guest: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<R>,
) -> Result<R, CallError> {
    let _timers = function.timers()?;
    let _running = function.shared.ticker.running();
    let deadline = Instant::now() + limit;
    store.data_mut().deadline = deadline;
    store.set_epoch_deadline(Ticker::ticks(limit));
    match block_on(guest(store), deadline) {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(judge(&error, store.data(), function, limit)),
        None => Err(timed_out(limit)),
    }
}

/// What kind of failure an error of wasmtime is.
fn judge(error: &wasmtime::Error, state: &State, function: &Loaded, limit: Duration) -> CallError {
    let limits = &function.settings.limits;
    let trap = error.downcast_ref::<Trap>();
    if let Some(Trap::Interrupt) = trap {
        return timed_out(limit);
    }
    if let Some(refused) = state.limiter.refused {
        let message = format!("needed {refused} bytes of memory; its limit is {}", limits.memory);
        return CallError::new(CallErrorKind::OutOfMemory, message);
    }
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return CallError::new(CallErrorKind::Crash, format!("exited with code {code}"));
    }
    let Some(trap) = trap else {
        let text = error.root_cause().to_string();
        // wasmtime has no type for this one; a test holds the text.
        if text.contains("fuel allocated for hostcalls") {
            return too_large(limits.max_output);
        }
        return CallError::new(CallErrorKind::InvalidResponse, text);
    };
    if breaks_contract(*trap) {
        return CallError::new(CallErrorKind::InvalidResponse, trap.to_string());
    }
    let message = match &state.log.last_error {
        Some(line) => format!("crashed: {trap}; its last error in the log: {}", cut(line, MAX_MESSAGE)),
        None => format!("crashed: {trap}"),
    };
    CallError::new(CallErrorKind::Crash, message)
}

/// Traps that say that an answer, or the text of a log line, lies beyond the guest's memory or is no such value.
fn breaks_contract(trap: Trap) -> bool {
    matches!(
        trap,
        Trap::StringOutOfBounds
            | Trap::ListOutOfBounds
            | Trap::InvalidDiscriminant
            | Trap::InvalidChar
            | Trap::UnalignedPointer
    )
}

fn timed_out(limit: Duration) -> CallError {
    CallError::new(CallErrorKind::Timeout, format!("ran for longer than {limit:?}"))
}

fn too_large(limit: usize) -> CallError {
    CallError::new(CallErrorKind::OutputTooLarge, format!("answered more than {limit} bytes"))
}
