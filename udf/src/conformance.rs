//! The suite that every kind of function passes.
//!
//! The contract of [`Function`](crate::Function) and [`Instance`](crate::Instance) is prose; this is the same in code. A
//! kind hands in a [`Subject`], which makes functions whose code behaves as it is told, and calls [`check`] in its
//! tests:
//!
//! ```no_run
//! use riverhook_udf::conformance::{Behaviour, Subject, check};
//! use riverhook_udf::{Function, Limits};
//!
//! struct Mine;
//!
//! impl Subject for Mine {
//!     fn function(&mut self, behaviour: Behaviour, limits: &Limits) -> Box<dyn Function> {
//!         // Code for each behaviour, and the limits as this kind holds them.
//!         unimplemented!("{behaviour:?} {limits:?}")
//!     }
//! }
//!
//! check(&mut Mine);
//! ```
//!
//! The code under test sees rows of [`schema`]. A row whose `id` is negative is a bad one: it is what most behaviours act
//! on, so that the same function can be called with good rows before and after.
//!
//! Every check runs, also behind one that failed; then the suite panics with all that was found. A check that the
//! kind's [abilities](Abilities) leave no room for is left out.

mod calls;
mod checks;
mod faults;
mod subject;
#[cfg(test)]
mod tests;

pub use subject::{Abilities, Behaviour, START, Subject, batch, schema};

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

/// A check with the promise it stands for.
type Check = (&'static str, fn(&mut dyn Subject) -> Finding);

/// Runs all checks of a kind.
///
/// # Panics
/// If one fails, with what all of them found.
pub fn check(subject: &mut dyn Subject) {
    let failed = failures(subject);
    assert!(failed.is_empty(), "the functions do not keep their contract:\n{}", failed.join("\n"));
}

fn failures(subject: &mut dyn Subject) -> Vec<String> {
    let all = checks::ALL.iter().chain(faults::ALL);
    all.filter_map(|(promise, check)| Some(format!("- {promise}: {}", check(subject).err()?))).collect()
}
