//! The function over an endpoint: encode, send, judge the answer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{RecordBatch, StringArray};
use arrow_schema::{DataType, FieldRef, Schema, SchemaRef};

use super::answer::{self, Answer, invalid};
use super::event::{Event, EventSource, Shape};
use super::handler::{Answered, Endpoint, Handler};
use super::items;
use crate::codec::{Codec, Codecs, JsonRows};
use crate::contract::{
    CallError, CallErrorKind, Caller, Function, Instance, Invocation, LogLevel, LogLine, LogSink, OpenError, Origin,
    Outcome, Reply, Usage,
};

/// The columns of an answer's records take at most so many times the bytes that an answer may have. Without it, a short
/// answer of empty objects would fill memory with a wide schema's nulls.
const MAX_GROWTH: usize = 16;

/// How a function's code is given rows, and what of its answers is taken.
#[derive(Debug, Clone)]
pub struct JsonSettings {
    /// What the code gets.
    pub shape: Shape,
    /// The sources whose rows may come, by their names in the pipeline file.
    pub sources: BTreeMap<String, EventSource>,
    /// The schema of the records that it answers. Without one, each record is passed on as JSON.
    pub output: Option<SchemaRef>,
    /// The column that records are passed on in without `output`: of type Utf8, with the metadata of JSON.
    pub passthrough: FieldRef,
    /// Whether a record of an answer may be any JSON value, which the codec makes a row of, and not only an object.
    pub values: bool,
    /// Whether each call has one row.
    pub single: bool,
    /// The largest event, in bytes. Lambda's is 6 MiB.
    pub max_request: usize,
    /// The largest answer, in bytes. Lambda's is 6 MiB and 100 bytes.
    pub max_response: usize,
}

impl JsonSettings {
    /// Lambda's limits and shapes, with the column for records that are passed on as they are.
    pub fn new(passthrough: FieldRef) -> Self {
        Self {
            shape: Shape::default(),
            sources: BTreeMap::new(),
            output: None,
            passthrough,
            values: false,
            single: false,
            max_request: 6 << 20,
            max_response: (6 << 20) + 100,
        }
    }
}

/// A function whose code sees JSON: a process, a server over HTTP.
pub struct JsonFunction {
    shared: Arc<Shared>,
}

/// What all copies of a function have in common.
struct Shared {
    name: String,
    endpoint: Box<dyn Endpoint>,
    settings: JsonSettings,
    codecs: Arc<dyn Codecs>,
    output: SchemaRef,
    logs: LogSink,
    /// Whether it was said that answers are not used.
    warned: AtomicBool,
}

impl JsonFunction {
    /// The function `name` whose code is behind `endpoint`.
    pub(crate) fn new(
        name: &str,
        endpoint: Box<dyn Endpoint>,
        settings: JsonSettings,
        codecs: Arc<dyn Codecs>,
        logs: LogSink,
    ) -> Self {
        let passthrough = || Arc::new(Schema::new(vec![Arc::clone(&settings.passthrough)]));
        let output = settings.output.clone().unwrap_or_else(passthrough);
        let (name, warned) = (name.to_owned(), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { name, endpoint, settings, codecs, output, logs, warned }) }
    }

    fn codec(&self, input: &SchemaRef) -> Result<Box<dyn Codec>, OpenError> {
        self.shared.codecs.codec(input, &self.shared.output).map_err(OpenError::UnsupportedInput)
    }
}

impl Function for JsonFunction {
    fn describe(&self, input: &Schema) -> Result<SchemaRef, OpenError> {
        self.codec(&Arc::new(input.clone()))?;
        Ok(Arc::clone(&self.shared.output))
    }

    fn instance(&self, input: SchemaRef, caller: &Caller) -> Result<Box<dyn Instance>, OpenError> {
        Ok(Box::new(JsonInstance {
            codec: self.codec(&input)?,
            handler: self.shared.endpoint.copy(caller),
            shared: Arc::clone(&self.shared),
            rows: JsonRows::default(),
            event: Vec::new(),
        }))
    }

    fn version(&self) -> &str {
        self.shared.endpoint.version()
    }

    fn waits(&self) -> bool {
        true
    }
}

/// A copy, with buffers that are used again.
struct JsonInstance {
    shared: Arc<Shared>,
    codec: Box<dyn Codec>,
    handler: Box<dyn Handler>,
    rows: JsonRows,
    event: Vec<u8>,
}

impl Instance for JsonInstance {
    fn output(&self) -> &SchemaRef {
        &self.shared.output
    }

    fn call(&mut self, batch: &RecordBatch, invocation: &Invocation<'_>) -> Reply {
        let shared = Arc::clone(&self.shared);
        if batch.num_rows() == 0 {
            return Reply { result: Ok(shared.nothing()), usage: Usage::default() };
        }
        let event = Event::new(&shared.settings, batch, invocation);
        if let Err(error) = self.write(&event, batch) {
            return Reply { result: Err(error), usage: Usage::default() };
        }
        let Answered { result, usage } = self.handler.invoke(&self.event, invocation);
        let result = result.and_then(|answer| self.outcome(&answer, &event, batch.num_rows(), invocation));
        Reply { result, usage }
    }
}

