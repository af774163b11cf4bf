//! `riverhook usage`: what functions used, by day, function and version.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use riverhook_config::{Diagnostics, ProcessEnvironment};

use super::{
    FAILED, WRONG,
    load::{draw, with_surroundings},
};
use crate::{
    config::Prices,
    functions::{FLUSH, Ledger, Summary, Used},
    plan::{Bill, bill},
};

#[derive(Args)]
#[command(after_help = "\
Durations are billed as AWS Lambda bills them, rounded up to 1 ms, and as it once did, to 100 ms. Prices are those of the
command line, else those of `prices` in the file. The functions themselves are not needed.

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
    #[arg(long, value_name = "PRICE", value_parser = price)]
    price: Option<f64>,
    /// Price of a million invocations
    #[arg(long, value_name = "PRICE", value_parser = price)]
    price_per_million: Option<f64>,
}

fn price(text: &str) -> Result<f64, String> {
    let price = text.parse().ok().filter(|price: &f64| price.is_finite() && *price >= 0.0);
    price.ok_or_else(|| "expected a price, such as 0.2".to_owned())
}

pub(super) fn usage(arguments: &UsageArguments) -> ExitCode {
    let mut diagnostics = Diagnostics::new();
    let environment = ProcessEnvironment::beside(&arguments.file);
    let made = with_surroundings(&arguments.file, &environment, &mut diagnostics, |root, around, _, cx| {
        bill(root, around, cx)
    });
    draw(&arguments.file, &diagnostics);
    let Some(Bill { store, prices }) = made else { return ExitCode::from(WRONG) };
    let prices = Prices {
        gb_second: arguments.price.or(prices.gb_second),
        million_calls: arguments.price_per_million.or(prices.million_calls),
    };
    match Ledger::of(&store).summary() {
        Ok(mut summary) => {
            summary.retain(|(_, function, _), _| arguments.function.as_ref().is_none_or(|wanted| wanted == function));
            if arguments.json {
                print_json(&summary, &prices)
            } else {
                print(&summary, &prices)
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: cannot read the ledger in {}: {error}", store.display());
            ExitCode::from(FAILED)
        }
    }
}

fn print_json(summary: &Summary, prices: &Prices) {
    for ((day, function, version), used) in summary {
        let (by_1ms, by_100ms) = used.gb_seconds();
        let mut line = serde_json::json!({
            "day": day, "function": function, "version": version,
            "gb_seconds_1ms": by_1ms, "gb_seconds_100ms": by_100ms,
        });
        if let (Some(line), Ok(serde_json::Value::Object(used))) = (line.as_object_mut(), serde_json::to_value(used)) {
            line.extend(used);
        }
        if let Some(cost) = cost(used, prices) {
            line["cost"] = cost.into();
        }
        println!("{line}");
    }
}

fn print(summary: &Summary, prices: &Prices) {
    if summary.is_empty() {
        println!("no function was called yet");
        return;
    }
    println!("{}", table(summary, prices));
    println!(
        "\nA run that goes on, or was killed, may have called for {} s more than is written here.",
        FLUSH.as_secs()
    );
}

fn cost(used: &Used, prices: &Prices) -> Option<f64> {
    let Prices { gb_second, million_calls } = prices;
    (gb_second.is_some() || million_calls.is_some()).then(|| {
        used.gb_seconds().0 * gb_second.unwrap_or(0.0) + used.invocations as f64 / 1e6 * million_calls.unwrap_or(0.0)
    })
}

/// Errors with the type that there were most of: `12, most Sandbox.Timedout`.
fn errors(used: &Used) -> String {
    let most = used.errors_by_type.iter().max_by_key(|(code, count)| (**count, std::cmp::Reverse(*code)));
    match (most, used.errors_by_type.len()) {
        (None, _) => used.errors.to_string(),
        (Some((code, _)), 1) => format!("{} {code}", used.errors),
        (Some((code, _)), _) => format!("{}, most {code}", used.errors),
    }
}

/// A column: its head, whether it holds names and not numbers, and what it says of a line.
type Column<'a> = (&'a str, bool, Box<dyn Fn(&(String, String, String), &Used) -> String + 'a>);

fn columns<'a>(summary: &Summary, prices: &'a Prices) -> Vec<Column<'a>> {
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20).to_string();
    let seconds = |milliseconds: u64| format!("{:.3}", milliseconds as f64 / 1e3);
    let average = |used: &Used| used.duration_us as f64 / 1e3 / used.invocations.max(1) as f64;
    let mut columns: Vec<Column<'a>> = vec![
        ("day", true, Box::new(|(day, ..), _| day.clone())),
        ("function", true, Box::new(|(_, function, _), _| function.clone())),
        ("version", true, Box::new(|(.., version), _| version.chars().take(12).collect())),
        ("invocations", false, Box::new(|_, used| used.invocations.to_string())),
        ("errors", false, Box::new(|_, used| errors(used))),
        ("throttles", false, Box::new(|_, used| used.throttles.to_string())),
        ("cold", false, Box::new(|_, used| used.cold_starts.to_string())),
        ("records", false, Box::new(|_, used| used.records.to_string())),
        ("avg ms", false, Box::new(move |_, used| format!("{:.2}", average(used)))),
        ("billed s", false, Box::new(move |_, used| seconds(used.billed_1ms))),
        ("memory MiB", false, Box::new(move |_, used| mebibytes(used.memory))),
        ("peak", false, Box::new(move |_, used| mebibytes(used.peak_memory))),
        ("GB-s", false, Box::new(|_, used| format!("{:.4}", used.gb_seconds().0))),
        ("GB-s (100 ms)", false, Box::new(|_, used| format!("{:.4}", used.gb_seconds().1))),
    ];
    // What never happens is no column.
    let (throttled, started) =
        (summary.values().any(|used| used.throttles > 0), summary.values().any(|used| used.cold_starts > 0));
    columns.retain(|(head, ..)| (throttled || *head != "throttles") && (started || *head != "cold"));
    if cost(&Used::default(), prices).is_some() {
        let cost = |used: &Used| format!("{:.6}", cost(used, prices).unwrap_or_default());
        columns.push(("cost", false, Box::new(move |_, used| cost(used))));
    }
    columns
}

fn table(summary: &Summary, prices: &Prices) -> String {
    let columns = columns(summary, prices);
    let mut lines = vec![String::new(); summary.len() + 1];
    for (head, of_names, cell) in columns {
        let cells: Vec<String> =
            std::iter::once(head.to_owned()).chain(summary.iter().map(|(key, used)| cell(key, used))).collect();
        let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(cells) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            // Names to the left, numbers to the right.
            line.push_str(&if of_names { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        }
    }
    lines.join("\n")
}
