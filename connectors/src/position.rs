//! Where a source is: partitions, positions in them, and the positions that a barrier stands for.
//!
//! Knows nothing of any connector: how a position is reached again is the connector's business.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

/// An ordered part of a source, by the name people know it by: `clicks-3` for a Kafka partition, a file's path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition(Arc<str>);

impl Partition {
    /// A partition of this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name, as metrics, dead letters and manifests show it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in a partition. Positions of one partition are ordered; those of two cannot be compared.
///
/// The text form (`Display`, `FromStr`) is what manifests and dead letters hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Position {
    /// A count from the partition's beginning: a Kafka offset, a byte in a file, a sequence number.
    Offset(u64),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(offset) => write!(f, "{offset}"),
        }
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse()
            .map(Self::Offset)
            .map_err(|_| format!("`{text}` is not a position: expected a whole number such as 1042"))
    }
}

/// For each partition the position at which reading goes on: the next record's, not the last one's.
pub type Positions = BTreeMap<Partition, Position>;
