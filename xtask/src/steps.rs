//! Named steps, each with its time, and a summary at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::Interrupt;

/// Runs steps one after the other and remembers how they went.
///
/// A failed step does not keep the next ones from running: one run shows all that is wrong.
pub(crate) struct Steps<'a> {
    interrupt: &'a Interrupt,
    done: Vec<Done>,
}

struct Done {
    name: &'static str,
    took: Duration,
    error: Option<String>,
}

impl<'a> Steps<'a> {
    /// No steps yet.
    pub(crate) fn new(interrupt: &'a Interrupt) -> Self {
        Self { interrupt, done: Vec::new() }
    }

    /// Runs one step; only an interrupt is an error here.
    pub(crate) fn step(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("==> {name}");
        let begun = Instant::now();
        let error = work().err().map(|error| format!("{error:#}"));
        self.interrupt.check()?;
        let done = Done { name, took: begun.elapsed(), error };
        println!("<== {}", done.line());
        self.done.push(done);
        Ok(())
    }

    /// Prints the summary; fails if a step did.
    pub(crate) fn finish(self) -> Result<()> {
        let took = self.done.iter().map(|step| step.took).sum::<Duration>();
        println!("\nsummary ({:.0} s)", took.as_secs_f64());
        for step in &self.done {
            println!("  {}", step.line());
        }
        let failed: Vec<_> = self.done.iter().filter(|step| step.error.is_some()).map(|step| step.name).collect();
        if !failed.is_empty() {
            bail!("failed: {}", failed.join(", "));
        }
        Ok(())
    }
}

impl Done {
    fn line(&self) -> String {
        let outcome = if self.error.is_some() { "FAILED" } else { "ok" };
        let line = format!("{:<8} {outcome:<6} {:>7.1} s", self.name, self.took.as_secs_f64());
        match &self.error {
            Some(error) => format!("{line}  {error}"),
            None => line,
        }
    }
}
