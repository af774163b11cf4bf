//! The barest Runtime API that a client takes for one: what a call through it costs is the client's own.
//!
//! One connection, which is all that AWS's clients open, on the caller's own thread; no time limit, no check of what the
//! client says.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::clients::Client;

const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
/// Far from now, in milliseconds since 1970: clients tell handlers how much time is left.
const DEADLINE: u64 = 4_000_000_000_000;

/// A client, and the connection that it has opened.
pub(super) struct BareServer {
    child: Child,
    socket: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl BareServer {
    /// Starts the client and waits for its connection.
    pub(super) fn start(client: &Client) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let settings = &client.settings;
        let mut command = Command::new(&settings.command[0]);
        command.args(&settings.command[1..]).current_dir(&settings.working_dir);
        command.env("AWS_LAMBDA_RUNTIME_API", listener.local_addr()?.to_string());
        for (name, value) in [
            ("AWS_LAMBDA_FUNCTION_NAME", "echo"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "echo"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "echo"),
            ("AWS_REGION", "us-east-1"),
            ("_HANDLER", settings.handler.as_deref().unwrap_or_default()),
        ] {
            command.env(name, value);
        }
        command.env("LAMBDA_TASK_ROOT", &settings.working_dir);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.with_context(|| format!("cannot run {}", settings.command[0]))?;
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        Ok(Self { child, socket, input: Vec::new(), output: Vec::new() })
    }

    /// One call, from the event to the answer's arrival.
    pub(super) fn invoke(&mut self, event: &[u8]) -> Result<Vec<u8>> {
        let (head, _) = self.receive()?;
        ensure!(head.starts_with("get "), "the client asks for no event");
        self.output.clear();
        write!(
            self.output,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             lambda-runtime-aws-request-id: 00000000-0000-0000-0000-000000000000\r\n\
             lambda-runtime-deadline-ms: {DEADLINE}\r\n\
             lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:000000000000:function:echo\r\n\
             lambda-runtime-trace-id: Root=1-0;Parent=0;Sampled=1\r\n\r\n",
            event.len()
        )?;
        self.output.extend_from_slice(event);
        self.socket.write_all(&self.output)?;
        let (head, answer) = self.receive()?;
        ensure!(head.contains("/response "), "the client does not answer: {head}");
        self.socket.write_all(ACCEPTED)?;
        Ok(answer)
    }

    /// One request: its head in lower case, and its body.
    fn receive(&mut self) -> Result<(String, Vec<u8>)> {
        let head = loop {
            if let Some(end) = self.input.windows(4).position(|window| window == b"\r\n\r\n") {
                break self.input.drain(..end + 4).collect::<Vec<_>>();
            }
            self.more()?;
        };
        let head = String::from_utf8(head)?.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.map_or(Ok(0), |length| length.trim().parse())?;
        while self.input.len() < length {
            self.more()?;
        }
        Ok((head, self.input.drain(..length).collect()))
    }

    fn more(&mut self) -> Result<()> {
        let mut buffer = [0; 64 << 10];
        let read = self.socket.read(&mut buffer)?;
        ensure!(read > 0, "the client closed its connection");
        self.input.extend_from_slice(&buffer[..read]);
        Ok(())
    }
}

impl Drop for BareServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
