//! The nodes of one task, run to completion: a batch goes through all of them before the next one is read.
//!
//! Messages are passed by calls, depth first; nothing is queued between nodes. Every node keeps the way back from its
//! rows to the records, so that whatever fails can be named and sent to the dead letters.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::Duration,
};

use arrow_schema::SchemaRef;
use riverhook_connectors::{
    batch::{Batch, Epoch, Input, Message, RowFailure, Rows},
    format::{Encoded, Encoder, Format},
    sink::Rejected,
};

use super::{
    control::Control,
    failed::FailedRecords,
    letters::{Failure, PayloadOf, Stage, Try, letters},
    machine::{Done, Machine, bind, machine},
    meter::{Failures, StepMeter},
    outlet::Outlet,
    replies::Answers,
    source_stage::{Beside, Staged},
};
use crate::{
    config::OnError,
    error::Error,
    functions::Bell,
    plan::{Edge, Plan, SourceNode},
};

/// How often steps do what is due by time, such as to let copies go that nobody needs.
const TICK: Duration = Duration::from_millis(250);

pub(super) struct Step {
    name: Arc<str>,
    pub(super) machine: Machine,
    on_error: OnError,
    pub(super) edges: Arc<[Edge]>,
    /// The node each branch reads, as letters name it.
    inputs: Vec<Arc<str>>,
    meter: StepMeter,
    barrier: Epoch,
    watermark: i64,
}

/// The nodes that one source's rows reach, for one task.
pub(super) struct Chain {
    pipeline: Arc<str>,
    source: Arc<str>,
    source_edges: Arc<[Edge]>,
    source_on_error: OnError,
    source_failures: Failures,
    pub(super) steps: BTreeMap<usize, Step>,
    outlets: BTreeMap<usize, Outlet>,
    letters: Option<Outlet>,
    answers: Option<Answers>,
    /// Inputs whose senders were not told yet that they have been through.
    unanswered: Vec<Arc<Input>>,
    /// The steps whose functions are called.
    pub(super) calling: Vec<usize>,
    /// Whether rows may be with any of them, or wait for one.
    pub(super) with_functions: bool,
    /// When what is due by time was last done at the steps: monotonic.
    ticked: Duration,
    /// Rung by calls that end.
    bell: Arc<Bell>,
    failed: Option<Arc<FailedRecords>>,
    pub(super) control: Arc<Control>,
    max_payload: usize,
    /// The newest barrier that was sent.
    sent: Epoch,
}

/// A failure's place: what its letters and error message need.
struct Failing<'a> {
    node: &'a Arc<str>,
    stage: Stage,
    attempts: u32,
    tries: &'a [Try],
    on_error: OnError,
    function: Option<(&'a str, &'a str)>,
    input: Option<&'a str>,
    beside: Option<&'a Beside>,
}

impl Chain {
    /// The chain below `source`. `outlet` opens this task's writer of a sink.
    pub(super) fn new(
        plan: &Arc<Plan>,
        source: &SourceNode,
        control: Arc<Control>,
        mut outlet: impl FnMut(usize) -> Result<Outlet, Error>,
    ) -> Result<Self, Error> {
        let mut chain = Self {
            pipeline: Arc::clone(&plan.name),
            source: Arc::clone(&source.name),
            source_edges: source.edges.clone().into(),
            source_on_error: source.on_error,
            source_failures: Failures::new(&plan.name, &source.name),
            steps: BTreeMap::new(),
            outlets: BTreeMap::new(),
            letters: plan.letters.map(&mut outlet).transpose()?,
            answers: Answers::of(plan, source)?,
            unanswered: Vec::new(),
            calling: Vec::new(),
            with_functions: false,
            ticked: control.clock.monotonic(),
            bell: Arc::default(),
            failed: source.failed.clone(),
            control,
            max_payload: plan.settings.max_payload,
            sent: 0,
        };
        chain.reach(plan, &source.edges, &source.read, &mut outlet)?;
        Ok(chain)
    }

