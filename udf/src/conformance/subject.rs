//! How the suite gets at a kind of function.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::contract::Function;
use crate::limits::Limits;

/// How long code that is slow to start takes.
pub const START: Duration = Duration::from_millis(600);

/// What is in every text. No error may repeat it.
pub(super) const PRIVATE: &str = "xyzzy";

/// Makes functions whose code behaves as it is told.
pub trait Subject {
    /// A new function over rows of [`schema`], with these limits: of the time that a call takes, of memory (which may be
    /// raised to what the kind's code needs at least), and of the bytes of an answer.
    fn function(&mut self, behaviour: Behaviour, limits: &Limits) -> Box<dyn Function>;

    /// What the kind can do.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }
}

/// What a kind of function can do, so that nothing else is asked of it.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    /// Whether the memory of its code is limited.
    pub memory: bool,
    /// Whether its code can be slow to start.
    pub slow_start: bool,
    /// Whether a start is ours to see, so that it is reported as one.
    pub cold_start: bool,
    /// Whether its code can wait without computing.
    pub naps: bool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self { memory: true, slow_start: true, cold_start: true, naps: true }
    }
}

/// What the code of a function does. A bad row is one whose `id` is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Behaviour {
    /// Answers each row as it came.
    Echo,
    /// Answers the rows that are not bad.
    Filter,
    /// Answers each row twice, one right behind the other.
    Twice,
    /// Answers for each row one of another schema, `label: utf8`, with `row ID` in it.
    Relabel,
    /// Says that the bad rows failed. May answer the others, or nothing.
    FailRows,
    /// Says no to a batch with a bad row, as the kind does that; answers each row of others as it came.
    FailBatch,
    /// Never answers a batch with a bad row; others as they came. So are the following.
    Hang,
    /// Ends in the midst of a batch with a bad row.
    Crash,
    /// Takes memory without end when a bad row comes.
    Grow,
    /// Answers a batch with a bad row with more bytes than the limit allows.
    Flood,
    /// Answers a batch with a bad row with something that is no answer at all.
    Garbage,
    /// Waits for 400 ms when a bad row comes, and then answers each row as it came.
    Nap,
    /// Takes [`START`] to start; answers each row as it came.
    SlowStart,
}

impl Behaviour {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Echo,
        Self::Filter,
        Self::Twice,
        Self::Relabel,
        Self::FailRows,
        Self::FailBatch,
        Self::Hang,
        Self::Crash,
        Self::Grow,
        Self::Flood,
        Self::Garbage,
        Self::Nap,
        Self::SlowStart,
    ];

    /// Its name in lower case: `fail-rows`. For paths, files and variables by which code learns what to do.
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Filter => "filter",
            Self::Twice => "twice",
            Self::Relabel => "relabel",
            Self::FailRows => "fail-rows",
            Self::FailBatch => "fail-batch",
            Self::Hang => "hang",
            Self::Crash => "crash",
            Self::Grow => "grow",
            Self::Flood => "flood",
            Self::Garbage => "garbage",
            Self::Nap => "nap",
            Self::SlowStart => "slow-start",
        }
    }

    /// The schema of the rows it answers.
    pub fn output(self) -> SchemaRef {
        match self {
            Self::Relabel => Arc::new(Schema::new(vec![Field::new("label", DataType::Utf8, true)])),
            _ => schema(),
        }
    }
}

/// The columns of all rows that the suite calls with: `id: int64`, `text: utf8`. Neither is ever null.
pub fn schema() -> SchemaRef {
    let text = Field::new("text", DataType::Utf8, true);
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true), text]))
}

/// Rows with these ids.
pub fn batch(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    let ids: Int64Array = ids.into_iter().collect::<Vec<_>>().into();
    let texts = StringArray::from_iter_values(ids.values().iter().map(|id| format!("{PRIVATE} \"{id}\" ü\n")));
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(texts)]).expect("the columns are the schema's")
}
