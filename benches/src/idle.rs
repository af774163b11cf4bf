//! What functions cost that nobody calls: a pipeline that waits for events, with a thousand functions and with one.

use std::{
    fmt::Write,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

use crate::{
    bench::{Bench, HANDLER},
    process::{Started, children, resident, used_by_threads},
    table::{Row, Spread, Target, number},
};

const FUNCTIONS: usize = 1000;
/// How long after its start the engine has done what a start takes.
const SETTLING: Duration = Duration::from_secs(3);

/// What a pipeline that waits needs.
struct Idle {
    /// Resident, in MiB.
    memory: f64,
    /// Milliseconds of a core each second.
    cpu: f64,
    /// Seconds from its start until it takes events.
    start: f64,
}

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let process = format!("process: [\"{}\", echo]", bench.handler.display());
    let wasm = format!("wasm: \"{}\"", bench.guest("echo").display());
    let mut rows = Vec::new();
    for (kind, code) in [("process", &process), ("WASM", &wasm)] {
        // Compiles the component once, which the cache then keeps.
        measure(bench, code, 1, Duration::ZERO)?;
        let duration = bench.choose(Duration::from_secs(10), Duration::from_secs(3));
        let one = measure(bench, code, 1, duration)?;
        let all = measure(bench, code, FUNCTIONS, duration)?;
        let title = format!("1,000 idle functions ({kind})");
        let more = |all: f64, one: f64| Spread::of(vec![all - one]);
        rows.push(
            Row::new(format!("{title}: memory more than of one"), more(all.memory, one.memory), "MiB")
                .target(Target::AtMost(50.0))
                .beside(format!("resident {}, with one {}", number(all.memory), number(one.memory))),
        );
        // A thousandth of a core is what cannot be told from none.
        rows.push(
            Row::new(format!("{title}: processor time more than of one"), more(all.cpu, one.cpu), "ms a second")
                .target(Target::AtMost(1.0))
                .beside(format!(
                    "all {}, one {}; starts in {} s, one in {}",
                    number(all.cpu),
                    number(one.cpu),
                    number(all.start),
                    number(one.start)
                )),
        );
    }
    Ok(rows)
}

fn measure(bench: &Bench, code: &str, functions: usize, duration: Duration) -> Result<Idle> {
    let port = free_port()?;
    let folder = bench.pipeline(&pipeline(code, functions, port)?)?;
    let mut command = bench.cores.pinned(&bench.engine);
    let begun = Instant::now();
    let mut running = Started::new(bench.in_folder(command.args(["run", "pipeline.yaml"]), folder.path()))?;
    running.until("it takes events", || TcpStream::connect(("127.0.0.1", port)).is_ok())?;
    let start = begun.elapsed().as_secs_f64();
    if !duration.is_zero() {
        thread::sleep(SETTLING);
    }
    let (before, since) = (used_by_threads(running.id())?, Instant::now());
    thread::sleep(duration);
    let cpu = (used_by_threads(running.id())? - before) * 1e3 / since.elapsed().as_secs_f64().max(1e-3);
    let memory = resident(running.id())? as f64 / f64::from(1 << 20);
    ensure!(children(running.id(), HANDLER) == 0, "a function that nobody calls has a process");
    running.stop()?;
    Ok(Idle { memory, cpu, start })
}

/// Each function with a node that calls it.
fn pipeline(code: &str, functions: usize, port: u16) -> Result<String> {
    let mut text = format!(
        "name: idle
sources:
  events: {{ type: http, listen: \"127.0.0.1:{port}\", schema: {{ id: int64 }} }}
"
    );
    text += "functions:\n";
    for function in 0..functions {
        writeln!(text, "  f{function}: {{ {code} }}")?;
    }
    text += "transforms:\n";
    for function in 0..functions {
        writeln!(text, "  t{function}: {{ from: events, call: f{function} }}")?;
    }
    let all: Vec<String> = (0..functions).map(|function| format!("t{function}")).collect();
    writeln!(text, "sinks:\n  out: {{ from: [{}], type: file, path: out/ }}", all.join(", "))?;
    Ok(text)
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
