//! Records that a sink refuses, and letters that have nowhere to go.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use crate::support::Folder;

/// A server that answers every request with this status.
fn answering(status: u16) -> u16 {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 65536]);
            let _ = write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    port
}

fn pipeline(sink: u16, letters: &str, on_error: &str) -> Folder {
    let folder = Folder::with_pipeline(&format!(
        r#"
name: refused
sources:
  numbers: {{ type: file, path: in.jsonl, schema: {{ n: int64! }} }}
sinks:
  web: {{ from: numbers, type: http, url: "http://127.0.0.1:{sink}/", on_error: {on_error} }}
{letters}
"#
    ));
    folder.write("in.jsonl", "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    folder
}

#[test]
fn what_a_sink_refuses_becomes_letters() {
    let folder = pipeline(answering(422), "dead_letters: { type: file, path: dead/ }", "dead_letter");
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let letters = folder.rows("dead");
    let payloads: Vec<&str> = letters.iter().map(|letter| letter["payload"].as_str().unwrap()).collect();
    assert_eq!(payloads, ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]);
    for letter in &letters {
        assert_eq!((&letter["stage"], &letter["node"]), (&"sink".into(), &"web".into()), "{letter}");
        assert!(letter["error_message"].as_str().unwrap().contains("422"), "{letter}");
    }
}

#[test]
fn what_a_sink_refuses_stops_the_pipeline_unless_told_otherwise() {
    let folder = pipeline(answering(422), "", "fail");
    folder.run(&["run", "pipeline.yaml"]).expect(1).says("422").says("web");
    // Nothing was committed: the next run begins at the same record.
    folder.run(&["run", "pipeline.yaml"]).expect(1).says("422");
    pipeline(answering(422), "", "skip").run(&["run", "pipeline.yaml"]).expect(0).says("3 failed");
}

#[test]
fn letters_that_are_refused_too_stop_the_pipeline_and_nothing_is_committed() {
    let letters = format!("dead_letters: {{ type: http, url: \"http://127.0.0.1:{}/\" }}", answering(400));
    let folder = pipeline(answering(422), &letters, "dead_letter");
    for _ in 0..2 {
        folder.run(&["run", "pipeline.yaml"]).expect(1).says("dead_letters");
    }
}
