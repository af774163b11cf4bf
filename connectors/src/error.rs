//! The one error kind of the crate: it tells the caller what to do, and the person what went wrong and how to mend it.

use std::{error::Error as StdError, fmt};

/// What the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The pipeline file is wrong for this server or this input: fix it. Nothing was read or written.
    Config,
    /// The other side cannot be reached, or not in time. Trying again later can help.
    Unavailable,
    /// Going on would lose or falsify data (a gap in a topic, bad credentials, a full disk that stays full): stop.
    Fatal,
}

/// A connector's error.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// The pipeline file is wrong.
    pub fn config(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Config, message: message.into(), source: None }
    }

    /// The other side cannot be reached.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Unavailable, message: message.into(), source: None }
    }

    /// The pipeline must stop.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Fatal, message: message.into(), source: None }
    }

    /// Adds what caused it.
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the caller should do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn StdError + 'static))
    }
}
