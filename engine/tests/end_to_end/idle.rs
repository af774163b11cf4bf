//! Functions that nobody calls: a thousand of them are there for next to nothing.

use std::{
    fmt::Write,
    fs,
    time::{Duration, Instant},
};

use crate::support::{Background, Folder, ask, eventually, free_port};

/// A pipeline that waits for events, with so many functions, each with a node that calls it: processes, and components.
fn waiting(functions: usize) -> (Folder, Background) {
    let port = free_port();
    let mut text = format!(
        "name: idle
sources:
  events: {{ type: http, listen: \"127.0.0.1:{port}\", schema: {{ id: int64 }} }}
functions:
"
    );
    let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/../udf/tests/guests/echo.wasm");
    let mut nodes = String::new();
    for number in 0..functions {
        let code = match number % 2 {
            0 => format!("wasm: \"{guest}\""),
            _ => "process: [python3, handler.py], output: { id: int64 }".to_owned(),
        };
        writeln!(text, "  f{number}: {{ {code} }}").unwrap();
        writeln!(nodes, "  t{number}: {{ from: events, call: f{number} }}").unwrap();
    }
    let all: Vec<String> = (0..functions).map(|number| format!("t{number}")).collect();
    writeln!(text, "transforms:\n{nodes}sinks:\n  out: {{ from: [{}], type: file, path: out/ }}", all.join(", "))
        .unwrap();
    let folder = Folder::with_pipeline(&text);
    let running = folder.start(&["run", "pipeline.yaml"]);
    eventually("it listens", || ask(port, "GET /", "").is_some());
    (folder, running)
}

fn resident(process: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// Of all its threads, in seconds.
fn processor_time(process: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    // One that has ended meanwhile has none.
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("schedstat")).ok());
    stats.map(|stat| stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9).sum()
}

/// Bounds that a busy machine keeps as well; the benchmark `idle` gives the figures.
#[test]
fn a_thousand_functions_that_nobody_calls_cost_next_to_nothing() {
    let one = {
        let (_folder, running) = waiting(1);
        resident(running.id())
    };
    let (_folder, running) = waiting(1000);
    let more = resident(running.id()).saturating_sub(one);
    assert!(more < 80 << 20, "{} MiB more than with one function", more >> 20);
    // Until what a start takes is done.
    eventually("it rests", || {
        let (begun, before) = (Instant::now(), processor_time(running.id()));
        std::thread::sleep(Duration::from_millis(500));
        (processor_time(running.id()) - before) / begun.elapsed().as_secs_f64() < 0.05
    });
}
