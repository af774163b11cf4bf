//! The clock of time limits: a thread that advances the engine's epoch while any guest runs.
//!
//! Compiled code compares the epoch with its deadline at loops and calls, so one thread serves every guest. It sleeps
//! while none runs: idle functions cost no CPU.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wasmtime::Engine;

/// How long a tick is: the precision of time limits.
const TICK: Duration = Duration::from_millis(2);
/// How long the thread keeps ticking after the last guest, so that a steady stream of calls does not wake it each time.
const LINGER: Duration = Duration::from_millis(200);

/// The thread, stopped when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    running: AtomicUsize,
    stop: AtomicBool,
}

/// Keeps the ticker going while a guest runs.
#[derive(Debug)]
pub(crate) struct Running<'a>(&'a Ticker);

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (engine, state) = (engine.clone(), Arc::clone(&shared));
        let thread = thread::Builder::new().name("function-ticker".to_owned()).spawn(move || tick(&engine, &state))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Marks a guest as running until the result is dropped.
    pub(crate) fn running(&self) -> Running<'_> {
        if self.shared.running.fetch_add(1, Ordering::SeqCst) == 0 {
            self.unpark();
        }
        Running(self)
    }

    /// The ticks from now after which `limit` has surely passed.
    pub(crate) fn ticks(limit: Duration) -> u64 {
        // The tick that is under way may end at once; one more makes up for it.
        let ticks = limit.as_nanos().div_ceil(TICK.as_nanos()) + 1;
        u64::try_from(ticks).unwrap_or(u64::MAX / 2)
    }

    fn unpark(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.unpark();
        if let Some(thread) = self.thread.take() {
            // It cannot panic, and a failed join would change nothing here.
            let _ = thread.join();
        }
    }
}

fn tick(engine: &Engine, shared: &Shared) {
    let mut last_run = Instant::now();
    let mut due = Instant::now();
    while !shared.stop.load(Ordering::SeqCst) {
        let now = Instant::now();
        if shared.running.load(Ordering::SeqCst) > 0 {
            last_run = now;
        } else if now.duration_since(last_run) > LINGER {
            thread::park();
            (last_run, due) = (Instant::now(), Instant::now());
            continue;
        }
        // A late wake-up makes up for the ticks it missed, so that limits hold on a busy machine too.
        while due <= now {
            engine.increment_epoch();
            due += TICK;
        }
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
