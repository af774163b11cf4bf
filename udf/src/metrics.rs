//! The gate between a function's own metrics and the sink: names are checked and few, and what is refused is told once.
//!
//! Names become series in the engine's registry, which keeps each for as long as the process lives. A function must not
//! be able to fill it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// The most names of one function, all copies together.
const MAX_NAMES: usize = 64;
/// The longest name, in bytes.
pub(crate) const MAX_NAME: usize = 64;

/// One measurement of a function's own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric<'a> {
    /// The function's name.
    pub function: &'a str,
    /// The metric's name: `[a-z_][a-z0-9_]*`, at most 64 bytes. A name keeps its kind.
    pub name: &'a str,
    /// What was measured.
    pub value: MetricValue,
}

/// The kinds of metrics a function may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricValue {
    /// To be added to what was counted before.
    Counter(u64),
    /// The value from now on: a finite number.
    Gauge(f64),
}

/// Where a function's metrics go. It is called on the thread that runs the function, within its time limit: be quick.
#[derive(Clone)]
pub struct MetricSink(Arc<dyn Fn(&Metric<'_>) + Send + Sync>);

impl MetricSink {
    /// A sink that calls `record` for each measurement.
    pub fn new(record: impl Fn(&Metric<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(record))
    }

    /// A sink that drops every measurement.
    pub fn none() -> Self {
        Self::new(|_| {})
    }
}

impl Default for MetricSink {
    fn default() -> Self {
        Self::none()
    }
}

impl fmt::Debug for MetricSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MetricSink")
    }
}

/// One function's gate, shared by all of its copies.
pub(crate) struct MetricGate {
    sink: MetricSink,
    /// The names in use, and whether each is a counter.
    names: Mutex<HashMap<Box<str>, bool>>,
    told_invalid: AtomicBool,
    told_many: AtomicBool,
}

impl MetricGate {
    pub(crate) fn new(sink: MetricSink) -> Self {
        Self { sink, names: Mutex::default(), told_invalid: AtomicBool::new(false), told_many: AtomicBool::new(false) }
    }

    /// Passes the measurement on. If it is refused, the answer is what to tell the function's author, the first time.
    pub(crate) fn record(&self, metric: &Metric<'_>) -> Option<String> {
        match self.admit(metric) {
            Ok(()) => {
                (self.sink.0)(metric);
                None
            }
            Err(Refusal::Invalid(why)) => {
                let first = !self.told_invalid.swap(true, Ordering::Relaxed);
                first.then(|| format!("a metric was dropped, as are others like it: {why}"))
            }
            Err(Refusal::TooMany) => {
                let first = !self.told_many.swap(true, Ordering::Relaxed);
                first.then(|| {
                    format!("metrics of more than {MAX_NAMES} names are dropped, the first is `{}`", metric.name)
                })
            }
        }
    }

    fn admit(&self, metric: &Metric<'_>) -> Result<(), Refusal> {
        let counter = match metric.value {
            MetricValue::Counter(_) => true,
            MetricValue::Gauge(value) if value.is_finite() => false,
            MetricValue::Gauge(_) => return Err(Refusal::Invalid("a gauge's value must be finite")),
        };
        let mut names = self.names.lock();
        match names.get(metric.name) {
            Some(known) if *known == counter => Ok(()),
            Some(_) => Err(Refusal::Invalid("a name is either a counter or a gauge")),
            None if !is_name(metric.name) => {
                Err(Refusal::Invalid("a name is at most 64 of a-z, 0-9 and `_`, and does not begin with a digit"))
            }
            None if names.len() == MAX_NAMES => Err(Refusal::TooMany),
            None => {
                names.insert(metric.name.into(), counter);
                Ok(())
            }
        }
    }
}

enum Refusal {
    Invalid(&'static str),
    TooMany,
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> (MetricGate, Arc<Mutex<Vec<String>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let seen = Arc::clone(&seen);
            MetricSink::new(move |metric| seen.lock().push(format!("{} {:?}", metric.name, metric.value)))
        };
        (MetricGate::new(sink), seen)
    }

    fn count(gate: &MetricGate, name: &str) -> Option<String> {
        gate.record(&Metric { function: "f", name, value: MetricValue::Counter(1) })
    }

    #[test]
    fn names_beyond_the_bound_are_dropped_and_told_once() {
        let (gate, seen) = gate();
        for i in 0..MAX_NAMES {
            assert_eq!(count(&gate, &format!("n{i}")), None);
        }
        assert!(count(&gate, "one_more").unwrap().contains("`one_more`"));
        assert_eq!(count(&gate, "another"), None);
        assert_eq!(count(&gate, "n0"), None);
        assert_eq!(seen.lock().len(), MAX_NAMES + 1);
    }

    #[test]
    fn what_is_no_name_or_no_number_is_dropped_and_told_once() {
        let (gate, seen) = gate();
        assert!(count(&gate, "1st").unwrap().contains("digit"));
        for bad in ["", "Upper", "with-dash", "é", "x y", &"a".repeat(65)] {
            assert_eq!(count(&gate, bad), None, "{bad}");
        }
        assert_eq!(count(&gate, "fine_2"), None);
        let gauge = |name, value| gate.record(&Metric { function: "f", name, value: MetricValue::Gauge(value) });
        assert_eq!(gauge("fine_2", 1.0), None);
        assert_eq!(gauge("level", f64::NAN), None);
        assert_eq!(gauge("level", 0.5), None);
        assert_eq!(*seen.lock(), ["fine_2 Counter(1)", "level Gauge(0.5)"]);
    }
}
