//! What a function answers: a batch, where its rows came from, and the rows that failed.

use arrow_array::RecordBatch;

/// The answer to one batch. A plain [`RecordBatch`] converts into one whose rows may come from any input row.
#[derive(Debug, Clone)]
pub struct Output {
    /// The rows that go on. They must have the schema that `schema` promised.
    pub batch: RecordBatch,
    /// Which input rows they came from: the more the engine knows, the finer it can retry and track positions.
    pub origin: Origin,
    /// The rows that failed.
    pub failed: Vec<FailedRow>,
}

impl Output {
    /// Output row i came from input row i; no row was added or left out.
    pub fn same(batch: RecordBatch) -> Self {
        Self { batch, origin: Origin::Same, failed: Vec::new() }
    }

    /// Output row i came from input row `rows[i]`.
    pub fn rows(batch: RecordBatch, rows: Vec<u32>) -> Self {
        Self { batch, origin: Origin::Rows(rows), failed: Vec::new() }
    }

    /// Adds rows that failed.
    pub fn with_failed(mut self, failed: Vec<FailedRow>) -> Self {
        self.failed = failed;
        self
    }
}

impl From<RecordBatch> for Output {
    fn from(batch: RecordBatch) -> Self {
        Self { batch, origin: Origin::WholeBatch, failed: Vec::new() }
    }
}

/// Which input row an output row came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Output row i came from input row i.
    Same,
    /// One entry an output row: the index of its input row.
    Rows(Vec<u32>),
    /// Each output row may depend on every input row.
    WholeBatch,
}

/// One input row that failed while the others went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedRow {
    /// The index of the input row.
    pub row: u32,
    /// A short name of the kind of error, such as `Address.Unknown`.
    pub code: String,
    /// What went wrong, for a person.
    pub message: String,
    /// True if the same row may succeed later.
    pub retryable: bool,
}
