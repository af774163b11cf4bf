//! The copies of one function at one node: started when a call needs one, kept warm for a while, none when idle.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_schema::SchemaRef;
use parking_lot::{Condvar, Mutex};
use riverhook_udf::{CallError, CallErrorKind, Caller, Function, Instance, OpenError};

/// How many copies of a function may run at the same time, over all nodes that call it.
#[derive(Debug)]
pub struct Slots {
    most: usize,
    busy: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    /// At most so many.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), busy: Mutex::new(0), freed: Condvar::new() })
    }

    /// How many there may be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Waits for a slot; true if there was none at once.
    fn take(&self) -> bool {
        let mut busy = self.busy.lock();
        let waited = *busy >= self.most;
        while *busy >= self.most {
            self.freed.wait(&mut busy);
        }
        *busy += 1;
        waited
    }

    fn give_back(&self) {
        *self.busy.lock() -= 1;
        self.freed.notify_one();
    }
}

/// The copies of one function at one node.
pub struct Copies {
    function: Arc<dyn Function>,
    input: SchemaRef,
    caller: Caller,
    slots: Arc<Slots>,
    idle_timeout: Duration,
    /// Those that no call uses, the one used last at the end.
    idle: Mutex<Vec<(Box<dyn Instance>, Instant)>>,
}

impl Copies {
    /// None yet, of this function for rows of `input`.
    pub fn new(
        function: Arc<dyn Function>,
        input: SchemaRef,
        caller: Caller,
        slots: Arc<Slots>,
        idle_timeout: Duration,
    ) -> Arc<Self> {
        Arc::new(Self { function, input, caller, slots, idle_timeout, idle: Mutex::default() })
    }

    /// Takes a warm copy, or opens one; waits while as many run as may. `throttled` is told if it had to.
    ///
    /// # Errors
    /// If a copy cannot be opened.
    pub fn take(&self, throttled: impl FnOnce()) -> Result<Copy<'_>, CallError> {
        if self.slots.take() {
            throttled();
        }
        let slot = Slot(&self.slots);
        let warm = self.idle.lock().pop();
        let instance = match warm {
            Some((instance, _)) => instance,
            None => self.function.instance(Arc::clone(&self.input), &self.caller).map_err(unopened)?,
        };
        Ok(Copy { copies: self, instance: Some(instance), _slot: slot })
    }

    /// Lets copies go that nobody used for long. One whose node is busy is not among them.
    pub fn reap(&self) {
        let Some(mut idle) = self.idle.try_lock() else { return };
        if idle.first().is_none_or(|(_, since)| since.elapsed() < self.idle_timeout) {
            return;
        }
        let fresh = idle.iter().position(|(_, since)| since.elapsed() < self.idle_timeout);
        let fresh = fresh.unwrap_or(idle.len());
        let old: Vec<_> = idle.drain(..fresh).collect();
        drop(idle);
        // Ending them may take a moment, and others may take copies meanwhile.
        drop(old);
    }

    /// Copies that are warm and wait.
    pub fn idle(&self) -> usize {
        self.idle.lock().len()
    }

    /// The same node with another function: a stub.
    pub fn with(&self, function: Arc<dyn Function>) -> Arc<Self> {
        Self::new(function, Arc::clone(&self.input), self.caller.clone(), Arc::clone(&self.slots), self.idle_timeout)
    }

    /// How many may run at the same time.
    pub fn most(&self) -> usize {
        self.slots.most()
    }

    /// Whether a call waits for something else than this process.
    pub fn waits(&self) -> bool {
        self.function.waits()
    }
}

/// A copy in use. Dropped, it is kept for the next call.
pub struct Copy<'a> {
    copies: &'a Copies,
    instance: Option<Box<dyn Instance>>,
    _slot: Slot<'a>,
}

impl Copy<'_> {
    /// The copy.
    pub fn instance(&mut self) -> &mut dyn Instance {
        self.instance.as_deref_mut().expect("it is here until this is dropped")
    }
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        // One that panicked is in doubt.
        if let Some(instance) = self.instance.take().filter(|_| !std::thread::panicking()) {
            self.copies.idle.lock().push((instance, Instant::now()));
        }
    }
}

struct Slot<'a>(&'a Slots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// A copy that could be opened when the pipeline was checked, and now cannot.
fn unopened(error: OpenError) -> CallError {
    match error {
        OpenError::Start(error) => error,
        other => CallError { kind: CallErrorKind::InvalidResponse, message: other.to_string(), retryable: false },
    }
}