impl JsonInstance {
    /// The event's text, if it is not too large.
    fn write(&mut self, event: &Event<'_>, batch: &RecordBatch) -> Result<(), CallError> {
        self.rows.clear();
        self.event.clear();
        self.codec.encode(batch, &mut self.rows);
        let longest = self.shared.settings.max_request;
        if self.rows.text.len() <= longest {
            event.write(&self.rows, &mut self.event);
        }
        let bytes = self.event.len().max(self.rows.text.len());
        if bytes > longest {
            // What one batch needed would otherwise be held for good.
            (self.rows, self.event) = (JsonRows::default(), Vec::new());
            let rows = batch.num_rows();
            let message = format!("an event of {rows} rows has {bytes} bytes; at most {longest} are sent");
            return Err(CallError::new(CallErrorKind::RequestTooLarge, message));
        }
        Ok(())
    }

    fn outcome(
        &mut self,
        answer: &[u8],
        event: &Event<'_>,
        rows: usize,
        invocation: &Invocation<'_>,
    ) -> Result<Outcome, CallError> {
        let settings = &self.shared.settings;
        if answer.len() > settings.max_response {
            return Err(too_large(settings.max_response));
        }
        let mut records = JsonRows::default();
        match answer::read(answer, &mut records)? {
            Answer::Nothing => Ok(self.shared.nothing()),
            Answer::Failures(failures) => {
                let failed = items::failed(failures, event, rows)?;
                Ok(Outcome { failed, ..self.shared.nothing() })
            }
            Answer::Object(object) if settings.single || settings.output.is_some() => {
                records.push(object.as_bytes());
                self.records(&records, rows)
            }
            Answer::Scalar(value) if settings.values => {
                records.push(value.as_bytes());
                self.records(&records, rows)
            }
            Answer::Records => self.records(&records, rows),
            Answer::Object(_) => Ok(self.unused("an object", invocation)),
            Answer::Scalar(_) => Ok(self.unused("a value that is no record", invocation)),
        }
    }

    fn records(&mut self, records: &JsonRows, rows: usize) -> Result<Outcome, CallError> {
        let shared = &self.shared;
        let output = if shared.settings.output.is_some() {
            let bytes = records.len().saturating_mul(shared.output.fields().iter().map(width).sum());
            if bytes > shared.settings.max_response.saturating_mul(MAX_GROWTH) {
                let message = format!("answered {} records, more than memory is given for", records.len());
                return Err(CallError::new(CallErrorKind::OutputTooLarge, message));
            }
            let (output, wrong) = self.codec.decode(records);
            if let Some((index, problem)) = wrong.first() {
                return Err(invalid(format!("record {index} of its answer is not of the output's schema: {problem}")));
            }
            output
        } else {
            shared.passed_on(records)?
        };
        let origin = match output.num_rows() {
            0 => Origin::Rows(Vec::new()),
            answered if answered == rows => Origin::Same,
            answered if rows == 1 => Origin::Rows(vec![0; answered]),
            _ => Origin::WholeBatch,
        };
        Ok(Outcome { output, origin, failed: Vec::new() })
    }

    /// Success without output, which its author may not have meant: said once.
    fn unused(&self, what: &str, invocation: &Invocation<'_>) -> Outcome {
        let shared = &self.shared;
        if !shared.warned.swap(true, Ordering::Relaxed) {
            let message = format!(
                "it answers {what}, which is not used: answer an array of records, null, or `batchItemFailures`; or \
                 declare an `output`"
            );
            let (function, invocation, level) = (&*shared.name, invocation.id, LogLevel::Warn);
            shared.logs.write(&LogLine { function, invocation, level, message: &message });
        }
        shared.nothing()
    }
}

impl Shared {
    fn nothing(&self) -> Outcome {
        let output = RecordBatch::new_empty(Arc::clone(&self.output));
        Outcome { output, origin: Origin::Rows(Vec::new()), failed: Vec::new() }
    }

    /// Records as they are, one JSON text a row.
    fn passed_on(&self, records: &JsonRows) -> Result<RecordBatch, CallError> {
        let nullable = self.settings.passthrough.is_nullable();
        let texts = records.iter().map(|record| {
            let text = std::str::from_utf8(record).expect("the answer was checked to be UTF-8");
            Some(text).filter(|text| !nullable || *text != "null")
        });
        let column: StringArray = texts.collect();
        RecordBatch::try_new(Arc::clone(&self.output), vec![Arc::new(column)])
            .map_err(|error| invalid(format!("its answer cannot be passed on as JSON: {error}")))
    }
}

/// About what a null of the column takes, in bytes.
fn width(field: &FieldRef) -> usize {
    match field.data_type() {
        DataType::Struct(fields) => 1 + fields.iter().map(width).sum::<usize>(),
        DataType::FixedSizeList(item, length) => {
            let length = usize::try_from(*length).unwrap_or_default();
            1 + width(item).saturating_mul(length)
        }
        DataType::FixedSizeBinary(length) => 1 + usize::try_from(*length).unwrap_or_default(),
        other => other.primitive_width().unwrap_or(8) + 1,
    }
}

fn too_large(longest: usize) -> CallError {
    CallError::new(CallErrorKind::OutputTooLarge, format!("answered more than {longest} bytes"))
}
