//! Logs: where they go and what they look like.

use std::{
    io::IsTerminal,
    sync::atomic::{AtomicBool, Ordering},
};

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt::time::ChronoUtc};

#[derive(Args)]
pub(super) struct LogArguments {
    /// What log lines look like
    #[arg(long, global = true, value_enum, default_value = "text", env = "RIVERHOOK_LOG_FORMAT")]
    log_format: LogFormat,
    /// Which log lines are written: error, warn, info, debug, or filters such as `info,function=debug`
    #[arg(long, global = true, default_value = "info", env = "RIVERHOOK_LOG")]
    log: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line, for machines
    Json,
}

impl LogArguments {
    /// Sends all logs to standard error: standard output belongs to sinks.
    pub(super) fn install(&self) {
        let filter = EnvFilter::try_new(&self.log).unwrap_or_else(|_| EnvFilter::new("info"));
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_timer(ChronoUtc::rfc_3339());
        match self.log_format {
            LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
            LogFormat::Json => {
                JSON.store(true, Ordering::Relaxed);
                lines.json().flatten_event(true).init();
            }
        }
    }
}

/// Whether programs read the log: then what people would be shown is logged as well.
pub(super) fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

static JSON: AtomicBool = AtomicBool::new(false);
