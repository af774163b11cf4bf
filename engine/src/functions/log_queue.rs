//! Log lines on their way to a sink: what functions' threads put in, and a task of the run takes out.
//!
//! Bounded by bytes. Whoever puts a line into a full queue goes on without it; a line in its place says how many were
//! left out. It knows no connector and no task.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parking_lot::{Condvar, Mutex};
use riverhook_connectors::{clock::Clock, source::BatchLimits};
use riverhook_udf::LogLevel;
use uuid::Uuid;

use super::log::were_dropped;

/// What a line costs beside its text, about.
const LINE: usize = 160;

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// When it was written: microseconds since 1970-01-01 UTC.
    pub(super) time: i64,
    pub(super) node: Option<Arc<str>>,
    pub(super) function: Arc<str>,
    pub(super) version: Option<Arc<str>>,
    pub(super) invocation: Option<Uuid>,
    pub(super) level: LogLevel,
    pub(super) message: String,
}

/// The lines of all functions that log to one sink.
pub struct LogQueue {
    pipeline: Arc<str>,
    sink: Arc<str>,
    /// Bytes at most.
    most: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Set while the run that reads the queue lasts; without it lines are not taken.
    clock: Option<Arc<dyn Clock>>,
    lines: VecDeque<Line>,
    bytes: usize,
    /// Lines that were left out and not yet told, by function.
    dropped: BTreeMap<Arc<str>, u64>,
    closed: bool,
}

/// What taking lines gave.
pub(super) enum Taken {
    Lines(Vec<Line>),
    Nothing,
    /// There will be no more.
    End,
}

impl LogQueue {
    /// A queue of `most` bytes for a sink. It takes no lines until it is opened.
    pub fn new(pipeline: &Arc<str>, sink: &str, most: usize) -> Arc<Self> {
        let (pipeline, sink) = (Arc::clone(pipeline), sink.into());
        Arc::new(Self { pipeline, sink, most, state: Mutex::default(), changed: Condvar::new() })
    }

    /// The sink.
    pub fn sink(&self) -> &Arc<str> {
        &self.sink
    }

    /// Takes lines from here on.
    pub fn open(&self, clock: &Arc<dyn Clock>) {
        self.state.lock().clock = Some(Arc::clone(clock));
    }

    /// Nothing that may log runs any more.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Puts a line in, with the time. False if there is no room for it.
    pub(super) fn push(&self, line: Line) -> bool {
        let mut state = self.state.lock();
        let Some(clock) = state.clock.as_ref().filter(|_| !state.closed) else { return true };
        let time = clock.now_micros();
        if state.bytes + line.message.len() + LINE > self.most {
            *state.dropped.entry(line.function).or_default() += 1;
            return false;
        }
        self.tell_dropped(&mut state, time);
        state.put(Line { time, ..line });
        drop(state);
        self.changed.notify_one();
        true
    }

    /// Takes lines out, waiting for the first.
    pub(super) fn take(&self, limits: &BatchLimits, wait: Duration) -> Taken {
        let mut state = self.state.lock();
        let nothing = |state: &mut State| state.lines.is_empty() && state.dropped.is_empty() && !state.closed;
        self.changed.wait_while_for(&mut state, nothing, wait);
        let mut taken = Vec::new();
        let mut bytes = 0;
        loop {
            if state.lines.is_empty()
                && let Some(time) = state.clock.as_ref().map(|clock| clock.now_micros())
            {
                self.tell_dropped(&mut state, time);
            }
            let Some(line) = state.lines.pop_front() else { break };
            state.bytes -= line.message.len() + LINE;
            bytes += line.message.len() + LINE;
            taken.push(line);
            if taken.len() >= limits.rows || bytes >= limits.bytes {
                break;
            }
        }
        match taken.is_empty() {
            false => Taken::Lines(taken),
            true if state.closed => Taken::End,
            true => Taken::Nothing,
        }
    }

    /// Lines that wait.
    pub(super) fn len(&self) -> usize {
        self.state.lock().lines.len()
    }

