//! What one instance sees of the host, and what holds it: its memory limit, its log, its metrics, its WASI without
//! contents.

use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;
use wasmtime::component::{Linker, ResourceTable, WasmStr};
use wasmtime::{Engine, ResourceLimiter, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use super::Loaded;
use super::abi::{self, HOST, Level};
use super::ticker::Ticker;
use super::wasi::{self, SharedInvocation};
use crate::contract::{Caller, LogLevel};
use crate::logs::{LogGate, cut};
use crate::metrics::{MAX_NAME, Metric, MetricGate, MetricValue};

/// Entries of one table: SpiderMonkey, the largest in use, has about 20,000.
const MAX_TABLE: usize = 100_000;
/// Core instances, tables and memories of one component, each. Tool chains make about ten.
const MAX_PARTS: usize = 64;
/// Handles that a guest may hold to things of the host, such as streams and timers.
const MAX_HANDLES: usize = 1_000;
/// Room for what an answer has besides its bytes: rows' numbers, failed rows, texts.
pub(crate) const ANSWER_ROOM: usize = 1 << 20;

/// The host's side of one instance.
pub(crate) struct State {
    pub(crate) limiter: Limiter,
    pub(crate) log: InstanceLog,
    /// When the code that runs now must have ended.
    pub(crate) deadline: Instant,
    function: Arc<Surroundings>,
    caller: Caller,
    wasi: WasiCtx,
    handles: ResourceTable,
}

/// What all instances of a function see of it.
pub(crate) struct Surroundings {
    pub(crate) name: String,
    pub(crate) config: Vec<(String, String)>,
    pub(crate) logs: Arc<LogGate>,
    pub(crate) metrics: MetricGate,
}

impl State {
    fn new(function: &Loaded, caller: &Caller) -> Self {
        let (settings, gate) = (&function.settings, &function.surroundings.logs);
        let invocation = SharedInvocation::default();
        let wasi = wasi::context(settings.grants, gate, &invocation);
        let mut handles = ResourceTable::new();
        handles.set_max_capacity(MAX_HANDLES);
        let log = InstanceLog { gate: Arc::clone(gate), invocation, dropped: 0, last_error: None };
        Self {
            limiter: Limiter::new(settings.limits.memory),
            log,
            deadline: Instant::now(),
            function: Arc::clone(&function.surroundings),
            caller: caller.clone(),
            wasi,
            handles,
        }
    }

    /// Forgets what belonged to the call before.
    pub(crate) fn begin(&mut self, invocation: Uuid) {
        self.limiter.refused = None;
        *self.log.invocation.lock() = invocation;
        self.log.dropped = 0;
        self.log.last_error = None;
    }

    fn config(&self, name: &str) -> Option<String> {
        self.function.config.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    /// Records a measurement of the guest's own, or tells its author why not.
    fn measure(&mut self, name: &str, value: MetricValue) {
        let function = Arc::clone(&self.function);
        let refused = function.metrics.record(&Metric { function: &function.name, name, value });
        if let Some(why) = refused {
            self.log.write(LogLevel::Warn, why);
        }
    }

    fn context(&self) -> abi::Invocation {
        let left = self.deadline.saturating_duration_since(Instant::now());
        abi::Invocation {
            pipeline: self.caller.pipeline.to_string(),
            node: self.caller.node.to_string(),
            function: self.function.name.clone(),
            invocation_id: self.log.invocation.lock().to_string(),
            deadline_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// A store for one instance of the function, with every limit set.
pub(crate) fn store(function: &Loaded, caller: &Caller) -> Store<State> {
    let engine = function.component.engine();
    let mut store = Store::new(engine, State::new(function, caller));
    store.limiter(|state| &mut state.limiter);
    // The ticker makes up for ticks it was late with, and a call just begun must not pay for them.
    store.epoch_deadline_callback(|store| {
        let left = store.data().deadline.saturating_duration_since(Instant::now());
        Ok(if left.is_zero() { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(Ticker::ticks(left)) })
    });
    store.set_hostcall_fuel(function.settings.limits.max_output.saturating_add(ANSWER_ROOM));
    store
}

/// Everything that functions may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    let mut host = linker.instance(HOST)?;
    host.func_wrap("log", |mut store: StoreContextMut<'_, State>, (level, message): (Level, WasmStr)| {
        // Cut before it is copied: the text may be as long as the guest's memory.
        let longest = store.data().log.gate.longest();
        let text = message.to_str(&store)?;
        let text = cut(&text, longest).to_owned();
        store.data_mut().log.write(level.into(), text);
        Ok(())
    })?;
    host.func_wrap("config", |store: StoreContextMut<'_, State>, (name,): (WasmStr,)| {
        let name = name.to_str(&store)?;
        Ok((store.data().config(&name),))
    })?;
    host.func_wrap("counter", |store: StoreContextMut<'_, State>, (name, value): (WasmStr, u64)| {
        measure(store, &name, MetricValue::Counter(value))
    })?;
    host.func_wrap("gauge", |store: StoreContextMut<'_, State>, (name, value): (WasmStr, f64)| {
        measure(store, &name, MetricValue::Gauge(value))
    })?;
    host.func_wrap("context", |store: StoreContextMut<'_, State>, (): ()| Ok((store.data().context(),)))?;
    Ok(linker)
}

fn measure(mut store: StoreContextMut<'_, State>, name: &WasmStr, value: MetricValue) -> wasmtime::Result<()> {
    // Cut before it is copied, one byte beyond what a name may have: the text may be as long as the guest's memory.
    let name = cut(&name.to_str(&store)?, MAX_NAME + 1).to_owned();
    store.data_mut().measure(&name, value);
    Ok(())
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.handles }
    }
}

/// The log of one instance: the function's gate, with what belongs to the call that runs.
pub(crate) struct InstanceLog {
    gate: Arc<LogGate>,
    invocation: SharedInvocation,
    pub(crate) dropped: u64,
    /// The last line of level error: the message of a panic, if the call ends in one.
    pub(crate) last_error: Option<String>,
}

impl InstanceLog {
    fn write(&mut self, level: LogLevel, message: String) {
        let invocation = *self.invocation.lock();
        if !self.gate.write(invocation, level, &message, Instant::now()) {
            self.dropped += 1;
        }
        if level == LogLevel::Error {
            self.last_error = Some(message);
        }
    }
}

/// Holds the memories and tables of one instance to their limits.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: usize,
    /// All memories together.
    held: usize,
    /// What was asked for and refused during this call, in bytes.
    pub(crate) refused: Option<usize>,
}

impl Limiter {
    fn new(limit: usize) -> Self {
        Self { limit, held: 0, refused: None }
    }

    /// What it holds. WebAssembly's memory only grows, so what is held now is also the peak.
    pub(crate) fn peak(&self) -> usize {
        self.held
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = (self.held - current).saturating_add(desired);
        if total > self.limit {
            self.refused = Some(total);
            return Ok(false);
        }
        self.held = total;
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE)
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}
