//! The commands beside `run`, through the real binary.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod command_line;
mod drawing;
mod infer;
mod init;
mod pipeline_tests;
mod positions;
mod schema;