    /// Puts a line where others were left out.
    fn tell_dropped(&self, state: &mut State, time: i64) {
        for (function, count) in std::mem::take(&mut state.dropped) {
            let message = format!("{} here: `{}` takes them too slowly", were_dropped(count), self.sink);
            let level = LogLevel::Warn;
            state.put(Line { time, node: None, function, version: None, invocation: None, level, message });
        }
    }

    /// Lines as rows of [`log_schema`].
    pub(super) fn rows(&self, lines: &[Line]) -> RecordBatch {
        let texts =
            |text: fn(&Line) -> Option<&str>| -> ArrayRef { Arc::new(lines.iter().map(text).collect::<StringArray>()) };
        let columns: Vec<ArrayRef> = vec![
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(lines.iter().map(|line| line.time)).with_timezone("UTC"),
            ),
            Arc::new(StringArray::from_iter_values(lines.iter().map(|_| &*self.pipeline))),
            texts(|line| line.node.as_deref()),
            texts(|line| Some(&line.function)),
            texts(|line| line.version.as_deref()),
            Arc::new(lines.iter().map(|line| line.invocation.map(|id| id.to_string())).collect::<StringArray>()),
            texts(|line| Some(level(line.level))),
            texts(|line| Some(&line.message)),
        ];
        RecordBatch::try_new(log_schema(), columns).expect("the columns are those of the schema")
    }
}

impl State {
    fn put(&mut self, line: Line) {
        self.bytes += line.message.len() + LINE;
        self.lines.push_back(line);
    }
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

/// The columns of log lines.
pub fn log_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        text("pipeline", false),
        text("node", true),
        text("function", false),
        text("version", true),
        text("invocation", true),
        text("level", false),
        text("message", false),
    ]))
}

#[cfg(test)]
mod tests {
    use riverhook_connectors::clock::ManualClock;

    use super::*;

    const LIMITS: BatchLimits = BatchLimits { rows: 100, bytes: 1 << 20, wait: Duration::ZERO };

    fn line(message: &str) -> Line {
        let message = message.to_owned();
        let (node, version, invocation) = (Some("n".into()), None, None);
        Line { time: 0, node, function: "f".into(), version, invocation, level: LogLevel::Info, message }
    }

    fn texts(queue: &LogQueue) -> Vec<String> {
        match queue.take(&LIMITS, Duration::ZERO) {
            Taken::Lines(lines) => lines.into_iter().map(|line| line.message).collect(),
            Taken::Nothing => vec!["nothing".to_owned()],
            Taken::End => vec!["the end".to_owned()],
        }
    }

    fn queue(most: usize) -> Arc<LogQueue> {
        let queue = LogQueue::new(&"p".into(), "s", most);
        let clock: Arc<dyn Clock> = ManualClock::at(7);
        queue.open(&clock);
        queue
    }

    #[test]
    fn what_is_too_much_is_left_out_and_told_in_its_place() {
        let queue = queue(2 * (LINE + 1));
        let pushed: Vec<bool> = ["a", "b", "c", "d"].map(|text| queue.push(line(text))).into();
        assert_eq!(pushed, [true, true, false, false]);
        let BatchLimits { bytes, wait, .. } = LIMITS;
        let Taken::Lines(first) = queue.take(&BatchLimits { rows: 1, bytes, wait }, Duration::ZERO) else { panic!() };
        assert_eq!((first[0].message.as_str(), first[0].time), ("a", 7));
        assert!(queue.push(line("e")));
        assert_eq!(texts(&queue), ["b", "2 log lines were dropped here: `s` takes them too slowly", "e"]);
        assert_eq!(texts(&queue), ["nothing"]);
    }

    #[test]
    fn what_was_left_out_last_is_told_before_the_end() {
        let queue = queue(LINE + 1);
        assert!(queue.push(line("a")) && !queue.push(line("b")));
        queue.close();
        assert_eq!(texts(&queue), ["a", "1 log line was dropped here: `s` takes them too slowly"]);
        assert_eq!(texts(&queue), ["the end"]);
        assert!(queue.push(line("late")), "nobody is told of a line that nobody can read");
        assert_eq!(texts(&queue), ["the end"]);
    }

    #[test]
    fn lines_are_rows() {
        let queue = queue(1 << 20);
        assert_eq!(queue.rows(&[line("a"), line("b")]).num_rows(), 2);
    }
}
