//! Functions over records: one set of cases for the same function in three languages.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, UnionFields, UnionMode};
use riverhook_udf::{
    CallErrorKind, Caller, Function as _, Instance, Invocation, Limits, LogSink, MetricSink, Origin, Records, Settings,
    WasmFunction,
};
use support::json::{ArrowJson, passthrough};
use support::{built, named, patient, prebuilt, runtime};
use uuid::Uuid;

fn order_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("price", DataType::Float64, false),
        Field::new("quantity", DataType::Int64, false),
    ]))
}

fn total_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("total", DataType::Float64, false),
        Field::new("currency", DataType::Utf8, false),
    ]))
}

/// Orders of (id, price, quantity).
fn orders(rows: &[(i64, f64, i64)]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let prices = Float64Array::from_iter_values(rows.iter().map(|row| row.1));
    let quantities = Int64Array::from_iter_values(rows.iter().map(|row| row.2));
    RecordBatch::try_new(order_schema(), vec![Arc::new(ids), Arc::new(prices), Arc::new(quantities)]).unwrap()
}

fn totals(rows: &[(i64, f64, &str)]) -> RecordBatch {
    let ids = Int64Array::from_iter_values(rows.iter().map(|row| row.0));
    let totals = Float64Array::from_iter_values(rows.iter().map(|row| row.1));
    let currencies = StringArray::from_iter_values(rows.iter().map(|row| row.2));
    RecordBatch::try_new(total_schema(), vec![Arc::new(ids), Arc::new(totals), Arc::new(currencies)]).unwrap()
}

/// What a function told besides its answers: log lines and metrics.
type Told = Arc<Mutex<Vec<String>>>;

fn load(code: &[u8], output: Option<SchemaRef>, config: &[(&str, &str)]) -> (WasmFunction, Told) {
    let told = Told::default();
    let (lines, metrics) = (Arc::clone(&told), Arc::clone(&told));
    let settings = Settings {
        config: config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        metrics: MetricSink::new(move |metric| {
            metrics.lock().unwrap().push(format!("{}.{} {:?}", metric.function, metric.name, metric.value));
        }),
        records: Some(Records { codecs: Arc::new(ArrowJson), output, passthrough: passthrough() }),
        ..patient(Limits { memory: 128 << 20, timeout: Duration::from_secs(30), ..Limits::default() })
    };
    let sink = LogSink::new(move |line| lines.lock().unwrap().push(format!("{:?} {}", line.level, line.message)));
    (runtime().load("totals", code, settings, sink).unwrap(), told)
}

fn open(function: &WasmFunction) -> Box<dyn Instance> {
    let caller = Caller { pipeline: "shop".into(), node: "sums".into() };
    function.instance(order_schema(), &caller).unwrap()
}

/// All cases on one guest.
fn check(code: &[u8]) {
    let (function, told) = load(code, Some(total_schema()), &[("CURRENCY", "CHF")]);
    assert_eq!(function.describe(&order_schema()).unwrap(), total_schema());
    let mut instance = open(&function);

    let batch = orders(&[(1, 2.5, 4), (2, 1.0, 0), (3, 1.0, -1), (4, 0.5, 200)]);
    let outcome = instance.call(&batch, &Invocation::default()).result.unwrap();
    assert_eq!(outcome.output, totals(&[(1, 10.0, "CHF"), (4, 50.0, "CHF"), (4, 50.0, "CHF")]));
    assert_eq!(outcome.origin, Origin::Rows(vec![0, 3, 3]));
    let [failed] = &outcome.failed[..] else { panic!("{:?}", outcome.failed) };
    assert_eq!((failed.row, failed.code.as_str(), failed.retryable), (2, "Order.BadQuantity", false));
    assert_eq!(failed.message, "`quantity` must not be negative");
    {
        let told = told.lock().unwrap();
        let count = |line: &str| told.iter().filter(|told| *told == line).count();
        assert_eq!(count("totals.orders Counter(1)"), 4, "{told:?}");
        assert_eq!(count("totals.last_total Gauge(100.0)"), 1, "{told:?}");
        assert_eq!(count("Info order 4 is sent in two parts"), 1, "{told:?}");
    }

    what_does_not_fit_fails_alone(instance.as_mut());
    which_call_it_is(instance.as_mut());
    let outcome = instance.call(&orders(&[]), &Invocation::default()).result.unwrap();
    assert_eq!((outcome.output.num_rows(), outcome.origin), (0, Origin::Rows(vec![])));
    many_at_once(instance.as_mut());
}

/// Order 13 answers a record that fits the schema and one that does not: both are gone, its neighbours are not.
fn what_does_not_fit_fails_alone(instance: &mut dyn Instance) {
    let batch = orders(&[(12, 1.0, 1), (13, 1.0, 1), (14, 1.0, -1), (15, 1.0, 1)]);
    let outcome = instance.call(&batch, &Invocation::default()).result.unwrap();
    assert_eq!(outcome.output, totals(&[(12, 1.0, "CHF"), (15, 1.0, "CHF")]));
    assert_eq!(outcome.origin, Origin::Rows(vec![0, 3]));
    let failed: Vec<_> = outcome.failed.iter().map(|failed| (failed.row, failed.code.as_str())).collect();
    assert_eq!(failed, [(1, "Function.InvalidResponse"), (2, "Order.BadQuantity")]);
    assert_eq!(outcome.failed[0].message, "it does not fit");
}

