//! Whole pipelines through the real binary, where no server is needed.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]

#[path = "../../../udf/tests/support/guest.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod guest;
#[path = "../support/mod.rs"]
mod support;

mod functions;
mod http;
mod idle;
mod invoke;
mod kinds;
mod letters;
mod limit;
mod logs;
mod metrics;
mod replay;
mod sql_functions;
mod stopping;
