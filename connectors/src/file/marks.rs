//! What tells a file from another one that has its name, also after a restart: hashes of its first bytes.
//!
//! A position is a count of bytes, whoever's bytes they are. Inodes would not do: copies and restored files have others,
//! and a new file may get an old one's. The manifest holds positions only, so the hashes are kept beside it, in a file
//! of lines, each in place of the earlier ones about the same file; a torn last line counts for nothing.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::position::{Partition, Position, Positions};

/// How many bytes are hashed at most, at either end.
pub(super) const MOST_BYTES: u64 = 4096;
/// How many lines may be out of date before the file is written anew.
const MOST_STALE: usize = 1000;

/// What a file looked like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// How many of the first bytes are hashed.
    bytes: u64,
    /// The size of a file that is of use only whole; of such a one the last bytes are hashed too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    sha256: String,
}

impl Mark {
    /// Of a file that may grow: of so many of its first bytes.
    pub(super) fn of_beginning(file: &File, bytes: u64) -> io::Result<Self> {
        Self::new(file, bytes, None)
    }

    /// Of a file that does not grow.
    pub(super) fn of_whole(file: &File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Self::new(file, size.min(MOST_BYTES), Some(size))
    }

    fn new(file: &File, bytes: u64, size: Option<u64>) -> io::Result<Self> {
        let mut buffer = vec![0; usize::try_from(bytes).map_err(io::Error::other)?];
        file.read_exact_at(&mut buffer, 0)?;
        let mut hash = Sha256::new_with_prefix(&buffer);
        if let Some(size) = size {
            file.read_exact_at(&mut buffer, size.saturating_sub(bytes))?;
            hash.update(&buffer);
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { bytes, size, sha256 })
    }

    /// Whether the file looks like that still.
    pub(super) fn fits(&self, file: &File) -> io::Result<bool> {
        if self.bytes > MOST_BYTES || self.size.is_some() && self.size != Some(file.metadata()?.len()) {
            return Ok(false);
        }
        match Self::new(file, self.bytes, self.size) {
            Ok(now) => Ok(now == *self),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a mark of so many of the first bytes would say more. Twice as many, so that a file that grows by small
    /// lines is not hashed at each.
    pub(super) fn is_weaker_than(&self, bytes: u64) -> bool {
        self.size.is_none() && bytes >= self.bytes.saturating_mul(2)
    }
}

/// What is known of a file beside its position.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mark: Option<Mark>,
    /// Whether the position in the manifest may still be that of a file which had the name before.
    #[serde(default)]
    pub(super) unsure: bool,
}

#[derive(Serialize, Deserialize)]
struct Line {
    file: String,
    #[serde(flatten)]
    known: Known,
}

/// What is known of all files of a source; its readers share it.
pub(super) struct Marks {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: BTreeMap<Partition, Known>,
    out: Option<File>,
    lines: usize,
    unsynced: bool,
}

impl Marks {
    /// What was kept of the files that have a position. Writes nothing yet.
    pub(super) fn open(folder: &Path, source: &str, positions: &Positions) -> io::Result<Self> {
        let path = folder.join(format!("files-{source}.jsonl"));
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut known = BTreeMap::new();
        for line in text.split(|byte| *byte == b'\n') {
            let Ok(line) = serde_json::from_slice::<Line>(line) else { continue };
            known.insert(Partition::new(line.file), line.known);
        }
        known.retain(|partition, _| positions.get(partition).is_some_and(|position| *position > Position::Offset(0)));
        Ok(Self { path, state: Mutex::new(State { known, ..State::default() }) })
    }

    /// For messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn get(&self, partition: &Partition) -> Known {
        self.state.lock().known.get(partition).cloned().unwrap_or_default()
    }

    /// Keeps what is known of a file, durably after the next [`Marks::sync`].
    pub(super) fn set(&self, partition: &Partition, known: Known) -> io::Result<()> {
        let state = &mut *self.state.lock();
        if state.known.get(partition) == Some(&known) {
            return Ok(());
        }
        state.known.insert(partition.clone(), known.clone());
        match &mut state.out {
            Some(out) if state.lines < state.known.len() * 2 + MOST_STALE => {
                out.write_all(&line(partition, &known)?)?;
                state.lines += 1;
                state.unsynced = true;
                Ok(())
            }
            _ => state.write_anew(&self.path),
        }
    }

    /// Forgets a file. What is written of it is passed over, as it has no position any more.
    pub(super) fn forget(&self, partition: &Partition) {
        self.state.lock().known.remove(partition);
    }

    /// Makes everything durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        let state = &mut *self.state.lock();
        if let Some(out) = state.out.as_ref().filter(|_| state.unsynced) {
            out.sync_data()?;
            state.unsynced = false;
        }
        Ok(())
    }
}

impl State {
    /// Writes all that is known to a new file, which takes the old one's place when it is durable.
    fn write_anew(&mut self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("new");
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut out = BufWriter::new(File::create(&new)?);
        for (partition, known) in &self.known {
            out.write_all(&line(partition, known)?)?;
        }
        let out = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        out.sync_all()?;
        fs::rename(&new, path)?;
        File::open(folder)?.sync_all()?;
        (self.out, self.lines, self.unsynced) = (Some(out), self.known.len(), false);
        Ok(())
    }
}

fn line(partition: &Partition, known: &Known) -> io::Result<Vec<u8>> {
    let line = Line { file: partition.to_string(), known: known.clone() };
    let mut bytes = serde_json::to_vec(&line).map_err(io::Error::other)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_kept_in_bounded_space() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::write(&data, "x".repeat(5000)).unwrap();
        let mark = |bytes| Mark::of_beginning(&File::open(&data).unwrap(), bytes).unwrap();
        let (a, b) = (Partition::new("a"), Partition::new("b"));
        let at =
            |offset| Positions::from([(a.clone(), Position::Offset(offset)), (b.clone(), Position::Offset(offset))]);
        let marks = Marks::open(folder.path(), "s", &at(1)).unwrap();
        for bytes in 1..5000 {
            marks.set(&a, Known { mark: Some(mark(bytes % 4096)), unsure: bytes % 2 == 0 }).unwrap();
        }
        marks.set(&b, Known { mark: Some(mark(4096)), unsure: false }).unwrap();
        marks.sync().unwrap();
        let lines = fs::read_to_string(marks.path()).unwrap().lines().count();
        assert!(lines <= MOST_STALE + 4, "{lines} lines about two files");
        // A crash while a line is written.
        fs::OpenOptions::new()
            .append(true)
            .open(marks.path())
            .unwrap()
            .write_all(b"{\"file\":\"b\",\"mark\":")
            .unwrap();
        let again = Marks::open(folder.path(), "s", &at(1)).unwrap();
        assert_eq!((again.get(&a), again.get(&b)), (marks.get(&a), marks.get(&b)));
        assert_eq!(Marks::open(folder.path(), "s", &at(0)).unwrap().get(&a), Known::default());
    }
}
