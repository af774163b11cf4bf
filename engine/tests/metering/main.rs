//! What the ledger says is what somebody else counted: exactly after a run that ended, and, after one that was killed,
//! but for the calls of its last second.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]

mod counting;
#[path = "../support/mod.rs"]
mod support;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    counting::Server,
    support::{Folder, ask, eventually, free_port},
};

/// What a killed run may lose: what is said by `riverhook usage`.
const FLUSH: Duration = Duration::from_secs(1);

/// A function at a server that counts, called once a record.
fn pipeline(server: &Server, source: &str) -> String {
    format!(
        r#"
name: metered
sources:
  numbers: {{ {source} }}
functions:
  counted: {{ http: "http://127.0.0.1:{}/", payload: records, batch: {{ rows: 1 }}, concurrency: 4 }}
transforms:
  called: {{ from: numbers, call: counted }}
sinks:
  out: {{ from: called, type: file, path: out/ }}
checkpoint: {{ every: 100ms }}
batch: {{ rows: 500 }}
"#,
        server.port()
    )
}

const FILE: &str = "type: file, path: in.jsonl, schema: { n: int64! }";

fn with_numbers(server: &Server, count: usize) -> Folder {
    let folder = Folder::with_pipeline(&pipeline(server, FILE));
    folder.write("in.jsonl", (0..count).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
    folder
}

/// The ledger's sum over days.
fn ledger(folder: &Folder, what: &str) -> u64 {
    let ran = folder.run(&["usage", "--json", "pipeline.yaml"]).expect(0);
    let lines = ran.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line[what].as_u64().unwrap()).sum()
}

#[test]
fn a_run_that_ends_has_written_every_call() {
    let server = Server::start();
    let folder = with_numbers(&server, 100_000);
    folder.run(&["run", "--quiet", "pipeline.yaml"]).expect(0);
    assert_eq!(server.asked(), 100_000);
    assert_eq!((ledger(&folder, "invocations"), ledger(&folder, "records")), (100_000, 100_000));
}

#[test]
fn a_run_that_is_killed_misses_its_last_second_at_most() {
    let server = Server::start();
    let folder = with_numbers(&server, 40_000);
    // A generator of random numbers, with its seed.
    let mut random = 0x5eed_u64;
    let mut before = 0;
    for _ in 0..3 {
        server.begin();
        let running = folder.start(&["run", "--quiet", "pipeline.yaml"]);
        eventually("it calls", || server.asked() > 0);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // A seeded moment: no condition is waited for.
        std::thread::sleep(Duration::from_millis(1_200 + (random >> 33) % 600));
        let killed = Instant::now();
        running.signal("KILL");
        running.wait(Duration::from_secs(10));
        let written = ledger(&folder, "invocations") - before;
        before += written;
        let (least, most) = (server.answered_before(killed - FLUSH), server.asked());
        assert!((least..=most).contains(&written), "{least} to {most} calls, and {written} in the ledger");
        assert!(least > 0, "the run was long enough for the ledger to have been written");
    }
    server.begin();
    folder.run(&["run", "--quiet", "pipeline.yaml"]).expect(0);
    assert_eq!(ledger(&folder, "invocations") - before, server.asked(), "in the run that ended");
}

#[test]
fn two_runs_of_one_pipeline_write_one_ledger() {
    let server = Server::start();
    let ports = [free_port(), free_port()];
    let folder = Folder::new();
    let runs = ports.map(|port| {
        let source = format!("type: http, listen: \"127.0.0.1:{port}\", respond: durable, schema: {{ n: int64! }}");
        let pipeline = pipeline(&server, &source).replace("type: file, path: out/", "type: stdout");
        folder.write("pipeline.yaml", pipeline.clone());
        folder.write(&format!("{port}.yaml"), pipeline);
        folder.start(&["run", "--quiet", &format!("{port}.yaml")])
    });
    for port in ports {
        eventually("it listens", || ask(port, "GET /", "").is_some());
    }
    let body = (0..50).map(|n| format!("{{\"n\":{n}}}")).collect::<Vec<_>>().join(",");
    for _ in 0..10 {
        for port in ports {
            assert_eq!(ask(port, "POST /", &format!("[{body}]")).unwrap().0, 200);
        }
    }
    for run in runs {
        run.signal("TERM");
        run.wait(Duration::from_secs(20)).expect(0);
    }
    assert_eq!((server.asked(), ledger(&folder, "invocations")), (1_000, 1_000));
}

/// The pipeline goes on, and says that its ledger does not.
fn without_a_ledger(prepare: impl FnOnce(&Path), why: &str) {
    let server = Server::start();
    let folder = with_numbers(&server, 100);
    let usage = folder.file(".riverhook/metered/usage");
    fs::create_dir_all(usage.parent().unwrap()).unwrap();
    prepare(&usage);
    let ran = folder.run(&["run", "--quiet", "pipeline.yaml"]).expect(0).says("cannot be written down").says(why);
    assert_eq!((server.asked(), ran.stderr.matches("cannot be written down").count()), (100, 1), "{}", ran.stderr);
}

#[test]
fn a_ledger_that_cannot_be_written_stops_nothing() {
    without_a_ledger(|usage| fs::write(usage, "in the way").unwrap(), "metered/usage: ");
}

#[test]
fn a_full_disk_under_the_ledger_stops_nothing() {
    let fill = |usage: &Path| {
        fs::create_dir(usage).unwrap();
        let today = std::process::Command::new("date").args(["-u", "+%F.jsonl"]).output().unwrap().stdout;
        std::os::unix::fs::symlink("/dev/full", usage.join(String::from_utf8(today).unwrap().trim())).unwrap();
    };
    without_a_ledger(fill, "No space left on device");
}
