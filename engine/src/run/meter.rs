//! Metrics of nodes. Handles are made once: counting a batch costs a few atomic additions.

use std::{collections::HashMap, sync::Arc};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use riverhook_connectors::position::Partition;

use super::{
    latency::{ACCEPTED, DURABLE, Latency},
    letters::Stage,
};

/// The metrics of one partition of a source.
pub(super) struct PartitionMeter {
    records: Counter,
    bytes: Counter,
    lag: Gauge,
    queued: Gauge,
    event_time_lag: Gauge,
}

/// The metrics of a source.
pub(super) struct SourceMeter {
    pipeline: Arc<str>,
    source: Arc<str>,
    batch_rows: Histogram,
    partitions: HashMap<Partition, PartitionMeter>,
}

impl SourceMeter {
    pub(super) fn new(pipeline: &Arc<str>, source: &Arc<str>) -> Self {
        let batch_rows =
            histogram!("riverhook_batch_rows", "pipeline" => pipeline.to_string(), "node" => source.to_string());
        Self { pipeline: Arc::clone(pipeline), source: Arc::clone(source), batch_rows, partitions: HashMap::new() }
    }

    fn partition(&mut self, partition: &Partition) -> &PartitionMeter {
        // Looked up once a batch; the clone happens once a partition.
        if !self.partitions.contains_key(partition) {
            let labels = [
                ("pipeline", self.pipeline.to_string()),
                ("node", self.source.to_string()),
                ("partition", partition.to_string()),
            ];
            let counted =
                [labels.as_slice(), &[("kind", "source".to_owned()), ("direction", "in".to_owned())]].concat();
            let meter = PartitionMeter {
                records: counter!("riverhook_records_total", &counted),
                bytes: counter!("riverhook_bytes_total", &counted),
                lag: gauge!("riverhook_lag_records", &labels),
                queued: gauge!("riverhook_source_queued_records", &labels),
                event_time_lag: gauge!("riverhook_event_time_lag_seconds", &labels),
            };
            self.partitions.insert(partition.clone(), meter);
        }
        &self.partitions[partition]
    }

    pub(super) fn read(&mut self, partition: &Partition, records: usize, bytes: usize) {
        self.batch_rows.record(records as f64);
        let meter = self.partition(partition);
        meter.records.increment(records as u64);
        meter.bytes.increment(bytes as u64);
    }

    /// How far the partitions that are read now are behind, and what is fetched of them and waits.
    pub(super) fn lags(&mut self, lags: &[(Partition, u64)], queued: &[(Partition, u64)]) {
        self.set(lags, |meter| &meter.lag);
        self.set(queued, |meter| &meter.queued);
    }

    /// A partition that is no longer ours has nothing.
    fn set(&mut self, values: &[(Partition, u64)], gauge: fn(&PartitionMeter) -> &Gauge) {
        for (partition, meter) in &self.partitions {
            if !values.iter().any(|(read, _)| read == partition) {
                gauge(meter).set(0.0);
            }
        }
        for (partition, value) in values {
            gauge(self.partition(partition)).set(*value as f64);
        }
    }

    pub(super) fn event_time_lag(&mut self, partition: &Partition, seconds: f64) {
        self.partition(partition).event_time_lag.set(seconds);
    }
}

/// A node's failed records, by stage and code.
pub(super) struct Failures {
    pipeline: Arc<str>,
    node: Arc<str>,
    counters: HashMap<(Stage, &'static str), Counter>,
}

impl Failures {
    pub(super) fn new(pipeline: &Arc<str>, node: &Arc<str>) -> Self {
        Self { pipeline: Arc::clone(pipeline), node: Arc::clone(node), counters: HashMap::new() }
    }

    pub(super) fn count(&mut self, stage: Stage, code: &'static str) {
        let (pipeline, node) = (&self.pipeline, &self.node);
        let counter = self.counters.entry((stage, code)).or_insert_with(|| {
            counter!("riverhook_errors_total", "pipeline" => pipeline.to_string(), "node" => node.to_string(), "stage" => stage.name(), "code" => code)
        });
        counter.increment(1);
    }
}

/// The metrics of a node between sources and sinks.
pub(super) struct StepMeter {
    rows_in: Counter,
    rows_out: Counter,
    pub(super) failures: Failures,
}

impl StepMeter {
    pub(super) fn new(pipeline: &Arc<str>, node: &Arc<str>) -> Self {
        let rows = |direction| counter!("riverhook_records_total", &directed(pipeline, node, "step", direction));
        Self { rows_in: rows("in"), rows_out: rows("out"), failures: Failures::new(pipeline, node) }
    }

    pub(super) fn rows_in(&self, rows: usize) {
        self.rows_in.increment(rows as u64);
    }

    pub(super) fn rows_out(&self, rows: usize) {
        self.rows_out.increment(rows as u64);
    }
}

/// The metrics of a sink.
pub(super) struct SinkMeter {
    rows: Counter,
    bytes: Counter,
    latency: Arc<Latency>,
    durable_latency: Arc<Latency>,
    pending: Gauge,
    inflight: Gauge,
    pub(super) failures: Failures,
}

impl SinkMeter {
    pub(super) fn new(pipeline: &Arc<str>, node: &Arc<str>) -> Self {
        let labels = [("pipeline", pipeline.to_string()), ("node", node.to_string())];
        let out = directed(pipeline, node, "sink", "out");
        Self {
            rows: counter!("riverhook_records_total", &out),
            bytes: counter!("riverhook_bytes_total", &out),
            latency: Latency::of(ACCEPTED, pipeline, node),
            durable_latency: Latency::of(DURABLE, pipeline, node),
            pending: gauge!("riverhook_sink_pending_epochs", &labels),
            inflight: gauge!("riverhook_sink_inflight_bytes", &labels),
            failures: Failures::new(pipeline, node),
        }
    }

    /// The sink accepted rows that were read `latency` microseconds ago.
    pub(super) fn written(&self, rows: usize, bytes: usize, latency: i64) {
        self.rows.increment(rows as u64);
        self.bytes.increment(bytes as u64);
        self.latency.add(rows, latency);
    }

    /// Rows that were read `latency` microseconds ago are known to be durable.
    pub(super) fn durable(&self, rows: usize, latency: i64) {
        self.durable_latency.add(rows, latency);
    }

    /// How many barriers, and how many bytes, a sink's writers have been given and not yet said to be durable: the change
    /// of one writer.
    pub(super) fn pending(&self, epochs: i64, bytes: i64) {
        add(&self.pending, epochs);
        add(&self.inflight, bytes);
    }
}

fn directed(pipeline: &str, node: &str, kind: &str, direction: &str) -> [(&'static str, String); 4] {
    [
        ("pipeline", pipeline.to_owned()),
        ("node", node.to_owned()),
        ("kind", kind.to_owned()),
        ("direction", direction.to_owned()),
    ]
}

/// Writers of several tasks share a gauge.
fn add(gauge: &Gauge, change: i64) {
    match change {
        0 => {}
        change if change > 0 => gauge.increment(change as f64),
        change => gauge.decrement(change.unsigned_abs() as f64),
    }
}
