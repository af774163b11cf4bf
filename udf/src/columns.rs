//! Batches and schemas in the form in which they cross to a guest and back (`wit/function.wit` gives its words).
//!
//! It must not know how they cross: no wasmtime here.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod format;
