//! Calls of functions in a chain: rows are handed over, and what comes of them goes on when it is released.
//!
//! A task reads on while calls are under way. What must stay behind their rows (watermarks, barriers, the end) waits in
//! the same queue ([`Calls`](crate::functions::Calls)).

use std::{sync::Arc, time::Duration};

use riverhook_connectors::batch::Message;

use super::{
    chain::Chain,
    machine::{CallMachine, Machine},
};
use crate::{
    error::Error,
    functions::{Part, Released},
};

/// How long to wait for a call before looking whether the run has failed meanwhile.
const LOOK: Duration = Duration::from_millis(10);

impl Chain {
    fn call(&mut self, step: usize) -> Option<&mut CallMachine> {
        match self.steps.get_mut(&step).map(|step| &mut step.machine) {
            Some(Machine::Call(call)) => Some(call),
            _ => None,
        }
    }

    /// Calls a step's function with these rows; waits while as many are under way as may.
    pub(super) fn begin(&mut self, step: usize, parts: Vec<Part>) -> Result<(), Error> {
        for part in parts {
            self.wait_while(step, |call| call.calls.is_full())?;
            if let Some(call) = self.call(step) {
                call.calls.begin(part);
            }
        }
        if let Some(call) = self.call(step) {
            call.calls.begun();
        }
        self.release(step)
    }

    /// Calls a step's function with the rows that waited for more.
    pub(super) fn begin_gathered(&mut self, step: usize) -> Result<(), Error> {
        match self.call(step).map(|call| call.calls.all_gathered()) {
            Some(parts) if !parts.is_empty() => self.begin(step, parts),
            _ => Ok(()),
        }
    }

    /// Sends a watermark or a barrier on, behind the rows that are with the step's function.
    pub(super) fn pass(&mut self, step: usize, message: &Message) -> Result<(), Error> {
        if let Some(call) = self.call(step).filter(|call| !call.calls.is_empty()) {
            call.calls.behind(message.clone());
            return self.release(step);
        }
        let edges = Arc::clone(&self.steps[&step].edges);
        self.send_all(&edges, message)
    }

    /// Waits until nothing is with the step's function any more.
    pub(super) fn finish_calls(&mut self, step: usize) -> Result<(), Error> {
        self.begin_gathered(step)?;
        self.wait_while(step, |call| !call.calls.is_empty())
    }

    /// Does what is due by time, and passes on what calls gave meanwhile.
    pub(super) fn due(&mut self) -> Result<(), Error> {
        if !self.with_functions {
            return Ok(());
        }
        for at in 0..self.calling.len() {
            let step = self.calling[at];
            let Some(call) = self.call(step) else { continue };
            let parts = call.calls.due();
            if parts.is_empty() { self.release(step)? } else { self.begin(step, parts)? }
        }
        let steps = &self.steps;
        let has_rows = |step| matches!(&steps[step].machine, Machine::Call(call) if !call.calls.is_empty());
        self.with_functions = self.calling.iter().any(has_rows);
        Ok(())
    }

    /// Passes on what calls give until `held` no longer holds.
    fn wait_while(&mut self, step: usize, held: impl Fn(&CallMachine) -> bool) -> Result<(), Error> {
        loop {
            if !self.call(step).is_some_and(|call| held(call)) {
                return Ok(());
            }
            self.release(step)?;
            if self.call(step).is_some_and(|call| held(call)) {
                self.wait_for_call(LOOK);
            }
            if self.control.failed() {
                return Err(Error::failed("the run has failed elsewhere"));
            }
        }
    }

    /// Passes on all that may leave.
    fn release(&mut self, step: usize) -> Result<(), Error> {
        while let Some(call) = self.call(step) {
            match call.released()? {
                None => break,
                Some(Released::Made(batch, delivered)) => {
                    let done = call.done(delivered);
                    self.made(step, 0, &batch, done)?;
                }
                Some(Released::Behind(message)) => {
                    let edges = Arc::clone(&self.steps[&step].edges);
                    self.send_all(&edges, &message)?;
                }
            }
        }
        Ok(())
    }
}
