//! Metrics of nodes. Handles are made once: counting a batch costs a few atomic additions.

use std::{collections::HashMap, sync::Arc};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use riverhook_connectors::position::Partition;

use super::letters::Stage;

/// The metrics of one partition of a source.
pub(super) struct PartitionMeter {
    records: Counter,
    bytes: Counter,
    lag: Gauge,
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
            let counted = [labels.as_slice(), &[("direction", "in".to_owned())]].concat();
            let meter = PartitionMeter {
                records: counter!("riverhook_records_total", &counted),
                bytes: counter!("riverhook_bytes_total", &counted),
                lag: gauge!("riverhook_lag_records", &labels),
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

    /// The lags of the partitions that are read now; one that is no longer ours lags nowhere.
    pub(super) fn lags(&mut self, lags: &[(Partition, u64)]) {
        for (partition, meter) in &self.partitions {
            if !lags.iter().any(|(read, _)| read == partition) {
                meter.lag.set(0.0);
            }
        }
        for (partition, records) in lags {
            self.partition(partition).lag.set(*records as f64);
        }
    }

    pub(super) fn event_time_lag(&mut self, partition: &Partition, seconds: f64) {
        self.partition(partition).event_time_lag.set(seconds);
    }
}

/// The metrics of a step or a sink.
pub(super) struct NodeMeter {
    pipeline: Arc<str>,
    node: Arc<str>,
    rows_in: Counter,
    rows_out: Counter,
    bytes_out: Counter,
    latency: Histogram,
    pending: Gauge,
    inflight: Gauge,
    errors: HashMap<(Stage, &'static str), Counter>,
}

impl NodeMeter {
    pub(super) fn new(pipeline: &Arc<str>, node: &Arc<str>) -> Self {
        let labels = [("pipeline", pipeline.to_string()), ("node", node.to_string())];
        let directed = |direction: &str| [labels.as_slice(), &[("direction", direction.to_owned())]].concat();
        Self {
            pipeline: Arc::clone(pipeline),
            node: Arc::clone(node),
            rows_in: counter!("riverhook_records_total", &directed("in")),
            rows_out: counter!("riverhook_records_total", &directed("out")),
            bytes_out: counter!("riverhook_bytes_total", &directed("out")),
            latency: histogram!("riverhook_latency_seconds", &labels),
            pending: gauge!("riverhook_sink_pending_epochs", &labels),
            inflight: gauge!("riverhook_sink_inflight_bytes", &labels),
            errors: HashMap::new(),
        }
    }

    pub(super) fn rows_in(&self, rows: usize) {
        self.rows_in.increment(rows as u64);
    }

    pub(super) fn rows_out(&self, rows: usize) {
        self.rows_out.increment(rows as u64);
    }

    /// A sink accepted rows that were read `latency` microseconds ago.
    pub(super) fn written(&self, rows: usize, bytes: usize, latency: i64) {
        self.rows_out.increment(rows as u64);
        self.bytes_out.increment(bytes as u64);
        self.latency.record_many(latency.max(0) as f64 / 1e6, rows);
    }

    /// How many barriers, and how many bytes, a sink's writers have been given and not yet said to be durable: the change
    /// of one writer.
    pub(super) fn pending(&self, epochs: i64, bytes: i64) {
        add(&self.pending, epochs);
        add(&self.inflight, bytes);
    }

    pub(super) fn failed(&mut self, stage: Stage, code: &'static str) {
        let (pipeline, node) = (&self.pipeline, &self.node);
        let counter = self.errors.entry((stage, code)).or_insert_with(|| {
            counter!("riverhook_errors_total", "pipeline" => pipeline.to_string(), "node" => node.to_string(), "stage" => stage.name(), "code" => code)
        });
        counter.increment(1);
    }
}

/// Writers of several tasks share a gauge.
fn add(gauge: &Gauge, change: i64) {
    match change {
        0 => {}
        change if change > 0 => gauge.increment(change as f64),
        change => gauge.decrement(change.unsigned_abs() as f64),
    }
}

/// The metrics of a function at one node.
pub(super) fn function_seconds(pipeline: &str, node: &str, function: &str) -> Histogram {
    let labels = [("pipeline", pipeline.to_owned()), ("node", node.to_owned()), ("function", function.to_owned())];
    histogram!("riverhook_function_seconds", &labels)
}
