//! When a copy whose process keeps failing may start the next one.

use std::time::{Duration, Instant};

/// The first wait; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Counts processes that failed one after the other.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// A process did what it is for.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A process failed to start, or had to be replaced. One that fails alone is replaced at once.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures > 1 {
            let wait = FIRST.saturating_mul(1 << (self.failures - 2).min(16)).min(LONGEST);
            self.not_before = Some(now + wait);
        }
    }

    /// How long to wait before the next start.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        self.not_before.map_or(Duration::ZERO, |start| start.saturating_duration_since(now))
    }

    /// The failures since the last success.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_end_with_a_success() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..9 {
            backoff.failed(now);
            waits.push(backoff.wait(now).as_millis());
        }
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(backoff.wait(now + Duration::from_secs(2)), Duration::from_secs(3));
        backoff.succeeded();
        assert_eq!(backoff.wait(now), Duration::ZERO);
    }
}
