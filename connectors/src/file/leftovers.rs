//! Removes the unfinished files of a run that crashed: those with the sink's mark in their name that nobody has locked.
//!
//! A file is locked by its writer as long as it is open, so the files of another process that runs are left alone.

use std::{fs, fs::File, path::Path};

/// How many entries are looked at, so that a start is never kept waiting by a folder of millions.
const MOST: usize = 100_000;

/// What the name of an unfinished file ends with.
pub(super) fn ending(mark: &str) -> String {
    format!(".{mark}.inprogress")
}

/// Removes leftovers in a folder and so many levels below it; how many there were. What cannot be looked at is left.
pub(super) fn remove(folder: &Path, depth: usize, mark: &str) -> usize {
    let ending = ending(mark);
    let mut left = MOST;
    remove_in(folder, depth, &ending, &mut left)
}

fn remove_in(folder: &Path, depth: usize, ending: &str, left: &mut usize) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let mut removed = 0;
    for entry in entries.flatten() {
        if *left == 0 {
            break;
        }
        *left -= 1;
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        if kind.is_dir() && depth > 0 {
            removed += remove_in(&entry.path(), depth - 1, ending, left);
        } else if kind.is_file() && name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(ending)) {
            removed += usize::from(remove_unless_locked(&entry.path()));
        }
    }
    removed
}

fn remove_unless_locked(path: &Path) -> bool {
    // The lock is held while removing: a writer that made the file this very moment sees that it lost it.
    File::open(path).is_ok_and(|file| file.try_lock().is_ok() && fs::remove_file(path).is_ok())
}
