//! Finds files by patterns, and hands each to one reader.

use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
};

use glob::{MatchOptions, Pattern};
use parking_lot::Mutex;

use crate::{error::Error, position::Partition};

/// A file, and the partition it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// The name as people write it: relative to the pipeline file where the pattern was.
    pub(super) partition: Partition,
    pub(super) path: PathBuf,
}

/// Patterns that are well-formed.
#[derive(Clone, Debug)]
pub(super) struct Names {
    base: PathBuf,
    patterns: Vec<String>,
}

impl Names {
    /// Patterns relative to a folder, or what is wrong with one.
    pub(super) fn new(base: &Path, patterns: &[String]) -> Result<Self, String> {
        for pattern in patterns {
            if pattern.is_empty() {
                return Err("a path cannot be empty".into());
            }
            Pattern::new(pattern).map_err(|error| format!("`{pattern}` is not a pattern: {}", error.msg))?;
        }
        Ok(Self { base: base.to_owned(), patterns: patterns.to_owned() })
    }

    /// Files of these very names, whatever characters are in them.
    pub(super) fn of_files(files: Vec<String>) -> Self {
        Self { base: PathBuf::new(), patterns: files }
    }

    /// The patterns, for messages.
    pub(super) fn describe(&self) -> String {
        self.patterns.iter().map(|pattern| format!("`{pattern}`")).collect::<Vec<_>>().join(", ")
    }

    /// All files there are now, by name, each once.
    pub(super) fn find(&self) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        for pattern in &self.patterns {
            let literal = self.base.join(pattern);
            if literal.is_file() {
                found.push(self.found(literal));
                continue;
            }
            self.matches(pattern, &mut found)?;
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    fn matches(&self, pattern: &str, found: &mut Vec<Found>) -> Result<(), Error> {
        let options =
            MatchOptions { require_literal_leading_dot: true, require_literal_separator: true, case_sensitive: true };
        let whole = if Path::new(pattern).is_absolute() || self.base.as_os_str().is_empty() {
            pattern.to_owned()
        } else {
            format!("{}/{pattern}", Pattern::escape(&self.base.to_string_lossy()))
        };
        let paths = glob::glob_with(&whole, options)
            .map_err(|error| Error::config(format!("`{pattern}` is not a pattern: {}", error.msg)))?;
        for path in paths {
            let path = path.map_err(|error| {
                Error::config(format!("cannot look into {}", error.path().display()))
                    .caused_by(std::io::Error::from(error))
            })?;
            if path.is_file() {
                found.push(self.found(path));
            }
        }
        Ok(())
    }

    fn found(&self, path: PathBuf) -> Found {
        let name = path.strip_prefix(&self.base).unwrap_or(&path).to_string_lossy().into_owned();
        Found { partition: Partition::new(name), path }
    }

    /// A file that was found before, by its partition's name.
    pub(super) fn found_as(&self, partition: &Partition) -> Found {
        Found { partition: partition.clone(), path: self.path_of(partition) }
    }

    /// The file that a partition is.
    pub(super) fn path_of(&self, partition: &Partition) -> PathBuf {
        self.base.join(partition.as_str())
    }
}

/// The files that no reader has taken yet. A file stays with the reader that took it, so that its position is in one
/// place.
pub(super) struct Queue {
    waiting: Mutex<(VecDeque<Found>, BTreeSet<Partition>)>,
}

impl Queue {
    pub(super) fn new(found: Vec<Found>) -> Self {
        let queue = Self { waiting: Mutex::default() };
        queue.add(found);
        queue
    }

    /// Adds the files that were not known yet.
    pub(super) fn add(&self, found: Vec<Found>) {
        let (waiting, known) = &mut *self.waiting.lock();
        waiting.extend(found.into_iter().filter(|file| known.insert(file.partition.clone())));
    }

    /// Forgets a file that is gone: one that comes under its name is another one.
    pub(super) fn forget(&self, partition: &Partition) {
        self.waiting.lock().1.remove(partition);
    }

    pub(super) fn take(&self) -> Option<Found> {
        self.waiting.lock().0.pop_front()
    }
}
