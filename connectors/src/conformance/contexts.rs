//! What the suite opens sources and sinks with.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use tokio::runtime::Runtime;

use super::Row;
use crate::{
    batch::{Batch, Input, Rows},
    clock::SystemClock,
    position::{Partition, Position, Positions},
    sink::WriteContext,
    source::{BatchLimits, ReadContext, Source},
    status::Status,
};

/// The node's name in all contexts.
pub(super) const NODE: &str = "conformance";

/// How long a check waits for something that must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A folder and a runtime for as long as a check runs.
pub(super) struct Place {
    folder: PathBuf,
    io: Runtime,
}

impl Place {
    pub(super) fn new() -> Result<Self, String> {
        let folder = std::env::temp_dir().join(format!("riverhook-conformance-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Ok(Self { folder, io: io.map_err(|error| format!("cannot start a runtime: {error}"))? })
    }

    pub(super) fn read(
        &self,
        source: &dyn Source,
        parallelism: usize,
        positions: Positions,
        rows: usize,
    ) -> ReadContext {
        let schema = source.schema().ok().flatten().unwrap_or_else(|| Arc::new(Schema::empty()));
        ReadContext {
            source: NODE.into(),
            pipeline: NODE.into(),
            parallelism,
            positions,
            schema,
            limits: BatchLimits { rows, bytes: 64 << 10, wait: Duration::from_millis(5) },
            prefetch_bytes: 4 << 20,
            state_dir: self.folder.clone(),
            clock: SystemClock::shared(),
            status: Status::starting("opening"),
            io: self.io.handle().clone(),
        }
    }

    pub(super) fn write(&self, task: usize) -> WriteContext {
        WriteContext {
            sink: NODE.into(),
            pipeline: NODE.into(),
            schema: schema(),
            task,
            inflight_bytes: 1 << 20,
            state_dir: self.folder.clone(),
            clock: SystemClock::shared(),
            status: Status::starting("opening"),
            io: self.io.handle().clone(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // It is in the folder for temporary files: what cannot be removed now, the system removes.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The columns of all rows that the suite writes.
pub(super) fn schema() -> SchemaRef {
    let text = Field::new("text", DataType::Utf8, true);
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), text]))
}

/// Rows as a batch; each is the record of its id.
pub(super) fn batch(rows: &[Row]) -> Batch {
    let ids: Int64Array = rows.iter().map(|row| row.id).collect::<Vec<_>>().into();
    let texts = StringArray::from_iter_values(rows.iter().map(|row| &row.text));
    let records = RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(texts)]);
    let input = Input {
        source: NODE.into(),
        partition: Partition::new("rows"),
        positions: rows.iter().map(|row| Position::Offset(row.id.unsigned_abs())).collect(),
        keys: None,
        headers: None,
        times: None,
        read_at: 0,
    };
    Batch { records: records.expect("the columns are the schema's"), rows: Rows::Same, input: Arc::new(input) }
}
