//! Compiled code on disk, so that a function's second start takes milliseconds.
//!
//! Compiled code is machine code: whoever can write to the folder can run code as this process. It must therefore
//! belong to this user alone, and every file is checked against a checksum before it is mapped.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use wasmtime::Engine;
use wasmtime::component::Component;
use xxhash_rust::xxh3::xxh3_128;

use super::RuntimeError;

/// How much compiled code the folder may hold; the files written longest ago make room.
const MAX_BYTES: u64 = 1 << 30;

/// A folder of compiled code: `<content hash>-<engine hash>.cwasm`, each with its checksum in a `.sum` beside it.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens the folder, or makes it. It is an error if anyone else could have put a file there.
    pub(crate) fn open(folder: &Path) -> Result<Self, RuntimeError> {
        let refuse = |problem: String| RuntimeError::Cache { path: folder.to_owned(), problem };
        let cache = Self { folder: folder.to_owned() };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| refuse(error.to_string()))?;
        let found = fs::metadata(folder).map_err(|error| refuse(error.to_string()))?;
        if found.mode() & 0o077 != 0 {
            return Err(refuse(
                "others may open it; `chmod 700` it, or empty it first if they may have written there".to_owned(),
            ));
        }
        let own_user = cache.own_user().map_err(|error| refuse(error.to_string()))?;
        if found.uid() != own_user {
            return Err(refuse("it belongs to another user; choose a folder of your own".to_owned()));
        }
        Ok(cache)
    }

    /// This process's user, as the file system sees it: the owner of a file just made.
    fn own_user(&self) -> io::Result<u32> {
        let probe = self.temporary_name("probe");
        let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe)?;
        let owner = file.metadata().map(|metadata| metadata.uid());
        fs::remove_file(&probe)?;
        owner
    }

    /// The component of this content hash, if it has been compiled by an engine like this one and the file is whole.
    pub(crate) fn load(&self, engine: &Engine, version: &str) -> Option<Component> {
        let path = self.path(engine, version);
        let compiled = fs::read(&path).ok()?;
        let sum = fs::read_to_string(path.with_extension("sum")).ok()?;
        if sum != checksum(&compiled) {
            tracing::warn!(path = %path.display(), "a compiled function is damaged; it is compiled again");
            return None;
        }
        // SAFETY: the file must be what this version of wasmtime wrote, and must not change while it is mapped. Its
        // name holds the engine's compatibility hash and its content has just matched the checksum that was written
        // with it. The folder belongs to this user and is closed to all others (`open` refuses any other), and this
        // module never writes to a file in place: it renames new ones over old ones, which leaves a mapping as it is.
        unsafe { Component::deserialize_file(engine, &path) }.ok()
    }

    /// Keeps compiled code. A reader sees all of it or, by its checksum, none.
    pub(crate) fn store(&self, engine: &Engine, version: &str, compiled: &[u8]) -> io::Result<()> {
        self.make_room(compiled.len() as u64)?;
        let path = self.path(engine, version);
        self.replace(&path, compiled)?;
        self.replace(&path.with_extension("sum"), checksum(compiled).as_bytes())
    }

    fn replace(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let temporary = self.temporary_name("new");
        let written = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .and_then(|mut file| file.write_all(content))
            .and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            // The first error is the one to report.
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes the oldest files until `incoming` more bytes fit.
    fn make_room(&self, incoming: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            files.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), entry.path()));
        }
        files.sort();
        let mut held: u64 = files.iter().map(|(_, size, _)| size).sum();
        for (_, size, path) in files {
            if held + incoming <= MAX_BYTES {
                break;
            }
            fs::remove_file(path)?;
            held -= size;
        }
        Ok(())
    }

    fn path(&self, engine: &Engine, version: &str) -> PathBuf {
        // It covers wasmtime's version, the target and every setting that changes compiled code.
        let mut hasher = DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        self.folder.join(format!("{version}-{:016x}.cwasm", hasher.finish()))
    }

    /// A name that no other process or thread uses.
    fn temporary_name(&self, purpose: &str) -> PathBuf {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!(".{purpose}-{}-{number}", std::process::id()))
    }
}

fn checksum(content: &[u8]) -> String {
    format!("{:032x}", xxh3_128(content))
}
