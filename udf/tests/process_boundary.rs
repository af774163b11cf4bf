//! What a call costs: `cargo test --release -p riverhook-udf --test process_boundary -- --ignored --nocapture`.
//!
//! With `RIVERHOOK_TEST_LAMBDA_RUST` the path of the handler in `tests/handlers/rust`, AWS's client for Rust is
//! measured as well.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod process;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use process::{copy, handlers};
use riverhook_udf::{Invocation, ProcessCopy, ProcessSettings};

#[test]
#[ignore = "a benchmark: it prints, and only its order of magnitude is checked"]
fn cost_of_a_round_trip() {
    let own = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    let mut clients =
        vec![("bare sockets", [own.as_str(), "an_echo_handler", "--exact", "--ignored"].map(str::to_owned).to_vec())];
    if let Ok(client) = std::env::var("RIVERHOOK_TEST_LAMBDA_RUST") {
        clients.push(("lambda_runtime", vec![client]));
    }
    for (name, command) in clients {
        let mut copy = copy(ProcessSettings::new("echo", command, &handlers()));
        for bytes in [20, 100_000] {
            let event = format!("[{}]", " ".repeat(bytes - 2));
            measure(name, &mut copy, event.as_bytes());
        }
    }
}

fn measure(name: &str, copy: &mut ProcessCopy, event: &[u8]) {
    let call = |copy: &mut ProcessCopy| {
        let begun = Instant::now();
        let (result, _) = copy.invoke(event, &Invocation::default());
        result.unwrap();
        begun.elapsed()
    };
    for _ in 0..1_000 {
        call(copy);
    }
    let mut times: Vec<_> = (0..20_000).map(|_| call(copy)).collect();
    times.sort();
    let at = |share: usize| times[times.len() * share / 1000];
    println!("{name}, echo of {} bytes: p50 {:?}, p99 {:?}, p99.9 {:?}", event.len(), at(500), at(990), at(999));
    assert!(at(500) < Duration::from_millis(5));
}

/// Not a test by itself: a handler that costs as little as one can.
#[test]
#[ignore = "it is a handler, and waits for events"]
fn an_echo_handler() {
    let Ok(api) = std::env::var("AWS_LAMBDA_RUNTIME_API") else { return };
    let mut socket = TcpStream::connect(api).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut input = Vec::new();
    loop {
        socket.write_all(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        let (head, body) = read(&mut socket, &mut input);
        let id = header(&head, "lambda-runtime-aws-request-id: ");
        let mut answer = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend_from_slice(&body);
        socket.write_all(&answer).unwrap();
        assert!(read(&mut socket, &mut input).0.starts_with("http/1.1 202"));
    }
}

/// One response: its head in lower case, and its body.
fn read(socket: &mut TcpStream, input: &mut Vec<u8>) -> (String, Vec<u8>) {
    let mut more = |input: &mut Vec<u8>| {
        let mut buffer = [0; 64 << 10];
        let read = socket.read(&mut buffer).unwrap();
        assert!(read > 0, "the engine closed the connection");
        input.extend_from_slice(&buffer[..read]);
    };
    let head = loop {
        if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            break input.drain(..end + 4).collect::<Vec<_>>();
        }
        more(input);
    };
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length: usize = header(&head, "content-length: ").parse().unwrap();
    while input.len() < length {
        more(input);
    }
    (head, input.drain(..length).collect())
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines().find_map(|line| line.strip_prefix(name)).unwrap()
}
