//! What a function is to the engine, whatever it is made of: batch in → batch out plus failed rows.
//!
//! It must not know any kind of function; WebAssembly, processes and HTTP stand behind these two traits.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use uuid::Uuid;

/// One function: its code and its limits. Cheap to keep; the copies that run are its [`Instance`]s.
pub trait Function: Send + Sync {
    /// The output's schema for an input of `input`, or why the function cannot take it. Asked at validation, so it
    /// must answer without any outside system, and the same for the same input.
    fn describe(&self, input: &Schema) -> Result<SchemaRef, OpenError>;

    /// Opens a copy for batches of the schema `input`, which it gets from `caller`. Copies are stateless: the engine
    /// keeps as many as it has work for, and may drop any between two calls. What is costly to start (a process) is
    /// started by the first call, which reports it as its cold start.
    fn instance(&self, input: SchemaRef, caller: &Caller) -> Result<Box<dyn Instance>, OpenError>;

    /// The hash of the function's code, in hexadecimal. It names the version in dead letters and metering.
    fn version(&self) -> &str;

    /// Whether a call mostly waits for something outside of this process. Such a call is worth a thread of its own,
    /// so that its caller can go on; one that computes is not.
    fn waits(&self) -> bool {
        false
    }
}

/// One copy of a function, opened for one input schema.
///
/// Calls block the caller's thread, at most for the function's time limit. After a call that failed, whatever the
/// error, the next one works: a copy that is beyond use replaces itself.
pub trait Instance: Send {
    /// The schema of the batches it answers.
    fn output(&self) -> &SchemaRef;

    /// Runs the function on one batch, which must have the schema that the instance was opened with.
    fn call(&mut self, batch: &RecordBatch, invocation: &Invocation<'_>) -> Reply;
}

/// Who calls a copy: what its code may ask about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// The pipeline.
    pub pipeline: Arc<str>,
    /// The node that calls.
    pub node: Arc<str>,
}

/// What the caller says about one call besides the batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Invocation<'a> {
    /// The call's name, the same in log lines, dead letters and for the function itself. Each try has its own.
    pub id: Uuid,
    /// When the result is no longer wanted. The function's own time limit holds besides.
    pub deadline: Option<Instant>,
    /// Where the rows came from, for kinds that give their code events instead of rows.
    pub origins: Option<&'a dyn Origins>,
}

/// Where the rows of a batch came from, row by row.
pub trait Origins: fmt::Debug {
    /// The record that a row came from, if that is known.
    fn of(&self, row: usize) -> Option<RecordOrigin<'_>>;
}

/// A record that a row came from.
#[derive(Debug, Clone, Copy)]
pub struct RecordOrigin<'a> {
    /// The source's name in the pipeline file.
    pub source: &'a str,
    /// The partition, as the source names it: `clicks-3`, a file's path.
    pub partition: &'a str,
    /// The place in the partition: a Kafka offset, a byte in a file.
    pub position: u64,
    /// When it happened or was read: milliseconds since 1970-01-01 UTC.
    pub timestamp: i64,
    /// Its key, where it has one.
    pub key: Option<&'a [u8]>,
    /// Its headers, where it has any, with the row of them that is the record's:
    /// `list<struct<key: utf8, value: binary>>`.
    pub headers: Option<(&'a arrow_array::ListArray, usize)>,
}

/// The result of one call and what it used, also if it failed.
#[derive(Debug)]
pub struct Reply {
    /// What the function answered, or why it did not.
    pub result: Result<Outcome, CallError>,
    /// What the call used.
    pub usage: Usage,
}

/// A function's answer to one batch.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The rows that go on, of the schema that [`Instance::output`] names.
    pub output: RecordBatch,
    /// Which input rows they came from.
    pub origin: Origin,
    /// The input rows that failed, in ascending order, each at most once.
    pub failed: Vec<FailedRow>,
}

/// Which input row an output row came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Output row i came from input row i.
    Same,
    /// One entry an output row: the index of its input row.
    Rows(Vec<u32>),
    /// Each output row may depend on every input row.
    WholeBatch,
}

/// One input row that failed while the others went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRow {
    /// The index of the input row.
    pub row: u32,
    /// A short name of the kind of error.
    pub code: String,
    /// What went wrong, for a person.
    pub message: String,
    /// True if the same row may succeed later.
    pub retryable: bool,
}

/// What one call used, for metering.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How long the function ran, with the crossing there and back.
    pub duration: Duration,
    /// How long it took to start a copy for this call, if none was warm. Not part of `duration`.
    pub cold_start: Option<Duration>,
    /// The most memory that the copy has held so far, in bytes.
    pub peak_memory: usize,
    /// Log lines of this call that were dropped because the function logs too much. The caller says so where the lines
    /// are read.
    pub dropped_logs: u64,
}

