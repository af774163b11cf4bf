//! A child's standard output and error as log lines.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use tokio::net::unix::pipe::Receiver;
use uuid::Uuid;

use super::errors::MAX_MESSAGE;
use crate::contract::LogLevel;
use crate::logs::{LogGate, cut};

/// How much is read at once.
const READ: usize = 16 << 10;
/// The most reads in one go, before others get their turn: what a pipe holds.
const READS: usize = 4;

/// One of a child's two pipes.
pub(super) struct Lines {
    pipe: Option<Receiver>,
    level: LogLevel,
    gate: Arc<LogGate>,
    /// The line that has not ended yet, as far as it will be kept.
    line: Vec<u8>,
    buffer: Box<[u8]>,
    /// The call that lines belong to.
    invocation: Uuid,
    /// Lines of this call that were too many.
    pub(super) dropped: u64,
    last: Option<String>,
}

impl Lines {
    /// Must be called where the child's I/O runtime is entered.
    pub(super) fn new(pipe: OwnedFd, level: LogLevel, gate: &Arc<LogGate>) -> io::Result<Self> {
        Ok(Self {
            pipe: Some(Receiver::from_owned_fd(pipe)?),
            level,
            gate: Arc::clone(gate),
            line: Vec::new(),
            buffer: vec![0; READ].into(),
            invocation: Uuid::nil(),
            dropped: 0,
            last: None,
        })
    }

    /// From here on lines belong to this call.
    pub(super) fn begin(&mut self, invocation: Uuid) {
        self.invocation = invocation;
        self.dropped = 0;
        self.last = None;
    }

    /// The last line that was not empty of this call, cut.
    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Waits until the child has written something and logs it. Never ends once the pipe has.
    pub(super) async fn pump(&mut self) {
        match &self.pipe {
            Some(pipe) if pipe.readable().await.is_ok() => {}
            _ => return std::future::pending().await,
        }
        let Some(pipe) = &self.pipe else { return };
        match pipe.try_read(&mut self.buffer) {
            Ok(read) => self.took(read),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.took(0),
        }
    }

    /// Logs what the child has written so far, without waiting, and without what a flood adds meanwhile.
    pub(super) fn drain(&mut self) {
        for _ in 0..READS {
            let Some(pipe) = &self.pipe else { return };
            // Not `try_read`, which trusts readiness that was seen some time ago.
            match rustix::io::read(pipe.as_fd(), &mut *self.buffer) {
                Ok(read) => self.took(read),
                Err(_) => return,
            }
        }
    }

    /// Logs the last line, if the child ended without ending it.
    pub(super) fn finish(&mut self) {
        self.drain();
        if !self.line.is_empty() {
            self.log();
        }
    }

    fn took(&mut self, read: usize) {
        if read == 0 {
            self.pipe = None;
            return;
        }
        let buffer = std::mem::take(&mut self.buffer);
        for part in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
            // One byte more than is kept: `cut` must see that the line is longer, and cut it between characters.
            let room = (self.gate.longest() + 4).saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.log();
            }
        }
        self.buffer = buffer;
    }

    fn log(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        let text = text.trim_end();
        if !text.is_empty() {
            if !self.gate.write(self.invocation, self.level, text, Instant::now()) {
                self.dropped += 1;
            }
            self.last = Some(cut(text, MAX_MESSAGE).to_owned());
        }
        self.line.clear();
    }
}
