//! Waits out a full disk.

use std::{
    io::{self, ErrorKind, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::status::Status;

/// How long to wait between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// How long writing waits for space, and whom it tells. All files of a writer share it.
#[derive(Clone)]
pub(super) struct Patience {
    status: Status,
    /// When it ends; never, while the pipeline runs.
    until: Arc<Mutex<Option<Instant>>>,
}

impl Patience {
    pub(super) fn new(status: Status) -> Self {
        Self { status, until: Arc::default() }
    }

    /// From now on waiting ends.
    pub(super) fn give_up_after(&self, time: Duration) {
        *self.until.lock() = Some(Instant::now() + time);
    }

    /// Does something, again and again while the disk is full.
    pub(super) fn with<T>(&self, mut act: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        let mut waited = false;
        loop {
            let answer = act();
            match &answer {
                Err(error) if is_full(error) => {
                    if self.until.lock().is_some_and(|until| Instant::now() >= until) {
                        return answer;
                    }
                    if !waited {
                        tracing::warn!("the disk is full: writing waits for space");
                    }
                    self.status.down("the disk is full: writing waits for space");
                    waited = true;
                    thread::sleep(PAUSE);
                }
                _ => {
                    if waited {
                        tracing::info!("there is space again: writing goes on");
                        self.status.up();
                    }
                    return answer;
                }
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Writes; waits while the disk is full.
pub(super) struct Patient<W> {
    out: W,
    patience: Patience,
    written: u64,
}

impl<W> Patient<W> {
    pub(super) fn new(out: W, patience: Patience) -> Self {
        Self { out, patience, written: 0 }
    }

    /// How many bytes were written.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    pub(super) fn into_inner(self) -> W {
        self.out
    }
}

impl<W: Write> Write for Patient<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let out = &mut self.out;
        let count = self.patience.with(|| out.write(bytes))?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        let out = &mut self.out;
        self.patience.with(|| out.flush())
    }
}
