//! Compiles components, once: beside the caller, for a bounded time, through the cache.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::LoadError;
use super::cache::Cache;

/// Compilations that were given up but cannot be stopped; with this many running, no other is begun.
const MAX_ABANDONED: usize = 2;
/// Threads of one compilation.
const MAX_THREADS: usize = 4;

/// The compiler and its cache.
pub(crate) struct Compiler {
    engine: Engine,
    cache: Option<Cache>,
    /// How many compilations were given up and still run.
    abandoned: Arc<AtomicUsize>,
}

impl Compiler {
    pub(crate) fn new(engine: Engine, cache: Option<Cache>) -> Self {
        Self { engine, cache, abandoned: Arc::default() }
    }

    /// The compiled form of `code`, whose hash is `version`.
    pub(crate) fn component(&self, code: &[u8], version: &str, limit: Duration) -> Result<Component, LoadError> {
        let Some(cache) = &self.cache else { return self.compile(code, limit) };
        if let Some(component) = cache.load(&self.engine, version) {
            return Ok(component);
        }
        let component = self.compile(code, limit)?;
        // The cache is an optimisation: a full disk costs time at the next start, nothing else.
        if let Ok(compiled) = component.serialize()
            && let Err(error) = cache.store(&self.engine, version, &compiled)
        {
            tracing::warn!(%error, "cannot keep a compiled function; it is compiled again at the next start");
        }
        Ok(component)
    }

    /// Compiles on another thread, so that a compile bomb holds up its caller no longer than `limit`. The compiler
    /// cannot be stopped: that thread goes on, which is why only a few such may exist.
    fn compile(&self, code: &[u8], limit: Duration) -> Result<Component, LoadError> {
        let abandoned = self.abandoned.load(Ordering::SeqCst);
        if abandoned >= MAX_ABANDONED {
            return Err(LoadError::CompilerBusy(abandoned));
        }
        // Without room for a result, sending succeeds only while somebody waits for it.
        let (sender, receiver) = mpsc::sync_channel(0);
        let (engine, code) = (self.engine.clone(), code.to_owned());
        let still_running = Arc::clone(&self.abandoned);
        thread::Builder::new()
            .name("function-compile".to_owned())
            .spawn(move || {
                if sender.send(compile_alone(&engine, &code)).is_err() {
                    still_running.fetch_sub(1, Ordering::SeqCst);
                }
            })
            .map_err(|error| LoadError::Invalid(format!("no thread for the compiler: {error}")))?;
        receiver.recv_timeout(limit).map_or_else(
            |_| {
                self.abandoned.fetch_add(1, Ordering::SeqCst);
                Err(LoadError::CompileTimeout(limit))
            },
            |result| result.map_err(|error| LoadError::Invalid(format!("{error:#}"))),
        )
    }
}

/// Compiles on threads of its own. In the pool that all compilations would share, one that was given up would hold up
/// every later one.
fn compile_alone(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    match rayon::ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(|| Component::new(engine, code)),
        Err(error) => Err(wasmtime::Error::msg(format!("no threads for the compiler: {error}"))),
    }
}
