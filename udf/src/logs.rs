//! The gate between a function's log and the sink: long lines are cut, and a flood is dropped. Whoever is refused counts
//! it: [`Usage::dropped_logs`](crate::contract::Usage::dropped_logs).

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
        if admitted {
            let message = cut(message, self.longest);
            self.sink.write(&LogLine { function: &self.function, invocation, level, message });
        }
        admitted
    }
}

/// A bucket that holds one second's worth of lines and fills at that rate.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn new(rate: u32, now: Instant) -> Self {
        Self { rate: rate.into(), tokens: rate.into(), filled: now }
    }

    /// Whether one more line is admitted.
    fn admit(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.rate).min(self.rate);
        self.filled = now;
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        }
        admitted
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
    fn a_flood_is_dropped_and_the_rate_comes_back() {
        let start = Instant::now();
        let mut bucket = Bucket::new(3, start);
        let admitted: Vec<_> = (0..5).map(|_| bucket.admit(start)).collect();
        assert_eq!(admitted, [true, true, true, false, false]);
        assert!(bucket.admit(start + Duration::from_millis(400)));
        assert!(!bucket.admit(start + Duration::from_millis(500)));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        assert_eq!(cut("aéé", 4), "aé");
        assert_eq!(cut("short", 80), "short");
    }
}
