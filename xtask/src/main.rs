//! The developer's commands. Each is a thin line from its arguments to the module that does the work.
//!
//! Nothing here knows the engine: `xtask` builds, checks and tests the workspace from outside, with the same commands
//! a developer would type.

mod cache;
mod ci;
mod house;
mod kafka;
mod lambda;
mod maven;
mod policy;
mod process;
mod programs;
mod sdk;
mod steps;
mod testing;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::cache::Cache;
use crate::process::Interrupt;

/// Commands for working on Riverhook.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = CACHE_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

const CACHE_HELP: &str = "\
Downloaded jars and tools are kept in ${RIVERHOOK_CACHE:-$HOME/.cache/riverhook}. The folder may be removed at any time.";

#[derive(Subcommand)]
enum Task {
    /// Start the real servers, run every test, stop the servers
    #[command(after_help = testing::HELP)]
    Test(TestArgs),
    /// Run a Kafka broker in the foreground and print how to reach it
    #[command(after_help = kafka::HELP)]
    ServeKafka(ServeKafkaArgs),
    /// Install AWS's own clients of the Lambda Runtime API and print how tests find them
    #[command(after_help = lambda::HELP)]
    LambdaClients,
    /// Feed damaged input to the reader of pipeline files, the planner and the decoders, for some time each
    Fuzz(FuzzArgs),
    /// Install the SDKs for functions and print how tests find them
    #[command(after_help = sdk::HELP)]
    FunctionSdks,
    /// Everything a change must pass: format, lints, docs, policy, compose file, house rules, tests
    Ci,
}

#[derive(Args)]
struct TestArgs {
    /// Run only tests whose name contains NAME; `servers` narrows to the test targets that need a server
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Test only this package
    #[arg(short, long, value_name = "PACKAGE")]
    package: Vec<String>,
    /// Keep the servers' folders (data, settings, logs) and say where they are
    #[arg(long)]
    keep: bool,
}

#[derive(Args)]
struct FuzzArgs {
    /// Seconds for each of them; they run one after the other
    #[arg(long, default_value_t = 120)]
    seconds: u64,
}

#[derive(Args)]
struct ServeKafkaArgs {
    /// The port of the plaintext listener; the default is any free one
    #[arg(long)]
    port: Option<u16>,
    /// Keep data in this folder, and go on with what is in it; the default is a new folder, removed at the end
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let cache = Cache::open()?;
    let interrupt = Interrupt::install()?;
    match cli.command {
        Task::Test(args) => {
            let wanted = testing::Selection { names: args.only, packages: args.package };
            enter_workspace()?;
            testing::run(&wanted, args.keep, &cache, &interrupt)
        }
        Task::ServeKafka(args) => kafka::serve(args.port, args.dir.as_deref(), &cache, &interrupt),
        Task::LambdaClients => {
            enter_workspace()?;
            lambda::print(&cache, &interrupt)
        }
        Task::Fuzz(args) => {
            enter_workspace()?;
            testing::fuzz(args.seconds, &interrupt)
        }
        Task::FunctionSdks => {
            enter_workspace()?;
            sdk::print(&cache, &interrupt)
        }
        Task::Ci => {
            enter_workspace()?;
            ci::run(&cache, &interrupt)
        }
    }
}

/// Makes the workspace's root the current folder, from wherever `cargo xtask` was called.
fn enter_workspace() -> Result<()> {
    // Cargo sets the variable for the programs it runs; without it, this folder is the best guess.
    if let Some(package) = env::var_os("CARGO_MANIFEST_DIR") {
        let root = Path::new(&package).join("..");
        env::set_current_dir(&root).with_context(|| format!("cannot enter {}", root.display()))?;
    }
    Ok(())
}
