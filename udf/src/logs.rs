//! The gate between a function's log and the sink: long lines are cut, and a flood is dropped and counted.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::contract::{LogLevel, LogLine, LogSink};
use crate::limits::Limits;

/// One function's gate, shared by all of its copies.
#[derive(Debug)]
pub(crate) struct LogGate {
    function: String,
    sink: LogSink,
    longest: usize,
    bucket: Mutex<Bucket>,
}

impl LogGate {
    pub(crate) fn new(function: &str, sink: LogSink, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            function: function.to_owned(),
            sink,
            longest: limits.max_log_line,
            bucket: Mutex::new(Bucket::new(limits.log_lines_per_second, Instant::now())),
        })
    }

    /// The longest line, in bytes.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Passes the line on, or returns false if the function has logged too much.
    pub(crate) fn write(&self, invocation: Uuid, level: LogLevel, message: &str, now: Instant) -> bool {
        let admitted = self.bucket.lock().admit(now);
        let Some(dropped_before) = admitted else { return false };
        let write = |level, message: &str| {
            self.sink.write(&LogLine { function: &self.function, invocation, level, message });
        };
        if dropped_before > 0 {
            write(LogLevel::Warn, &format!("{dropped_before} log lines were dropped: the function logs too much"));
        }
        write(level, cut(message, self.longest));
        true
    }
}

/// A bucket that holds one second's worth of lines and fills at that rate.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    tokens: f64,
    filled: Instant,
    dropped: u64,
}

impl Bucket {
    fn new(rate: u32, now: Instant) -> Self {
        Self { rate: rate.into(), tokens: rate.into(), filled: now, dropped: 0 }
    }

    /// The number of lines that were dropped since the last one admitted, or `None` if this one is dropped too.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.rate).min(self.rate);
        self.filled = now;
        if self.tokens < 1.0 {
            self.dropped += 1;
            return None;
        }
        self.tokens -= 1.0;
        Some(std::mem::take(&mut self.dropped))
    }
}

/// At most `longest` bytes of the text, cut between characters.
pub(crate) fn cut(text: &str, longest: usize) -> &str {
    &text[..text.floor_char_boundary(longest)]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_dropped_and_counted_and_the_rate_comes_back() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, start);
        let admitted: Vec<_> = (0..5).map(|_| bucket.admit(start)).collect();
        assert_eq!(admitted, [Some(0), Some(0), Some(0), None, None]);
        assert_eq!(bucket.admit(start + Duration::from_millis(400)), Some(2));
        assert_eq!(bucket.admit(start + Duration::from_millis(500)), None);
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(cut("aéé", 4), "aé");
        assert_eq!(cut("short", 80), "short");
    }
}
