//! Jars from a Maven repository, wherever Maven is set up to find one.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{Interrupt, run};
use crate::programs;

/// One artifact: group, name, version.
pub(crate) type Artifact<'a> = (&'a str, &'a str, &'a str);

/// Puts the jars of these artifacts, and of all that they need, into `dir`.
pub(crate) fn fetch(artifacts: &[Artifact<'_>], dir: &Path, interrupt: &Interrupt) -> Result<()> {
    programs::require(&[programs::MAVEN], interrupt)?;
    let project = tempfile::tempdir()?;
    fs::write(project.path().join("pom.xml"), pom(artifacts))?;
    let mut maven = Command::new("mvn");
    maven
        .args(["-q", "-B", "-Dstyle.color=never", "dependency:copy-dependencies"])
        .arg(format!("-DoutputDirectory={}", dir.display()))
        .current_dir(project.path())
        // Standard output belongs to what `serve-kafka` prints for programs to read.
        .stdout(io::stderr());
    run(&mut maven, interrupt).context("Maven could not fetch the jars: is there a way to its repository?")
}

fn pom(artifacts: &[Artifact<'_>]) -> String {
    let mut dependencies = String::new();
    for (group, name, version) in artifacts {
        let artifact = format!("<groupId>{group}</groupId><artifactId>{name}</artifactId><version>{version}</version>");
        // Writing to a string does not fail.
        let _ = writeln!(dependencies, "    <dependency>{artifact}</dependency>");
    }
    format!(
        "\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>riverhook</groupId>
  <artifactId>for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
{dependencies}  </dependencies>
</project>
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_artifact_is_a_dependency() {
        let text = pom(&[("org.a", "b", "1.2"), ("org.c", "d", "3")]);
        let lines: Vec<_> = text.lines().filter(|line| line.contains("<dependency>")).map(str::trim).collect();
        let expected = [
            "<dependency><groupId>org.a</groupId><artifactId>b</artifactId><version>1.2</version></dependency>",
            "<dependency><groupId>org.c</groupId><artifactId>d</artifactId><version>3</version></dependency>",
        ];
        assert_eq!(lines, expected);
    }
}
