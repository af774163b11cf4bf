//! `riverhook invoke`: the first thing that a function's author runs, with each kind of function.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Stdio,
    thread,
};

use expect_test::{Expect, expect};

use crate::{
    guest::{SAME_BATCH, SAME_SCHEMA, component},
    support::{Folder, Ran},
};

/// A pipeline with one function of these settings, called with numbers.
fn folder(function: &str) -> Folder {
    Folder::with_pipeline(&format!(
        r#"
name: by_hand
sources:
  numbers: {{ type: file, path: in.jsonl, schema: {{ n: int64!, name: string }} }}
functions:
  tried: {{ {function} }}
transforms:
  called: {{ from: numbers, call: tried }}
sinks:
  out: {{ from: called, type: file, path: out/ }}
"#
    ))
}

/// What is the same each time: without times, names of calls and measurements.
fn steady(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut line = line.to_owned();
        if line.get(12..15) == Some("Z  ") {
            line.replace_range(..13, "TIME");
        }
        for before in ["RequestId: ", "Version: ", "Duration: ", "Used: "] {
            let starts: Vec<usize> = line.match_indices(before).map(|(at, found)| at + found.len()).collect();
            for start in starts.into_iter().rev() {
                let end = line[start..].find([' ', '\t']).map_or(line.len(), |length| start + length);
                line.replace_range(start..end, "…");
            }
        }
        out.push_str(&line.replace('\t', " | "));
        out.push('\n');
    }
    out
}

/// Calls the function with this event; what is on standard output, and on standard error.
fn check(folder: &Folder, event: &str, code: i32, expected: &Expect) {
    let mut command = folder.command(&["invoke", "pipeline.yaml", "tried", "--event", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(event.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    expected.assert_eq(&format!("{}--\n{}", steady(&stderr), stdout));
    Ran { code: output.status.code(), stdout, stderr }.expect(code);
}

#[test]
fn a_handler() {
    let folder = folder(
        "process: [python3, handler.py], payload: records, env: { GREETING: hello }, output: { n: int64!, twice: int64 }",
    );
    folder.write("handler.py", include_str!("handler.py"));
    check(&folder, r#"[{"n":4},{"n":5}]"#, 0, &expect![[r#""#]]);
    check(&folder, r#"{"n":14}"#, 1, &expect![[r#""#]]);
    check(&folder, r#"{"n":13}"#, 1, &expect![[r#""#]]);
}

#[test]
fn an_event_that_is_not_what_the_node_gives() {
    let folder = folder(
        "process: [python3, handler.py], payload: records, env: { GREETING: hello }, output: { n: int64!, twice: int64 }",
    );
    folder.write("handler.py", include_str!("handler.py"));
    check(&folder, r#"{"n":"four"}"#, 2, &expect![[r#""#]]);
    check(&folder, r#"{"N":4}"#, 2, &expect![[r#""#]]);
    check(&folder, r#"{"n":4"#, 2, &expect![[r#""#]]);
    check(&folder, "17", 2, &expect![[r#""#]]);
    let ran = folder.run(&["invoke", "pipeline.yaml", "tired", "--event", "event.json"]).expect(2);
    expect![[r#""#]].assert_eq(&ran.stderr);
    folder.write("event.json", "[]");
    let ran = folder.run(&["invoke", "pipeline.yaml", "tired", "--event", "event.json"]).expect(2);
    expect![[r#""#]].assert_eq(&ran.stderr);
}

#[test]
fn a_component() {
    let process = format!(
        "(call $log (i32.const 2) (i32.const 1024) (i32.const 5)) (call $log (i32.const 3) (i32.const 1029) (i32.const 7))
        (if (i32.eq (local.get $rows) (i32.const 3)) (then (unreachable))) {SAME_BATCH}"
    );
    let folder = folder("wasm: tried.wasm");
    folder.write("tried.wasm", component("", SAME_SCHEMA, &process, r#"(data (i32.const 1024) "hellodetails")"#));
    check(&folder, r#"[{"n":4},{"n":5,"name":"five"}]"#, 0, &expect![[r#""#]]);
    check(&folder, r#"[{"n":1},{"n":2},{"n":3}]"#, 1, &expect![[r#""#]]);
}

#[test]
fn a_server() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = folder(&format!(r#"http: "http://{}/", batch: {{ rows: 1 }}"#, server.local_addr().unwrap()));
    // Answers with what it was sent.
    thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let mut text = String::new();
            let body = loop {
                let mut part = [0; 4096];
                let read = stream.read(&mut part).unwrap();
                text.push_str(&String::from_utf8_lossy(&part[..read]));
                let head = text.to_lowercase();
                let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
                let length: usize = length.map_or(usize::MAX, |length| length.parse().unwrap());
                if let Some((_, body)) = text.split_once("\r\n\r\n").filter(|(_, body)| body.len() >= length) {
                    break body.to_owned();
                }
            };
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
                .unwrap();
        }
    });
    check(&folder, r#"{"n":4}"#, 0, &expect![[r#""#]]);
}
