//! Events and answers, with an endpoint in memory.

use std::sync::{Arc, Mutex};

use arrow_array::builder::{BinaryBuilder, ListBuilder, StringBuilder, StructBuilder};
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array as _, ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Fields, Schema};
use serde_json::{Value, json};

use self::support::{ArrowJson, passthrough};
use super::handler::{Answered, Endpoint, Handler};
use super::{EventSource, JsonFunction, JsonSettings, Shape};
use crate::contract::{
    CallError, CallErrorKind, Caller, Function as _, Invocation, LogSink, Origin, Origins, Outcome, RecordOrigin, Usage,
};

#[path = "../../tests/support/json.rs"]
mod support;

/// Answers the same to every event, and keeps the last.
#[derive(Clone)]
struct Memory {
    answer: Arc<Vec<u8>>,
    event: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Endpoint for Memory {
    fn copy(&self, _: &Caller) -> Box<dyn Handler> {
        Box::new(self.clone())
    }

    fn version(&self) -> &str {
        "00"
    }
}

impl Handler for Memory {
    fn invoke(&mut self, event: &[u8], _: &Invocation<'_>) -> Answered {
        *self.event.lock().unwrap() = Some(event.to_vec());
        Answered { result: Ok(self.answer.to_vec()), usage: Usage::default() }
    }
}

/// Rows `n: int64` that came from here.
#[derive(Debug)]
struct From {
    source: &'static str,
    /// Partition and position of each row.
    places: Vec<(&'static str, u64)>,
    headers: ListArray,
}

impl Origins for From {
    fn of(&self, row: usize) -> Option<RecordOrigin<'_>> {
        let (partition, position) = *self.places.get(row)?;
        let key = (row == 0).then_some(&b"\0key"[..]);
        let headers = (!self.headers.is_empty()).then_some((&self.headers, row));
        let timestamp = 1_545_084_650_987;
        Some(RecordOrigin { source: self.source, partition, position, timestamp, key, headers })
    }
}

fn from(source: &'static str, places: &[(&'static str, u64)]) -> From {
    From { source, places: places.to_vec(), headers: headers(&[]) }
}

fn headers(rows: &[&[(&str, &[u8])]]) -> ListArray {
    let fields =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
    let mut list = ListBuilder::new(StructBuilder::from_fields(fields, 0));
    for row in rows {
        for (name, value) in *row {
            let entry = list.values();
            entry.field_builder::<StringBuilder>(0).unwrap().append_value(name);
            entry.field_builder::<BinaryBuilder>(1).unwrap().append_value(value);
            entry.append(true);
        }
        list.append(true);
    }
    list.finish()
}

fn settings() -> JsonSettings {
    let kafka = EventSource::Kafka { brokers: "b1:9092,b2:9092".to_owned() };
    let other = |kind: &str, arn: Option<&str>| EventSource::Other { kind: kind.to_owned(), arn: arn.map(Into::into) };
    let sources = [
        ("clicks", kafka),
        ("files", other("file", None)),
        ("bucket", other("s3", Some("arn:aws:s3:::b"))),
        ("clock", EventSource::Schedule),
        ("images", EventSource::Files),
        ("requests", EventSource::Requests),
    ];
    let sources = sources.map(|(name, source)| (name.to_owned(), source)).into();
    JsonSettings { sources, ..JsonSettings::new(passthrough()) }
}

fn records() -> JsonSettings {
    JsonSettings { shape: Shape::Records, ..settings() }
}

/// With a declared output `n: int64`.
fn declared() -> JsonSettings {
    JsonSettings { output: Some(numbers(0).schema()), ..records() }
}

fn numbers(rows: i64) -> RecordBatch {
    let column = Int64Array::from_iter_values(0..rows);
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, true)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(column)]).unwrap()
}

/// What came of one call.
struct Called {
    event: Option<Vec<u8>>,
    result: Result<Outcome, CallError>,
}

impl Called {
    fn event(&self) -> Value {
        serde_json::from_slice(self.event.as_ref().unwrap()).unwrap()
    }

    fn failed(&self) -> Vec<u32> {
        self.result.as_ref().unwrap().failed.iter().map(|failed| failed.row).collect()
    }

    fn error(&self) -> &CallError {
        self.result.as_ref().unwrap_err()
    }

