//! AWS's own clients of the Lambda Runtime API, unmodified, for the tests that run handlers with them. All is cached.
//!
//! It knows nothing of the tests: they find the clients through the environment variables that
//! [`Clients::environment`] lists.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache::Cache;
use crate::process::{Interrupt, run};
use crate::programs::{self, Program};
use crate::{maven, testing};

/// What `--help` says after the options.
pub(crate) const HELP: &str = "\
Prints one `export NAME=value` a variable.

  RIVERHOOK_TEST_LAMBDA_PYTHON  a Python that has awslambdaric
  RIVERHOOK_TEST_LAMBDA_NODE    the program aws-lambda-ric
  RIVERHOOK_TEST_LAMBDA_JAVA    a folder with the jars of aws-lambda-java-runtime-interface-client
  RIVERHOOK_TEST_LAMBDA_RUST    the handler in udf/tests/handlers/rust, made with lambda_runtime";

/// What `pip` installs: the client, what it needs, and what the examples' handlers need.
const PYTHON: [&str; 4] = ["awslambdaric==4.2.2", "simplejson==4.3.0", "snapshot-restore-py==1.0.0", "pillow==13.0.0"];
/// Changes with what is installed.
const PYTHON_ENTRY: &str = "lambda-python-4.2.2-2";
const NODE: &str = "3.3.0";
const JAVA: &str = "2.9.0";
/// The handler's folder, with its own manifest and lock file.
const RUST: &str = "udf/tests/handlers/rust";

/// What the part of the client for Node that is in C++ is built with.
const NODE_NEEDS: [Program; 9] = [
    programs::NODE,
    programs::NPM,
    Program { name: "autoconf", package: "autoconf" },
    Program { name: "automake", package: "automake" },
    Program { name: "libtoolize", package: "libtool" },
    Program { name: "m4", package: "m4" },
    Program { name: "make", package: "make" },
    Program { name: "cmake", package: "cmake" },
    Program { name: "g++", package: "g++" },
];

/// Where the clients are.
pub(crate) struct Clients {
    python: PathBuf,
    node: PathBuf,
    java: PathBuf,
    rust: PathBuf,
}

impl Clients {
    /// Finds the clients in the cache, installing those that are not there. Must run in the workspace's root.
    pub(crate) fn prepare(cache: &Cache, interrupt: &Interrupt) -> Result<Self> {
        programs::require(&[programs::PYTHON, programs::NODE, programs::JAVAC, programs::CURL], interrupt)?;
        let python = cache.entry(PYTHON_ENTRY, |dir| python(dir, interrupt))?;
        let node = cache.entry(&format!("lambda-node-{NODE}"), |dir| node(dir, interrupt))?;
        let java = cache.entry(&format!("lambda-java-{JAVA}"), |dir| java(dir, interrupt))?;
        Ok(Self {
            python: python.join("bin/python"),
            node: node.join("node_modules/.bin/aws-lambda-ric"),
            java,
            rust: rust(cache, interrupt)?,
        })
    }

    /// The variables by which tests find them.
    pub(crate) fn environment(&self) -> [(&'static str, &Path); 4] {
        [
            ("RIVERHOOK_TEST_LAMBDA_PYTHON", &self.python),
            ("RIVERHOOK_TEST_LAMBDA_NODE", &self.node),
            ("RIVERHOOK_TEST_LAMBDA_JAVA", &self.java),
            ("RIVERHOOK_TEST_LAMBDA_RUST", &self.rust),
        ]
    }
}

/// Installs the clients and prints how tests find them.
pub(crate) fn print(cache: &Cache, interrupt: &Interrupt) -> Result<()> {
    for (name, path) in Clients::prepare(cache, interrupt)?.environment() {
        println!("export {name}={}", path.display());
    }
    Ok(())
}

/// An environment of Python's. It is called by its Python alone: the scripts in it name the folder where it was made.
fn python(dir: &Path, interrupt: &Interrupt) -> Result<()> {
    eprintln!("xtask: installing awslambdaric with pip");
    run(Command::new("python3").args(["-m", "venv"]).arg(dir).stdout(io::stderr()), interrupt)
        .context("Python cannot make an environment; on Debian and Ubuntu: apt-get install python3-venv")?;
    let mut pip = Command::new(dir.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]).args(PYTHON);
    run(pip.stdout(io::stderr()), interrupt)
        .context("pip could not install awslambdaric and Pillow: is there a way to PyPI?")
}

fn node(dir: &Path, interrupt: &Interrupt) -> Result<()> {
    programs::require(&NODE_NEEDS, interrupt)?;
    eprintln!("xtask: installing aws-lambda-ric {NODE} with npm; its part in C++ takes a minute or two, once");
    // The installation builds: newer versions of npm let packages do that only if they are named.
    let package =
        format!(r#"{{"dependencies":{{"aws-lambda-ric":"{NODE}"}},"allowScripts":{{"aws-lambda-ric":true}}}}"#);
    fs::write(dir.join("package.json"), package)?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(dir).stdout(io::stderr());
    run(&mut npm, interrupt).context("npm could not install aws-lambda-ric: is there a way to its registry?")?;
    let client = dir.join("node_modules/aws-lambda-ric");
    fs::metadata(client.join("dist/rapid-client.node")).context("npm did not build aws-lambda-ric's part in C++")?;
    // What it was built from and in: 150 MB.
    fs::remove_dir_all(client.join("deps")).context("cannot remove what aws-lambda-ric was built in")
}

fn java(dir: &Path, interrupt: &Interrupt) -> Result<()> {
    eprintln!("xtask: fetching aws-lambda-java-runtime-interface-client {JAVA} with Maven");
    let group = "com.amazonaws";
    let artifacts = [
        (group, "aws-lambda-java-runtime-interface-client", JAVA),
        (group, "aws-lambda-java-core", "1.4.0"),
        (group, "aws-lambda-java-serialization", "1.2.0"),
    ];
    maven::fetch(&artifacts, dir, interrupt)
}

/// Built anew whenever the handler has changed, which cargo knows.
fn rust(cache: &Cache, interrupt: &Interrupt) -> Result<PathBuf> {
    let target = cache.entry("lambda-rust-target", |_| Ok(()))?;
    let mut build = testing::cargo();
    build.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]).arg(format!("{RUST}/Cargo.toml"));
    build.arg("--target-dir").arg(&target).stdout(io::stderr());
    run(&mut build, interrupt).context("the handler in Rust could not be built")?;
    Ok(target.join("release/aws-rust-handler"))
}
