//! Histograms of latencies, counted by row.
//!
//! The exporter's own histograms keep every sample until somebody asks; a batch of thousands of rows that took equally
//! long would be thousands of samples. Here it is one addition to a bucket, and memory does not grow.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

/// The buckets' upper bounds, in microseconds.
const BOUNDS: [u64; 15] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000,
    10_000_000, 60_000_000,
];

/// Name and help of a histogram.
type Family = (&'static str, &'static str);
/// Pipeline and node.
type Labels = (Arc<str>, Arc<str>);

/// From reading a record to its sink accepting it.
pub(super) const ACCEPTED: Family = ("riverhook_latency_seconds", "From reading a record to its sink accepting it.");
/// From reading a record to knowing that it is durable.
pub(super) const DURABLE: Family = (
    "riverhook_durable_latency_seconds",
    "From reading a record to knowing that its sink made it durable: up to checkpoint.every later than it was.",
);

/// All histograms of the process: as many as there are sinks.
static ALL: Mutex<BTreeMap<(Family, Labels), Arc<Latency>>> = Mutex::new(BTreeMap::new());

/// One histogram.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// Rows by bucket; the last one has no upper bound.
    rows: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

impl Latency {
    /// The process's histogram of this family for this node.
    pub(super) fn of(family: Family, pipeline: &Arc<str>, node: &Arc<str>) -> Arc<Self> {
        Arc::clone(ALL.lock().entry((family, (Arc::clone(pipeline), Arc::clone(node)))).or_default())
    }

    /// Counts `rows` rows that took so many microseconds each.
    pub(super) fn add(&self, rows: usize, micros: i64) {
        let micros = u64::try_from(micros).unwrap_or(0);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.rows[bucket].fetch_add(rows as u64, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros.saturating_mul(rows as u64), Ordering::Relaxed);
    }

    fn render(&self, name: &str, labels: &str, out: &mut String) {
        let mut count = 0;
        for (rows, bound) in self.rows.iter().zip(BOUNDS.map(Some).into_iter().chain([None])) {
            count += rows.load(Ordering::Relaxed);
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |micros| (micros as f64 / 1e6).to_string());
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
        let sum = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
    }
}

/// All histograms in Prometheus's text format.
pub(crate) fn render_latencies() -> String {
    let mut out = String::new();
    let mut last = "";
    for (((name, help), (pipeline, node)), latency) in &*ALL.lock() {
        if *name != last {
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
            last = name;
        }
        // Names of pipelines and nodes hold nothing that would need quoting.
        latency.render(name, &format!("pipeline=\"{pipeline}\",node=\"{node}\""), &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{DURABLE, Latency, render_latencies};

    #[test]
    fn rows_are_counted_in_their_bucket_and_all_above() {
        let (pipeline, node) = ("latency_test".into(), "sink".into());
        let latency = Latency::of(DURABLE, &pipeline, &node);
        latency.add(3, 500);
        latency.add(2, 501);
        latency.add(1, 3_600_000_000);
        latency.add(1, -7);
        let text = render_latencies();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains("latency_test")).collect();
        let value = |end: &str| {
            let labels = "pipeline=\"latency_test\",node=\"sink\"";
            let line = lines.iter().find(|line| {
                line.starts_with(&format!("riverhook_durable_latency_seconds{}", end.replace('@', labels)))
            });
            line.and_then(|line| line.rsplit(' ').next()).unwrap().to_owned()
        };
        assert_eq!(value("_bucket{@,le=\"0.0005\"}"), "4");
        assert_eq!(value("_bucket{@,le=\"0.001\"}"), "6");
        assert_eq!(value("_bucket{@,le=\"60\"}"), "6");
        assert_eq!(value("_bucket{@,le=\"+Inf\"}"), "7");
        assert_eq!(value("_count{@}"), "7");
        assert_eq!(value("_sum{@}"), "3600.002502");
    }
}
