//! Dead letters run again, each from the node where it failed, as a run of its own.
//!
//! The letters are gone over twice. A first look ([`Replay::survey`]) counts them and finds which nodes they go in at. Then the
//! plan's sources give way to one source of letters for each of these places ([`Replay::plan`]); steps and sinks stay,
//! and all runs as it always does: barriers, retries, dead letters. Between the two looks letters may come, from a
//! pipeline that runs or from this very run: those are left for the next replay.

mod done;
mod letter;
mod records;
mod route;
mod scan;
mod select;
mod source;
mod tally;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use riverhook_connectors::{
    clock::Clock,
    format::Format,
    position::{Partition, Position, Positions},
    status::Status,
};

pub use self::{
    done::Done,
    letter::{Letter, LetterId},
    route::Entry,
    scan::Places,
    select::Selection,
    tally::{Counts, Outcome, Problem, Tally},
};
use self::{
    route::Router,
    scan::{Found, Scan, Scanned, Scanning},
    source::{Given, LettersSource, Shared},
};
use crate::{
    error::Error,
    plan::{Edge, Plan, SourceNode},
    run::FailedRecords,
};

/// How long one look for letters may wait.
const WAIT: Duration = Duration::from_millis(100);

/// The letters of one kind: of a node, a stage and an error.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// The node that failed.
    pub node: String,
    /// Where that was.
    pub stage: String,
    /// What the failure is called.
    pub error: String,
}

/// What there is to run.
#[derive(Debug, Default)]
pub struct Survey {
    /// How many letters would run, by kind.
    pub kinds: BTreeMap<Kind, u64>,
    /// What will not run: skipped letters, problems.
    pub counts: Counts,
    entries: BTreeSet<Entry>,
    bounds: Positions,
    taken: HashSet<LetterId>,
}

/// Letters, those that are wanted, and those that have run.
pub struct Replay {
    /// Where letters are.
    pub places: Places,
    /// Which are wanted.
    pub selection: Selection,
    /// Which have run.
    pub done: Done,
}

impl Replay {
    /// Goes over the letters without running any.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn survey(&self, plan: &Plan, clock: &Arc<dyn Clock>, io: &tokio::runtime::Handle) -> Result<Survey, Error> {
        let router = Router::new(plan);
        let with = Scanning {
            pipeline: Arc::clone(&plan.name),
            limits: plan.settings.batch,
            clock: Arc::clone(clock),
            io: io.clone(),
            status: Status::starting("starting"),
        };
        let mut scan = Scan::new(&self.places, with)?;
        let mut survey = Survey::default();
        loop {
            match scan.next(WAIT).map_err(|error| Error::of_node("dead_letters", error))? {
                Scanned::Found(found) => self.look(&mut survey, &router, found),
                Scanned::Idle => {}
                Scanned::End => return Ok(survey),
            }
        }
    }

    fn look(&self, survey: &mut Survey, router: &Router, found: Found) {
        let Found { partition, letters } = found;
        for (position, letter) in letters {
            survey.bounds.insert(partition.clone(), position);
            match letter {
                None => survey.counts.problem(Problem::Foreign, &place(&partition, position)),
                Some(letter) if self.selection.admits(&letter) => match router.entry(&letter) {
                    Err(problem) => survey.counts.problem(problem, &place(&partition, position)),
                    Ok(entry) => self.count(survey, entry, letter),
                },
                Some(_) => {}
            }
        }
    }

    fn count(&self, survey: &mut Survey, entry: Entry, letter: Letter) {
        if !survey.taken.insert(letter.id) {
            return;
        }
        if !self.selection.again && self.done.has(letter.id) {
            survey.counts.nodes.entry(letter.node).or_default().skipped += 1;
            return;
        }
        survey.entries.insert(entry);
        let Letter { node, stage, code: error, .. } = letter;
        *survey.kinds.entry(Kind { node, stage, error }).or_default() += 1;
    }

    /// The plan that runs the letters, and where what becomes of them is counted.
    pub fn plan(self, mut plan: Plan, survey: Survey) -> (Plan, Ended) {
        let shared = Arc::new(Shared {
            places: self.places,
            router: Router::new(&plan),
            selection: self.selection,
            done: self.done,
            tally: Tally::of(survey.counts),
            bounds: survey.bounds,
            failed: Arc::new(FailedRecords::default()),
        });
        plan.sources = survey.entries.into_iter().map(|entry| source(&plan, &shared, entry)).collect();
        (plan, Ended(shared))
    }
}

/// What became of the letters of a run.
pub struct Ended(Arc<Shared>);

impl Ended {
    /// The counts as they are.
    pub fn counts(&self) -> Counts {
        self.0.tally.counts()
    }
}

fn place(partition: &Partition, position: Position) -> String {
    format!("{partition} at {position}")
}

/// The letters that go in at one place, as a source of the plan.
fn source(plan: &Plan, shared: &Arc<Shared>, entry: Entry) -> SourceNode {
    let letters = |node: &str, given: Given| {
        Arc::new(LettersSource { shared: Arc::clone(shared), entry, node: node.to_owned(), given })
    };
    let failed = Some(Arc::clone(&shared.failed));
    let (name, schema, on_error, edge) = match entry {
        Entry::Source(index) => {
            let own = &plan.sources[index];
            return SourceNode {
                name: Arc::clone(&own.name),
                source: letters(&own.name, Given::Payloads { source: Arc::clone(&own.source) }),
                format: own.format.clone(),
                schema: Arc::clone(&own.schema),
                read: Arc::clone(&own.read),
                decoded: Arc::clone(&own.decoded),
                metadata: own.metadata.clone(),
                on_error: own.on_error,
                event_time: own.event_time.clone(),
                // Whoever sent the record has gone.
                reply: None,
                edges: own.edges.clone(),
                failed,
            };
        }
        Entry::Step { step, branch } => {
            let node = &plan.steps[step];
            let read = |source: &SourceNode| Arc::clone(&source.read);
            let input = node.inputs.get(branch);
            let of_source = plan.sources.iter().find(|source| Some(&source.name) == input).map(read);
            let of_step = plan.steps.iter().find(|step| Some(&step.name) == input).map(|step| Arc::clone(&step.schema));
            let schema = of_source.or(of_step).expect("a step reads sources and steps of its plan");
            (Arc::clone(&node.name), schema, node.on_error, Edge::Step { step, branch })
        }
        Entry::Sink(sink) => {
            let node = &plan.sinks[sink];
            (Arc::clone(&node.name), Arc::clone(&node.schema), node.on_error, Edge::Sink(sink))
        }
    };
    SourceNode {
        // Not the node's own name, which its own status has.
        name: format!("letters of {name}").into(),
        source: letters(&name, Given::Rows(Arc::clone(&schema))),
        format: Format::default(),
        schema: Arc::clone(&schema),
        read: Arc::clone(&schema),
        decoded: schema,
        metadata: Vec::new(),
        on_error,
        event_time: None,
        reply: None,
        edges: vec![edge],
        failed,
    }
}
