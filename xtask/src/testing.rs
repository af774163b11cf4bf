//! `cargo xtask test`: servers up, tests, servers down.

use std::env;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::kafka::Broker;
use crate::process::{self, Interrupt};

/// What `--help` says after the options.
pub(crate) const HELP: &str = "\
The tests find the servers through environment variables, which `cargo xtask serve-kafka --help` lists. A test that
needs one says loudly on standard error when plain `cargo test` leaves it out; here nothing is left out.

Examples:
  cargo xtask test                          everything
  cargo xtask test --only servers           only the tests that need a server
  cargo xtask test -p riverhook-connectors  one package
  cargo xtask test --only kafka::sink --keep";

/// Words that stand in the names of the tests that need a server, one a server.
const SERVERS: [&str; 1] = ["kafka"];

/// Which tests to run; the default is all.
#[derive(Default)]
pub(crate) struct Selection {
    /// Parts of test names, or `servers`; any of them is enough.
    pub(crate) names: Vec<String>,
    /// Packages; none means the whole workspace.
    pub(crate) packages: Vec<String>,
}

impl Selection {
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["test".to_owned(), "--release".to_owned()];
        if self.packages.is_empty() {
            arguments.push("--workspace".to_owned());
        }
        for package in &self.packages {
            arguments.extend(["--package".to_owned(), package.clone()]);
        }
        arguments
    }

    /// The name filters for the test binaries.
    fn filters(&self) -> Vec<String> {
        let expand = |name: &String| match name.as_str() {
            "servers" => SERVERS.map(str::to_owned).to_vec(),
            _ => vec![name.clone()],
        };
        self.names.iter().flat_map(expand).collect()
    }
}

/// The tests that make up their input, and go on for as long as they are told.
const FUZZ: [&str; 4] = [
    "any_bytes_are_survived",
    "any_pipeline_file_is_planned",
    "damaged_messages_fail_alone",
    "damaged_records_fail_alone",
];

/// Runs the fuzz tests, each for `seconds`.
pub(crate) fn fuzz(seconds: u64, interrupt: &Interrupt) -> Result<()> {
    let mut tests = cargo();
    tests.args(["test", "--release", "--workspace", "--", "--nocapture", "--test-threads=1"]).args(FUZZ);
    process::run(tests.env("RIVERHOOK_FUZZ_SECONDS", seconds.to_string()), interrupt)
}

/// Builds the tests, starts the servers, runs the tests and stops the servers, however the tests end.
pub(crate) fn run(wanted: &Selection, keep: bool, cache: &Cache, interrupt: &Interrupt) -> Result<()> {
    // Asked before the build, which may put a new file at this path.
    let this_program = env::current_exe().context("cannot tell where this program is")?;
    process::run(cargo().args(wanted.arguments()).arg("--no-run"), interrupt)?;

    let begun = Instant::now();
    let mut broker = Broker::start(None, None, cache, interrupt)?;
    println!("xtask: Kafka is ready after {:.1} s", begun.elapsed().as_secs_f64());
    let mut tests = cargo();
    tests
        .args(wanted.arguments())
        .arg("--no-fail-fast")
        .arg("--")
        .args(wanted.filters())
        .envs(broker.environment())
        .env("RIVERHOOK_TEST_XTASK", this_program);
    let outcome = process::run(&mut tests, interrupt);

    if outcome.is_err() {
        eprintln!("{}", broker.complaints());
    }
    if keep {
        println!("xtask: Kafka's folder is kept: {}", broker.keep().display());
    }
    outcome
}

/// The cargo that runs this program, else the one on the path.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_becomes_cargo_arguments() {
        let all = Selection::default();
        assert_eq!(all.arguments(), ["test", "--release", "--workspace"]);
        assert!(all.filters().is_empty());

        let some = Selection { names: vec!["servers".into(), "csv".into()], packages: vec!["riverhook".into()] };
        assert_eq!(some.arguments(), ["test", "--release", "--package", "riverhook"]);
        assert_eq!(some.filters(), ["kafka", "csv"]);
    }
}
