//! The dependency policy of `deny.toml`: where dependencies come from, their licences, no wildcard versions.
//!
//! Security advisories are not part of it: their database is fetched from the network, and a check that passes today
//! and fails tomorrow on the same commit belongs into a scheduled job, not here.

use std::process::Command;

use anyhow::Result;

use crate::cache::Cache;
use crate::process::{self, Interrupt};
use crate::testing;

const VERSION: &str = "0.20.2";

/// Runs cargo-deny, installing it into the cache first if it is not there.
pub(crate) fn check(cache: &Cache, interrupt: &Interrupt) -> Result<()> {
    let tool = cache.entry(&format!("cargo-deny-{VERSION}"), |dir| {
        println!("xtask: installing cargo-deny {VERSION} into the cache; this takes some minutes, once");
        // Its own build folder goes away with the draft: nothing of it is of use later.
        let build = tempfile::tempdir()?;
        let mut install = testing::cargo();
        install
            .args(["install", "cargo-deny", "--quiet", "--locked", "--version", VERSION, "--root"])
            .arg(dir)
            .env("CARGO_TARGET_DIR", build.path());
        process::run(&mut install, interrupt)
    })?;
    let mut deny = Command::new(tool.join("bin/cargo-deny"));
    // Errors only: several versions of one crate are worth a look now and then, not a page of warnings in every run.
    deny.args(["--locked", "--log-level", "error"]).args(["check", "--hide-inclusion-graph"]);
    process::run(deny.args(["bans", "licenses", "sources"]), interrupt)
}
