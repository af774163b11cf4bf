//! The suite that every connector passes.
//!
//! The contracts in [`source`](crate::source) and [`sink`](crate::sink) are prose; this is the same in code. A connector
//! hands in a harness, a few lines that make a source with given records in front of it or read back what a sink
//! wrote, and calls [`check_source`] or [`check_sink`] in its tests:
//!
//! ```
//! use riverhook_connectors::conformance::{SourceHarness, check_source};
//! use riverhook_connectors::memory::{Memory, MemorySource};
//! use riverhook_connectors::source::Source;
//!
//! /// A new store for each check.
//! struct Harness(Option<Memory>);
//!
//! impl SourceHarness for Harness {
//!     fn create(&mut self, partitions: usize) -> Box<dyn Source> {
//!         let name = format!("doc-{partitions}");
//!         drop(self.0.take());
//!         self.0 = Some(Memory::named(&name));
//!         Box::new(MemorySource::new(&name, partitions))
//!     }
//!
//!     fn put(&mut self, partition: usize, records: &[Vec<u8>]) {
//!         self.0.as_ref().expect("it was created").push(partition, records);
//!     }
//! }
//!
//! check_source(&mut Harness(None));
//! ```
//!
//! Every check runs, also behind one that failed; then the suite panics with all that was found. A check that the
//! connector's [abilities](SourceAbilities) leave no room for is left out.

mod contexts;
mod reading;
mod sink;
mod sink_checks;
mod source;
mod source_checks;
#[cfg(test)]
mod tests;

pub use self::{
    sink::{Row, SinkAbilities, SinkHarness},
    source::{SourceAbilities, SourceHarness},
};

/// What a check found: nothing, or what is wrong.
type Finding = Result<(), String>;

/// Fails the check it stands in unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}
use ensure;

/// Runs all checks of a source.
///
/// # Panics
/// If one fails, with what all of them found.
pub fn check_source(harness: &mut dyn SourceHarness) {
    let failed = failures(source_checks::ALL, |check| check(harness));
    assert!(failed.is_empty(), "the source does not keep its contract:\n{}", failed.join("\n"));
}

/// Runs all checks of a sink.
///
/// # Panics
/// If one fails, with what all of them found.
pub fn check_sink(harness: &mut dyn SinkHarness) {
    let failed = failures(sink_checks::ALL, |check| check(harness));
    assert!(failed.is_empty(), "the sink does not keep its contract:\n{}", failed.join("\n"));
}

/// A check with the promise it stands for.
type Check<F> = (&'static str, F);

fn failures<F: Copy>(checks: &[Check<F>], mut run: impl FnMut(F) -> Finding) -> Vec<String> {
    let found = checks.iter().map(|(promise, check)| (promise, run(*check)));
    found.filter_map(|(promise, found)| Some(format!("- {promise}: {}", found.err()?))).collect()
}
