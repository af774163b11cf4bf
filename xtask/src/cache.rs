//! The folder for what is dear to make again: downloaded jars, a formatted Kafka directory, certificates, tools.
//!
//! It lies outside the checkout, so that it survives a fresh clone, and nothing depends on it being there: every entry
//! is made when it is asked for. It knows nothing about what the entries hold.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A folder of entries that are either whole or absent.
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The folder named by `RIVERHOOK_CACHE`, else `~/.cache/riverhook`.
    pub(crate) fn open() -> Result<Self> {
        let root = match env::var_os("RIVERHOOK_CACHE") {
            Some(root) => PathBuf::from(root),
            None => env::home_dir()
                .context("cannot tell your home folder: set RIVERHOOK_CACHE to a folder for downloads")?
                .join(".cache/riverhook"),
        };
        fs::create_dir_all(&root).with_context(|| {
            format!("cannot make the cache folder {}: set RIVERHOOK_CACHE to one that can be written", root.display())
        })?;
        Ok(Self { root })
    }

    /// The folder of the entry `name`, made by `fill` if it is not there.
    ///
    /// `fill` works in a folder of its own, which gets its name only when all of it succeeded: an interrupted fill
    /// leaves no half entry, and of two processes that fill at once the second uses what the first made.
    pub(crate) fn entry(&self, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let entry = self.root.join(name);
        if entry.is_dir() {
            return Ok(entry);
        }
        let draft = tempfile::Builder::new()
            .prefix(".draft-")
            .tempdir_in(&self.root)
            .with_context(|| format!("cannot write to the cache folder {}", self.root.display()))?;
        fill(draft.path()).with_context(|| format!("cannot make the cache entry {name}"))?;
        match fs::rename(draft.path(), &entry) {
            Ok(()) => {
                // The folder has another name now: there is nothing left to remove.
                let _moved = draft.keep();
                Ok(entry)
            }
            Err(_) if entry.is_dir() => Ok(entry),
            Err(error) => Err(error).with_context(|| format!("cannot make {}", entry.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        (folder, Cache { root })
    }

    #[test]
    fn an_entry_is_filled_once() {
        let (_folder, cache) = cache();
        let entry = cache.entry("jars", |dir| Ok(fs::write(dir.join("a.jar"), "a")?)).unwrap();
        assert_eq!(fs::read_to_string(entry.join("a.jar")).unwrap(), "a");
        let again = cache.entry("jars", |_| panic!("filled twice")).unwrap();
        assert_eq!(again, entry);
    }

    #[test]
    fn a_failed_fill_leaves_nothing() {
        let (_folder, cache) = cache();
        let failed = cache.entry("jars", |dir| {
            fs::write(dir.join("half.jar"), "h")?;
            anyhow::bail!("the download broke off")
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_dir(&cache.root).unwrap().count(), 0);
    }
}
