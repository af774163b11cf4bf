//! Bad input, end to end: each ends in the dead letters, or stops the pipeline with a clear error, and nothing is lost.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

use std::{io::Read, net::TcpListener, time::Duration};

use serde_json::json;
use sha2::{Digest, Sha256};
use support::{Folder, eventually, free_port, get};

const PIPELINE: &str = r#"
name: bad
sources:
  lines:
    type: file
    path: in.jsonl
    schema: { id: int64!, name: string, small: int8 }
    on_error: dead_letter
transforms:
  good: { sql: "SELECT id, name, 100 / small AS share FROM lines", on_error: dead_letter }
sinks:
  out: { from: good, type: file, path: out/, format: json }
dead_letters: { type: file, path: dead/, format: json }
"#;

/// Runs the pipeline over these lines; the ids that arrived and the letters.
fn check(lines: &[u8]) -> (Vec<i64>, Vec<serde_json::Value>) {
    let folder = Folder::with_pipeline(PIPELINE);
    folder.write("in.jsonl", lines);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let ids = folder.rows("out").iter().map(|row| row["id"].as_i64().unwrap()).collect();
    (ids, folder.rows("dead"))
}

#[test]
fn every_bad_line_becomes_a_letter_and_every_good_one_arrives() {
    let mut lines: Vec<Vec<u8>> = vec![
        br#"{"id":1,"name":"a","small":1}"#.to_vec(),
        br#"{"id":2,"name":"b""#.to_vec(),
        br#"{"id":3}{"id":4}"#.to_vec(),
        br#"{"id":"5"}"#.to_vec(),
        br#"{"id":6,"small":300}"#.to_vec(),
        br#"{"name":"no id"}"#.to_vec(),
        b"{\"id\":8,\"name\":\"\xff\xfe\"}".to_vec(),
        b"garbage".to_vec(),
        br#"{"id":10,"name":"zero","small":0}"#.to_vec(),
        br#"{"id":11,"name":"nul \u0000 inside","small":2}"#.to_vec(),
        b"[1]".to_vec(),
        br#"{"id":12,"more":{"than":["asked"]}}"#.to_vec(),
    ];
    lines.push(Vec::new());
    let (ids, letters) = check(&lines.join(&b'\n'));
    assert_eq!(ids, [1, 11, 12]);
    let failed: Vec<(String, String)> = letters
        .iter()
        .map(|letter| (letter["stage"].as_str().unwrap().to_owned(), letter["payload"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(failed.len(), 9, "{letters:#?}");
    assert_eq!(failed.iter().filter(|(stage, _)| stage == "decode").count(), 8);
    let (_, row) = failed.iter().find(|(stage, _)| stage == "sql").unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(row).unwrap()["id"], 10);
    for letter in &letters {
        assert!(
            letter["position"].is_string() && letter["partition"].as_str().unwrap().contains("in.jsonl"),
            "{letter}"
        );
        assert!(
            !letter["error_message"].as_str().unwrap().contains("garbage"),
            "a message must not hold values: {letter}"
        );
    }
    let binary = letters.iter().find(|letter| letter["payload_encoding"] == "base64").unwrap();
    assert_eq!(binary["error_code"].as_str().unwrap().split('.').next(), Some("decode"));
}

#[test]
fn an_empty_file_and_a_column_that_no_record_has_are_fine() {
    assert_eq!(check(b""), (vec![], vec![]));
    assert_eq!(check(b"{\"id\":1}\n").0, [1]);
}

#[test]
fn a_line_of_100_mb_is_a_letter_with_its_length_and_hash() {
    let mut large = br#"{"id":2,"name":""#.to_vec();
    large.resize(large.len() + 100_000_000, b'x');
    large.extend_from_slice(b"\"}");
    let (ids, letters) = check(&[&b"{\"id\":1}\n"[..], &large, b"\n{\"id\":3}\n"].concat());
    assert_eq!(ids, [1, 3]);
    assert_eq!(letters.len(), 1);
    assert!(letters[0]["payload"].as_str().unwrap().len() <= 512 * 1024);
    assert_eq!(letters[0]["payload_bytes"], large.len());
    let hash: String = Sha256::digest(&large).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(letters[0]["payload_sha256"], hash);
}

#[test]
fn fail_stops_with_the_place_and_goes_on_from_there_once_mended() {
    let folder = Folder::with_pipeline(
        &PIPELINE.replace("on_error: dead_letter", "on_error: fail").replace("dead_letters:", "#"),
    );
    folder.write("in.jsonl", "{\"id\":1}\n{\"id\":2\n{\"id\":3}\n");
    folder.run(&["run", "pipeline.yaml"]).expect(1).says("in.jsonl at 9").says("on_error: dead_letter");
    folder.write("in.jsonl", "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n");
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let mut ids: Vec<i64> = folder.rows("out").iter().map(|row| row["id"].as_i64().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
fn skip_counts_and_goes_on() {
    let folder = Folder::with_pipeline(
        &PIPELINE.replace("on_error: dead_letter", "on_error: skip").replace("dead_letters:", "#"),
    );
    folder.write("in.jsonl", "{\"id\":1}\n{\"id\":2\n{\"id\":3}\n");
    folder.run(&["run", "pipeline.yaml"]).expect(0).says("1 failed");
    assert_eq!(folder.rows("out").len(), 2);
}

#[test]
fn while_the_dead_letters_sink_is_down_the_pipeline_waits_and_drops_nothing() {
    let port = free_port();
    let http =
        format!("dead_letters: {{ type: http, url: \"http://127.0.0.1:{port}/dead\" }}\ncheckpoint: {{ every: 50ms }}");
    let folder =
        Folder::with_pipeline(&PIPELINE.replace("dead_letters: { type: file, path: dead/, format: json }", &http));
    folder.write("in.jsonl", "{\"id\":1}\n{\"id\":2\n{\"id\":3}\n");
    let mut running = folder.start(&["run", "pipeline.yaml"]);
    std::thread::sleep(Duration::from_secs(2));
    assert!(running.is_running(), "it must wait for the dead letters' sink");
    assert!(
        !folder.file(".riverhook/bad/manifest").exists() || folder.rows(".riverhook/bad/manifest").is_empty(),
        "nothing may be committed"
    );
    let server = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let serving = std::thread::spawn(move || accept_one(&server));
    let ran = running.wait(Duration::from_secs(60)).expect(0);
    let request = serving.join().unwrap();
    assert!(request.contains("\"stage\":\"decode\""), "{request}\n{}", ran.stderr);
}

/// Answers one request with 200; its text.
fn accept_one(server: &TcpListener) -> String {
    use std::io::Write;
    let (mut stream, _) = server.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut text = String::new();
    let mut buffer = [0; 65536];
    while !text.contains("decode") {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the request ended early: {text}");
        text += &String::from_utf8_lossy(&buffer[..read]);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    text
}

#[test]
fn a_port_in_use_is_said_by_name() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = Folder::with_pipeline(&format!("{PIPELINE}\nserver: {{ listen: \"{address}\" }}"));
    folder.write("in.jsonl", "{\"id\":1}\n");
    folder.run(&["run", "pipeline.yaml"]).expect(1).says(&address.to_string()).says("another process");
}

#[test]
fn secrets_are_nowhere_in_what_is_printed() {
    let folder = Folder::with_pipeline(&PIPELINE.replace(
        "sinks:",
        "sinks:\n  web: { from: good, type: http, url: \"http://127.0.0.1:1/${SECRET}\", token: \"${SECRET}\", on_error: skip }",
    ));
    folder.write("in.jsonl", "{\"id\":1}\n");
    let mut command = folder.command(&["--log", "debug", "run", "pipeline.yaml"]);
    let child = command.env("SECRET", "hunter2hunter2").stderr(std::process::Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let id = child.id().to_string();
    for _ in 0..2 {
        let _ = std::process::Command::new("kill").args(["-TERM", &id]).status();
        std::thread::sleep(Duration::from_millis(200));
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("web"), "the trouble must be told: {text}");
}

#[test]
fn readiness_tells_the_truth() {
    let port = free_port();
    let text = PIPELINE.replace("type: file\n    path: in.jsonl", "type: file\n    path: in.jsonl\n    follow: true");
    let folder = Folder::with_pipeline(&format!("{text}\nserver: {{ listen: \"127.0.0.1:{port}\" }}"));
    folder.write("in.jsonl", "{\"id\":1}\n");
    let running = folder.start(&["run", "pipeline.yaml"]);
    eventually("ready", || get(port, "/readyz").is_some_and(|(status, _)| status == 200));
    assert_eq!(get(port, "/healthz").unwrap().0, 200);
    eventually("counted", || get(port, "/metrics").is_some_and(|(_, body)| body.contains("riverhook_records_total{")));
    running.signal("TERM");
    running.wait(Duration::from_secs(30)).expect(0);
    assert_eq!(folder.rows("out"), [json!({"id": 1, "name": null, "share": null})]);
}

#[test]
fn a_record_that_fails_the_first_run_is_not_skipped_with_those_before_it() {
    let folder = Folder::with_pipeline(
        "name: first\nsources:\n  s: { type: file, path: a.jsonl, schema: { id: int64! } }\nsinks:\n  out: { from: s, type: file, path: out/ }\n",
    );
    folder.write("a.jsonl", "{\"id\":1}\nbad\n{\"id\":3}\n");
    folder.run(&["run", "pipeline.yaml"]).expect(1).says("a.jsonl at 9");
    folder.run(&["positions", "skip", "pipeline.yaml", "s"]).expect(2).says("on_error: dead_letter");
    let skip = folder.run(&["positions", "skip", "pipeline.yaml", "s", "a.jsonl", "9"]).expect(2);
    skip.says("would be left out as well").says("positions move pipeline.yaml s a.jsonl 13");
    // Whoever means it can.
    folder.run(&["positions", "move", "pipeline.yaml", "s", "a.jsonl", "13"]).expect(0);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let ids: Vec<_> = folder.rows("out").iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [3]);
}

#[test]
fn a_sql_function_that_breaks_inside_fails_its_row_alone() {
    let folder = Folder::with_pipeline(
        r#"
name: breaks
sources:
  s: { type: file, path: a.jsonl, schema: { n: int64! } }
transforms:
  t: { sql: "SELECT n, repeat('x', n) AS x FROM s", on_error: dead_letter }
sinks:
  out: { from: t, type: file, path: out/ }
dead_letters: { type: file, path: dead/ }
"#,
    );
    folder.write("a.jsonl", "{\"n\":1}\n{\"n\":9223372036854775807}\n{\"n\":3}\n");
    let mut command = folder.command(&["run", "pipeline.yaml"]);
    assert!(command.output().unwrap().status.success());
    assert_eq!(folder.rows("out").len(), 2);
    assert_eq!(folder.rows("dead")[0]["error_code"], "sql.evaluate");
}

#[test]
fn sql_of_thousands_of_operators_is_refused_and_does_not_use_up_the_stack() {
    for (many, what) in [(vec!["id"; 5000].join("+"), "operators"), (vec!["id"; 900].join("+"), "")] {
        let folder = Folder::with_pipeline(&format!(
            "name: long\nsources:\n  s: {{ type: file, path: a.jsonl, schema: {{ id: int64! }} }}\ntransforms:\n  t: {{ sql: \"SELECT {many} AS id FROM s\" }}\nsinks:\n  out: {{ from: t, type: file, path: out/ }}\n"
        ));
        folder.write("a.jsonl", "{\"id\":1}\n");
        let ran = folder.run(&["run", "pipeline.yaml"]);
        match what {
            "" => assert_eq!((ran.expect(0), folder.rows("out")[0]["id"].as_i64()).1, Some(900)),
            what => drop(ran.expect(2).says(what)),
        }
    }
}
