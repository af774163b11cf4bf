//! Where the rows of a batch came from, as functions are told.

use arrow_array::{Array, ListArray, cast::AsArray};
use riverhook_connectors::{batch::Batch, position::Position};
use riverhook_udf::{Origins, RecordOrigin};

/// The origins of a batch's rows.
#[derive(Debug)]
pub(crate) struct BatchOrigins<'a> {
    batch: &'a Batch,
    headers: Option<&'a ListArray>,
}

impl<'a> BatchOrigins<'a> {
    pub(crate) fn of(batch: &'a Batch) -> Self {
        let headers = batch.input.headers.as_ref().and_then(|headers| headers.as_list_opt::<i32>());
        Self { batch, headers }
    }
}

impl Origins for BatchOrigins<'_> {
    fn of(&self, row: usize) -> Option<RecordOrigin<'_>> {
        let input = &*self.batch.input;
        let record = self.batch.rows.record(row)?;
        let Position::Offset(position) = *input.positions.get(record)?;
        let key = input.keys.as_ref().filter(|keys| record < keys.len() && !keys.is_null(record));
        let headers = self.headers.filter(|headers| record < headers.len() && !headers.is_null(record));
        Some(RecordOrigin {
            source: &input.source,
            partition: input.partition.as_str(),
            position,
            timestamp: input.read_at / 1000,
            key: key.map(|keys| keys.value(record)),
            headers: headers.map(|headers| (headers, record)),
        })
    }
}
