//! A handler behind the Lambda Runtime API that costs as little as one can: a bare socket and the standard library. What a
//! call of it costs is ours.
//!
//! `bench_handler echo` answers what it got. `bench_handler stamp MILLISECONDS` takes that long, and adds to the record
//! that it got `began`, the microseconds since 1970 at which it got it.

use std::{
    env,
    io::{Error, Read, Result, Write},
    net::TcpStream,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let api = env::var("AWS_LAMBDA_RUNTIME_API").map_err(Error::other)?;
    let mut socket = TcpStream::connect(api)?;
    socket.set_nodelay(true)?;
    let (mut input, mut output) = (Vec::new(), Vec::new());
    loop {
        socket.write_all(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: x\r\n\r\n")?;
        let (head, body) = receive(&mut socket, &mut input)?;
        let answer = match arguments.as_slice() {
            [what, millis] if what == "stamp" => stamp(body, millis.parse().map_err(Error::other)?)?,
            _ => body,
        };
        let id = header(&head, "lambda-runtime-aws-request-id: ")?;
        output.clear();
        let length = answer.len();
        write!(
            output,
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n"
        )?;
        output.extend_from_slice(&answer);
        socket.write_all(&output)?;
        let (head, _) = receive(&mut socket, &mut input)?;
        if !head.starts_with("http/1.1 202") {
            return Err(Error::other("the answer was not taken"));
        }
    }
}

/// The record with the time at which it came, after a while.
fn stamp(record: Vec<u8>, millis: u64) -> Result<Vec<u8>> {
    let began = SystemTime::now().duration_since(UNIX_EPOCH).map_err(Error::other)?.as_micros();
    thread::sleep(Duration::from_millis(millis));
    let text = String::from_utf8(record).map_err(Error::other)?;
    let (before, after) = text.rsplit_once('}').ok_or_else(|| Error::other("no record came"))?;
    Ok(format!("{before},\"began\":{began}}}{after}").into_bytes())
}

/// One response: its head in lower case, and its body.
fn receive(socket: &mut TcpStream, input: &mut Vec<u8>) -> Result<(String, Vec<u8>)> {
    let mut more = |input: &mut Vec<u8>| {
        let mut buffer = [0; 64 << 10];
        match socket.read(&mut buffer)? {
            0 => Err(Error::other("the connection was closed")),
            read => {
                input.extend_from_slice(&buffer[..read]);
                Ok(())
            }
        }
    };
    let head = loop {
        if let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            break input.drain(..end + 4).collect::<Vec<_>>();
        }
        more(input)?;
    };
    let head = String::from_utf8(head).map_err(Error::other)?.to_lowercase();
    let length: usize = header(&head, "content-length: ")?.parse().map_err(Error::other)?;
    while input.len() < length {
        more(input)?;
    }
    Ok((head, input.drain(..length).collect()))
}

fn header<'a>(head: &'a str, name: &str) -> Result<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| Error::other(format!("no {name}")))
}
