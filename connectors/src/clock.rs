//! The clock that is handed in wherever time matters, so that tests run in a time of their own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Tells the time. Nothing that handles records asks the system for it.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since 1970-01-01 UTC. May jump, as the wall clock does.
    fn now_micros(&self) -> i64;

    /// Time since some fixed moment; never goes back. For deadlines and durations.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self { started: Instant::now() })
    }
}

impl Clock for SystemClock {
    fn now_micros(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Default)]
pub struct ManualClock {
    micros: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `micros` since 1970-01-01 UTC.
    pub fn at(micros: i64) -> Arc<Self> {
        Arc::new(Self { micros: AtomicI64::new(micros) })
    }

    /// Moves both the wall and the monotonic time.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).unwrap_or(i64::MAX);
        self.micros.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_micros(&self) -> i64 {
        self.micros.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.now_micros().unsigned_abs())
    }
}
