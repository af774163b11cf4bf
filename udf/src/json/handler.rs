//! What stands behind a function whose code sees JSON events: a process, a server over HTTP.

use crate::contract::{CallError, Caller, Invocation, Usage};

/// Code that answers an event with JSON. One for each function; cheap to keep while idle.
pub(crate) trait Endpoint: Send + Sync {
    /// A copy. Nothing is started or connected before its first call.
    fn copy(&self, caller: &Caller) -> Box<dyn Handler>;

    /// The hash of the function's code, or of what names it, in hexadecimal.
    fn version(&self) -> &str;
}

/// One copy of such code.
pub(crate) trait Handler: Send {
    /// Gives it one event, JSON in UTF-8, and waits for its answer, at most for the function's time limit and until the
    /// invocation's deadline. After a call that failed the next one works: what is beyond use replaces itself.
    fn invoke(&mut self, event: &[u8], invocation: &Invocation<'_>) -> Answered;
}

/// How an invocation ended, and what it used.
pub(crate) struct Answered {
    /// The answer's bytes, as they came.
    pub(crate) result: Result<Vec<u8>, CallError>,
    /// What the call used.
    pub(crate) usage: Usage,
}
