//! What the tests of functions share: the runtime, components written as text, and random batches.

// Each test file compiles this for itself and uses a part of it.
#![allow(dead_code)]

pub(crate) mod batches;
pub(crate) mod guest;
pub(crate) mod json;
pub(crate) mod record_guest;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use riverhook_udf::{
    CallErrorKind, Caller, Function, Instance, Invocation, Limits, LogLevel, LogSink, Runtime, Settings, WasmFunction,
};

/// One runtime for all tests of a file; compiled guests are kept for the next run.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled-functions");
        Runtime::new(Some(&cache)).unwrap()
    })
}

/// A prebuilt guest of `tests/guests`.
pub(crate) fn prebuilt(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/guests/{name}.wasm"));
    std::fs::read(path).unwrap()
}

/// The same guest built anew of its source, if the environment says that components can be built of Rust here.
pub(crate) fn built(name: &str) -> Option<Vec<u8>> {
    let target = named("RIVERHOOK_TEST_RUST_SDK", name)?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = target.join(format!("{name}.built.wasm"));
    let mut build = Command::new(workspace.join("udf/sdk/rust/build.sh"));
    build.arg(format!("udf/tests/guests/{name}")).arg(&output).current_dir(workspace);
    let built = build.env("CARGO_TARGET_DIR", &target).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(std::fs::read(output).unwrap())
}

/// The folder that the variable names; says that a test is left out if there is none.
pub(crate) fn named(variable: &str, source: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        // Not eprintln!, which the test harness swallows.
        let _ = writeln!(std::io::stderr(), "LEFT OUT: building {source} needs {variable}: see udf/sdk/README.md");
    }
    folder
}

pub(crate) fn function(code: &[u8], limits: Limits) -> WasmFunction {
    let settings = patient(limits);
    runtime().load("test", code, settings, LogSink::none()).unwrap()
}

/// These limits, with time enough to compile on a machine that is busy with other tests.
pub(crate) fn patient(limits: Limits) -> Settings {
    Settings { limits: Limits { compile_timeout: Duration::from_secs(300), ..limits }, ..Settings::default() }
}

/// Log lines: invocation, level, text.
pub(crate) type Lines = Arc<Mutex<Vec<(uuid::Uuid, LogLevel, String)>>>;

/// A function that keeps its log lines.
pub(crate) fn logging(code: &[u8], limits: Limits) -> (WasmFunction, Lines) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = {
        let lines = Arc::clone(&lines);
        LogSink::new(move |line| {
            lines.lock().unwrap().push((line.invocation, line.level, line.message.to_owned()));
        })
    };
    let settings = patient(limits);
    (runtime().load("test", code, settings, sink).unwrap(), lines)
}

pub(crate) fn short(timeout: u64) -> Limits {
    Limits { timeout: Duration::from_millis(timeout), ..Limits::default() }
}

/// A batch of one column of int64.
pub(crate) fn numbers(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column = Int64Array::from_iter_values(values);
    RecordBatch::try_new(numbers_schema(), vec![Arc::new(column)]).unwrap()
}

pub(crate) fn numbers_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]))
}

pub(crate) fn open(function: &WasmFunction) -> Box<dyn Instance> {
    function.instance(numbers_schema(), &Caller::default()).unwrap()
}

/// Calls with three rows and returns the kind and text of the failure.
pub(crate) fn failure(instance: &mut dyn Instance) -> (CallErrorKind, String) {
    let error = instance.call(&numbers([1, 2, 3]), &Invocation::default()).result.unwrap_err();
    (error.kind, error.message)
}
