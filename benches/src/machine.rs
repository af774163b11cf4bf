//! What the figures were measured on and with: a figure without it says nothing.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use chrono::Utc;

use crate::bench::Bench;

/// Processes that wanted a core before the benchmarks began, on average over the last minute. Benchmarks on a machine
/// that does something else are noisy: the report says so.
pub(crate) fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// A list, in Markdown.
pub(crate) fn about(bench: &Bench, load: f64) -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo").context("cannot read what processor this is")?;
    let field = |name: &str| {
        let line = cpus.lines().find(|line| line.starts_with(name));
        line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned())).unwrap_or_else(|| "unknown".to_owned())
    };
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    let gib = memory.unwrap_or(0.0f64) / f64::from(1 << 20);
    let version = Command::new(&bench.engine).arg("--version").output().context("cannot run the engine")?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    let model = format!("{} (family {}, model {})", field("model name"), field("cpu family"), field("model"));
    let mut text = format!(
        "- {}; {version}; librdkafka {librdkafka}; {} runs\n- {cores} cores of {model}, {gib:.0} GiB of memory\n",
        Utc::now().format("%Y-%m-%d %H:%M UTC"),
        if bench.quick { "quick" } else { "full" },
    );
    if let Some(broker) = bench.about_broker() {
        text += &format!("- Kafka: {broker}; what is measured has core {} to itself\n", bench.cores.measured());
    }
    if load > 0.5 {
        text += &format!(
            "- **The machine was busy with other work** (load {load:.1} before the start): wall times, throughput and \
             latencies are worse than they would be alone, and processor times somewhat\n"
        );
    }
    Ok(text)
}
