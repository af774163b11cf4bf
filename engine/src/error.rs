//! What can end a run, and with which exit code.

use std::error::Error as StdError;

use riverhook_connectors::error::{Error as ConnectorError, ErrorKind};

/// Why a pipeline stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pipeline file or the command line is wrong: exit code 2.
    #[error("{0}")]
    Config(String),
    /// The run failed: exit code 1.
    #[error("{message}")]
    Failed {
        /// What failed, where, and what to do.
        message: String,
        /// What caused it.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
}

impl Error {
    /// A failure of the run.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), source: None }
    }

    /// A connector's error, with the node it is of.
    pub fn of_node(node: &str, error: ConnectorError) -> Self {
        let message = format!("`{node}`: {error}");
        match error.kind() {
            ErrorKind::Config => Self::Config(message),
            ErrorKind::Unavailable | ErrorKind::Fatal => Self::Failed { message, source: Some(Box::new(error)) },
        }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Failed { .. } => 1,
        }
    }
}
