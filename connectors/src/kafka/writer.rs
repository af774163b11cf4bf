//! Writes the batches of one task.

use std::{sync::Arc, time::Duration};

use arrow_array::{Array, Int64Array, cast::AsArray, types::TimestampMillisecondType};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use rdkafka::{
    error::RDKafkaErrorCode,
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};

use super::{
    inflight::{InFlight, Sequence},
    labels::{Label, Rendered},
    producer::{Core, Failure, Flight, Producer, Records, Tag, failure},
};
use crate::{
    batch::{Batch, Epoch},
    error::Error,
    format::{Encoded, Encoder},
    sink::{Progress, Writer},
};

/// Bytes that a record in flight costs beside its key, its value and its row.
const RECORD_OVERHEAD: usize = 256;
/// How often somebody who waits for deliveries looks whether the pipeline must stop.
const TICK: Duration = Duration::from_millis(100);

/// What a record is made of beside its value.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) key: Option<Label>,
    pub(super) headers: Vec<(String, Label)>,
    pub(super) timestamp: Option<String>,
}

/// A task's writer.
pub(super) struct KafkaWriter {
    producer: Arc<Producer>,
    number: usize,
    flight: Arc<Flight>,
    encoder: Box<dyn Encoder>,
    layout: Layout,
    limit: usize,
    // Kept for their memory.
    values: Encoded,
    keys: Rendered,
    headers: Vec<Rendered>,
    records: Records,
}

impl KafkaWriter {
    pub(super) fn new(producer: Arc<Producer>, encoder: Box<dyn Encoder>, layout: Layout, limit: usize) -> Self {
        let (number, flight) = producer.core().join();
        let headers = layout.headers.iter().map(|_| Rendered::default()).collect();
        let (values, keys, records) = Default::default();
        Self { producer, number, flight, encoder, layout, limit, values, keys, headers, records }
    }

    fn core(&self) -> &Core {
        self.producer.core()
    }

    fn check(&self) -> Result<(), Error> {
        self.core().health.failure().map_or(Ok(()), Err)
    }

    /// Waits for deliveries until `enough`.
    fn wait(&self, enough: impl Fn(&InFlight) -> bool) -> Result<(), Error> {
        let mut state = self.flight.state.lock();
        while !enough(&state) {
            self.check()?;
            self.flight.arrived.wait_for(&mut state, TICK);
        }
        self.check()
    }

    fn render(&mut self, batch: &Batch) -> Result<usize, Error> {
        self.values.clear();
        self.encoder.encode(&batch.records, &mut self.values);
        debug_assert_eq!(self.values.len(), batch.records.num_rows(), "an encoder writes one value a row");
        let mut bytes = self.values.bytes.len();
        if let Some(key) = &self.layout.key {
            key.render(&batch.records, &mut self.keys)?;
            bytes += self.keys.len();
        }
        for ((_, label), out) in self.layout.headers.iter().zip(&mut self.headers) {
            label.render(&batch.records, out)?;
            bytes += out.len();
        }
        Ok(bytes)
    }

    fn hand_over(&mut self, batch: &Batch, first: Sequence) {
        let core = self.producer.core();
        let _gate = core.alone.gate();
        let key = |row| self.layout.key.as_ref().and_then(|_| self.keys.row(row));
        let refused = |record, code| refuse(core, &self.flight, record, code);
        if self.layout.headers.is_empty() && self.layout.timestamp.is_none() {
            let rows = (0..self.values.len()).map(|row| (key(row), self.values.row(row)));
            core.produce(self.number, first, rows, &mut self.records, refused);
            return;
        }
        let times = self.layout.timestamp.as_ref().map(|name| millis(batch, name));
        for (row, number) in (0..self.values.len()).zip(first..) {
            let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&core.topic_name, 0);
            record.key = key(row);
            record.payload = Some(self.values.row(row));
            record.timestamp = times.as_ref().filter(|times| times.is_valid(row)).map(|times| times.value(row));
            record.headers = self.row_headers(row);
            if let Err(code) = core.send(Tag::new(self.number, number), record) {
                refused(number, code);
            }
        }
    }

    fn row_headers(&self, row: usize) -> Option<OwnedHeaders> {
        let present = self
            .layout
            .headers
            .iter()
            .zip(&self.headers)
            .filter_map(|((name, _), rendered)| Some((name, rendered.row(row)?)));
        present.fold(None, |headers, (key, value)| {
            Some(headers.unwrap_or_else(OwnedHeaders::new).insert(Header { key, value: Some(value) }))
        })
    }
}

/// A record that librdkafka did not take.
fn refuse(core: &Core, flight: &Flight, record: Sequence, code: RDKafkaErrorCode) {
    match failure(code) {
        Failure::Row(what) => flight.state.lock().refused(record, 1, what, core.refusal(code)),
        Failure::Ended | Failure::Stop => {
            core.health.error(code, &code.to_string());
            core.health.fail(format!(
                "kafka at {} takes no records for topic `{}`: {code}",
                core.health.brokers(),
                core.topic_name
            ));
        }
    }
}

/// A timestamp column in milliseconds.
fn millis(batch: &Batch, name: &str) -> Int64Array {
    let column = batch.records.column_by_name(name).expect("the column was checked when the sink was");
    let millis = cast(column, &DataType::Timestamp(TimeUnit::Millisecond, None)).expect("a timestamp has milliseconds");
    millis.as_primitive::<TimestampMillisecondType>().reinterpret_cast()
}

impl Writer for KafkaWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        self.check()?;
        let rows = batch.records.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let bytes = self.render(batch)? + batch.bytes() + rows * RECORD_OVERHEAD;
        let limit = self.limit;
        self.wait(|flight| flight.is_empty() || flight.bytes() + bytes <= limit)?;
        let first = self.flight.state.lock().send(batch.clone(), bytes);
        self.hand_over(batch, first);
        self.check()
    }

    fn barrier(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.flight.state.lock().barrier(epoch);
        self.check()
    }

    fn poll(&mut self) -> Result<Progress, Error> {
        self.check()?;
        Ok(self.flight.state.lock().progress())
    }

    fn close(&mut self) -> Result<Progress, Error> {
        self.wait(InFlight::is_empty)?;
        self.poll()
    }
}
