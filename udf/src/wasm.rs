//! WebAssembly components as functions.
//!
//! A [`Runtime`] is one wasmtime engine with its clock for time limits, its compiler and its cache of compiled code;
//! a process needs one. Code is inspected before it is compiled ([`inspect`]), compiled once and kept on disk
//! ([`compile`], [`cache`]), and run in instances that see nothing of the machine ([`sandbox`], [`wasi`]). What crosses
//! depends on the world that the code is made for ([`exports`]): columns ([`batches`]), or records as JSON
//! ([`records`]).
//!
//! Calls run on the caller's thread. A guest that computes too long is stopped by wasmtime's epochs ([`ticker`]), one
//! that waits too long in a host call by the wait itself ([`block_on`]).

mod abi;
mod answers;
mod batches;
mod block_on;
mod cache;
mod compile;
mod exports;
mod guest;
mod inspect;
mod records;
mod sandbox;
mod settings;
mod slot;
mod ticker;
mod wasi;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arrow_schema::{Schema, SchemaRef};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use wasmtime::component::{InstancePre, Linker};
use wasmtime::{Config, Engine};

use self::batches::BatchInstance;
use self::cache::Cache;
use self::compile::Compiler;
use self::exports::Exports;
use self::records::RecordInstance;
use self::sandbox::{State, Surroundings};
pub use self::settings::{Records, Recycle, Settings};
use self::ticker::Ticker;
use crate::contract::{CallError, CallErrorKind, Caller, Function, Instance, LogSink, OpenError};
use crate::logs::LogGate;
use crate::metrics::MetricGate;

/// Why the runtime could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The folder for compiled code cannot be used.
    #[error("the folder for compiled functions, {path}, cannot be used: {problem}")]
    Cache {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// WebAssembly cannot run on this machine.
    #[error("WebAssembly cannot run here: {0}")]
    Engine(String),
}

/// Why code was not accepted as a function.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a component.
    #[error("{0}")]
    NotAComponent(String),
    /// The file, or a part of it, is larger than allowed.
    #[error("{0}")]
    TooLarge(String),
    /// The component wants something that functions are not given.
    #[error(
        "imports `{0}`, which functions are not given; they may import riverhook:function/host@0.1 and WASI 0.2 (without files and network)"
    )]
    UnknownImport(String),
    /// The component is not a function.
    #[error(
        "does not export `{0}`: it is a component, but not a function of Riverhook; build it against the world `batch-function` or `record-function`"
    )]
    MissingExport(String),
    /// The component takes records, and the settings do not say how rows become such: [`Settings::records`].
    #[error("takes records as JSON, and nothing says how rows are written as such")]
    NoRecords,
    /// The code was not compiled in time.
    #[error("compiling took longer than {0:?} and was given up; raise the limit if the code is meant to be that large")]
    CompileTimeout(Duration),
    /// Earlier compilations that were given up are still running.
    #[error("{0} compilations that took too long are still running; try again later")]
    CompilerBusy(usize),
    /// The code is not valid.
    #[error("is not valid WebAssembly: {0}")]
    Invalid(String),
}

/// The engine that all WebAssembly functions of a process share.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

/// What a function's instances need of the runtime, which lives for as long as any of them.
struct Shared {
    linker: Linker<State>,
    ticker: Ticker,
    compiler: Compiler,
    /// The components of functions that live, by content hash: functions of one component share its compiled code.
    codes: Mutex<HashMap<String, Known>>,
    /// Timers for guests that wait for WASI's clock. No other guest needs it, so it is made when one does.
    timers: OnceLock<tokio::runtime::Runtime>,
}

/// A component, while a function has it.
struct Known {
    component: Weak<InstancePre<State>>,
    exports: Exports,
    uses_wasi: bool,
}

/// A component that can be instantiated.
struct Code {
    component: Arc<InstancePre<State>>,
    exports: Exports,
    uses_wasi: bool,
}

impl Runtime {
    /// Makes a runtime that keeps compiled code in the folder `cache`, which must belong to this user alone and is
    /// made if it is missing; without one, code is compiled at each start.
    pub fn new(cache: Option<&Path>) -> Result<Self, RuntimeError> {
        let engine = Engine::new(&engine_config()).map_err(|error| RuntimeError::Engine(error.to_string()))?;
        let linker = sandbox::linker(&engine).map_err(|error| RuntimeError::Engine(error.to_string()))?;
        let cache = cache.map(Cache::open).transpose()?;
        let ticker = Ticker::start(&engine).map_err(|error| RuntimeError::Engine(error.to_string()))?;
        let compiler = Compiler::new(engine, cache);
        let (codes, timers) = (Mutex::default(), OnceLock::new());
        Ok(Self { shared: Arc::new(Shared { linker, ticker, compiler, codes, timers }) })
    }

    /// Loads the component in the file `path`; see [`Runtime::load`].
    pub fn load_file(
        &self,
        name: &str,
        path: &Path,
        settings: Settings,
        logs: LogSink,
    ) -> Result<WasmFunction, LoadError> {
        let read = |source| LoadError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        let mut code = Vec::new();
        // One byte more than allowed is enough for `load` to refuse the file without reading it all.
        let most = settings.limits.max_module_size as u64 + 1;
        file.take(most).read_to_end(&mut code).map_err(read)?;
        self.load(name, &code, settings, logs)
    }

