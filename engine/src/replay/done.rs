//! Which letters have run again, so that none does twice: their names, a line each, in a file a day beside the
//! checkpoints. A day's file may be removed when the letters of that day and before are gone.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use riverhook_connectors::clock::Clock;

use super::letter::LetterId;
use crate::{error::Error, functions::day};

/// The letters of a pipeline that have run again.
pub struct Done {
    folder: PathBuf,
    before: HashSet<LetterId>,
    /// Held as long as somebody adds to it.
    _lock: Option<File>,
    clock: Arc<dyn Clock>,
    writing: Mutex<()>,
}

impl Done {
    /// What is there, to look at.
    pub fn read(store: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::open(store.join("replayed"), None, clock)
    }

    /// What is there, to add to it: by one process at a time.
    pub fn lock(store: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let folder = store.join("replayed");
        let trouble = |error: io::Error| {
            Error::failed(format!("cannot note in {} which letters have run again: {error}", folder.display()))
        };
        fs::create_dir_all(&folder).map_err(trouble)?;
        let lock = OpenOptions::new().create(true).append(true).open(folder.join("lock")).map_err(trouble)?;
        match lock.try_lock() {
            Ok(()) => Self::open(folder, Some(lock), clock),
            Err(TryLockError::WouldBlock) => {
                Err(Error::failed("another `riverhook replay` of this pipeline is running: wait for its end"))
            }
            Err(TryLockError::Error(error)) => Err(trouble(error)),
        }
    }

    fn open(folder: PathBuf, lock: Option<File>, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let before = read_all(&folder).map_err(|error| {
            Error::failed(format!("cannot read in {} which letters have run again: {error}", folder.display()))
        })?;
        Ok(Self { folder, before, _lock: lock, clock, writing: Mutex::new(()) })
    }

    /// Whether a letter had run when this was opened.
    pub fn has(&self, letter: LetterId) -> bool {
        self.before.contains(&letter)
    }

    /// Adds letters, durably.
    pub fn note(&self, letters: impl Iterator<Item = LetterId>) -> io::Result<()> {
        let text: String = letters.map(|letter| format!("{letter:032x}\n")).collect();
        if text.is_empty() {
            return Ok(());
        }
        let _one_at_a_time = self.writing.lock();
        let path = self.folder.join(format!("{}.ids", day(self.clock.now_micros())));
        let is_new = !path.exists();
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        // A line that a crash cut must not take the next one with it.
        let cut = !file.metadata()?.len().is_multiple_of(LINE);
        file.write_all(if cut { format!("\n{text}") } else { text }.as_bytes())?;
        file.sync_data()?;
        if is_new { File::open(&self.folder)?.sync_all() } else { Ok(()) }
    }
}

/// Bytes of a line.
const LINE: u64 = 33;

fn read_all(folder: &Path) -> io::Result<HashSet<LetterId>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
        entries => entries?,
    };
    let mut all = HashSet::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "ids") {
            let text = fs::read(path)?;
            let whole = text.split(|byte| *byte == b'\n').filter(|line| line.len() as u64 == LINE - 1);
            all.extend(whole.filter_map(|line| LetterId::from_str_radix(std::str::from_utf8(line).ok()?, 16).ok()));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use riverhook_connectors::clock::ManualClock;

    use super::*;

    #[test]
    fn what_was_noted_is_there_after_a_crash_and_for_one_process_at_a_time() {
        let store = tempfile::tempdir().unwrap();
        let lock = || Done::lock(store.path(), ManualClock::at(0));
        let done = lock().unwrap();
        done.note([1, 2].into_iter()).unwrap();
        assert!(lock().err().unwrap().to_string().contains("another"));
        drop(done);
        let path = store.path().join("replayed/1970-01-01.ids");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"0000000000000").unwrap();
        let done = lock().unwrap();
        assert!(done.has(1) && done.has(2) && !done.has(3) && !done.has(0));
        done.note([LetterId::MAX].into_iter()).unwrap();
        done.note([4].into_iter()).unwrap();
        let read = Done::read(store.path(), ManualClock::at(0)).unwrap();
        assert!([1, 2, 4, LetterId::MAX].into_iter().all(|id| read.has(id)));
    }
}
