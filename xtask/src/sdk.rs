//! The SDKs for functions, installed as their users do, for the tests that build components with them. All is cached.
//!
//! It knows nothing of the tests: they find the SDKs through the environment variables that [`Sdks::environment`] lists.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::process::{Interrupt, run};
use crate::programs::{self, Program};

/// What `--help` says after the options.
pub(crate) const HELP: &str = "\
Prints one `export NAME=value` a variable; udf/sdk/README.md says what they are.";

const NEEDS: [Program; 3] = [
    Program { name: "node", package: "nodejs" },
    Program { name: "npm", package: "npm" },
    Program { name: "python3", package: "python3-venv" },
];

/// The SDKs' folders, and the contract that all of them bring.
const JS: &str = "udf/sdk/js";
const PYTHON: &str = "udf/sdk/python";
const CONTRACT: &str = "udf/wit";

/// The script that pip makes names the folder where it was made, which is not where it is called.
const PYTHON_COMMAND: &str = "#!/bin/sh\nexec \"$(dirname \"$0\")/python\" -m riverhook_function.build \"$@\"\n";

/// Where the SDKs are.
pub(crate) struct Sdks {
    js: PathBuf,
    python: PathBuf,
    /// `None` if Rust has no standard library for components here.
    rust: Option<PathBuf>,
}

impl Sdks {
    /// Finds the SDKs of this checkout in the cache, installing those that are not there. Must run in the workspace's
    /// root.
    pub(crate) fn prepare(cache: &Cache, interrupt: &Interrupt) -> Result<Self> {
        programs::require(&NEEDS, interrupt)?;
        let js = cache.entry(&format!("sdk-js-{}", edition(JS)?), |dir| js(dir, interrupt))?;
        let python = cache.entry(&format!("sdk-python-{}", edition(PYTHON)?), |dir| python(dir, interrupt))?;
        let rust = match can_build_components()? {
            true => Some(cache.entry("sdk-rust-target", |_| Ok(()))?),
            false => None,
        };
        Ok(Self { js, python, rust })
    }

    /// The variables by which tests find them.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let always = [("RIVERHOOK_TEST_JS_SDK", &*self.js), ("RIVERHOOK_TEST_PYTHON_SDK", &*self.python)];
        always.into_iter().chain(self.rust.as_deref().map(|rust| ("RIVERHOOK_TEST_RUST_SDK", rust)))
    }
}

/// Installs the SDKs and prints how tests find them.
pub(crate) fn print(cache: &Cache, interrupt: &Interrupt) -> Result<()> {
    for (name, path) in Sdks::prepare(cache, interrupt)?.environment() {
        println!("export {name}={}", path.display());
    }
    Ok(())
}

fn js(dir: &Path, interrupt: &Interrupt) -> Result<()> {
    eprintln!("xtask: installing the SDK for JavaScript with npm");
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--install-links", "--prefix"]).arg(dir);
    npm.arg(format!("./{JS}")).stdout(io::stderr());
    run(&mut npm, interrupt).context("npm could not install the SDK: is there a way to its registry?")
}

fn python(dir: &Path, interrupt: &Interrupt) -> Result<()> {
    eprintln!("xtask: installing the SDK for Python with pip");
    run(Command::new("python3").args(["-m", "venv"]).arg(dir).stdout(io::stderr()), interrupt)
        .context("Python cannot make an environment; on Debian and Ubuntu: apt-get install python3-venv")?;
    let mut pip = Command::new(dir.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).arg(format!("./{PYTHON}"));
    run(pip.stdout(io::stderr()), interrupt).context("pip could not install the SDK: is there a way to PyPI?")?;
    let command = dir.join("bin/riverhook-function");
    fs::write(&command, PYTHON_COMMAND)?;
    Ok(fs::set_permissions(&command, fs::Permissions::from_mode(0o755))?)
}

/// Whether `rustup target add wasm32-unknown-unknown` was done, or the same by other means.
fn can_build_components() -> Result<bool> {
    let asked = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", "wasm32-unknown-unknown"])
        .output()
        .context("cannot run rustc")?;
    let folder = PathBuf::from(String::from_utf8_lossy(&asked.stdout).trim());
    Ok(asked.status.success() && folder.is_dir())
}

/// What tells an SDK's state from others: the names and contents of its files.
fn edition(sdk: &str) -> Result<String> {
    let mut files = Vec::new();
    for folder in [sdk, CONTRACT] {
        list(Path::new(folder), &mut files).with_context(|| format!("cannot read {folder}"))?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file)?.hash(&mut hasher);
    }
    PYTHON_COMMAND.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// The files of a folder, without those that are made of others.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    const MADE: [&str; 6] = ["node_modules", "package-lock.json", "wit", "__pycache__", "build", "dist"];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if MADE.contains(&name.as_str()) || name.ends_with(".egg-info") {
            continue;
        }
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edition_is_of_names_and_contents_and_not_of_what_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let files = |folder: &Path| {
            let mut files = Vec::new();
            list(folder, &mut files).unwrap();
            files
        };
        assert!(files(&workspace.join(JS)).contains(&workspace.join(JS).join("bin/riverhook-function.js")));
        fs::write(folder.path().join("a.py"), "").unwrap();
        fs::create_dir(folder.path().join("node_modules")).unwrap();
        fs::write(folder.path().join("node_modules/b.js"), "").unwrap();
        assert_eq!(files(folder.path()), [folder.path().join("a.py")]);
    }
}
