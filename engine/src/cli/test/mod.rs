//! `riverhook test`: runs pipelines on the records of test files and compares what comes out.

mod compare;
mod file;
mod find;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use riverhook_config::{Diagnostics, ProcessEnvironment};

use self::{
    compare::Comparison,
    file::{Case, TestFile, Tests},
};
use super::{
    FAILED, WRONG,
    load::{draw, plan},
};
use crate::run::{Seen, rehearse};

#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct TestArguments {
    /// Test files, folders with test files, or pipeline files whose tests lie beside them
    #[arg(value_name = "FILE", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Run only tests whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
}

const EXAMPLE: &str = "\
A test file ends in .test.yaml and lies beside its pipeline:

  pipeline: pipeline.yaml
  tests:
    - name: large orders go on, broken lines become dead letters
      time: 2026-01-01T00:00:00Z               # what now() is
      inputs:
        orders:                                # a source: its records
          - { id: 1, amount: 500 }             # written in the source's format
          - '{\"id\": 2, \"amount\"'               # or the raw text of one
      functions:
        enrich: { rows: [{ id: 1, vip: true }] }   # a stub; functions not named here run
      expect:
        large:                                 # any node: its rows
          - { id: 1, amount: 500 }
        dead_letters:                          # compared in the columns that are named
          - { stage: decode }

A column that is left out of an expected row must be null; with `partial: true` it is not looked at.
With `unordered: true` rows may come in any order. `fails: TEXT` expects the run to stop with an error that
contains the text. Nothing is read from sources or written to sinks.

Examples:
  riverhook test                         the tests in this folder
  riverhook test my-pipeline             the tests in that one
  riverhook test --only broken           those whose name contains \"broken\"";

pub(super) fn test(arguments: &TestArguments) -> ExitCode {
    let files = match find::test_files(&arguments.paths) {
        Ok(files) => files,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(WRONG);
        }
    };
    let mut outcome = Outcome::default();
    for path in files {
        if let Err(code) = run_file(&path, arguments.only.as_deref(), &mut outcome) {
            return code;
        }
    }
    outcome.print();
    if outcome.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
}

/// What became of all tests.
#[derive(Default)]
struct Outcome {
    passed: usize,
    left_out: usize,
    /// Names with what was different.
    failures: Vec<(String, Vec<String>)>,
}

impl Outcome {
    fn print(&self) {
        if !self.failures.is_empty() {
            println!("\nfailures:");
        }
        for (name, differences) in &self.failures {
            println!("\n---- {name} ----");
            differences.iter().for_each(|difference| println!("{difference}"));
        }
        let verdict = if self.failures.is_empty() { "ok" } else { "FAILED" };
        let left_out = if self.left_out > 0 { format!("; {} left out", self.left_out) } else { String::new() };
        println!("\ntest result: {verdict}. {} passed; {} failed{left_out}", self.passed, self.failures.len());
    }
}

/// Runs a file's tests. Nothing is run, and there is an exit code, if the file or its pipeline has mistakes.
fn run_file(path: &std::path::Path, only: Option<&str>, outcome: &mut Outcome) -> Result<(), ExitCode> {
    let mut diagnostics = Diagnostics::new();
    let tests = TestFile::read(path, &ProcessEnvironment::beside(path), &mut diagnostics);
    draw(path, &diagnostics);
    let Some(Tests { pipeline, cases }) = tests else { return Err(ExitCode::from(WRONG)) };
    println!("running {} of {}", super::load::plural(cases.len(), "test"), path.display());
    for case in cases {
        if only.is_some_and(|only| !case.name.contains(only)) {
            outcome.left_out += 1;
            continue;
        }
        // Planned anew for each, so that none sees what alerts and functions remember of another.
        let Some(plan) = plan(&pipeline, &ProcessEnvironment::beside(&pipeline), &mut Diagnostics::new()) else {
            return Err(ExitCode::from(WRONG));
        };
        let differences = differences(&case, rehearse(plan, &case.rehearsal));
        println!("test {} ... {}", case.name, if differences.is_empty() { "ok" } else { "FAILED" });
        if differences.is_empty() {
            outcome.passed += 1;
        } else {
            outcome.failures.push((case.name, differences));
        }
    }
    Ok(())
}

/// In what the run was not what the test expects.
fn differences(case: &Case, run: Result<Seen, crate::error::Error>) -> Vec<String> {
    let seen = match (run, &case.fails) {
        (Ok(seen), None) => seen,
        (Ok(_), Some(text)) => return vec![format!("the run was to fail with {text:?}, and did not")],
        (Err(error), Some(text)) if error.to_string().contains(text.as_str()) => return Vec::new(),
        (Err(error), Some(text)) => return vec![format!("the run was to fail with {text:?}, and did with:\n{error}")],
        (Err(error), None) => return vec![format!("the run failed: {error}")],
    };
    let none = Vec::new();
    let compare = |(node, expected): &(String, Vec<serde_json::Value>)| {
        let comparison = Comparison {
            node,
            expected,
            found: seen.get(node).unwrap_or(&none),
            unordered: case.unordered,
            partial: case.partial || node == file::DEAD_LETTERS,
        };
        comparison.differences()
    };
    case.expect.iter().flat_map(compare).collect()
}