/// Why a whole call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}", code = .kind.code())]
pub struct CallError {
    /// The kind of failure.
    pub kind: CallErrorKind,
    /// What happened, for a person.
    pub message: String,
    /// True if the same batch may succeed when it is tried again.
    pub retryable: bool,
}

impl CallError {
    pub(crate) fn new(kind: CallErrorKind, message: impl Into<String>) -> Self {
        Self { retryable: kind.retryable(), kind, message: message.into() }
    }

    /// The error's name as AWS Lambda spells it, or the function's own.
    pub fn code(&self) -> &str {
        self.kind.code()
    }

    /// Whether the code was not run because it cannot be reached or has no room now. That says nothing about the batch:
    /// it is neither halved nor given up, but waits.
    pub fn is_unavailable(&self) -> bool {
        matches!(self.kind, CallErrorKind::Unavailable | CallErrorKind::Throttled { .. })
    }

    /// How long to wait at least before the next try, if that was said.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            CallErrorKind::Throttled { retry_after } => Some(retry_after),
            _ => None,
        }
    }
}

/// The ways in which a call fails as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallErrorKind {
    /// It ran for longer than its time limit.
    Timeout,
    /// It crashed.
    Crash,
    /// It wanted more memory than its limit.
    OutOfMemory,
    /// It answered more than its limit.
    OutputTooLarge,
    /// Its answer was not what the contract says.
    InvalidResponse,
    /// It, or what it runs on, cannot be reached or has no room now: it was not run. Trying again later helps.
    Unavailable,
    /// As `Unavailable`, and it said when to come back.
    Throttled {
        /// How long it wants to be left alone.
        retry_after: Duration,
    },
    /// The batch is more than one call may carry: it was not run. Fewer rows may fit.
    RequestTooLarge,
    /// It could not be started at all: no such program, not allowed to run it.
    InvalidEntrypoint,
    /// The function itself said no, with this code.
    Failed(String),
}

impl CallErrorKind {
    /// The kind's name as AWS Lambda spells it, or the function's own.
    pub fn code(&self) -> &str {
        match self {
            Self::Timeout => "Sandbox.Timedout",
            Self::Crash => "Runtime.ExitError",
            Self::OutOfMemory => "Runtime.OutOfMemory",
            Self::OutputTooLarge => "Function.ResponseSizeTooLarge",
            Self::InvalidResponse => "Function.InvalidResponse",
            Self::Unavailable | Self::Throttled { .. } => "Function.Unavailable",
            Self::RequestTooLarge => "Function.RequestTooLarge",
            Self::InvalidEntrypoint => "Runtime.InvalidEntrypoint",
            Self::Failed(code) => code,
        }
    }

    /// Whether a second try can help: a busy machine or a smaller batch may let a call end in time, within memory,
    /// or without a crash. An answer that is too large or malformed stays so.
    fn retryable(&self) -> bool {
        match self {
            Self::Timeout | Self::Crash | Self::OutOfMemory | Self::Unavailable | Self::Throttled { .. } => true,
            Self::OutputTooLarge
            | Self::InvalidResponse
            | Self::RequestTooLarge
            | Self::InvalidEntrypoint
            | Self::Failed(_) => false,
        }
    }
}

/// Why a function could not be opened for an input schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The input has a column that cannot be given to a function.
    #[error("{0}")]
    UnsupportedInput(String),
    /// The function does not take this input.
    #[error("the function does not take this input: {0}")]
    Refused(String),
    /// The schema that it answered is not one.
    #[error("the function answered an output schema that is not valid: {0}")]
    InvalidOutput(String),
    /// It failed while it was starting.
    #[error("the function failed while starting")]
    Start(#[source] CallError),
}

/// How loud a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something looks wrong.
    Warn,
    /// Something worth knowing.
    Info,
    /// Something for whoever debugs the function.
    Debug,
    /// Every step.
    Trace,
}

/// One line that a function wrote.
#[derive(Debug, Clone, Copy)]
pub struct LogLine<'a> {
    /// The function's name.
    pub function: &'a str,
    /// The call it belongs to: [`Invocation::id`].
    pub invocation: Uuid,
    /// How loud it is.
    pub level: LogLevel,
    /// The text, cut to the limit. It comes from user code: treat it as data.
    pub message: &'a str,
}

/// Where log lines go. It is called on the thread that runs the function, within its time limit: be quick.
#[derive(Clone)]
pub struct LogSink(Arc<dyn Fn(&LogLine<'_>) + Send + Sync>);

impl LogSink {
    /// A sink that calls `write` for each line.
    pub fn new(write: impl Fn(&LogLine<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// A sink that drops every line.
    pub fn none() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn write(&self, line: &LogLine<'_>) {
        (self.0)(line);
    }
}

impl fmt::Debug for LogSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LogSink")
    }
}
