//! The columns about a file that a user asked for.

use std::{fs::Metadata, os::unix::fs::MetadataExt, sync::Arc};

use arrow_array::{ArrayRef, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{DataType, Field, FieldRef, TimeUnit};

use super::FileMetadata;
use crate::position::Partition;

impl FileMetadata {
    /// The column.
    pub(super) fn field(self) -> FieldRef {
        let data_type = match self {
            Self::Path => DataType::Utf8,
            Self::Size | Self::Line => DataType::UInt64,
            Self::Modified => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        };
        Arc::new(Field::new(self.as_str(), data_type, false))
    }
}

/// What is the same for all records of a file.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) partition: Partition,
    size: u64,
    /// Microseconds since 1970-01-01 UTC.
    modified: i64,
}

impl About {
    pub(super) fn new(partition: &Partition, metadata: &Metadata) -> Self {
        let modified = metadata.mtime().saturating_mul(1_000_000).saturating_add(metadata.mtime_nsec() / 1000);
        Self { partition: partition.clone(), size: metadata.len(), modified }
    }

    /// The columns for records that begin at these lines.
    pub(super) fn columns(&self, wanted: &[FileMetadata], lines: &[u64]) -> Vec<ArrayRef> {
        let rows = lines.len();
        let column = |metadata: &FileMetadata| -> ArrayRef {
            match metadata {
                FileMetadata::Path => {
                    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(self.partition.as_str(), rows)))
                }
                FileMetadata::Size => Arc::new(UInt64Array::from_value(self.size, rows)),
                FileMetadata::Modified => {
                    Arc::new(TimestampMicrosecondArray::from_value(self.modified, rows).with_timezone("UTC"))
                }
                FileMetadata::Line => Arc::new(UInt64Array::from(lines.to_vec())),
            }
        };
        wanted.iter().map(column).collect()
    }
}
