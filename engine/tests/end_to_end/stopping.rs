//! Ctrl-C, SIGTERM, and sinks that do not answer.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use crate::support::{Folder, eventually};

const ENDLESS: &str = r#"
name: endless
sources:
  numbers: { type: generate, rate: 2000, fields: { n: { sequence: {} } } }
sinks:
  out: { from: numbers, type: file, path: out/ }
"#;

#[test]
fn ctrl_c_finishes_what_was_read() {
    for signal in ["INT", "TERM"] {
        let folder = Folder::with_pipeline(ENDLESS);
        let running = folder.start(&["run", "pipeline.yaml"]);
        eventually("it runs", || folder.file("out").exists());
        std::thread::sleep(Duration::from_millis(300));
        running.signal(signal);
        let ran = running.wait(Duration::from_secs(20)).expect(0);
        let rows: Vec<i64> = folder.rows("out").iter().map(|row| row["n"].as_i64().unwrap()).collect();
        assert_eq!(rows, (rows[0]..).take(rows.len()).collect::<Vec<_>>(), "every number once, in order");
        let count = rows.len().to_string();
        let plain = ran.stderr.replace(',', "");
        assert!(plain.contains(&format!("read {count} records")), "{count} rows, but: {}", ran.stderr);
    }
}

#[test]
fn a_sink_that_never_answers_does_not_hang_the_process() {
    // Takes connections and says nothing.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let folder = Folder::with_pipeline(&format!(
        r#"
name: hanging
sources:
  numbers: {{ type: file, path: in.jsonl, schema: {{ n: int64 }}, follow: true }}
sinks:
  out: {{ from: numbers, type: http, url: "http://127.0.0.1:{port}/" }}
shutdown_timeout: 1s
"#
    ));
    folder.write("in.jsonl", "{\"n\":1}\n");
    let running = folder.start(&["run", "pipeline.yaml"]);
    std::thread::sleep(Duration::from_millis(700));
    let told = Instant::now();
    running.signal("TERM");
    running.wait(Duration::from_secs(20)).expect(1).says("shutdown_timeout");
    let took = told.elapsed();
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
}
