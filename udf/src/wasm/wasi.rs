//! WASI 0.2 with nothing in it: no files, no network, no arguments, no environment, an empty standard input.
//!
//! The tool chains of most languages import it whether a function needs it or not. Standard output and error become
//! log lines; the clocks stand still and random numbers repeat unless they are granted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use uuid::Uuid;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, async_trait};

use crate::contract::LogLevel;
use crate::limits::Grants;
use crate::logs::LogGate;

/// The most that a guest may write in one go, and the longest line that is held until it ends.
const WRITE: usize = 8 << 10;
/// The most random bytes in one call.
const MAX_RANDOM: u64 = 1 << 20;

/// The context of one instance.
pub(crate) fn context(grants: Grants, log: &Arc<LogGate>, invocation: &SharedInvocation) -> WasiCtx {
    let stream =
        |level| LogStream { level, gate: Arc::clone(log), invocation: Arc::clone(invocation), line: Arc::default() };
    let mut context = WasiCtx::builder();
    context
        .stdout(stream(LogLevel::Info))
        .stderr(stream(LogLevel::Warn))
        .max_random_size(MAX_RANDOM)
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false);
    if !grants.clock {
        context.wall_clock(StoppedClock).monotonic_clock(StoppedClock);
    }
    if !grants.random {
        // Any bytes will do: whoever asks for randomness without a grant gets the same in every copy.
        let bytes: Vec<u8> = (0..=u8::MAX).map(|byte| byte.wrapping_mul(167).wrapping_add(13)).collect();
        context
            .secure_random(Deterministic::new(bytes.clone()))
            .insecure_random(Deterministic::new(bytes))
            .insecure_random_seed(0);
    }
    context.build()
}

/// The number of the call that runs, for log lines that come by way of a stream.
pub(crate) type SharedInvocation = Arc<Mutex<Uuid>>;

struct StoppedClock;

impl HostWallClock for StoppedClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

impl HostMonotonicClock for StoppedClock {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        0
    }
}

/// Standard output or error: each line of it is a line of the log.
#[derive(Clone)]
struct LogStream {
    level: LogLevel,
    gate: Arc<LogGate>,
    invocation: SharedInvocation,
    /// The line that has not ended yet. A guest may hold several handles to one stream.
    line: Arc<Mutex<Vec<u8>>>,
}

impl LogStream {
    fn push(&self, bytes: &[u8]) {
        let mut line = self.line.lock();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            if line.ends_with(b"\n") || line.len() >= WRITE {
                let text = String::from_utf8_lossy(&line);
                let invocation = *self.invocation.lock();
                self.gate.write(invocation, self.level, text.trim_end(), Instant::now());
                line.clear();
            }
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one, and that is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE)
    }
}
