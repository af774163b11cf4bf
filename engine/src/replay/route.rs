//! Where a letter goes in: the node that failed, by its name.

use std::{collections::BTreeMap, sync::Arc};

use riverhook_connectors::source::Source;

use super::{letter::Letter, tally::Problem};
use crate::plan::{Plan, Work};

/// A place in a plan at which letters go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entry {
    /// A source's decoder: index into [`Plan::sources`].
    Source(usize),
    /// A step.
    Step {
        /// Index into [`Plan::steps`].
        step: usize,
        /// Which of its branches.
        branch: usize,
    },
    /// A sink: index into [`Plan::sinks`].
    Sink(usize),
}

/// The nodes of a plan, by name.
pub(super) struct Router {
    pipeline: Arc<str>,
    nodes: BTreeMap<Arc<str>, Node>,
}

enum Node {
    /// A source; its connector where it can be read again, nothing where it makes rows itself.
    Source(usize, Option<Arc<dyn Source>>),
    /// A step, and what letters call its branches' inputs where it has several.
    Step(usize, Vec<Arc<str>>),
    Sink(usize),
}

impl Router {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut nodes = BTreeMap::new();
        for (index, source) in plan.sources.iter().enumerate() {
            let decodes = !matches!(source.source.schema(), Ok(Some(_)));
            let connector = decodes.then(|| Arc::clone(&source.source));
            nodes.insert(Arc::clone(&source.name), Node::Source(index, connector));
        }
        for (index, step) in plan.steps.iter().enumerate() {
            let inputs = if matches!(step.work, Work::Sql(_)) { step.input_names() } else { Vec::new() };
            nodes.insert(Arc::clone(&step.name), Node::Step(index, inputs));
        }
        for (index, sink) in plan.sinks.iter().enumerate().filter(|(index, _)| plan.letters != Some(*index)) {
            nodes.insert(Arc::clone(&sink.name), Node::Sink(index));
        }
        Self { pipeline: Arc::clone(&plan.name), nodes }
    }

    /// Where a letter goes in, or why it cannot.
    pub(super) fn entry(&self, letter: &Letter) -> Result<Entry, Problem> {
        if letter.pipeline != *self.pipeline {
            return Err(Problem::Pipeline(letter.pipeline.clone()));
        }
        let known = ["decode", "sql", "function", "sink"];
        if !known.contains(&letter.stage.as_str()) {
            return Err(Problem::Stage(letter.stage.clone()));
        }
        let cut = || if letter.is_cut { Err(Problem::Cut(letter.node.clone())) } else { Ok(()) };
        match (letter.stage.as_str(), self.nodes.get(letter.node.as_str())) {
            // What was cut is looked for when its turn comes: the source may have it still.
            ("decode", Some(Node::Source(index, Some(_)))) => Ok(Entry::Source(*index)),
            ("sql" | "function", Some(Node::Step(step, inputs))) => {
                cut()?;
                Ok(Entry::Step { step: *step, branch: branch(letter, inputs)? })
            }
            ("sink", Some(Node::Sink(index))) => cut().map(|()| Entry::Sink(*index)),
            _ => Err(Problem::Node { node: letter.node.clone(), stage: letter.stage.clone() }),
        }
    }
}

/// The branch whose rows the letter holds one of.
fn branch(letter: &Letter, inputs: &[Arc<str>]) -> Result<usize, Problem> {
    if inputs.len() <= 1 {
        return Ok(0);
    }
    let named = letter.input.as_deref().and_then(|name| inputs.iter().position(|input| **input == *name));
    named.ok_or_else(|| Problem::Input { node: letter.node.clone(), input: letter.input.clone() })
}
