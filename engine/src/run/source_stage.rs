//! The first stage of a chain: from what a reader gives to rows with the columns that the plan reads.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow_schema::{DataType, Schema, SchemaRef, TimeUnit};
use arrow_select::take::take;
use riverhook_connectors::{
    batch::{Batch, Payloads, RowFailure, Rows},
    error::Error as ConnectorError,
    format::Decoder,
    source::{Refused, Whole},
};

use super::meter::SourceMeter;
use crate::{error::Error, plan::SourceNode};

/// Decodes one source's payloads, for one task.
pub(super) struct SourceStage {
    decoder: Box<dyn Decoder>,
    /// Which metadata columns follow the decoded ones.
    metadata: Vec<usize>,
    /// Decoded columns, then metadata.
    schema: SchemaRef,
    event_time: Option<(String, i64)>,
    pub(super) meter: SourceMeter,
    /// The source's metadata columns, all of them.
    beside: SchemaRef,
    /// The header of what is decoded now.
    header: Option<Arc<[u8]>>,
}

/// What a record was decoded with, beside its value.
#[derive(Default)]
pub(super) struct Beside {
    /// The header of its file or body, where the format has one.
    pub(super) header: Option<Arc<[u8]>>,
    /// Its metadata columns: a row a record.
    pub(super) metadata: Option<RecordBatch>,
}

/// Rows, and the records that gave none.
pub(super) struct Staged {
    pub(super) batch: Batch,
    /// By record.
    pub(super) failed: Vec<RowFailure>,
    /// The values that `failed` names.
    pub(super) values: BinaryArray,
    /// What is known of all of the only value, where `values` has but its beginning.
    pub(super) whole: Option<Whole>,
    /// What is known of the records of which some failed.
    pub(super) beside: Beside,
}

impl SourceStage {
    pub(super) fn new(pipeline: &Arc<str>, node: &SourceNode) -> Result<Self, Error> {
        let decoder =
            node.format.decoder(Arc::clone(&node.decoded)).map_err(|error| Error::of_node(&node.name, error))?;
        let event_time = node.event_time.as_ref().map(|time| (time.column.clone(), micros(time.delay)));
        Ok(Self {
            decoder,
            metadata: node.metadata.clone(),
            schema: Arc::clone(&node.read),
            event_time,
            meter: SourceMeter::new(pipeline, &node.name),
            beside: Arc::new(Schema::new(node.source.metadata())),
            header: None,
        })
    }

    /// Decodes records. `payloads.input` stays the way back of every row.
    pub(super) fn decode(&mut self, payloads: Payloads) -> Staged {
        self.meter.read(&payloads.input.partition, payloads.values.len(), payload_bytes(&payloads.values));
        let decoded = self.decoder.decode(&payloads);
        let records = self.with_metadata(&decoded.records, &decoded.rows, &payloads.metadata);
        let beside = if decoded.failed.is_empty() { Beside::default() } else { self.beside(payloads.metadata) };
        Staged {
            beside,
            batch: Batch { records, rows: decoded.rows, input: payloads.input },
            failed: decoded.failed,
            values: payloads.values,
            whole: None,
        }
    }

    /// A record that its source refused: no row, one failure.
    pub(super) fn refused(&mut self, refused: Refused) -> Staged {
        let Refused { mut payloads, failure, whole } = refused;
        let beside = self.beside(std::mem::take(&mut payloads.metadata));
        self.meter.read(&payloads.input.partition, 1, payload_bytes(&payloads.values));
        let records = RecordBatch::new_empty(Arc::clone(&self.schema));
        Staged {
            batch: Batch { records, rows: Rows::Same, input: payloads.input },
            failed: vec![failure],
            values: payloads.values,
            whole: Some(whole),
            beside,
        }
    }

    /// The names of the columns of what comes next.
    pub(super) fn header(&mut self, header: &[u8]) -> Result<(), ConnectorError> {
        self.header = Some(header.into());
        self.decoder.header(header)
    }

    fn beside(&self, metadata: Vec<ArrayRef>) -> Beside {
        let metadata = RecordBatch::try_new(Arc::clone(&self.beside), metadata).ok();
        Beside { header: self.header.clone(), metadata }
    }

    fn with_metadata(&self, records: &RecordBatch, rows: &Rows, metadata: &[ArrayRef]) -> RecordBatch {
        if self.metadata.is_empty() {
            return records.clone();
        }
        let aligned = |column: &ArrayRef| match rows {
            Rows::Index(index) => take(column, index, None).expect("decoders name records that exist"),
            Rows::Same | Rows::All => Arc::clone(column),
        };
        let mut columns = records.columns().to_vec();
        columns.extend(self.metadata.iter().map(|which| aligned(&metadata[*which])));
        let options = RecordBatchOptions::new().with_row_count(Some(records.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("metadata columns have the types their source declared")
    }

    /// The watermark after this batch: the greatest event time less the delay, in microseconds.
    pub(super) fn watermark(&mut self, batch: &Batch, now: i64) -> Option<i64> {
        let (column, delay) = self.event_time.as_ref()?;
        let times = batch.records.column_by_name(column)?;
        let times = arrow_cast::cast(times, &DataType::Timestamp(TimeUnit::Microsecond, None)).ok()?;
        let times = times.as_any().downcast_ref::<TimestampMicrosecondArray>()?;
        let greatest = (0..times.len()).filter(|row| !times.is_null(*row)).map(|row| times.value(row)).max()?;
        let delay = *delay;
        self.meter.event_time_lag(&batch.input.partition, now.saturating_sub(greatest) as f64 / 1e6);
        Some(greatest.saturating_sub(delay))
    }
}

fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Bytes of these values alone, which may be a slice of others.
pub(super) fn payload_bytes(values: &BinaryArray) -> usize {
    let offsets = values.value_offsets();
    (offsets[offsets.len() - 1] - offsets[0]) as usize
}
