//! What a function may ask of the engine besides its input: configuration, metrics, and which call runs.
//!
//! Outside WebAssembly, as in unit tests, configuration comes from the process's environment, metrics go nowhere, and
//! the call is one without names.

/// What `wit-bindgen` makes of the host's interface, for both worlds.
#[doc(hidden)]
#[allow(missing_docs, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        inline: "package riverhook:sdk; world host { import riverhook:function/host@0.1.0; }",
        world: "riverhook:sdk/host",
        generate_all,
    });
}

#[cfg(target_family = "wasm")]
use bindings::riverhook::function::host;

/// The value of this name under the function's `env:` in the pipeline file.
pub fn config(name: &str) -> Option<String> {
    #[cfg(target_family = "wasm")]
    return host::config(name);
    #[cfg(not(target_family = "wasm"))]
    std::env::var(name).ok()
}

/// Adds to a counter of this function among the engine's metrics. A name is a letter `a-z` or `_` and then those and
/// digits; a function has at most 64, and what goes beyond is dropped.
pub fn counter(name: &str, value: u64) {
    #[cfg(target_family = "wasm")]
    host::counter(name, value);
    #[cfg(not(target_family = "wasm"))]
    let _ = (name, value);
}

/// Sets a gauge of this function, with a finite value. Names are those of counters.
pub fn gauge(name: &str, value: f64) {
    #[cfg(target_family = "wasm")]
    host::gauge(name, value);
    #[cfg(not(target_family = "wasm"))]
    let _ = (name, value);
}

/// The call that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The pipeline.
    pub pipeline: String,
    /// The node of the pipeline that calls.
    pub node: String,
    /// The function's name in the pipeline file.
    pub function: String,
    /// The call's name in logs and dead letters. Each try has its own.
    pub invocation_id: String,
    /// How long the call may still run, from now.
    pub time_left: std::time::Duration,
}

/// Which call this is, and how much time it has left.
pub fn context() -> Context {
    #[cfg(target_family = "wasm")]
    {
        let host::Invocation { pipeline, node, function, invocation_id, deadline_ms } = host::context();
        Context { pipeline, node, function, invocation_id, time_left: std::time::Duration::from_millis(deadline_ms) }
    }
    #[cfg(not(target_family = "wasm"))]
    Context {
        pipeline: String::new(),
        node: String::new(),
        function: String::new(),
        invocation_id: String::new(),
        time_left: std::time::Duration::from_secs(1),
    }
}