    /// Makes the nodes behind `edges` ready for rows of `schema`, and those behind them.
    fn reach(
        &mut self,
        plan: &Arc<Plan>,
        edges: &[Edge],
        schema: &SchemaRef,
        outlet: &mut impl FnMut(usize) -> Result<Outlet, Error>,
    ) -> Result<(), Error> {
        for edge in edges {
            match *edge {
                Edge::Sink(sink) => {
                    if let Entry::Vacant(place) = self.outlets.entry(sink) {
                        place.insert(outlet(sink)?);
                    }
                }
                Edge::Step { step, branch } => {
                    let node = &plan.steps[step];
                    if let Some(Step { machine: Machine::Sql { branches, .. }, .. }) = self.steps.get_mut(&step) {
                        branches[branch] = Some(bind(plan, step, branch, schema)?);
                        continue;
                    }
                    let machine = machine(plan, step, branch, schema, &self.control, &self.bell)?;
                    if matches!(machine, Machine::Call(_)) {
                        self.calling.push(step);
                    }
                    let made = Step {
                        name: Arc::clone(&node.name),
                        machine,
                        on_error: node.on_error,
                        edges: node.edges.clone().into(),
                        inputs: node.input_names(),
                        meter: StepMeter::new(&plan.name, &node.name),
                        barrier: 0,
                        watermark: i64::MIN,
                    };
                    self.steps.insert(step, made);
                    self.reach(plan, &node.edges, &node.schema, outlet)?;
                }
            }
        }
        Ok(())
    }

    /// Runs what was decoded through all nodes; what could not be decoded goes where `on_error` says.
    pub(super) fn run(&mut self, staged: &Staged, watermark: Option<i64>) -> Result<(), Error> {
        if !staged.failed.is_empty() {
            let source = Arc::clone(&self.source);
            let failing = Failing {
                node: &source,
                stage: Stage::Decode,
                attempts: 1,
                tries: &[],
                on_error: self.source_on_error,
                function: None,
                input: None,
                beside: Some(&staged.beside),
            };
            for failed in &staged.failed {
                self.source_failures.count(Stage::Decode, failed.code);
            }
            let payload = match staged.whole {
                None => PayloadOf::Raw(&staged.values),
                Some(whole) => PayloadOf::Beginning(&staged.values, whole),
            };
            self.handle(&failing, &staged.batch.input, &Rows::Same, payload, &staged.failed)?;
        }
        if staged.batch.records.num_rows() > 0 {
            self.send_all(&Arc::clone(&self.source_edges), &Message::Batch(staged.batch.clone()))?;
        }
        if self.answers.is_some() {
            self.unanswered.push(Arc::clone(&staged.batch.input));
        }
        if let Some(watermark) = watermark {
            self.send_all(&Arc::clone(&self.source_edges), &Message::Watermark(watermark))?;
        }
        self.answer();
        Ok(())
    }

    /// Tells the senders of records that have been through that no more rows of them come.
    fn answer(&mut self) {
        let Some(answers) = &self.answers else { return };
        let (steps, calling) = (&self.steps, &self.calling);
        let under_way = |input: &Arc<Input>| {
            calling.iter().any(|step| matches!(&steps[step].machine, Machine::Call(call) if call.calls.holds(input)))
        };
        self.unanswered.retain(|input| {
            let under_way = under_way(input);
            if !under_way {
                answers.done(input);
            }
            under_way
        });
    }

    /// Whether rows are with functions.
    pub(super) fn under_way(&self) -> bool {
        let under_way = |step| matches!(&self.steps[step].machine, Machine::Call(call) if call.calls.under_way());
        self.with_functions && self.calling.iter().any(under_way)
    }

    /// Waits until a call has ended, or for `longest`.
    pub(super) fn wait_for_call(&self, longest: Duration) {
        self.bell.wait(longest);
    }

    /// Sends a barrier down to every sink but the dead letters', whose turn comes when the others have answered: what
    /// they hand back must be written before it.
    pub(super) fn barrier(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.sent = epoch;
        self.send_all(&Arc::clone(&self.source_edges), &Message::Barrier(epoch))
    }

    /// The newest barrier that every sink has answered, the dead letters' included.
    pub(super) fn poll(&mut self) -> Result<Epoch, Error> {
        let now = self.control.clock.monotonic();
        if now.saturating_sub(self.ticked) >= TICK {
            self.steps.values().for_each(|step| step.machine.tick());
            self.ticked = now;
        }
        self.due()?;
        self.answer();
        let mut durable = self.sent;
        let sinks: Vec<usize> = self.outlets.keys().copied().collect();
        for sink in sinks {
            let outlet = self.outlets.get_mut(&sink).expect("the key was just listed");
            let (epoch, rejected) = outlet.poll(&*self.control.clock)?;
            durable = durable.min(epoch);
            self.rejected(sink, rejected)?;
        }
        let Some(letters) = &mut self.letters else { return Ok(durable) };
        if durable > 0 {
            letters.barrier(durable)?;
        }
        let (answered, rejected) = letters.poll(&*self.control.clock)?;
        refuse_rejected_letters(&letters.name, &rejected)?;
        Ok(durable.min(answered))
    }