    /// The output's only column, and the origin of its rows.
    fn numbers(&self) -> (Vec<i64>, &Origin) {
        let outcome = self.result.as_ref().unwrap();
        (outcome.output.column(0).as_primitive::<Int64Type>().values().to_vec(), &outcome.origin)
    }

    fn texts(&self) -> Vec<Option<&str>> {
        self.result.as_ref().unwrap().output.column(0).as_string::<i32>().iter().collect()
    }
}

fn function(settings: JsonSettings, answer: &[u8], logs: LogSink) -> (JsonFunction, Memory) {
    let endpoint = Memory { answer: Arc::new(answer.to_vec()), event: Arc::default() };
    (JsonFunction::new("test", Box::new(endpoint.clone()), settings, Arc::new(ArrowJson), logs), endpoint)
}

fn call(settings: JsonSettings, rows: &RecordBatch, from: Option<&From>, answer: &[u8]) -> Called {
    let (function, endpoint) = function(settings, answer, LogSink::none());
    let mut instance = function.instance(rows.schema(), &Caller::default()).unwrap();
    let origins = from.map(|from| from as &dyn Origins);
    let result = instance.call(rows, &Invocation { origins, ..Invocation::default() }).result;
    if let Ok(outcome) = &result {
        assert_eq!(outcome.output.schema_ref(), instance.output());
    }
    Called { event: endpoint.event.lock().unwrap().take(), result }
}

/// One call with so many rows of no record.
fn answered(settings: JsonSettings, rows: i64, answer: &str) -> Called {
    call(settings, &numbers(rows), None, answer.as_bytes())
}

#[test]
fn rows_from_kafka_are_lambdas_event() {
    let mut from = from("clicks", &[("my-clicks-3", 15), ("my-clicks-10", 7), ("my-clicks-3", 16)]);
    from.headers = headers(&[&[("trace", b"a\xff"), ("trace", b"")], &[], &[]]);
    let called = call(settings(), &numbers(3), Some(&from), b"null");
    let record = |partition: u32, offset: u64, value: &str| {
        json!({
            "topic": "my-clicks", "partition": partition, "offset": offset, "timestamp": 1_545_084_650_987_i64,
            "timestampType": "CREATE_TIME", "value": value, "headers": [],
        })
    };
    let mut first = record(3, 15, "eyJuIjowfQ==");
    first["key"] = json!("AGtleQ==");
    first["headers"] = json!([{"trace": [97, 255]}, {"trace": []}]);
    let expected = json!({
        "eventSource": "SelfManagedKafka",
        "bootstrapServers": "b1:9092,b2:9092",
        "records": {
            "my-clicks-3": [first, record(3, 16, "eyJuIjoyfQ==")],
            "my-clicks-10": [record(10, 7, "eyJuIjoxfQ==")],
        },
    });
    assert_eq!(called.event(), expected);
}

#[test]
fn rows_from_elsewhere_have_a_plain_shape() {
    let event = |from: Option<&From>| call(settings(), &numbers(1), from, b"").event()["Records"].clone();
    let files = json!([{"eventSource": "riverhook:file", "partition": "/a \"b\"", "position": 9, "body": {"n": 0}}]);
    assert_eq!(event(Some(&from("files", &[("/a \"b\"", 9)]))), files);
    let bucket = json!([{
        "eventSource": "riverhook:s3", "eventSourceARN": "arn:aws:s3:::b", "partition": "k", "position": 0,
        "body": {"n": 0},
    }]);
    assert_eq!(event(Some(&from("bucket", &[("k", 0)]))), bucket);
    assert_eq!(event(None), json!([{"eventSource": "riverhook:rows", "position": 0, "body": {"n": 0}}]));
    // No such partition of Kafka's, so no event of Kafka's.
    let odd = json!([{"eventSource": "riverhook:kafka", "partition": "nowhere", "position": 1, "body": {"n": 0}}]);
    assert_eq!(event(Some(&from("clicks", &[("nowhere", 1)]))), odd);
}