    /// Checks the component `code`, compiles it or takes it from the cache, and makes it a function. No code of the
    /// function runs yet.
    pub fn load(&self, name: &str, code: &[u8], settings: Settings, logs: LogSink) -> Result<WasmFunction, LoadError> {
        let limits = settings.limits;
        if code.len() > limits.max_module_size {
            return Err(LoadError::TooLarge(format!(
                "is larger than {} bytes, the limit of a function's code",
                limits.max_module_size
            )));
        }
        let version = hex(&Sha256::digest(code));
        let Code { component, exports, uses_wasi } = match self.shared.known(&version) {
            Some(code) => code,
            None => self.shared.prepare(code, &version, limits.compile_timeout)?,
        };
        if matches!(exports, Exports::Records { .. }) && settings.records.is_none() {
            return Err(LoadError::NoRecords);
        }
        let surroundings = Arc::new(Surroundings {
            name: name.to_owned(),
            config: settings.config.clone(),
            logs: LogGate::new(name, logs, &limits),
            metrics: MetricGate::new(settings.metrics.clone()),
        });
        let shared = Arc::clone(&self.shared);
        let loaded = Loaded { shared, component, exports, settings, surroundings, version, uses_wasi };
        Ok(WasmFunction { inner: Arc::new(loaded) })
    }
}

impl Shared {
    fn known(&self, version: &str) -> Option<Code> {
        let codes = self.codes.lock();
        let Known { component, exports, uses_wasi } = codes.get(version)?;
        Some(Code { component: component.upgrade()?, exports: *exports, uses_wasi: *uses_wasi })
    }

    /// Checks a component and compiles it or takes it from the cache.
    fn prepare(&self, code: &[u8], version: &str, limit: Duration) -> Result<Code, LoadError> {
        let uses_wasi = inspect::inspect(code)?.uses_wasi;
        let component = self.compiler.component(code, version, limit)?;
        let exports = Exports::find(&component)?;
        let component =
            self.linker.instantiate_pre(&component).map_err(|error| LoadError::Invalid(format!("{error:#}")))?;
        let component = Arc::new(component);
        let mut codes = self.codes.lock();
        codes.retain(|_, known| known.component.strong_count() > 0);
        codes.insert(version.to_owned(), Known { component: Arc::downgrade(&component), exports, uses_wasi });
        Ok(Code { component, exports, uses_wasi })
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Runtime")
    }
}

/// What of wasmtime is switched on. Whatever changes compiled code also changes the cache's key.
fn engine_config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .wasm_memory64(false)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(512 << 10)
        .async_stack_size(1 << 20)
        // Neither is needed for traps; without them compiled code is smaller and loads faster.
        .generate_address_map(false)
        .native_unwind_info(false);
    config
}

/// A component that has been loaded, ready to be instantiated any number of times.
struct Loaded {
    shared: Arc<Shared>,
    component: Arc<InstancePre<State>>,
    exports: Exports,
    settings: Settings,
    surroundings: Arc<Surroundings>,
    version: String,
    uses_wasi: bool,
}

impl Loaded {
    /// Makes the timers that WASI's clock needs reachable from this thread, for a function that may use them.
    fn timers(&self) -> Result<Option<tokio::runtime::EnterGuard<'_>>, CallError> {
        if !self.uses_wasi {
            return Ok(None);
        }
        let timers = &self.shared.timers;
        if timers.get().is_none() {
            let made = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("function-timers")
                .enable_time()
                .build()
                .map_err(|error| CallError::new(CallErrorKind::Crash, format!("no thread for timers: {error}")))?;
            // Another thread may have been faster; then this one goes again.
            if let Err(unused) = timers.set(made) {
                unused.shutdown_background();
            }
        }
        Ok(timers.get().map(tokio::runtime::Runtime::enter))
    }
}

/// A WebAssembly component as a [`Function`].
#[derive(Clone)]
pub struct WasmFunction {
    inner: Arc<Loaded>,
}

impl WasmFunction {
    /// The same compiled code, with other ways to write and read records. One over batches has no records.
    pub fn with_records(&self, records: Records) -> Self {
        let Loaded { shared, component, exports, settings, surroundings, version, uses_wasi } = &*self.inner;
        Self {
            inner: Arc::new(Loaded {
                shared: Arc::clone(shared),
                component: component.clone(),
                exports: *exports,
                settings: Settings { records: Some(records), ..settings.clone() },
                surroundings: Arc::clone(surroundings),
                version: version.clone(),
                uses_wasi: *uses_wasi,
            }),
        }
    }
}

impl Function for WasmFunction {
    fn describe(&self, input: &Schema) -> Result<SchemaRef, OpenError> {
        let instance = self.instance(Arc::new(input.clone()), &Caller::default())?;
        Ok(Arc::clone(instance.output()))
    }

    fn instance(&self, input: SchemaRef, caller: &Caller) -> Result<Box<dyn Instance>, OpenError> {
        let (function, caller) = (Arc::clone(&self.inner), caller.clone());
        Ok(match (&self.inner.exports, &self.inner.settings.records) {
            (Exports::Batch(exports), _) => Box::new(BatchInstance::open(function, *exports, &input, caller)?),
            (Exports::Records { process }, Some(records)) => {
                Box::new(RecordInstance::open(function, *process, records, &input, caller)?)
            }
            (Exports::Records { .. }, None) => {
                return Err(OpenError::UnsupportedInput(LoadError::NoRecords.to_string()));
            }
        })
    }

    fn version(&self) -> &str {
        &self.inner.version
    }
}

impl std::fmt::Debug for WasmFunction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WasmFunction").field("version", &self.inner.version).finish_non_exhaustive()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
