//! What the Grafana board asks for is what `/metrics` has.

use std::{collections::BTreeSet, path::Path, time::Duration};

use serde_json::Value;

use crate::support::{Folder, ask, eventually, free_port, get};

/// Every expression of the board.
fn expressions() -> Vec<String> {
    let board = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/dashboards/riverhook.json");
    let board: Value = serde_json::from_str(&std::fs::read_to_string(board).unwrap()).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect()
}

/// The series an expression asks for: name, and the labels it selects or groups by.
fn asked(expression: &str) -> (String, BTreeSet<String>) {
    let begin = expression.find("riverhook_").unwrap();
    let rest = &expression[begin..];
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap();
    let selected = &rest[rest.find('{').unwrap() + 1..rest.find('}').unwrap()];
    let mut labels: BTreeSet<String> =
        selected.split(',').map(|part| part.trim().split(['=', '!']).next().unwrap().to_owned()).collect();
    if let Some((_, grouped)) = expression.split_once(" by (") {
        labels.extend(grouped.split(')').next().unwrap().split(',').map(|label| label.trim().to_owned()));
    }
    (rest[..end].to_owned(), labels)
}

/// Whether a page has a series with this name and these labels.
fn has(page: &str, name: &str, labels: &BTreeSet<String>) -> bool {
    page.lines().any(|line| {
        let line = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('{'));
        line.is_some_and(|rest| labels.iter().all(|label| rest.contains(&format!("{label}=\""))))
    })
}

#[test]
fn every_panel_of_the_board_finds_its_series() {
    let (port, metrics) = (free_port(), free_port());
    let folder = Folder::with_pipeline(&format!(
        r#"
name: observed
sources:
  clicks:
    type: http
    listen: "127.0.0.1:{port}"
    respond: accepted
    schema: {{ url: string!, ms: int64!, ts: "timestamp(ms, UTC)!" }}
    event_time: {{ column: ts, delay: 1s }}
functions:
  echo: {{ wasm: echo.wasm }}
transforms:
  share: {{ sql: "SELECT url, 100 / ms AS share, ts FROM clicks", on_error: skip }}
  echoed: {{ from: share, call: echo }}
sinks:
  out: {{ from: echoed, type: file, path: out/ }}
server: {{ listen: "127.0.0.1:{metrics}" }}
checkpoint: {{ every: 50ms }}
"#
    ));
    let echo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../udf/tests/guests/echo.wasm");
    folder.write("echo.wasm", std::fs::read(echo).unwrap());
    let running = folder.start(&["run", "pipeline.yaml"]);
    eventually("it listens", || ask(port, "GET /", "").is_some());
    let now = "2026-01-01T00:00:00Z";
    let body = format!("{{\"url\":\"/\",\"ms\":5,\"ts\":\"{now}\"}}\n{{\"url\":\"/\",\"ms\":0,\"ts\":\"{now}\"}}");
    assert_eq!(ask(port, "POST /", &body).unwrap().0, 202);
    let mut page = String::new();
    eventually("a row was written", || {
        page = get(metrics, "/metrics").unwrap().1;
        has(&page, "riverhook_latency_seconds_count", &BTreeSet::new())
            && page.lines().any(|line| line.starts_with("riverhook_latency_seconds_count{") && line.ends_with(" 1"))
    });
    let expressions = expressions();
    assert!(expressions.len() > 10);
    for expression in expressions {
        let (name, labels) = asked(&expression);
        assert!(has(&page, &name, &labels), "no {name} with {labels:?} in:\n{page}");
    }
    assert!(page.contains("kind=\"source\"") && page.contains("riverhook_source_queued_records{"), "{page}");
    let failed = r#"riverhook_errors_total{pipeline="observed",node="share",stage="sql""#;
    assert!(page.contains(failed), "{page}");
    // Nobody asks for a series that is not described.
    let described: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    let typed = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for name in typed {
        assert!(described.contains(name), "{name} has no description");
    }
    running.signal("TERM");
    running.wait(Duration::from_secs(20)).expect(0);
}
