//! The programs that the tests and checks call, and how to get one that is missing.
//!
//! As root on Debian a missing one is installed, saying so; anybody else is told the command.

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{self, Interrupt};

/// A program by the name of its file, and the Debian package that has it.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) package: &'static str,
}

pub(crate) const JAVA: Program = Program { name: "java", package: "openjdk-17-jre-headless" };
pub(crate) const MAVEN: Program = Program { name: "mvn", package: "maven" };
pub(crate) const JAVAC: Program = Program { name: "javac", package: "openjdk-17-jdk-headless" };
pub(crate) const PYTHON: Program = Program { name: "python3", package: "python3-venv" };
pub(crate) const NODE: Program = Program { name: "node", package: "nodejs" };
pub(crate) const NPM: Program = Program { name: "npm", package: "npm" };
pub(crate) const CURL: Program = Program { name: "curl", package: "curl" };
pub(crate) const OPENSSL: Program = Program { name: "openssl", package: "openssl" };
pub(crate) const DOCKER_COMPOSE: Program = Program { name: "docker-compose", package: "docker-compose" };

/// Makes sure that every one of `programs` can be called, or fails naming all that cannot and what to do.
pub(crate) fn require(programs: &[Program], interrupt: &Interrupt) -> Result<()> {
    let missing: Vec<_> = programs.iter().filter(|program| find(program.name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|program| program.name).collect::<Vec<_>>().join(", ");
    let packages = missing.iter().map(|program| program.package).collect::<Vec<_>>();
    if !(rustix::process::geteuid().is_root() && find("apt-get").is_some()) {
        bail!("missing: {names}. On Debian and Ubuntu: sudo apt-get install {}", packages.join(" "));
    }
    eprintln!("xtask: {names} missing; as root on Debian: apt-get install {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        process::run(
            Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .stdout(io::stderr())
                .args(["-qq", "-y"])
                .args(arguments),
            interrupt,
        )
    };
    apt(&["update"])?;
    apt(&[&["install", "--no-install-recommends"], packages.as_slice()].concat())
}

/// The path of the program `name`, searched as a shell would.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_shell_finds() {
        assert!(find("sh").is_some_and(|file| file.is_absolute()));
        assert_eq!(find("no-such-program"), None);
    }
}
