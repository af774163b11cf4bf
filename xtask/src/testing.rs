//! `cargo xtask test`: servers up, tests, servers down.

use std::env;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::kafka::Broker;
use crate::lambda::Clients;
use crate::process::{self, Interrupt};
use crate::sdk::Sdks;

/// What `--help` says after the options.
pub(crate) const HELP: &str = "\
The tests find the servers, and AWS's clients of the Lambda Runtime API, through environment variables, which
`cargo xtask serve-kafka --help` and `cargo xtask lambda-clients --help` list. A test that needs one says loudly on
standard error when plain `cargo test` leaves it out; here nothing is left out.

Examples:
  cargo xtask test                          everything
  cargo xtask test --only servers           only the tests that need a server
  cargo xtask test --only servers writing   of these, those with `writing` in their names
  cargo xtask test -p riverhook-connectors  one package
  cargo xtask test --only csv --keep";

/// What the test targets that need a server are called, one pattern a server. Targets and not tests: within
/// `tests/kafka` a test's name begins with its module's.
const SERVERS: [&str; 1] = ["kafka*"];

/// The name that selects those targets.
const ONLY_SERVERS: &str = "servers";

/// The packages whose tests run handlers with AWS's clients and build functions with the SDKs.
const WITH_FUNCTIONS: [&str; 2] = ["riverhook", "riverhook-udf"];

/// Which tests to run; the default is all.
#[derive(Default)]
pub(crate) struct Selection {
    /// Parts of test names, any of which is enough; and `servers` for the targets that need one.
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
        if self.names.iter().any(|name| name == ONLY_SERVERS) {
            arguments.extend(SERVERS.iter().flat_map(|pattern| ["--test".to_owned(), (*pattern).to_owned()]));
        }
        arguments
    }

    /// Whether tests may be among them that need AWS's clients and the SDKs.
    fn uses_functions(&self) -> bool {
        self.packages.is_empty() || self.packages.iter().any(|package| WITH_FUNCTIONS.contains(&package.as_str()))
    }

    /// The name filters for the test binaries.
    fn filters(&self) -> Vec<String> {
        self.names.iter().filter(|name| *name != ONLY_SERVERS).cloned().collect()
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
    let sdks = match wanted.uses_functions() {
        true => Some(Sdks::prepare(cache, interrupt)?),
        false => None,
    };
    process::run(cargo().args(wanted.arguments()).arg("--no-run"), interrupt)?;

    let clients = match wanted.uses_functions() {
        true => Some(Clients::prepare(cache, interrupt)?),
        false => None,
    };
    let begun = Instant::now();
    let mut broker = Broker::start(None, None, cache, interrupt)?;
    println!("xtask: Kafka is ready after {:.1} s", begun.elapsed().as_secs_f64());
    let mut tests = cargo();
    tests.envs(sdks.iter().flat_map(Sdks::environment));
    tests
        .args(wanted.arguments())
        .arg("--no-fail-fast")
        .arg("--")
        .args(wanted.filters())
        .envs(broker.environment())
        .envs(clients.iter().flat_map(Clients::environment))
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

        let some = Selection { names: vec!["csv".into(), "json".into()], packages: vec!["riverhook".into()] };
        assert_eq!(some.arguments(), ["test", "--release", "--package", "riverhook"]);
        assert_eq!(some.filters(), ["csv", "json"]);
    }

    #[test]
    fn tests_that_need_a_server_are_selected_by_their_targets() {
        let servers = Selection { names: vec!["servers".into()], packages: vec![] };
        assert_eq!(servers.arguments(), ["test", "--release", "--workspace", "--test", "kafka*"]);
        assert!(servers.filters().is_empty());
        let some = Selection {
            names: vec!["servers".into(), "writing".into()],
            packages: vec!["riverhook-connectors".into()],
        };
        let expected = ["test", "--release", "--package", "riverhook-connectors", "--test", "kafka*"];
        assert_eq!(some.arguments(), expected);
        assert_eq!(some.filters(), ["writing"]);
    }

    #[test]
    fn every_test_that_asks_for_kafka_is_in_such_a_target() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for tests in ["connectors/tests", "engine/tests"].map(|folder| root.join(folder)) {
            for target in std::fs::read_dir(tests).unwrap().map(|target| target.unwrap().path()) {
                let asks = sources(&target).contains("RIVERHOOK_TEST_KAFKA");
                let name = target.file_stem().unwrap().to_str().unwrap();
                assert!(!asks || name.starts_with("kafka"), "{name} needs a server: begin its name with `kafka`");
            }
        }
    }

    /// The text of a target's files.
    fn sources(target: &std::path::Path) -> String {
        if target.is_file() {
            return std::fs::read_to_string(target).unwrap_or_default();
        }
        std::fs::read_dir(target).unwrap().map(|entry| sources(&entry.unwrap().path())).collect()
    }
}