    /// Closes every sink, the dead letters' last: then everything is durable.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        self.send_all(&Arc::clone(&self.source_edges), &Message::End)?;
        if let Some(letters) = &mut self.letters {
            let rejected = letters.close(&*self.control.clock)?;
            refuse_rejected_letters(&letters.name, &rejected)?;
        }
        Ok(())
    }

    pub(super) fn send_all(&mut self, edges: &Arc<[Edge]>, message: &Message) -> Result<(), Error> {
        edges.iter().try_for_each(|edge| self.send(*edge, message))
    }

    fn send(&mut self, edge: Edge, message: &Message) -> Result<(), Error> {
        match edge {
            Edge::Sink(sink) => self.deliver(sink, message),
            Edge::Step { step, branch } => match message {
                Message::Batch(batch) => self.through(step, branch, batch),
                Message::End => {
                    self.finish_calls(step)?;
                    let edges = Arc::clone(&self.steps[&step].edges);
                    self.send_all(&edges, message)
                }
                // Over several edges each comes several times, and counts once.
                Message::Watermark(time) => {
                    let node = self.steps.get_mut(&step).expect("edges lead to steps of this chain");
                    if *time == node.watermark {
                        return Ok(());
                    }
                    node.watermark = *time;
                    self.pass(step, message)
                }
                Message::Barrier(epoch) => {
                    let node = self.steps.get_mut(&step).expect("edges lead to steps of this chain");
                    if *epoch <= node.barrier {
                        return Ok(());
                    }
                    node.barrier = *epoch;
                    self.begin_gathered(step)?;
                    self.pass(step, message)
                }
            },
        }
    }

    fn deliver(&mut self, sink: usize, message: &Message) -> Result<(), Error> {
        let outlet = self.outlets.get_mut(&sink).expect("edges lead to sinks of this chain");
        match message {
            Message::Batch(batch) => {
                self.control.totals.written.add(batch.records.num_rows(), batch.bytes());
                outlet.write(batch, &*self.control.clock)
            }
            Message::Watermark(_) => Ok(()),
            Message::Barrier(epoch) => outlet.barrier(*epoch),
            Message::End => {
                let rejected = outlet.close(&*self.control.clock)?;
                self.rejected(sink, rejected)
            }
        }
    }

    fn through(&mut self, step: usize, branch: usize, batch: &Batch) -> Result<(), Error> {
        let node = self.steps.get_mut(&step).expect("edges lead to steps of this chain");
        node.meter.rows_in(batch.records.num_rows());
        if let Machine::Call(call) = &mut node.machine {
            let parts = call.calls.take(batch);
            self.with_functions = true;
            return self.begin(step, parts);
        }
        let done = node.machine.run(branch, batch, &*self.control.clock)?;
        self.made(step, branch, batch, done)
    }

    /// Passes on what a step made of a batch.
    pub(super) fn made(&mut self, step: usize, branch: usize, batch: &Batch, done: Done) -> Result<(), Error> {
        let node = self.steps.get_mut(&step).expect("edges lead to steps of this chain");
        for failed in &done.failures {
            failed.rows.iter().for_each(|row| node.meter.failures.count(failed.stage, row.code));
        }
        if let Some(answers) = &mut self.answers {
            answers.rows(step, &done.out);
        }
        let edges = Arc::clone(&node.edges);
        node.meter.rows_out(done.out.iter().map(|batch| batch.records.num_rows()).sum());
        let (name, on_error, input) = (Arc::clone(&node.name), node.on_error, node.inputs.get(branch).cloned());
        for failed in &done.failures {
            let function = failed.function.as_ref().map(|(name, version)| (&**name, version.as_str()));
            let (stage, tries, input) = (failed.stage, failed.tries.as_slice(), input.as_deref());
            let failing = Failing { node: &name, stage, attempts: 1, tries, on_error, function, input, beside: None };
            let mut json = row_encoder(&batch.records.schema())?;
            self.handle(&failing, &batch.input, &batch.rows, PayloadOf::Rows(batch, &mut *json), &failed.rows)?;
        }
        done.out.into_iter().try_for_each(|batch| self.send_all(&edges, &Message::Batch(batch)))
    }

    fn rejected(&mut self, sink: usize, rejected: Vec<Rejected>) -> Result<(), Error> {
        for rejected in rejected {
            let outlet = self.outlets.get_mut(&sink).expect("only sinks of this chain are asked");
            for failed in &rejected.failures {
                outlet.meter.failures.count(Stage::Sink, failed.code);
            }
            let (name, on_error) = (Arc::clone(&outlet.name), outlet.on_error);
            let failing = Failing {
                node: &name,
                stage: Stage::Sink,
                attempts: rejected.attempts,
                tries: &[],
                on_error,
                function: None,
                input: None,
                beside: None,
            };
            let batch = &rejected.batch;
            let mut json = row_encoder(&batch.records.schema())?;
            self.handle(&failing, &batch.input, &batch.rows, PayloadOf::Rows(batch, &mut *json), &rejected.failures)?;
        }
        Ok(())
    }

    /// Does what the node's `on_error` says.
    fn handle(
        &mut self,
        failing: &Failing<'_>,
        input: &Arc<Input>,
        rows: &Rows,
        payload: PayloadOf<'_>,
        failures: &[RowFailure],
    ) -> Result<(), Error> {
        if let Some(answers) = &self.answers {
            answers.failed(failing.node, input, rows, failures);
        }
        if let Some(failed) = &self.failed {
            failed.note(input, rows, failures);
        }
        let totals = &self.control.totals;
        totals.failed.fetch_add(failures.len() as u64, std::sync::atomic::Ordering::Relaxed);
        match failing.on_error {
            OnError::Skip => Ok(()),
            OnError::Fail => Err(fatal(failing, input, rows, &failures[0])),
            OnError::DeadLetter => {
                let failure = Failure {
                    pipeline: &self.pipeline,
                    node: failing.node,
                    stage: failing.stage,
                    attempts: failing.attempts,
                    tries: failing.tries,
                    time: self.control.clock.now_micros(),
                    function: failing.function,
                    input: failing.input,
                    beside: failing.beside,
                    max_payload: self.max_payload,
                };
                let batch = letters(&failure, input, rows, payload, failures);
                totals.letters.fetch_add(failures.len() as u64, std::sync::atomic::Ordering::Relaxed);
                let outlet =
                    self.letters.as_mut().expect("a plan with `on_error: dead_letter` has a dead letters' sink");
                outlet.write(&batch, &*self.control.clock)
            }
        }
    }
}

