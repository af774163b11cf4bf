//! The Kafka connector against a real broker. `cargo xtask test` starts one; see `cluster.rs` for what happens without.
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

mod cluster;
mod conformance;
mod gaps;
mod reading;
mod security;
mod settings;
mod writing;
