//! Functions whose code sees JSON events: rows become an event, and the answer becomes rows.
//!
//! A [`JsonFunction`] is the same over whatever stands behind its endpoint ([`handler`]): it writes the event in the
//! shape that the code expects ([`event`]), and reads what came back as rows, as failed rows or as nothing ([`answer`],
//! [`items`]). It must not know how the code is reached, nor how a value is written as JSON: that is the codec's.

mod answer;
mod event;
mod function;
pub(crate) mod handler;
mod items;

#[cfg(test)]
mod tests;

pub use event::{EventSource, Shape};
pub use function::{JsonFunction, JsonSettings};
