//! Lines for the function's log. Outside WebAssembly, as in unit tests, they go to standard error.

/// Something failed.
pub fn error(message: &str) {
    write(Level::Error, message);
}

/// Something looks wrong.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Something worth knowing.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Something for whoever debugs the function.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Every step.
pub fn trace(message: &str) {
    write(Level::Trace, message);
}

/// Puts the message of a panic into the log; without this a crash would say no more than "unreachable".
pub(crate) fn panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|panic| error(&panic.to_string()))));
}

#[derive(Debug, Clone, Copy)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[cfg(target_family = "wasm")]
fn write(level: Level, message: &str) {
    use crate::host::bindings::riverhook::function::host;
    let level = match level {
        Level::Error => host::Level::Error,
        Level::Warn => host::Level::Warn,
        Level::Info => host::Level::Info,
        Level::Debug => host::Level::Debug,
        Level::Trace => host::Level::Trace,
    };
    host::log(level, message);
}

#[cfg(not(target_family = "wasm"))]
fn write(level: Level, message: &str) {
    eprintln!("{level:?}: {message}");
}