#[test]
fn files_are_s3s_objects() {
    let sizes = UInt64Array::from(vec![7, 8, 9]);
    let rows = RecordBatch::try_from_iter([("size", Arc::new(sizes) as _)]).unwrap();
    let places = [("inbox/2026/my cat+ü.png", 0), ("cat.png", 0), ("/cat.png", 0)];
    let event = call(settings(), &rows, Some(&from("images", &places)), b"").event();
    let record = |bucket: &str, key: &str, size: u64| {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "local",
            "eventTime": "2018-12-17T22:10:50.987Z", "eventName": "ObjectCreated:Put",
            "s3": {
                "s3SchemaVersion": "1.0", "configurationId": "images",
                "bucket": {"name": bucket, "arn": format!("arn:aws:s3:::{bucket}")},
                "object": {"key": key, "size": size},
            },
            "body": {"size": size},
        })
    };
    let records =
        [record("inbox/2026", "my+cat%2B%C3%BC.png", 7), record(".", "cat.png", 8), record("/", "cat.png", 9)];
    assert_eq!(event, json!({ "Records": records }));
    // A row that does not tell its size, or tells one of something else.
    let event = call(settings(), &numbers(1), Some(&from("images", &places)), b"").event();
    assert_eq!(event["Records"][0]["s3"]["object"], json!({"key": "my+cat%2B%C3%BC.png"}));
    let one = RecordBatch::try_from_iter([("size", numbers(1).column(0).clone())]).unwrap();
    let event = call(settings(), &one, Some(&from("images", &places)), b"").event();
    assert_eq!(event["Records"][0]["s3"]["object"].get("size"), None);
}

