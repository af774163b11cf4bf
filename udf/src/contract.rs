//! What a function is to the engine, whatever it is made of: batch in → batch out plus failed rows.
//!
//! It must not know any kind of function; WebAssembly, processes and HTTP stand behind these two traits.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};

/// One function: its code and its limits. Cheap to keep; the copies that run are its [`Instance`]s.
pub trait Function: Send + Sync {
    /// The output's schema for an input of `input`, or why the function cannot take it. Asked at validation, so it
    /// must answer without any outside system, and the same for the same input.
    fn describe(&self, input: &Schema) -> Result<SchemaRef, OpenError>;

    /// Starts a copy for batches of the schema `input`. Copies are stateless: the engine keeps as many as it has
    /// work for, and may drop any between two calls.
    fn instance(&self, input: SchemaRef) -> Result<Box<dyn Instance>, OpenError>;

    /// The hash of the function's code, in hexadecimal. It names the version in dead letters and metering.
    fn version(&self) -> &str;
}

/// One copy of a function, opened for one input schema.
///
/// Calls block the caller's thread, at most for the function's time limit. After a call that failed, whatever the
/// error, the next one works: a copy that is beyond use replaces itself.
pub trait Instance: Send {
    /// The schema of the batches it answers.
    fn output(&self) -> &SchemaRef;

    /// Runs the function on one batch, which must have the schema that the instance was opened with.
    fn call(&mut self, batch: &RecordBatch, invocation: &Invocation) -> Reply;
}

/// What the caller says about one call besides the batch.
#[derive(Debug, Clone, Copy, Default)]
pub struct Invocation {
    /// The caller's number for the call; log lines carry it.
    pub id: u64,
    /// When the result is no longer wanted. The function's own time limit holds besides.
    pub deadline: Option<Instant>,
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
    /// Log lines of this call that were dropped because the function logs too much.
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
            Self::Failed(code) => code,
        }
    }

    /// Whether a second try can help: a busy machine or a smaller batch may let a call end in time, within memory,
    /// or without a crash. An answer that is too large or malformed stays so.
    fn retryable(&self) -> bool {
        match self {
            Self::Timeout | Self::Crash | Self::OutOfMemory => true,
            Self::OutputTooLarge | Self::InvalidResponse | Self::Failed(_) => false,
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
    pub invocation: u64,
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
