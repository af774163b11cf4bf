//! The outside count: a server that is a function, answers nothing, and remembers when.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Instant,
};

use crate::support::eventually;

/// A server that counts what it is asked. It lasts as long as the process.
pub struct Server {
    port: u16,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    /// Connections that are open.
    open: usize,
    asked: u64,
    /// When each was answered, in order.
    answered: Vec<Instant>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let counts: Arc<Mutex<Counts>> = Arc::default();
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                // An error is a process that was killed.
                thread::spawn(move || {
                    shared.lock().unwrap().open += 1;
                    serve(stream.unwrap(), &shared);
                    shared.lock().unwrap().open -= 1;
                });
            }
        });
        Self { port, counts }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Counts from nothing, when whoever asked before is gone.
    pub fn begin(&self) {
        eventually("the run before has let go", || self.counts.lock().unwrap().open == 0);
        *self.counts.lock().unwrap() = Counts::default();
    }

    pub fn asked(&self) -> u64 {
        self.counts.lock().unwrap().asked
    }

    /// How many were answered before a moment.
    pub fn answered_before(&self, moment: Instant) -> u64 {
        self.counts.lock().unwrap().answered.partition_point(|answered| *answered < moment) as u64
    }
}

fn serve(stream: TcpStream, counts: &Mutex<Counts>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line == "\r\n" {
                break;
            }
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().ok()?;
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        let mut counts = counts.lock().unwrap();
        counts.asked += 1;
        counts.answered.push(Instant::now());
        drop(counts);
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\nnull").ok()?;
    }
}
