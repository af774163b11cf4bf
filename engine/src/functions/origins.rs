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
        let times = input.times.as_ref().filter(|times| record < times.len() && !times.is_null(record));
        Some(RecordOrigin {
            source: &input.source,
            partition: input.partition.as_str(),
            position,
            timestamp: times.map_or(input.read_at / 1000, |times| times.value(record)),
            key: key.map(|keys| keys.value(record)),
            headers: headers.map(|headers| (headers, record)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{RecordBatch, TimestampMillisecondArray};
    use arrow_schema::Schema;
    use riverhook_connectors::{
        batch::{Input, Rows},
        position::Partition,
    };

    use super::*;

    #[test]
    fn a_records_time_is_the_transports_where_it_says_one() {
        let input = Input {
            source: "s".into(),
            partition: Partition::new("t-0"),
            positions: vec![Position::Offset(7), Position::Offset(8)],
            keys: None,
            headers: None,
            times: Some(TimestampMillisecondArray::from(vec![Some(1_500), None])),
            read_at: 9_000_000,
        };
        let records = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let batch = Batch { records, rows: Rows::Same, input: Arc::new(input) };
        let origins = BatchOrigins::of(&batch);
        let told = |row| origins.of(row).map(|origin| (origin.position, origin.timestamp));
        assert_eq!([told(0), told(1), told(2)], [Some((7, 1_500)), Some((8, 9_000)), None]);
    }
}
