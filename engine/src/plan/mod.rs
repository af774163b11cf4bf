//! The plan: a pipeline file that was understood and checked. Nothing is validated after it, and nothing is connected yet.

mod alert;
mod alone;
mod bill;
mod build;
mod connections;
mod functions;
#[cfg(test)]
mod fuzz;
mod graph;
mod guarantee;
mod kinds;
mod logs;
mod order;
mod project;
mod refusals;
mod replies;
mod scalars;
mod sinks;
mod source;
mod steps;
mod tap;

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arrow_schema::SchemaRef;
use riverhook_connectors::{
    format::{Format, schema::FunctionSignature},
    sink::Sink,
    source::BatchLimits,
    source::Source,
};
use riverhook_udf::{Caller, Function};

pub use alert::Alert;
pub use alone::{Alone, Purpose, alone};
pub use bill::{Bill, bill};
pub use build::{Surroundings, build};
pub(crate) use functions::with_causes;
pub use graph::{dot, mermaid};
pub use guarantee::{PathGuarantee, guarantees};

use crate::{
    config::OnError,
    functions::{Accounts, Copies, Dispatch, FunctionLog, FunctionMeter, Grouping, LogQueue, Policy, Slots},
    sql::Branch,
};

/// A pipeline that can run.
pub struct Plan {
    /// Its name.
    pub name: Arc<str>,
    /// Its sources.
    pub sources: Vec<SourceNode>,
    /// Transforms and alerts, each after what it reads.
    pub steps: Vec<StepNode>,
    /// The functions that SQL may call, whether or not any does.
    pub functions: Vec<SqlFunction>,
    /// Its sinks; [`Plan::letters`] is one of them when dead letters go to a sink of their own.
    pub sinks: Vec<SinkNode>,
    /// Which of the sinks takes dead letters.
    pub letters: Option<usize>,
    /// Where the rows of sinks come from that get functions' logs. They are no sources of the file: what is read of them
    /// is not counted, and they end behind all others.
    pub logs: Vec<LogNode>,
    /// What holds for the whole run.
    pub settings: Settings,
}

/// What holds for the whole run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tasks of each source, at most.
    pub parallelism: usize,
    /// How much one poll gathers.
    pub batch: BatchLimits,
    /// How often a barrier is sent.
    pub every: Duration,
    /// The folder of the checkpoint store.
    pub store: PathBuf,
    /// How long a drain may take.
    pub shutdown_timeout: Duration,
    /// Where `/metrics` and health are served; nowhere unless set.
    pub listen: Option<std::net::SocketAddr>,
    /// Bytes of a dead letter's payload that are kept.
    pub max_payload: usize,
    /// Bytes that sources read ahead and sinks hold, each.
    pub buffer_bytes: usize,
}

/// Where a node's rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// To a step; for SQL, to this one of its branches.
    Step {
        /// Index into [`Plan::steps`].
        step: usize,
        /// Index into the branches of its query; 0 for other steps.
        branch: usize,
    },
    /// To a sink: index into [`Plan::sinks`].
    Sink(usize),
}

/// A source and what is read of it.
pub struct SourceNode {
    /// Its name.
    pub name: Arc<str>,
    /// The connector.
    pub source: Arc<dyn Source>,
    /// How payloads are decoded.
    pub format: Format,
    /// All columns of the node, in order: the payload's, then the metadata's.
    pub schema: SchemaRef,
    /// The columns that the plan reads, in order: what leaves the node.
    pub read: SchemaRef,
    /// Those of `read` that are decoded from payloads (or made by the source itself).
    pub decoded: SchemaRef,
    /// Those of `read` that are metadata: index into what [`Source::metadata`] lists.
    pub metadata: Vec<usize>,
    /// What happens to records that cannot be decoded.
    pub on_error: OnError,
    /// The column that is the rows' event time.
    pub event_time: Option<EventTime>,
    /// The step whose rows are the answers to whoever sent the records: index into [`Plan::steps`].
    pub reply: Option<usize>,
    /// Where the rows go.
    pub edges: Vec<Edge>,
}

