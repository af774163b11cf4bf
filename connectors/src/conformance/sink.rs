//! How the suite gets at a sink.

use std::time::Duration;

use crate::sink::Sink;

/// A row as the suite writes it: columns `id: int64!` and `text: string`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// Different for every row of a check, and ascending within a writer.
    pub id: i64,
    /// Anything.
    pub text: String,
}

/// Makes sinks, and reads what they wrote.
pub trait SinkHarness {
    /// Makes an empty place that was never used before, and a sink that writes to it.
    fn create(&mut self) -> Box<dyn Sink>;

    /// What anybody else can read now in the place made last: a list for each part that has an order (a partition, a
    /// file). Not what the connector remembers: what is there.
    fn read(&mut self) -> Vec<Vec<Row>>;

    /// The text of a row that this sink refuses, if there is any such row.
    fn refused(&self) -> Option<String> {
        None
    }

    /// Stops the other side (a server that does not answer, a full disk) or lets it go on; false if it cannot. Also
    /// called before [`SinkHarness::create`].
    fn stall(&mut self, _stalled: bool) -> bool {
        false
    }

    /// What the connector can do.
    fn abilities(&self) -> SinkAbilities {
        SinkAbilities::default()
    }
}

/// What a sink can do, so that nothing else is asked of it.
#[derive(Clone, Copy, Debug)]
pub struct SinkAbilities {
    /// Whether a text may hold any characters, NUL and line ends among them.
    pub any_text: bool,
    /// Whether a text may hold tabs, backslashes, and spaces at its ends.
    pub awkward_text: bool,
    /// The longest text in bytes that must pass.
    pub largest: usize,
    /// How long a barrier may take to be answered while all is well.
    pub answers_within: Duration,
}

impl Default for SinkAbilities {
    fn default() -> Self {
        Self { any_text: true, awkward_text: true, largest: 512 << 10, answers_within: Duration::from_secs(30) }
    }
}
