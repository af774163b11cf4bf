//! Riverhook's engine: from the pipeline file to a running pipeline.
//!
//! Text becomes [`config`], config becomes a [`plan`], and a plan runs ([`run`]). Nothing is validated after the plan.

pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod error;
pub mod functions;
pub mod plan;
pub mod reference;
pub mod replay;
pub mod run;
mod scratch;
pub mod server;
pub mod sql;
