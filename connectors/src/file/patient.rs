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
    #[cfg(test)]
    room: Room,
}

/// How many bytes fit on the disk, if there is an end to it: a real one cannot be made full in a test.
#[cfg(test)]
#[derive(Clone, Default)]
pub(super) struct Room(Arc<Mutex<Option<usize>>>);

#[cfg(test)]
impl Room {
    pub(super) fn set(&self, bytes: Option<usize>) {
        *self.0.lock() = bytes;
    }

    /// What of `bytes` fits: as of a real disk a part of them, and nothing is an error.
    fn take<'b>(&self, bytes: &'b [u8]) -> io::Result<&'b [u8]> {
        let mut left = self.0.lock();
        let Some(room) = left.as_mut() else { return Ok(bytes) };
        let fits = bytes.len().min(*room);
        *room -= fits;
        if fits == 0 && !bytes.is_empty() { Err(ErrorKind::StorageFull.into()) } else { Ok(&bytes[..fits]) }
    }
}

impl Patience {
    pub(super) fn new(status: Status) -> Self {
        Self {
            status,
            until: Arc::default(),
            #[cfg(test)]
            room: Room::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> Room {
        self.room.clone()
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
        let count = self.patience.with(|| {
            #[cfg(test)]
            let bytes = self.patience.room.take(bytes)?;
            out.write(bytes)
        })?;
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        let out = &mut self.out;
        self.patience.with(|| out.flush())
    }
}
