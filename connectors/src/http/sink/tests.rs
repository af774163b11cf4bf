//! The HTTP sink against a server that answers as the test says.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use parking_lot::Mutex;
use riverhook_config::{Diagnostics, FixedEnvironment, MapReader, Reading, SourceFile};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{HttpSink, guard};
use crate::{
    batch::{Batch, Input, Rows},
    clock::SystemClock,
    conformance::{Row, SinkAbilities, SinkHarness, check_sink},
    format::Format,
    http::HttpSinkSettings,
    position::{Partition, Position},
    registry::Setup,
    sink::{Progress, Sink, WriteContext, Writer},
    status::Status,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A request as the server got it.
#[derive(Clone, Debug)]
struct Got {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: String,
}

type Answers = Arc<dyn Fn(&Got, usize) -> (StatusCode, &'static str) + Send + Sync>;

/// A server that remembers what it answered with success, and waits while it is stalled.
#[derive(Clone)]
struct Server {
    taken: Arc<Mutex<Vec<Got>>>,
    seen: Arc<AtomicUsize>,
    at_once: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
    stalled: Arc<AtomicBool>,
    answers: Answers,
}

impl Server {
    /// `answers` gets the request and how many came before; with text it is the value of `Retry-After` or `Location`.
    fn new(answers: impl Fn(&Got, usize) -> (StatusCode, &'static str) + Send + Sync + 'static) -> Self {
        Self {
            taken: Arc::default(),
            seen: Arc::default(),
            at_once: Arc::default(),
            most_at_once: Arc::default(),
            stalled: Arc::default(),
            answers: Arc::new(answers),
        }
    }

    fn start(&self, io: &Runtime, address: SocketAddr) -> SocketAddr {
        let router = Router::new().fallback(answer).with_state(self.clone());
        let listener = io.block_on(tokio::net::TcpListener::bind(address)).unwrap();
        let address = listener.local_addr().unwrap();
        io.spawn(async move { axum::serve(listener, router).await.unwrap() });
        address
    }

    fn bodies(&self) -> Vec<String> {
        self.taken.lock().iter().map(|got| got.body.clone()).collect()
    }
}

async fn answer(
    State(server): State<Server>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 2]) {
    let now = server.at_once.fetch_add(1, Ordering::SeqCst) + 1;
    server.most_at_once.fetch_max(now, Ordering::SeqCst);
    while server.stalled.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(Duration::from_millis(2)).await;
    let body = String::from_utf8(body.to_vec()).unwrap();
    let got = Got { method, path: uri.to_string(), headers, body };
    let (status, header) = (server.answers)(&got, server.seen.fetch_add(1, Ordering::SeqCst));
    if status.is_success() {
        server.taken.lock().push(got);
    }
    server.at_once.fetch_sub(1, Ordering::SeqCst);
    let names = if status.is_redirection() { ["location", "x-unused"] } else { ["retry-after", "x-unused"] };
    (status, names.map(|name| (name, header)))
}

fn ok(_: &Got, _: usize) -> (StatusCode, &'static str) {
    (StatusCode::OK, "")
}

fn read<T>(yaml: &str, read: impl FnOnce(&mut MapReader<'_>, &mut Reading<'_>) -> Option<T>) -> Result<T, String> {
    let file = SourceFile::new("pipeline.yaml", yaml);
    let mut diagnostics = Diagnostics::new();
    let node = riverhook_config::parse(&file, &mut diagnostics).unwrap();
    let environment = FixedEnvironment::new();
    let mut cx = Reading::new(&environment, &mut diagnostics);
    let mut map = MapReader::new(&node);
    let found = read(&mut map, &mut cx);
    map.finish(&mut cx);
    found.ok_or_else(|| diagnostics.render(false))
}

fn sink(yaml: &str) -> Result<Box<dyn Sink>, String> {
    let setup = Setup {
        pipeline: "p".into(),
        node: "out".into(),
        base: PathBuf::new(),
        format: Format::default(),
        schema: None,
    };
    read(yaml, |map, cx| super::read(map, cx, &setup))
}

/// Rows `n` (0, 1, …) and `s`, two of them for each record from position 100 on.
fn batch(texts: &[&str]) -> Batch {
    let count = u32::try_from(texts.len()).unwrap();
    let columns: [(&str, ArrayRef); 2] = [
        ("n", Arc::new(Int64Array::from_iter_values(0..i64::from(count)))),
        ("s", Arc::new(StringArray::from(texts.to_vec()))),
    ];
    let input = Input {
        source: "in".into(),
        partition: Partition::new("in-0"),
        positions: (100..100 + u64::from(count)).map(Position::Offset).collect(),
        keys: None,
        headers: None,
        times: None,
        read_at: 0,
    };
    let rows = Rows::Index((0..count).map(|row| row / 2).collect::<UInt32Array>());
    Batch { records: RecordBatch::try_from_iter(columns).unwrap(), rows, input: Arc::new(input) }
}

struct Scene {
    io: Runtime,
    server: Server,
    address: SocketAddr,
    status: Status,
}

impl Scene {
    fn new(server: Server) -> Self {
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let address = server.start(&io, SocketAddr::from(([127, 0, 0, 1], 0)));
        Self { io, server, address, status: Status::starting("opening") }
    }

    fn context(&self, batch: &Batch, inflight_bytes: usize) -> WriteContext {
        WriteContext {
            sink: "out".into(),
            pipeline: "p".into(),
            schema: batch.records.schema(),
            task: 0,
            inflight_bytes,
            state_dir: PathBuf::new(),
            clock: SystemClock::shared(),
            status: self.status.clone(),
            io: self.io.handle().clone(),
        }
    }

    fn writer(&self, settings: &str, batch: &Batch) -> Box<dyn Writer> {
        let settings = settings.replace("SERVER", &self.address.to_string());
        let sink = sink(&format!("backoff: 1ms..5ms\n{settings}")).unwrap();
        sink.check(&batch.records.schema()).unwrap();
        sink.open(self.context(batch, 1 << 20)).unwrap()
    }

    /// Writes a batch and closes.
    fn send(&self, settings: &str, batch: &Batch) -> Progress {
        let mut writer = self.writer(settings, batch);
        writer.write(batch).unwrap();
        writer.barrier(1).unwrap();
        let progress = writer.close().unwrap();
        assert_eq!(progress.durable, 1);
        progress
    }
}

/// Which rows were rejected, with the codes and how often they were tried.
fn rejected(progress: &Progress) -> Vec<(u32, &'static str, u32)> {
    let of = |rejected: &crate::sink::Rejected| {
        let attempts = rejected.attempts;
        rejected.failures.iter().map(move |failure| (failure.row, failure.code, attempts)).collect::<Vec<_>>()
    };
    progress.rejected.iter().flat_map(of).collect()
}

#[test]
fn one_record_a_request_with_templates() {
    let scene = Scene::new(Server::new(ok));
    let settings = "
url: http://SERVER/u/{s}?n={n}
method: PUT
token: s3cret
headers: { X-Name: \"n {n}\" }
body: '{\"text\": \"row {n}: {s}\", \"s\": {s}}'
";
    let batch = batch(&["a \"b\"/ü", "c", "d"]);
    assert!(scene.send(settings, &batch).rejected.is_empty());
    let got = scene.server.taken.lock().clone();
    assert_eq!(
        got.iter().map(|got| got.path.as_str()).collect::<Vec<_>>(),
        ["/u/a%20%22b%22%2F%C3%BC?n=0", "/u/c?n=1", "/u/d?n=2",]
    );
    assert_eq!(got[0].body, r#"{"text": "row 0: a \"b\"/ü", "s": "a \"b\"/ü"}"#);
    assert_eq!(got[0].method, Method::PUT);
    let header = |row: usize, name: &str| got[row].headers[name].to_str().unwrap().to_owned();
    assert_eq!(header(1, "x-name"), "n 1");
    assert_eq!(header(1, "authorization"), "Bearer s3cret");
    assert_eq!(header(1, "content-type"), "application/json");
    let keys: Vec<String> = (0..3).map(|row| header(row, "idempotency-key")).collect();
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0].len() == 32, "{keys:?}");
    scene.send(settings, &batch);
    let again = scene.server.taken.lock()[3..].to_vec();
    assert_eq!(keys, again.iter().map(|got| got.headers["idempotency-key"].to_str().unwrap()).collect::<Vec<_>>());
}

#[test]
fn other_records_at_the_same_place_have_other_keys() {
    let scene = Scene::new(Server::new(ok));
    for settings in ["url: http://SERVER/\n", "url: http://SERVER/\nbody: ping\n"] {
        scene.server.taken.lock().clear();
        // As from a file and the one that has its name after it was rotated, and then from the first one again.
        ["a", "b", "a"].iter().for_each(|text| drop(scene.send(settings, &batch(&[text]))));
        let keys: Vec<_> = scene.server.taken.lock().iter().map(|got| got.headers["idempotency-key"].clone()).collect();
        assert!(keys[0] != keys[1] && keys[0] == keys[2], "{keys:?}");
    }
}

#[test]
fn several_rows_a_request() {
    let scene = Scene::new(Server::new(ok));
    let rows = batch(&["a", "b", "c"]);
    scene.send("url: http://SERVER/\nsend: array\nmax_rows: 2\n", &rows);
    scene.send("url: http://SERVER/\nsend: lines\nmax_bytes: 40B\n", &rows);
    scene.send("url: http://SERVER/\nsend: lines\nmax_bytes: 1B\n", &batch(&["d"]));
    let (a, b, c) = (r#"{"n":0,"s":"a"}"#, r#"{"n":1,"s":"b"}"#, r#"{"n":2,"s":"c"}"#);
    assert_eq!(
        scene.server.bodies(),
        [
            format!("[{a},{b}]"),
            format!("[{c}]"),
            format!("{a}\n{b}\n"),
            format!("{c}\n"),
            "{\"n\":0,\"s\":\"d\"}\n".into(),
        ]
    );
}

#[test]
fn trouble_that_passes_is_waited_out() {
    let scene = Scene::new(Server::new(|_, seen| match seen {
        0 => (StatusCode::SERVICE_UNAVAILABLE, ""),
        1 => (StatusCode::TOO_MANY_REQUESTS, "0"),
        2 => (StatusCode::INTERNAL_SERVER_ERROR, "nonsense"),
        _ => (StatusCode::OK, ""),
    }));
    assert!(scene.send("url: http://SERVER/\n", &batch(&["a", "b"])).rejected.is_empty());
    assert_eq!(scene.server.bodies(), [r#"{"n":0,"s":"a"}"#, r#"{"n":1,"s":"b"}"#]);
    assert_eq!(scene.status.trouble(), None);
}

#[test]
fn retry_after_is_honoured() {
    let scene = Scene::new(Server::new(|_, seen| match seen {
        0 => (StatusCode::TOO_MANY_REQUESTS, "1"),
        _ => (StatusCode::OK, ""),
    }));
    let begun = Instant::now();
    scene.send("url: http://SERVER/\n", &batch(&["a"]));
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[test]
fn no_answer_in_time_is_tried_again() {
    let server = Server::new(ok);
    let scene = Scene::new(server.clone());
    server.stalled.store(true, Ordering::SeqCst);
    let rows = batch(&["a"]);
    let mut writer = scene.writer("url: http://SERVER/\ntimeout: 50ms\n", &rows);
    writer.write(&rows).unwrap();
    let begun = Instant::now();
    while !scene.status.trouble().is_some_and(|trouble| trouble.contains("does not answer within 50ms")) {
        assert!(begun.elapsed() < PATIENCE, "{:?}", scene.status.trouble());
        std::thread::sleep(Duration::from_millis(5));
    }
    server.stalled.store(false, Ordering::SeqCst);
    assert!(writer.close().unwrap().rejected.is_empty());
    assert_eq!(scene.status.trouble(), None);
}

#[test]
fn a_server_that_is_down_is_waited_for() {
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::new(ok);
    let scene = Scene { io, server: server.clone(), address, status: Status::starting("opening") };
    let rows = batch(&["a"]);
    let mut writer = scene.writer("url: http://SERVER/s3cret\n", &rows);
    writer.write(&rows).unwrap();
    writer.barrier(1).unwrap();
    let begun = Instant::now();
    let trouble = loop {
        if let Some(trouble) = scene.status.trouble() {
            break trouble;
        }
        assert!(begun.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(trouble.starts_with(&format!("http://{address} cannot be reached")), "{trouble}");
    assert!(!trouble.contains("s3cret"));
    assert_eq!(writer.poll().unwrap().durable, 0);
    server.start(&scene.io, address);
    assert_eq!(writer.close().unwrap().durable, 1);
    assert_eq!(server.bodies().len(), 1);
}

#[test]
fn other_answers_are_final() {
    let scene = Scene::new(Server::new(|got, _| match got.path.as_str() {
        "/a" => (StatusCode::NOT_FOUND, ""),
        "/b" => (StatusCode::UNPROCESSABLE_ENTITY, ""),
        "/c" => (StatusCode::FOUND, "http://127.0.0.1/elsewhere"),
        _ => (StatusCode::OK, ""),
    }));
    let progress = scene.send("url: http://SERVER/{s}\n", &batch(&["a", "d", "b", "c", ".."]));
    let code = "sink.http.status";
    assert_eq!(rejected(&progress), [(4, "sink.http.url", 0), (0, code, 1), (2, code, 1), (3, code, 1)]);
    let messages: Vec<&str> = progress.rejected[1..].iter().map(|it| it.failures[0].message.as_str()).collect();
    assert!(messages[0].ends_with("answered 404 Not Found: see `url` and `method`"), "{messages:?}");
    assert!(messages[2].contains("redirects are not followed"), "{messages:?}");
    assert_eq!(scene.server.bodies().len(), 1);
    assert_eq!(scene.server.seen.load(Ordering::SeqCst), 4);
}

#[test]
fn a_server_that_refuses_after_trouble_is_up_again() {
    for (settings, status) in [("", StatusCode::NOT_FOUND), ("send: array\n", StatusCode::BAD_REQUEST)] {
        let scene = Scene::new(Server::new(move |_, seen| match seen {
            0 => (StatusCode::SERVICE_UNAVAILABLE, ""),
            _ => (status, ""),
        }));
        let progress = scene.send(&format!("url: http://SERVER/\n{settings}"), &batch(&["a"]));
        assert_eq!(rejected(&progress), [(0, "sink.http.status", 2)]);
        assert_eq!(scene.status.trouble(), None, "{status}");
    }
}

#[test]
fn a_row_that_is_not_wanted_is_found_in_its_request() {
    let scene = Scene::new(Server::new(|got, _| {
        let bad = got.body.contains("bad");
        (if bad { StatusCode::BAD_REQUEST } else { StatusCode::OK }, "")
    }));
    let progress = scene.send("url: http://SERVER/\nsend: array\n", &batch(&["a", "b", "bad", "d", "e"]));
    assert_eq!(rejected(&progress), [(2, "sink.http.status", 1)]);
    let rows: Vec<Value> =
        scene.server.bodies().iter().flat_map(|body| serde_json::from_str::<Vec<Value>>(body).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| row["n"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 3, 4]);
}

#[test]
fn requests_at_once_are_bounded_and_in_order_one_at_a_time() {
    let names: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let rows = batch(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let ordered = Scene::new(Server::new(ok));
    ordered.send("url: http://SERVER/{n}\n", &rows);
    assert_eq!(ordered.server.most_at_once.load(Ordering::SeqCst), 1);
    let paths: Vec<String> = ordered.server.taken.lock().iter().map(|got| got.path.clone()).collect();
    assert_eq!(paths, (0..40).map(|n| format!("/{n}")).collect::<Vec<_>>());
    let parallel = Scene::new(Server::new(ok));
    parallel.send("url: http://SERVER/{n}\nordered: false\nconcurrency: 4\n", &rows);
    assert!((2..=4).contains(&parallel.server.most_at_once.load(Ordering::SeqCst)));
    assert_eq!(parallel.server.bodies().len(), 40);
}

#[test]
fn a_barrier_waits_for_the_slowest_request_before_it() {
    let server = Server::new(|got, seen| match (got.path.as_str(), seen) {
        ("/0", ..50) => (StatusCode::SERVICE_UNAVAILABLE, ""),
        _ => (StatusCode::OK, ""),
    });
    let scene = Scene::new(server.clone());
    let rows = batch(&["a", "b", "c"]);
    let mut writer = scene.writer("url: http://SERVER/{n}\nordered: false\n", &rows);
    writer.write(&rows).unwrap();
    writer.barrier(1).unwrap();
    let begun = Instant::now();
    while writer.poll().unwrap().durable == 0 {
        assert!(begun.elapsed() < PATIENCE);
    }
    assert!(server.seen.load(Ordering::SeqCst) > 50);
    assert_eq!(server.bodies().len(), 3);
}

/// A name for the guard to look up, whose address changes after the first time.
#[test]
fn a_name_that_comes_to_mean_a_refused_address_is_refused() {
    let scene = Scene::new(Server::new(ok));
    let port = scene.address.port();
    let open = |first: &'static str, then: &'static str, more: &str| {
        let yaml = format!("url: http://rebound.example:{port}/\nbackoff: 1ms..5ms\n{more}");
        let settings = read(&yaml, HttpSinkSettings::read_fields).unwrap();
        let asked = AtomicUsize::new(0);
        let lookup: guard::Lookup = Arc::new(move |name| {
            assert_eq!(name, "rebound.example");
            let address = if asked.fetch_add(1, Ordering::SeqCst) == 0 { first } else { then };
            let found = vec![SocketAddr::new(address.parse().unwrap(), 0)];
            Box::pin(async { Ok(found) })
        });
        let sink = Arc::new(HttpSink::new(settings, Format::default(), lookup).unwrap());
        sink.open(scene.context(&batch(&["a"]), 1 << 20)).unwrap()
    };
    let mut writer = open("127.0.0.1", "169.254.169.254", "");
    writer.write(&batch(&["a"])).unwrap();
    assert!(writer.close().unwrap().rejected.is_empty());
    let mut writer = open("169.254.169.254", "127.0.0.1", "");
    writer.write(&batch(&["a"])).unwrap();
    assert_eq!(rejected(&writer.close().unwrap()), [(0, "sink.http.address", 1)]);
    assert_eq!(scene.server.bodies().len(), 1);
}

#[test]
fn wrong_settings_are_said_with_their_place() {
    for (yaml, text) in [
        ("url: nowhere\n", "this is no URL"),
        ("url: ftp://example.com/\n", "no URL to send to"),
        ("url: http://{s}/\n", "host cannot come from a row"),
        ("url: http://a{s}.example.com/\n", "host cannot come from a row"),
        ("url: http://169.254.169.254/latest\n", "link-local"),
        ("url: http://x/{s}\nsend: array\n", "cannot have values of a row"),
        ("url: http://x/\nsend: lines\nbody: x\n", "one record"),
        ("url: http://x/\nheaders: { Host: y }\n", "leave it out"),
        ("url: http://x/\nheaders: { \"a b\": y }\n", "no name of a header"),
        ("url: http://x/\nconcurrency: 0\n", "at least 1"),
    ] {
        let wrong = sink(yaml).err().unwrap_or_else(|| panic!("{yaml} was taken"));
        assert!(wrong.contains(text), "{text}: {wrong}");
    }
    assert!(sink("url: http://169.254.169.254/latest\nallow_link_local: true\n").is_ok());
    let problems = sink("url: http://x/{m}\nbody: '{z}'\n").unwrap().check(&batch(&[]).records.schema()).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn a_probe_reaches_the_server() {
    let scene = Scene::new(Server::new(ok));
    let found = sink(&format!("url: http://{}/s3cret\n", scene.address)).unwrap().probe(PATIENCE).unwrap();
    assert_eq!(found, format!("http://{} takes connections", scene.address));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(sink(&format!("url: http://{free}/\n")).unwrap().probe(PATIENCE).is_err());
}

struct Harness {
    scene: Scene,
    settings: &'static str,
    stalled: bool,
}

impl SinkHarness for Harness {
    fn create(&mut self) -> Box<dyn Sink> {
        self.scene = Scene::new(refusing());
        self.scene.server.stalled.store(self.stalled, Ordering::SeqCst);
        sink(&format!("url: http://{}/\nbackoff: 1ms..5ms\n{}", self.scene.address, self.settings)).unwrap()
    }

    /// The server answers requests of several connections: only within a connection there is an order.
    fn read(&mut self) -> Vec<Vec<Row>> {
        let mut rows = Vec::new();
        for body in self.scene.server.bodies() {
            let body: Value = serde_json::from_str(&body).unwrap();
            let records = body.as_array().cloned().unwrap_or_else(|| vec![body]);
            rows.extend(records.iter().map(|record| Row {
                id: record["id"].as_i64().unwrap(),
                text: record["text"].as_str().unwrap().into(),
            }));
        }
        vec![rows]
    }

    fn refused(&self) -> Option<String> {
        Some("refuse me".into())
    }

    fn stall(&mut self, stalled: bool) -> bool {
        self.stalled = stalled;
        self.scene.server.stalled.store(stalled, Ordering::SeqCst);
        true
    }

    fn abilities(&self) -> SinkAbilities {
        SinkAbilities::default()
    }
}

fn refusing() -> Server {
    Server::new(|got, _| {
        let status = if got.body.contains("refuse me") { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        (status, "")
    })
}

/// A client says in its debug text what proxies it asks, those of the environment too, whether or not there are any.
#[test]
fn no_proxy_is_asked_which_would_look_names_up_behind_the_guard() {
    let proxies = |client: reqwest::Client| format!("{client:?}").contains("proxies");
    assert!(proxies(reqwest::Client::new()), "the text no longer tells proxies: find another way to test this");
    for more in ["", "\nallow_link_local: true"] {
        let yaml = format!("url: http://example.com/{more}");
        let settings = read(&yaml, HttpSinkSettings::read_fields).unwrap();
        let sink = HttpSink::new(settings, Format::default(), guard::system()).unwrap();
        assert!(!proxies(sink.client().unwrap()));
    }
}

#[test]
fn the_sink_keeps_its_contract() {
    for settings in ["", "send: array"] {
        check_sink(&mut Harness { scene: Scene::new(refusing()), settings, stalled: false });
    }
}