#[test]
fn rows_of_which_one_has_no_record_are_named_by_index() {
    let from = from("files", &[("f", 70), ("f", 80)]);
    let called = call(settings(), &numbers(3), Some(&from), br#"{"batchItemFailures":[{"itemIdentifier":"2"}]}"#);
    let records = called.event();
    let positions: Vec<_> = records["Records"].as_array().unwrap().iter().map(|record| &record["position"]).collect();
    assert_eq!(positions, [0, 1, 2]);
    assert_eq!(called.failed(), [2]);
}

#[test]
fn a_tick_and_a_request_on_their_own_are_events() {
    let tick = ["version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"];
    let request = ["version", "rawPath", "headers", "requestContext", "body", "isBase64Encoded"];
    for (source, names, one) in [("clock", &tick[..], "detail-type"), ("requests", &request[..], "rawPath")] {
        let columns = names.iter().map(|name| (*name, Arc::new(StringArray::from(vec![*name])) as ArrayRef));
        let row = RecordBatch::try_from_iter(columns).unwrap();
        let from = from(source, &[("p", 1)]);
        let single = JsonSettings { single: true, ..settings() };
        let event = call(single.clone(), &row, Some(&from), b"").event();
        assert_eq!((&event[one], event.get("Records")), (&json!(one), None));
        assert!(call(settings(), &row, Some(&from), b"").event()["Records"].is_array());
        // Behind a transform it is an event no more.
        assert!(call(single, &numbers(1), Some(&from), b"").event()["Records"].is_array());
    }
}

#[test]
fn plain_records_are_an_array() {
    assert_eq!(answered(records(), 2, "").event(), json!([{"n": 0}, {"n": 1}]));
}

#[test]
fn no_rows_are_no_call() {
    let called = answered(records(), 0, "garbage");
    assert_eq!((called.event, called.result.unwrap().output.num_rows()), (None, 0));
}

#[test]
fn an_event_that_is_too_large_is_not_sent() {
    let event = answered(records(), 100, "").event.unwrap();
    let limited = |max_request| answered(JsonSettings { max_request, ..records() }, 100, "");
    assert!(limited(event.len()).result.is_ok());
    let called = limited(event.len() - 1);
    assert_eq!((&called.error().kind, called.error().retryable), (&CallErrorKind::RequestTooLarge, false));
    assert!(called.event.is_none());
    // The rows alone are within it, Kafka's event of them is not.
    let from = from("clicks", &[("c-0", 0); 100]);
    let called = call(JsonSettings { max_request: event.len(), ..settings() }, &numbers(100), Some(&from), b"");
    assert_eq!(called.error().code(), "Function.RequestTooLarge");
}

/// Which rows fail by an answer, or none of them if the whole batch does.
fn named(from: Option<&From>, identifier: &str) -> Option<Vec<u32>> {
    let answer = format!(r#"{{"batchItemFailures":[{{"itemIdentifier":{identifier}}}]}}"#);
    let settings = if from.is_some() { settings() } else { records() };
    let called = call(settings, &numbers(4), from, answer.as_bytes());
    if called.result.is_ok() {
        return Some(called.failed());
    }
    let error = called.error();
    assert_eq!((&error.kind, error.retryable), (&CallErrorKind::InvalidResponse, true));
    None
}

#[test]
fn kafkas_records_are_named_by_partition_and_offset() {
    let from = from("clicks", &[("c-0", 5), ("c-0", 6), ("c-1", 6), ("c-1", 6)]);
    let named = |identifier: &str| named(Some(&from), identifier);
    assert_eq!(named(r#""5""#), Some(vec![0]));
    assert_eq!(named(r#"{"partition":"c-0","offset":6}"#), Some(vec![1]));
    // Two rows of one record.
    assert_eq!(named(r#"{"partition":"c-1","offset":6}"#), Some(vec![2, 3]));
    assert_eq!(named(r#""6""#), Some(vec![1, 2, 3]));
    for unknown in [
        r#"{"partition":"c-1","offset":5}"#,
        r#"{"partition":"c-2","offset":6}"#,
        r#""4""#,
        r#""""#,
        "null",
        r#""+5""#,
        "-5",
        "5.0",
        r#"{"offset":5}"#,
        r#"["5"]"#,
        "true",
    ] {
        assert_eq!(named(unknown), None, "{unknown}");
    }
}

#[test]
fn other_records_are_named_by_position() {
    let from = from("files", &[("f", 0), ("f", 30), ("f", 60), ("f", 90)]);
    assert_eq!(named(Some(&from), r#""60""#), Some(vec![2]));
    assert_eq!(named(Some(&from), "90"), Some(vec![3]));
    assert_eq!(named(Some(&from), r#""1""#), None);
    assert_eq!(named(Some(&from), r#"{"partition":"f","offset":30}"#), None);
    assert_eq!(named(None, r#""3""#), Some(vec![3]));
    assert_eq!(named(None, r#""4""#), None);
}

#[test]
fn failed_rows_are_in_order_and_once() {
    let failures =
        r#"{"more":1,"batchItemFailures":[{"itemIdentifier":"3"},{"itemIdentifier":1,"x":[]},{"itemIdentifier":"3"}]}"#;
    let called = answered(records(), 4, failures);
    assert_eq!(called.failed(), [1, 3]);
    let outcome = called.result.unwrap();
    assert_eq!(outcome.output.num_rows(), 0);
    assert_eq!((&*outcome.failed[0].code, outcome.failed[0].retryable), ("Function.BatchItemFailed", true));
}

#[test]
fn no_failures_are_success() {
    for list in ["[]", "null"] {
        // Also where an object would be a record.
        let called = answered(declared(), 2, &format!(r#"{{"batchItemFailures":{list}}}"#));
        assert_eq!((called.failed(), called.numbers().0), (vec![], vec![]), "{list}");
    }
    for list in ["{}", "\"0\"", "[0]", "[{}]", r#"[{"itemidentifier":"0"}]"#, r#"[{"itemIdentifier":"0"},{}]"#] {
        let called = answered(records(), 2, &format!(r#"{{"batchItemFailures":{list}}}"#));
        assert_eq!(called.error().kind, CallErrorKind::InvalidResponse, "{list}");
    }
}

#[test]
fn an_array_is_records() {
    let called = answered(declared(), 2, " [ {\"n\": 7} ,{\"n\":\n8}]\r\n");
    assert_eq!(called.numbers(), (vec![7, 8], &Origin::Same));
    let called = answered(declared(), 3, r#"[{"n":7},{"n":8}]"#);
    assert_eq!(called.numbers(), (vec![7, 8], &Origin::WholeBatch));
    let called = answered(declared(), 1, r#"[{"n":7},{"n":8}]"#);
    assert_eq!(called.numbers(), (vec![7, 8], &Origin::Rows(vec![0, 0])));
    assert_eq!(answered(declared(), 2, "[]").numbers(), (vec![], &Origin::Rows(vec![])));
}

#[test]
fn records_are_passed_on_as_they_are_without_an_output() {
    let called = answered(records(), 2, r#"[{"a":[1, 2]}, "ü", null, 5]"#);
    assert_eq!(called.texts(), [Some(r#"{"a":[1, 2]}"#), Some("\"ü\""), None, Some("5")]);
    let (function, _) = function(records(), b"", LogSink::none());
    let described = function.describe(&numbers(0).schema()).unwrap();
    assert_eq!(described.fields()[..], [passthrough()]);
}

#[test]
fn nothing_is_success() {
    for nothing in ["", " \n", "null", " null "] {
        assert_eq!(answered(declared(), 2, nothing).numbers(), (vec![], &Origin::Rows(vec![])), "{nothing}");
    }
}

#[test]
fn an_object_is_a_record_where_one_is_expected() {
    assert_eq!(answered(declared(), 2, r#"{"n":7}"#).numbers(), (vec![7], &Origin::WholeBatch));
    let single = JsonSettings { single: true, ..records() };
    assert_eq!(answered(single, 1, r#" {"status": "ok"} "#).texts(), [Some(r#"{"status": "ok"}"#)]);
}

#[test]
fn other_answers_are_success_and_said_once() {
    for answer in [r#"{"status":"ok"}"#, "true", "12", "\"done\""] {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let logs = LogSink::new(move |line| kept.lock().unwrap().push(line.message.to_owned()));
        let (function, _) = function(records(), answer.as_bytes(), logs);
        for _ in 0..2 {
            let mut copy = function.instance(numbers(2).schema(), &Caller::default()).unwrap();
            let outcome = copy.call(&numbers(2), &Invocation::default()).result.unwrap();
            assert_eq!((outcome.output.num_rows(), outcome.failed.len()), (0, 0));
        }
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 1, "{answer}: {lines:?}");
        assert!(lines[0].contains("not used"));
    }
}

#[test]
fn what_is_no_answer_fails_the_call_and_is_not_repeated() {
    for garbage in [
        "<html>xyzzy",
        "xyzzy",
        r#"{"xyzzy""#,
        r#"{"xyzzy":1} xyzzy"#,
        r#"[{"n":1},"xyzzy"#,
        r#"[1] ["xyzzy"]"#,
        "nullxyzzy",
        "[xyzzy]",
        "\u{a0}null",
    ] {
        let called = answered(declared(), 2, garbage);
        let error = called.error();
        assert_eq!((&error.kind, error.retryable), (&CallErrorKind::InvalidResponse, false), "{garbage}");
        assert!(!error.message.contains("xyzzy"), "{}", error.message);
    }
    let called = call(declared(), &numbers(1), None, b"[\"\xff\"]");
    assert_eq!(called.error().kind, CallErrorKind::InvalidResponse);
    // Deep, but not deep in our stack.
    let called = answered(records(), 1, &"[".repeat(1 << 20));
    assert_eq!(called.error().kind, CallErrorKind::InvalidResponse);
}

#[test]
fn a_record_of_another_schema_is_named_by_its_index() {
    let called = answered(declared(), 2, r#"[{"n":1},{"n":"xyzzy"},{"n":[]}]"#);
    assert_eq!(called.error().kind, CallErrorKind::InvalidResponse);
    assert!(called.error().message.starts_with("record 1 of its answer"), "{}", called.error().message);
}

#[test]
fn an_answer_that_is_too_large_is_not_read() {
    let limited = |max_response| answered(JsonSettings { max_response, ..declared() }, 2, r#"[{"n":7}]"#);
    assert_eq!(limited(9).numbers().0, [7]);
    assert_eq!(limited(8).error().kind, CallErrorKind::OutputTooLarge);
}

#[test]
fn a_short_answer_does_not_fill_memory() {
    let fields = (0..50).map(|column| Field::new(format!("c{column}"), DataType::Int64, true)).collect::<Vec<_>>();
    let wide = JsonSettings { output: Some(Arc::new(Schema::new(fields))), max_response: 10_000, ..records() };
    let records = |count| format!("[{}]", vec!["{}"; count].join(","));
    assert_eq!(answered(wide.clone(), 2, &records(300)).result.unwrap().output.num_rows(), 300);
    assert_eq!(answered(wide, 2, &records(3_000)).error().kind, CallErrorKind::OutputTooLarge);
}
