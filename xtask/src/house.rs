//! Rules of the house that no lint knows: see CONTRIBUTING.md.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The most lines a source file may have, its tests included.
const MAX_LINES: usize = 600;

/// Module names that say nothing.
const EMPTY_NAMES: [&str; 5] = ["utils", "common", "types", "helpers", "prelude"];

/// Checks every Rust file that git knows, and where the links of the pages lead.
pub(crate) fn check() -> Result<()> {
    let files = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "*.rs", "*.md"])
        .output()
        .context("cannot start git")?;
    if !files.status.success() {
        bail!("git cannot list the files: {}", String::from_utf8_lossy(&files.stderr).trim());
    }
    let mut faults = Vec::new();
    for path in String::from_utf8_lossy(&files.stdout).lines() {
        // A file that was deleted but not yet committed is still listed.
        if let Ok(text) = fs::read_to_string(path) {
            let found = if path.ends_with(".md") { dead_links(path, &text) } else { faults_of(path, &text) };
            faults.extend(found.into_iter().map(|fault| format!("{path}: {fault}")));
        }
    }
    if !faults.is_empty() {
        bail!("\n  {}", faults.join("\n  "));
    }
    Ok(())
}

fn faults_of(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines > MAX_LINES {
        faults.push(format!("{lines} lines, more than {MAX_LINES}: split it by idea"));
    }
    if !text.starts_with("//!") {
        faults.push("does not open with `//!`: say what it does and what it must not know".to_owned());
    }
    let stem = path.trim_end_matches("/mod.rs").trim_end_matches(".rs").rsplit('/').next().unwrap_or(path);
    if EMPTY_NAMES.contains(&stem) {
        faults.push(format!("`{stem}` says nothing: name the module after what it is"));
    }
    faults
}

/// Links to files of the repository that are not there.
fn dead_links(path: &str, text: &str) -> Vec<String> {
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#', ' ']).next());
    targets
        .filter(|target| !target.is_empty() && !target.contains("://") && !folder.join(target).exists())
        .map(|target| format!("links to `{target}`, which is not there"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_somewhere() {
        let text = "[a](Cargo.toml) [b](src/main.rs#map) [c](https://example.com/x) [d](#here) [e](gone.md)";
        assert_eq!(dead_links("README.md", text), ["links to `gone.md`, which is not there"]);
    }

    #[test]
    fn each_rule_finds_its_fault() {
        assert!(faults_of("engine/src/plan.rs", "//! The plan.\n").is_empty());
        assert_eq!(faults_of("engine/src/plan.rs", "use std::fs;\n").len(), 1);
        assert_eq!(faults_of("engine/src/utils.rs", "//! Things.\n").len(), 1);
        assert_eq!(faults_of("engine/src/common/mod.rs", "//! Things.\n").len(), 1);
        let long = "//! Long.\n".repeat(MAX_LINES + 1);
        assert_eq!(faults_of("engine/src/plan.rs", &long).len(), 1);
    }
}