/// What functions log on the way to a sink.
pub struct LogNode {
    /// What is read of it, and where that goes.
    pub source: SourceNode,
    /// What functions write to.
    pub queue: Arc<LogQueue>,
}

/// A node's event time.
#[derive(Clone, Debug)]
pub struct EventTime {
    /// The column.
    pub column: String,
    /// How far behind the greatest event time the watermark is.
    pub delay: Duration,
}

/// A transform or an alert.
pub struct StepNode {
    /// Its name.
    pub name: Arc<str>,
    /// What it does.
    pub work: Work,
    /// The functions that its SQL calls: what the branches' calls name by their index.
    pub calls: Vec<Call>,
    /// The columns that leave it.
    pub schema: SchemaRef,
    /// What happens to rows that fail.
    pub on_error: OnError,
    /// The column that is still the rows' event time.
    pub event_time: Option<EventTime>,
    /// The nodes it reads.
    pub inputs: Vec<Arc<str>>,
    /// Where the rows go.
    pub edges: Vec<Edge>,
}

impl StepNode {
    /// All functions that it calls, by itself or in its SQL.
    pub fn calls(&self) -> impl Iterator<Item = &Call> {
        let own = match &self.work {
            Work::Call(call) => Some(call),
            Work::Sql(_) | Work::Alert(_) => None,
        };
        own.into_iter().chain(&self.calls)
    }
}

/// What a step does.
pub enum Work {
    /// SQL: one branch for each time it reads a node.
    Sql(Vec<Branch>),
    /// A function.
    Call(Call),
    /// An alert.
    Alert(Alert),
}

/// A function called on every batch.
pub struct Call {
    /// The function's name in the file.
    pub name: Arc<str>,
    /// The function.
    pub function: Arc<dyn Function>,
    /// What it logs.
    pub log: Arc<FunctionLog>,
    /// What it is given.
    pub input: SchemaRef,
    /// What is done when calls fail.
    pub policy: Policy,
    /// How many records one call gets.
    pub grouping: Grouping,
    /// How many copies may run, over all nodes that call it.
    pub slots: Arc<Slots>,
    /// How long a copy that nobody needs is kept.
    pub idle_timeout: Duration,
    /// Bytes that one copy may use.
    pub memory: usize,
    /// What the tasks share; made by the first of them, for metrics are collected only while a plan runs.
    pub dispatch: OnceLock<Arc<Dispatch>>,
}

impl Call {
    /// The calls of this node, for all of its tasks.
    pub fn dispatch(&self, pipeline: &Arc<str>, node: &Arc<str>, accounts: &Accounts) -> &Arc<Dispatch> {
        self.dispatch.get_or_init(|| {
            let caller = Caller { pipeline: Arc::clone(pipeline), node: Arc::clone(node) };
            let (function, input) = (Arc::clone(&self.function), Arc::clone(&self.input));
            let version = self.function.version();
            let meter = FunctionMeter::new(accounts, (pipeline, node), &self.log, version, self.memory);
            let copies = Copies::new(function, input, caller, Arc::clone(&self.slots), self.idle_timeout);
            Arc::new(Dispatch::new(copies, self.policy.clone(), self.grouping, meter))
        })
    }
}

/// A function that SQL may call.
pub struct SqlFunction {
    /// Its arguments and its result.
    pub signature: FunctionSignature,
    /// A call as SQL makes it.
    pub call: Call,
}

/// A sink.
pub struct SinkNode {
    /// Its name.
    pub name: Arc<str>,
    /// The connector.
    pub sink: Arc<dyn Sink>,
    /// The rows it gets.
    pub schema: SchemaRef,
    /// What happens to rows it can never take.
    pub on_error: OnError,
    /// The nodes it reads.
    pub inputs: Vec<Arc<str>>,
}

impl Plan {
    /// Whether every source ends by itself.
    pub fn is_finite(&self) -> bool {
        self.sources.iter().all(|source| source.source.is_finite())
    }
}
