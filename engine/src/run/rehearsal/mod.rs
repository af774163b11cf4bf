//! A plan run on given records, on the caller's thread: what pipeline tests are made of.
//!
//! No source is opened, no sink is written, no position is kept, and time stands still. All between runs as it always
//! does: the source's format decodes, the chain of nodes handles rows and failures.

mod given;
mod recorder;
mod stub;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use parking_lot::Mutex;
use riverhook_connectors::{clock::ManualClock, format::Format};
use serde_json::Value;

pub use given::Given;
pub(crate) use given::decode as rows_from_json;
pub use stub::Answer;

use self::{
    given::Records,
    recorder::Recorder,
    stub::{scalar_stub, stub},
};
use super::{chain::Chain, control::Control, meter::SinkMeter, outlet::Outlet, source_stage::SourceStage};
use crate::{
    error::Error,
    plan::{Plan, SourceNode, Work},
};

/// What a plan is run on.
#[derive(Clone, Debug, Default)]
pub struct Rehearsal {
    /// Records by source, in order. Sources run one after the other, in the plan's order.
    pub inputs: BTreeMap<String, Vec<Given>>,
    /// Functions that do not run, by name, and what they answer instead.
    pub answers: BTreeMap<String, Answer>,
    /// The nodes whose rows are wanted: sources, steps, sinks, `dead_letters`.
    pub watched: BTreeSet<String>,
    /// The time all along: microseconds since 1970-01-01 UTC.
    pub now: i64,
}

/// The rows that left (or, for a sink, reached) each watched node, in order, as JSON.
pub type Seen = BTreeMap<String, Vec<Value>>;

/// Rows that recorders of several chains gather for one node.
type Rows = Arc<Mutex<Vec<Value>>>;

/// Runs the plan.
///
/// # Errors
/// As a run would fail: a record that cannot be handled where `on_error` is `fail`. Also when a row of a stub or an
/// input cannot be what it is meant as.
pub fn rehearse(mut plan: Plan, rehearsal: &Rehearsal) -> Result<Seen, Error> {
    for source in &mut plan.sources {
        as_payloads(source);
    }
    for step in &mut plan.steps {
        if let Work::Call(call) = &mut step.work
            && let Some(answer) = rehearsal.answers.get(&*call.name)
        {
            call.function = stub(&call.name, answer, &step.schema)?;
        }
        for call in &mut step.calls {
            if let Some(answer) = rehearsal.answers.get(&*call.name) {
                call.function = scalar_stub(call, answer)?;
            }
        }
    }
    let recorders = Recorders::new(&mut plan, &rehearsal.watched);
    let plan = Arc::new(plan);
    let control = Control::one_after_the_other(ManualClock::at(rehearsal.now));
    for source in &plan.sources {
        let Some(given) = rehearsal.inputs.get(&*source.name) else { continue };
        let chain = Chain::new(&plan, source, Arc::clone(&control), |sink| recorders.outlet(&plan, sink))?;
        feed(&plan, source, chain, given, rehearsal.now)?;
    }
    Ok(recorders.seen())
}

/// A source that makes rows itself (Parquet, a generator) is given JSON instead.
fn as_payloads(source: &mut SourceNode) {
    if matches!(source.source.schema(), Ok(Some(_))) {
        source.format = Format::default();
    }
}

fn feed(plan: &Plan, source: &SourceNode, mut chain: Chain, given: &[Given], now: i64) -> Result<(), Error> {
    let mut stage = SourceStage::new(&plan.name, source)?;
    let records = Records::new(source, given)?;
    if let Some(header) = records.header() {
        stage.header(header).map_err(|error| Error::of_node(&source.name, error))?;
    }
    for payloads in records.batches(plan.settings.batch.rows, now) {
        let staged = stage.decode(payloads);
        let watermark = stage.watermark(&staged.batch, now);
        chain.run(&staged, watermark)?;
    }
    chain.close()
}

/// In place of all sinks: recorders. Those behind the plan's last sink stand for watched nodes that are no sinks.
struct Recorders {
    /// By the number that edges lead to.
    by_sink: BTreeMap<usize, Tap>,
}

struct Tap {
    node: String,
    schema: arrow_schema::SchemaRef,
    rows: Rows,
}

impl Recorders {
    fn new(plan: &mut Plan, watched: &BTreeSet<String>) -> Self {
        let sinks = plan.sinks.iter().enumerate();
        let tap = |node: &str, schema| Tap { node: node.to_owned(), schema, rows: Rows::default() };
        let mut by_sink: BTreeMap<usize, Tap> =
            sinks.map(|(index, sink)| (index, tap(&sink.name, Arc::clone(&sink.schema)))).collect();
        for node in watched {
            let index = by_sink.len();
            if let Some(schema) = plan.tap(node, index) {
                by_sink.insert(index, tap(node, schema));
            }
        }
        Self { by_sink }
    }

    fn outlet(&self, plan: &Plan, sink: usize) -> Result<Outlet, Error> {
        let tap = &self.by_sink[&sink];
        let name: Arc<str> = tap.node.as_str().into();
        let recorder = Recorder::new(&tap.schema, Arc::clone(&tap.rows))?;
        let meter = SinkMeter::new(&plan.name, &name);
        Ok(Outlet::new(name, crate::config::OnError::Fail, meter, Box::new(recorder)))
    }

    fn seen(self) -> Seen {
        let rows = |tap: Tap| (tap.node, std::mem::take(&mut *tap.rows.lock()));
        self.by_sink.into_values().map(rows).collect()
    }
}
