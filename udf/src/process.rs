//! Unmodified AWS Lambda handlers as functions: programs that speak the Lambda Runtime API, each copy a child process.
//!
//! A copy ([`copy`]) owns a loopback listener of its own, so that copies are told apart by port, and a single-threaded
//! I/O runtime that is driven only while a call lasts, on the caller's thread: no hop between threads in a call, and no
//! CPU between calls, when the child waits in its long poll. What the child may say to us is a small state machine
//! ([`api`]) behind an HTTP server with bounds ([`server`]).
//!
//! A child is started with a clean environment ([`environment`]) by one thread that outlives them all ([`spawner`]),
//! is given a moment to end when it is no longer needed ([`burial`]), and dies with the engine, however that ends
//! ([`watcher`]). The kernel holds it to its memory and number of processes where it lets us ([`cgroup`]), and a
//! watchdog elsewhere ([`watchdog`]).
//!
//! It must not know what an event means: rows become events, and answers rows, in the layer above.

mod alarm;
mod api;
mod backoff;
mod burial;
mod cgroup;
mod child;
mod copy;
mod environment;
mod errors;
mod family;
mod lines;
mod live;
mod server;
mod settings;
mod spawner;
mod watchdog;
mod watcher;

use std::sync::Arc;

pub use self::copy::ProcessCopy;
pub use self::settings::{ProcessSettings, SettingsError};
use crate::codec::Codecs;
use crate::contract::{Caller, LogSink};
use crate::json::handler::{Endpoint, Handler};
use crate::json::{JsonFunction, JsonSettings};
use crate::logs::LogGate;

/// A program that speaks the Lambda Runtime API, as a function on JSON events. Nothing runs before a copy's first call.
#[derive(Clone, Debug)]
pub struct ProcessFunction {
    shared: Arc<Shared>,
}

/// What all copies of a function share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: ProcessSettings,
    pub(crate) gate: Arc<LogGate>,
    hash: String,
}

impl ProcessFunction {
    /// Checks the settings and makes them a function whose output goes to `logs`.
    pub fn new(settings: ProcessSettings, logs: LogSink) -> Result<Self, SettingsError> {
        settings.check()?;
        let gate = LogGate::new(&settings.name, logs, &settings.limits);
        let hash = settings.hash();
        Ok(Self { shared: Arc::new(Shared { settings, gate, hash }) })
    }

    /// A copy. Its process is started by its first call.
    pub fn copy(&self, caller: &Caller) -> ProcessCopy {
        ProcessCopy::new(Arc::clone(&self.shared), caller)
    }

    /// The hash of the command, its settings, and the files that the command names, in hexadecimal.
    pub fn hash(&self) -> &str {
        &self.shared.hash
    }
}

impl JsonFunction {
    /// The function that a program is, called with events of rows; `json` says how large those and the answers may be.
    /// Nothing is started before the first call, whose thread must not be an asynchronous runtime's.
    pub fn process(
        process: ProcessSettings,
        json: JsonSettings,
        codecs: Arc<dyn Codecs>,
        logs: LogSink,
    ) -> Result<Self, SettingsError> {
        let name = process.name.clone();
        let process = ProcessSettings { max_request: json.max_request, max_response: json.max_response, ..process };
        let endpoint = ProcessFunction::new(process, logs.clone())?;
        Ok(Self::new(&name, Arc::new(endpoint), json, codecs, logs))
    }
}

impl Endpoint for ProcessFunction {
    fn copy(&self, caller: &Caller) -> Box<dyn Handler> {
        Box::new(ProcessFunction::copy(self, caller))
    }

    fn version(&self) -> &str {
        self.hash()
    }
}
