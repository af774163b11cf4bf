//! What a change must pass, in the order in which it is cheapest to learn of a failure.
//!
//! Everything is built in the release profile and for the whole workspace at once, so that each dependency is compiled
//! once for the checks (clippy and rustdoc share it) and once for the tests.

use std::process::Command;

use anyhow::Result;

use crate::cache::Cache;
use crate::process::{self, Interrupt};
use crate::steps::Steps;
use crate::{house, policy, programs, testing};

/// Runs every check and then every test.
pub(crate) fn run(cache: &Cache, interrupt: &Interrupt) -> Result<()> {
    let mut steps = Steps::new(interrupt);
    steps.step("format", || cargo(&["fmt", "--all", "--check"], interrupt))?;
    steps.step("house", house::check)?;
    steps.step("compose", || compose(interrupt))?;
    steps.step("policy", || policy::check(cache, interrupt))?;
    steps.step("clippy", || {
        cargo(&["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"], interrupt)
    })?;
    steps.step("rustdoc", || {
        let mut command = testing::cargo();
        command.env("RUSTDOCFLAGS", "-D warnings").args(["doc", "--release", "--workspace", "--no-deps"]);
        process::run(&mut command, interrupt)
    })?;
    steps.step("test", || testing::run(&testing::Selection::default(), false, cache, interrupt))?;
    steps.finish()
}

fn cargo(arguments: &[&str], interrupt: &Interrupt) -> Result<()> {
    process::run(testing::cargo().args(arguments), interrupt)
}

/// Checks the compose file; that needs no engine.
fn compose(interrupt: &Interrupt) -> Result<()> {
    programs::require(&[programs::DOCKER_COMPOSE], interrupt)?;
    let mut command = Command::new("docker-compose");
    process::run(command.args(["-f", "docker-compose.yml", "config", "-q"]), interrupt)
}
