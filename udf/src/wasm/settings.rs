//! How one WebAssembly function runs: what it may use, what it is given, and how its records become rows.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, Schema, SchemaRef};

use crate::codec::Codecs;
use crate::limits::{Grants, Limits};
use crate::metrics::MetricSink;

/// How to run one function.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What it may use.
    pub limits: Limits,
    /// What it is given of the machine.
    pub grants: Grants,
    /// The values it may ask for by name. The first of a name counts.
    pub config: Vec<(String, String)>,
    /// Where its own counters and gauges go.
    pub metrics: MetricSink,
    /// How a function over records gets and gives them. One over batches needs nothing.
    pub records: Option<Records>,
    /// When a copy that works well is replaced all the same.
    pub recycle: Recycle,
}

/// How the rows of a batch become the records of a function, and its answers rows.
#[derive(Clone)]
pub struct Records {
    /// How rows are written as JSON and read from it.
    pub codecs: Arc<dyn Codecs>,
    /// The schema of the records that it answers; one whose answer does not fit fails alone. Without a schema, each is
    /// passed on as JSON.
    pub output: Option<SchemaRef>,
    /// The column that records are passed on in without `output`: of type Utf8, with the metadata of JSON.
    pub passthrough: FieldRef,
}

impl Records {
    /// The schema of the rows that the answers become, or what is wrong with it.
    pub(crate) fn schema(&self) -> Result<SchemaRef, String> {
        let field = &self.passthrough;
        match &self.output {
            Some(schema) => Ok(Arc::clone(schema)),
            None if field.data_type() == &DataType::Utf8 => Ok(Arc::new(Schema::new(vec![Arc::clone(field)]))),
            None => Err(format!(
                "answers passed on as JSON need a column of Utf8, but `{}` is {}",
                field.name(),
                field.data_type()
            )),
        }
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { codecs: _, output, passthrough } = self;
        let mut shown = formatter.debug_struct("Records");
        shown.field("output", output).field("passthrough", passthrough).finish_non_exhaustive()
    }
}

/// When a copy is replaced although no call failed.
///
/// A WebAssembly memory never shrinks, and the interpreters of some languages leak: in time a copy would reach its
/// limit and fail a batch that is not to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recycle {
    /// After a call that left the copy with this much of its room in use, in percent. The room is what lies between the
    /// memory it had when it had just started and its limit. Default 75.
    pub memory_percent: u8,
    /// After this many calls. Default 100,000.
    pub calls: u64,
}

impl Default for Recycle {
    fn default() -> Self {
        Self { memory_percent: 75, calls: 100_000 }
    }
}