/// A letter that its own sink refuses has nowhere left to go.
fn refuse_rejected_letters(name: &str, rejected: &[Rejected]) -> Result<(), Error> {
    match rejected.iter().find_map(|rejected| rejected.failures.first()) {
        Some(failed) => {
            Err(Error::failed(format!("`{name}` refused a dead letter ({}): {}", failed.code, failed.message)))
        }
        None => Ok(()),
    }
}

fn fatal(failing: &Failing<'_>, input: &Input, rows: &Rows, failed: &RowFailure) -> Error {
    let position = rows.record(failed.row as usize).and_then(|record| input.positions.get(record));
    let place =
        position.map_or_else(|| input.partition.to_string(), |position| format!("{} at {position}", input.partition));
    Error::failed(format!(
        "`{}` failed on a record of `{}` ({place}): {} [{}]. To go on past such records set `on_error: dead_letter` (or `skip`) on `{}`",
        failing.node, input.source, failed.message, failed.code, failing.node
    ))
}

pub(super) fn row_encoder(schema: &SchemaRef) -> Result<Box<dyn Encoder>, Error> {
    Format::default()
        .encoder(Arc::clone(schema))
        .map_err(|error| Error::failed(format!("cannot write rows as JSON: {error}")))
}

/// Rows as JSON texts.
pub(crate) fn rows_to_json(rows: &arrow_array::RecordBatch) -> Result<Vec<String>, Error> {
    let mut encoded = Encoded::default();
    row_encoder(&rows.schema())?.encode(rows, &mut encoded);
    Ok((0..encoded.len()).map(|row| String::from_utf8_lossy(encoded.row(row)).into_owned()).collect())
}