fn which_call_it_is(instance: &mut dyn Instance) {
    let invocation = Invocation { id: Uuid::from_u128(42), ..Invocation::default() };
    let outcome = instance.call(&orders(&[(0, 1.0, 1)]), &invocation).result.unwrap();
    let text = outcome.output.column(2).as_string::<i32>().value(0).to_owned();
    assert_eq!(text, "shop/sums/totals/00000000-0000-0000-0000-00000000002a/true");
}

fn many_at_once(instance: &mut dyn Instance) {
    let rows: Vec<_> = (100..8292).map(|id| (id, 1.0, 1)).collect();
    let reply = instance.call(&orders(&rows), &Invocation::default());
    let outcome = reply.result.unwrap();
    println!("8192 records: {:?}, {} bytes of memory", reply.usage.duration, reply.usage.peak_memory);
    let ids: Vec<_> = outcome.output.column(0).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(ids, (100..8292).collect::<Vec<_>>());
}

#[test]
fn in_rust() {
    check(&prebuilt("orders"));
}

#[test]
fn in_javascript() {
    check(&prebuilt("orders_js"));
}

/// The prebuilt component is the one that its source makes: where the tools are there, a fresh one does the same. So it
/// is for JavaScript.
#[test]
fn in_rust_as_built_now() {
    if let Some(component) = built("orders") {
        check(&component);
    }
}

/// The component with Python's interpreter is too large to be kept; it is built where the tool is there.
#[test]
fn in_python() {
    let Some(component) = built_with("orders.py", "RIVERHOOK_TEST_PYTHON_SDK") else { return };
    check(&component);
}

#[test]
fn in_javascript_as_built_now() {
    let Some(component) = built_with("orders.js", "RIVERHOOK_TEST_JS_SDK") else { return };
    check(&component);
}

/// Builds a guest with the SDK's command, if the environment says in which folder it is installed.
fn built_with(source: &str, variable: &str) -> Option<Vec<u8>> {
    let folder = named(variable, source)?;
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    // Beside the tool's modules, where those of JavaScript are looked for.
    std::fs::copy(guests.join(source), folder.join(source)).unwrap();
    let output = folder.join(source).with_extension("built.wasm");
    let tool = ["node_modules/.bin", "bin"].map(|place| folder.join(place).join("riverhook-function"));
    let tool = tool.iter().find(|tool| tool.exists()).unwrap_or_else(|| panic!("no command in {}", folder.display()));
    let built = Command::new(tool).args(["build", source, "-o"]).arg(&output).current_dir(&folder).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(std::fs::read(output).unwrap())
}

#[test]
fn without_declared_columns_answers_pass_through_as_json() {
    let (function, _) = load(&prebuilt("orders"), None, &[]);
    let batch = orders(&[(1, 2.5, 4), (2, 1.0, 0), (13, 1.0, 1)]);
    let outcome = open(&function).call(&batch, &Invocation::default()).result.unwrap();
    let expected: ArrayRef = Arc::new(StringArray::from(vec![
        r#"{"id":1,"total":10.0,"currency":"EUR"}"#,
        r#"{"id":13,"total":1.0,"currency":"EUR"}"#,
        r#"{"id":13,"total":1.0,"currency":null}"#,
    ]));
    assert_eq!(
        outcome.output,
        RecordBatch::try_new(Arc::new(Schema::new(vec![passthrough()])), vec![expected]).unwrap()
    );
    assert_eq!(outcome.origin, Origin::Rows(vec![0, 2, 2]));
}

#[test]
fn a_record_that_is_not_one_of_its_structs_fails_alone() {
    let (function, _) = load(&prebuilt("orders"), Some(total_schema()), &[]);
    let batch = orders(&[(-5, 1.0, 1), (1, 1.0, 1)]);
    let outcome = open(&function).call(&batch, &Invocation::default()).result.unwrap();
    assert_eq!(outcome.output.num_rows(), 1);
    assert_eq!((outcome.failed[0].row, outcome.failed[0].code.as_str()), (0, "Record.Invalid"));
}

#[test]
fn a_function_over_records_needs_to_be_told_how() {
    let settings = patient(Limits::default());
    let error = runtime().load("test", &prebuilt("orders"), settings, LogSink::none()).unwrap_err();
    assert!(error.to_string().contains("takes records"), "{error}");
    let passthrough = Arc::new(Field::new("value", DataType::Binary, false));
    let records = Some(Records { codecs: Arc::new(ArrowJson), output: None, passthrough });
    let settings = Settings { records, ..patient(Limits::default()) };
    let function = runtime().load("test", &prebuilt("orders"), settings, LogSink::none()).unwrap();
    assert!(function.describe(&order_schema()).unwrap_err().to_string().contains("`value` is Binary"));
    let (function, _) = load(&prebuilt("orders"), Some(total_schema()), &[]);
    let odd = Schema::new(vec![Field::new("odd", DataType::Union(UnionFields::empty(), UnionMode::Dense), false)]);
    assert!(function.describe(&odd).unwrap_err().to_string().contains("`odd`"));
}

#[test]
fn a_call_that_ends_too_late_is_stopped() {
    let (function, _) = load(&prebuilt("orders_js"), Some(total_schema()), &[]);
    let mut instance = open(&function);
    let rows: Vec<_> = (100..20_000).map(|id| (id, 1.0, 1)).collect();
    let soon = Instant::now() + Duration::from_millis(20);
    let invocation = Invocation { deadline: Some(soon), ..Invocation::default() };
    let error = instance.call(&orders(&rows), &invocation).result.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::Timeout);
    let next = instance.call(&orders(&[(1, 1.0, 1)]), &Invocation::default());
    assert!(next.usage.cold_start.is_some() && next.result.unwrap().output.num_rows() == 1);
}
