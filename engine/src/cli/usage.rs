//! `riverhook usage`: what functions used, by day, function and version.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{FAILED, load::load};
use crate::functions::{FLUSH, Ledger, Summary};

#[derive(Args)]
#[command(after_help = "\
Durations are billed as AWS Lambda bills them, rounded up to 1 ms, and as it once did, to 100 ms.

Examples:
  riverhook usage pipeline.yaml
  riverhook usage pipeline.yaml --function enrich --json
  riverhook usage pipeline.yaml --price 0.0000166667 --price-per-million 0.20    with a column of what it would cost")]
pub(super) struct UsageArguments {
    /// The pipeline file
    file: PathBuf,
    /// Only this function
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Price of a GB-second, by increments of 1 ms
    #[arg(long, value_name = "PRICE")]
    price: Option<f64>,
    /// Price of a million invocations
    #[arg(long, value_name = "PRICE")]
    price_per_million: Option<f64>,
}

pub(super) fn usage(arguments: &UsageArguments) -> ExitCode {
    let plan = match load(&arguments.file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    match Ledger::of(&plan.settings.store).summary() {
        Ok(mut summary) => {
            summary.retain(|(_, function, _), _| arguments.function.as_ref().is_none_or(|wanted| wanted == function));
            print(&summary, arguments);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: cannot read the ledger in {}: {error}", plan.settings.store.display());
            ExitCode::from(FAILED)
        }
    }
}

fn print(summary: &Summary, arguments: &UsageArguments) {
    if arguments.json {
        for ((day, function, version), used) in summary {
            let (by_1ms, by_100ms) = used.gb_seconds();
            let mut line = serde_json::json!({
                "day": day, "function": function, "version": version,
                "gb_seconds_1ms": by_1ms, "gb_seconds_100ms": by_100ms,
            });
            if let (Some(line), Ok(serde_json::Value::Object(used))) =
                (line.as_object_mut(), serde_json::to_value(used))
            {
                line.extend(used);
            }
            if let Some(cost) = cost(used, arguments) {
                line["cost"] = cost.into();
            }
            println!("{line}");
        }
        return;
    }
    if summary.is_empty() {
        println!("no function was called yet");
        return;
    }
    println!("{}", table(summary, arguments));
    println!("A run that was killed may have called for {} s more than is written here.", FLUSH.as_secs());
}

fn cost(used: &crate::functions::Used, arguments: &UsageArguments) -> Option<f64> {
    let (price, each) = (arguments.price, arguments.price_per_million);
    (price.is_some() || each.is_some())
        .then(|| used.gb_seconds().0 * price.unwrap_or(0.0) + used.invocations as f64 / 1e6 * each.unwrap_or(0.0))
}

fn table(summary: &Summary, arguments: &UsageArguments) -> String {
    let mut rows = vec![
        [
            "day",
            "function",
            "version",
            "invocations",
            "errors",
            "cold",
            "records",
            "avg ms",
            "billed s",
            "GB-s",
            "GB-s (100 ms)",
            "cost",
        ]
        .map(str::to_owned),
    ];
    for ((day, function, version), used) in summary {
        let (by_1ms, by_100ms) = used.gb_seconds();
        rows.push([
            day.clone(),
            function.clone(),
            version.chars().take(12).collect(),
            used.invocations.to_string(),
            used.errors.to_string(),
            used.cold_starts.to_string(),
            used.records.to_string(),
            format!("{:.2}", used.duration_us as f64 / 1e3 / used.invocations.max(1) as f64),
            format!("{:.3}", used.billed_1ms as f64 / 1e3),
            format!("{by_1ms:.4}"),
            format!("{by_100ms:.4}"),
            cost(used, arguments).map_or_else(String::new, |cost| format!("{cost:.6}")),
        ]);
    }
    let columns = if cost(&Default::default(), arguments).is_some() { 12 } else { 11 };
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let line = |row: &[String; 12]| {
        let cells = (0..columns).map(|column| match column {
            // Names to the left, numbers to the right.
            0..3 => format!("{:<1$}", row[column], width(column)),
            _ => format!("{:>1$}", row[column], width(column)),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
