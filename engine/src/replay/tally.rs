//! What became of letters, by node, and what is wrong with those that cannot run.

use std::{collections::BTreeMap, fmt};

use parking_lot::Mutex;

/// The most kinds of problems that are told apart.
const MOST_PROBLEMS: usize = 50;

/// What became of one node's letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// They ran again, and what came of them is durable.
    pub replayed: u64,
    /// Of these, those that failed again somewhere.
    pub failed: u64,
    /// They had run before.
    pub skipped: u64,
}

/// Why letters cannot run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// They are another pipeline's.
    Pipeline(String),
    /// There is no such node.
    Node {
        /// Its name.
        node: String,
        /// Where it failed.
        stage: String,
    },
    /// Nothing can be run again from there.
    Stage(String),
    /// The node has no such input.
    Input {
        /// The node.
        node: String,
        /// What the letter says, if it says anything.
        input: Option<String>,
    },
    /// Only the beginning of the payload was kept.
    Cut(String),
    /// Only the beginning was kept, and the source does not have the record any more.
    Gone(String),
    /// The payload is no row that the node could be given.
    Misfit {
        /// The node.
        node: String,
        /// Why not.
        why: String,
    },
    /// They are no dead letters.
    Foreign,
    /// Others.
    More,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipeline(name) => write!(f, "of the pipeline `{name}`: replay them with its own file"),
            Self::Node { node, stage } => {
                write!(f, "of `{node}` (stage {stage}), which this pipeline does not have: was it renamed or removed?")
            }
            Self::Stage(stage) => write!(f, "of the stage `{stage}`, from which nothing can run again"),
            Self::Input { node, input: Some(input) } => {
                write!(f, "of `{node}` with rows of `{input}`, which it does not read any more")
            }
            Self::Input { node, input: None } => {
                write!(f, "of `{node}`, which reads several nodes: they do not say whose rows they hold")
            }
            Self::Cut(node) => write!(
                f,
                "of `{node}` with payloads that were cut: they cannot run again; raise `max_payload` for those to come"
            ),
            Self::Gone(node) => write!(
                f,
                "of `{node}` with payloads that were cut, and the source does not have the records any more, or not whole"
            ),
            Self::Misfit { node, why } => write!(f, "of `{node}` that are no rows it could be given: {why}"),
            Self::Foreign => f.write_str("are no dead letters"),
            Self::More => f.write_str("with other problems"),
        }
    }
}

/// Counts, shared by all who run letters.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

/// The counts.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By node.
    pub nodes: BTreeMap<String, Outcome>,
    /// How many letters have it, and where the first is.
    pub problems: BTreeMap<Problem, (u64, String)>,
}

impl Tally {
    /// Begins with what is known.
    pub fn of(counts: Counts) -> Self {
        Self(Mutex::new(counts))
    }

    /// Letters ran, and some failed.
    pub(super) fn ran(&self, node: &str, letters: u64, failed: u64) {
        let mut counts = self.0.lock();
        let outcome = counts.nodes.entry(node.to_owned()).or_default();
        outcome.replayed += letters;
        outcome.failed += failed;
    }

    /// A letter cannot run.
    pub(super) fn problem(&self, problem: Problem, place: &str) {
        self.0.lock().problem(problem, place);
    }

    /// The counts as they are.
    pub fn counts(&self) -> Counts {
        self.0.lock().clone()
    }
}

impl Counts {
    pub(super) fn problem(&mut self, problem: Problem, place: &str) {
        let full = self.problems.len() >= MOST_PROBLEMS && !self.problems.contains_key(&problem);
        let problem = if full { Problem::More } else { problem };
        self.problems.entry(problem).or_insert_with(|| (0, place.to_owned())).0 += 1;
    }

    /// The sum over all nodes.
    pub fn sum(&self) -> Outcome {
        let mut sum = Outcome::default();
        for outcome in self.nodes.values() {
            sum.replayed += outcome.replayed;
            sum.failed += outcome.failed;
            sum.skipped += outcome.skipped;
        }
        sum
    }

    /// Whether everything that ran was delivered, and nothing was in the way of the rest.
    pub fn is_well(&self) -> bool {
        self.problems.is_empty() && self.sum().failed == 0
    }
}
