//! The programs behind the Runtime API that are measured: AWS's clients where they are installed, and the barest handler.

use std::{env, fs, path::Path};

use anyhow::Result;
use riverhook_udf::ProcessSettings;

use crate::bench::Bench;

/// A handler that answers what it gets, and the client that runs it.
pub(super) struct Client {
    pub(super) name: &'static str,
    pub(super) settings: ProcessSettings,
}

/// The name of the handler without a client.
pub(super) const BARE: &str = "bare handler";

/// A client that is not there: what to install.
pub(super) type Missing = String;

/// The handler of the benchmarks, without a client.
pub(super) fn bare(bench: &Bench, folder: &Path) -> Client {
    Client::new(BARE, vec![bench.handler.display().to_string(), "echo".to_owned()], folder)
}

/// `lambda_runtime`, with the handler of the tests.
pub(super) fn rust(folder: &Path) -> Result<Client, Missing> {
    let program = installed("RIVERHOOK_TEST_LAMBDA_RUST", "lambda-rust-target/release/aws-rust-handler")?;
    Ok(Client::new("lambda_runtime", vec![program], folder))
}

/// `awslambdaric`, with the shortest handler.
pub(super) fn python(folder: &Path) -> Result<Client, Missing> {
    let python = installed("RIVERHOOK_TEST_LAMBDA_PYTHON", "lambda-python-4.2.2-2/bin/python")?;
    fs::write(folder.join("echo.py"), "def handler(event, context):\n    return event\n")
        .map_err(|error| error.to_string())?;
    let command = [python.as_str(), "-m", "awslambdaric", "echo.handler"].map(str::to_owned);
    let mut client = Client::new("awslambdaric", command.to_vec(), folder);
    client.settings.handler = Some("echo.handler".to_owned());
    Ok(client)
}

impl Client {
    fn new(name: &'static str, command: Vec<String>, folder: &Path) -> Self {
        let mut settings = ProcessSettings::new("echo", command, folder);
        settings.limits.memory = 512 << 20;
        settings.limits.timeout = std::time::Duration::from_secs(30);
        Self { name, settings }
    }
}

/// The file that the variable names, or that `cargo xtask lambda-clients` puts into the cache.
fn installed(variable: &str, in_cache: &str) -> Result<String, Missing> {
    if let Ok(file) = env::var(variable) {
        return Ok(file);
    }
    let cache = match env::var("RIVERHOOK_CACHE") {
        Ok(cache) => cache.into(),
        Err(_) => env::home_dir().unwrap_or_default().join(".cache/riverhook"),
    };
    let file = cache.join(in_cache);
    if file.exists() {
        return Ok(file.display().to_string());
    }
    Err(format!("not measured: {} is not there; `cargo xtask lambda-clients` installs it", file.display()))
}
