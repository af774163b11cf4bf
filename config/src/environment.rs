//! What a file may take from outside it: variables and the contents of other files. Injected, so that tests bring
//! their own.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

/// The largest file that `${file:…}` takes in, in bytes.
pub const MAX_INCLUDED_BYTES: u64 = 1024 * 1024;

/// Where `${NAME}` and `${file:PATH}` come from.
pub trait Environment {
    /// A variable's value, if it is set and text.
    fn var(&self, name: &str) -> Option<String>;

    /// A file's text, of at most [`MAX_INCLUDED_BYTES`].
    ///
    /// # Errors
    /// Whatever keeps the file from being read, [`io::ErrorKind::FileTooLarge`] and
    /// [`io::ErrorKind::InvalidData`] (not UTF-8) among it.
    fn file(&self, path: &str) -> io::Result<String>;
}

/// This process's variables, and files seen from the folder of the file that names them, as all other paths are: a
/// pipeline means the same wherever it is started.
#[derive(Debug, Clone)]
pub struct ProcessEnvironment {
    folder: PathBuf,
}

impl ProcessEnvironment {
    /// The environment of a pipeline file at this path.
    pub fn beside(file: &Path) -> Self {
        Self { folder: file.parent().unwrap_or(Path::new("")).to_owned() }
    }
}

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> io::Result<String> {
        use std::io::Read;
        let file = std::fs::File::open(self.folder.join(path))?;
        let mut text = String::new();
        file.take(MAX_INCLUDED_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_INCLUDED_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(text)
    }
}

/// Fixed variables and files.
#[derive(Debug, Clone, Default)]
pub struct FixedEnvironment {
    vars: HashMap<String, String>,
    files: HashMap<String, String>,
}

impl FixedEnvironment {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a variable.
    pub fn with_var(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.vars.insert(name.into(), value.into());
        self
    }

    /// With a file.
    pub fn with_file(mut self, path: impl Into<String>, text: impl Into<String>) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }
}

impl Environment for FixedEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        self.vars.get(name).cloned()
    }

    fn file(&self, path: &str) -> io::Result<String> {
        let text = self.files.get(path).cloned();
        text.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
