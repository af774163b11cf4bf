//! Whether the servers a node depends on answer: what `/readyz` and the status line tell.

use std::sync::Arc;

use parking_lot::Mutex;

/// One node's word on its server. Cloned freely; all clones share it.
#[derive(Clone, Debug)]
pub struct Status {
    down: Arc<Mutex<Option<String>>>,
}

impl Status {
    /// A node that is not ready until it says so.
    pub fn starting(what: impl Into<String>) -> Self {
        Self { down: Arc::new(Mutex::new(Some(what.into()))) }
    }

    /// The server answers.
    pub fn up(&self) {
        *self.down.lock() = None;
    }

    /// The server does not answer, and why, for a person.
    pub fn down(&self, reason: impl Into<String>) {
        *self.down.lock() = Some(reason.into());
    }

    /// Why the node is not ready; `None` when it is.
    pub fn trouble(&self) -> Option<String> {
        self.down.lock().clone()
    }
}
