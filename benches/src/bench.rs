//! What every benchmark is given: the engine, a broker if it asks for one, folders, and how thorough to be.

use std::{
    cell::OnceCell,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{kafka::Broker, process::Cores};

/// Builds the engine and the handler of the benchmarks.
const BUILD: [&str; 6] = ["build", "--release", "--package", "riverhook", "--package", "riverhook-benches"];

/// The program `bin/bench_handler.rs`.
pub(crate) const HANDLER: &str = "bench_handler";

/// The surroundings of a benchmark.
pub(crate) struct Bench {
    /// Less input and fewer runs: to see that everything works, not to quote.
    pub(crate) quick: bool,
    pub(crate) cores: Cores,
    /// The `riverhook` binary.
    pub(crate) engine: PathBuf,
    /// A handler that costs next to nothing.
    pub(crate) handler: PathBuf,
    /// The repository.
    pub(crate) workspace: PathBuf,
    cargo: PathBuf,
    folder: TempDir,
    broker: OnceCell<Broker>,
}

impl Bench {
    /// Builds the engine if cargo runs this program, and moves this program off the measured core.
    pub(crate) fn new(quick: bool) -> Result<Self> {
        let cores = Cores::of_this_machine()?;
        cores.step_aside()?;
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let cargo = env::var_os("CARGO");
        if let Some(cargo) = &cargo {
            let mut build = cores.anywhere(Path::new(cargo));
            let built = build.args(BUILD).current_dir(&workspace).status().context("cannot run cargo")?;
            ensure!(built.success(), "the engine does not build");
        }
        let here = env::current_exe().context("cannot tell where this program is")?;
        let [engine, handler] = ["riverhook", HANDLER].map(|name| here.with_file_name(name));
        for program in [&engine, &handler] {
            ensure!(program.exists(), "{} is not there: build it with `cargo {}`", program.display(), BUILD.join(" "));
        }
        Ok(Self {
            quick,
            cores,
            engine,
            handler,
            workspace,
            cargo: cargo.map_or_else(|| PathBuf::from("cargo"), PathBuf::from),
            folder: TempDir::new()?,
            broker: OnceCell::new(),
        })
    }

    /// `thorough`, or `quick` if that was asked for.
    pub(crate) fn choose<T>(&self, thorough: T, quick: T) -> T {
        if self.quick { quick } else { thorough }
    }

    /// The broker, started when the first benchmark asks.
    pub(crate) fn broker(&self) -> Result<&Broker> {
        if self.broker.get().is_none() {
            let broker = Broker::find_or_start(&self.cargo, &self.workspace, self.cores)?;
            assert!(self.broker.set(broker).is_ok(), "it was just not there");
        }
        Ok(self.broker.get().expect("it was just set"))
    }

    /// What is known of the broker, if one was used.
    pub(crate) fn about_broker(&self) -> Option<&str> {
        self.broker.get().map(|broker| broker.about.as_str())
    }

    /// A new folder.
    pub(crate) fn folder(&self) -> Result<TempDir> {
        Ok(TempDir::new_in(self.folder.path())?)
    }

    /// A new folder with a pipeline in it.
    pub(crate) fn pipeline(&self, text: &str) -> Result<TempDir> {
        let folder = self.folder()?;
        fs::write(folder.path().join("pipeline.yaml"), text)?;
        Ok(folder)
    }

    /// `riverhook`, or what `command` makes of it, in the folder of a pipeline. Compiled functions are kept for the next
    /// call, apart from the user's own.
    pub(crate) fn in_folder<'c>(&self, command: &'c mut Command, folder: &Path) -> &'c mut Command {
        command.current_dir(folder).env("XDG_CACHE_HOME", self.folder.path().join("cache"))
    }

    /// A prebuilt function of the tests.
    pub(crate) fn guest(&self, name: &str) -> PathBuf {
        self.workspace.join(format!("udf/tests/guests/{name}.wasm"))
    }
}
