//! The HTTP source, asked by real clients.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    time::{Duration, Instant},
};

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use parking_lot::Mutex;
use reqwest::{RequestBuilder, StatusCode};
use riverhook_config::{Diagnostics, FixedEnvironment, MapReader, Reading, SourceFile};
use serde_json::Value;
use tokio::{
    runtime::{Handle, Runtime},
    task::JoinHandle,
};

use super::{HttpSource, checks::Checks};
use crate::{
    batch::{Payloads, Rows},
    clock::SystemClock,
    conformance::{SourceAbilities, SourceHarness, check_source},
    format::{CsvSettings, Decoded, Decoder, Format},
    position::Positions,
    registry::Setup,
    source::{BatchLimits, Polled, ReadContext, Reader, Source},
    status::Status,
};

pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn source(yaml: &str, format: Format, typed: bool) -> Result<Box<dyn Source>, String> {
    configured(yaml, format, typed).map(|source| Box::new(source) as Box<dyn Source>)
}

fn configured(yaml: &str, format: Format, typed: bool) -> Result<HttpSource, String> {
    let file = SourceFile::new("pipeline.yaml", yaml);
    let mut diagnostics = Diagnostics::new();
    let node = riverhook_config::parse(&file, &mut diagnostics).unwrap();
    let schema = Schema::new(vec![Field::new("a", DataType::Int64, true)]);
    let schema = typed.then(|| Arc::new(schema));
    let setup = Setup { pipeline: "p".into(), node: "in".into(), base: PathBuf::new(), format, schema };
    let environment = FixedEnvironment::new();
    let mut cx = Reading::new(&environment, &mut diagnostics);
    let mut map = MapReader::new(&node);
    let source = HttpSource::read(&mut map, &mut cx, &setup);
    map.finish(&mut cx);
    source.ok_or_else(|| diagnostics.render(false))
}

pub(super) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(super) fn context(io: Handle, prefetch_bytes: usize) -> ReadContext {
    ReadContext {
        source: "in".into(),
        pipeline: "p".into(),
        parallelism: 2,
        positions: Positions::new(),
        schema: Arc::new(Schema::empty()),
        limits: BatchLimits { rows: 3, bytes: 1 << 20, wait: Duration::from_millis(5) },
        prefetch_bytes,
        state_dir: PathBuf::new(),
        clock: SystemClock::shared(),
        status: Status::starting("opening"),
        io,
    }
}

/// A source that is open, and somebody who sends to it.
struct Scene {
    io: Runtime,
    reader: Option<Box<dyn Reader>>,
    address: SocketAddr,
    client: reqwest::Client,
}

impl Scene {
    fn new(settings: &str) -> Self {
        Self::with(settings, Format::default(), 1 << 20)
    }

    fn with(settings: &str, format: Format, prefetch_bytes: usize) -> Self {
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let address = free_address();
        let source = source(&format!("listen: {address}\n{settings}"), format, true).unwrap();
        let reader = source.open(context(io.handle().clone(), prefetch_bytes)).unwrap().remove(0);
        Self { io, reader: Some(reader), address, client: reqwest::Client::new() }
    }

    fn post(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.client.post(format!("http://{}/", self.address)).body(body)
    }

    /// Sends, and does not wait.
    fn send(&self, request: RequestBuilder) -> JoinHandle<(StatusCode, Value)> {
        self.io.spawn(async {
            let answer = request.send().await.unwrap();
            let retry = answer.headers().contains_key("retry-after");
            let status = answer.status();
            let mut body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            body["retry"] = retry.into();
            (status, body)
        })
    }

    fn answer(&self, request: JoinHandle<(StatusCode, Value)>) -> (u16, Value) {
        let answer = async { tokio::time::timeout(PATIENCE, request).await.expect("no answer").unwrap() };
        let (status, body) = self.io.block_on(answer);
        (status.as_u16(), body)
    }

    fn ask(&self, request: RequestBuilder) -> (u16, Value) {
        self.answer(self.send(request))
    }

    fn reader(&mut self) -> &mut dyn Reader {
        &mut **self.reader.as_mut().unwrap()
    }

    /// The next records.
    fn poll(&mut self) -> Vec<String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Polled::Payloads(payloads) = self.reader().poll(Duration::from_millis(50)).unwrap() {
                let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
                return payloads.values.iter().map(text).collect();
            }
        }
        panic!("no records came");
    }

    fn commit(&mut self) {
        let positions = self.reader().positions();
        self.reader().commit(&positions).unwrap();
    }
}

#[test]
fn a_request_is_answered_when_its_last_record_is_durable() {
    let mut scene = Scene::new("");
    let request = scene.send(scene.post(r#"[{"a":1},{"a":2},{"a":3},{"a":4}]"#));
    assert_eq!(scene.poll(), [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#]);
    assert!(!scene.reader().wants_barrier(), "a barrier here would answer nobody");
    scene.commit();
    assert_eq!(scene.poll(), [r#"{"a":4}"#]);
    assert!(scene.reader().wants_barrier());
    std::thread::sleep(Duration::from_millis(100));
    assert!(!request.is_finished(), "it was answered before it was durable");
    scene.commit();
    assert_eq!(scene.answer(request), (200, serde_json::json!({"accepted": 4, "retry": false})));
    assert!(!scene.reader().wants_barrier());
}

#[test]
fn positions_of_another_run_are_others() {
    let mut before = Positions::new();
    for _ in 0..2 {
        let mut scene = Scene::new("respond: accepted");
        let positions = scene.reader().positions();
        assert!(positions > before, "{positions:?} may be those of records of the run before: {before:?}");
        assert_eq!(scene.ask(scene.post("{\"a\":1}\n{\"a\":2}\n")).0, 202);
        let Polled::Payloads(payloads) = scene.reader().poll(PATIENCE).unwrap() else { panic!("records come") };
        assert_eq!(payloads.input.positions.first(), positions.values().next());
        before = scene.reader().positions();
    }
}

#[test]
fn accepted_is_answered_at_once() {
    let mut scene = Scene::new("respond: accepted");
    assert_eq!(scene.ask(scene.post("{\"a\":1}\n{\"a\":2}\n")).0, 202);
    assert_eq!(scene.poll(), ["{\"a\":1}", "{\"a\":2}"]);
    assert!(!scene.reader().wants_barrier());
}

#[test]
fn a_wrong_body_is_refused_whole_with_its_place() {
    let mut scene = Scene::new("respond: accepted");
    let (status, body) = scene.ask(scene.post("[{\"a\":1},\n{\"a\":\"x\"}]"));
    assert_eq!((status, &body["record"], &body["line"]), (400, &1.into(), &2.into()));
    assert!(body["error"].as_str().unwrap().starts_with("field a, byte 5: expected"), "{body}");
    assert_eq!(scene.ask(scene.post("[{\"a\":1}")).0, 400);
    assert_eq!(scene.ask(scene.post("")).0, 400);
    assert_eq!(scene.ask(scene.post("[]")).0, 202);
    assert!(matches!(scene.reader().poll(Duration::from_millis(50)), Ok(Polled::Idle)));
}

#[test]
fn requests_that_are_not_for_us() {
    let scene = Scene::new("path: /events\ntoken: s3cret\nmax_body: 10B\nrespond: accepted");
    let url = format!("http://{}/events", scene.address);
    let post = |body: &'static str| scene.client.post(&url).body(body);
    assert_eq!(scene.ask(scene.post("{}")).0, 404);
    assert_eq!(scene.ask(post("{}")).0, 401);
    assert_eq!(scene.ask(post("{}").bearer_auth("s3cret ")).0, 202);
    assert_eq!(scene.ask(post("{}").bearer_auth("s3cre")).0, 401);
    assert_eq!(scene.ask(post("{}").bearer_auth("s3cretx")).0, 401);
    assert_eq!(scene.ask(scene.client.get(&url).bearer_auth("s3cret")).0, 405);
    assert_eq!(scene.ask(post("{\"a\": 12345}").bearer_auth("s3cret")).0, 413);
    let parts = ["{\"a\":", " 12345}"].map(|part| Ok::<_, std::io::Error>(Frame::data(Bytes::from(part))));
    let stream = reqwest::Body::wrap(StreamBody::new(futures::stream::iter(parts)));
    assert_eq!(scene.ask(scene.client.post(&url).body(stream).bearer_auth("s3cret")).0, 413);
    assert_eq!(scene.ask(post("{}").bearer_auth("s3cret").header("content-encoding", "gzip")).0, 415);
    let open = Scene::new("respond: accepted");
    assert_eq!(open.ask(open.post("{}").header("origin", "https://example.com")).0, 403);
}

#[test]
fn too_many_requests_are_told_to_come_later() {
    let mut scene = Scene::new("max_inflight: 2");
    let first = [scene.send(scene.post("{\"a\":1}")), scene.send(scene.post("{\"a\":2}"))];
    let mut seen = 0;
    while seen < 2 {
        seen += scene.poll().len();
    }
    let (status, body) = scene.ask(scene.post("{\"a\":3}"));
    assert_eq!((status, &body["retry"]), (429, &true.into()));
    scene.commit();
    assert!(first.map(|request| scene.answer(request).0).iter().all(|status| *status == 200));
    let third = scene.send(scene.post("{\"a\":3}"));
    assert_eq!(scene.poll(), ["{\"a\":3}"]);
    scene.commit();
    assert_eq!(scene.answer(third).0, 200);
}

#[test]
fn bytes_on_the_way_are_bounded() {
    let mut scene = Scene::with("max_body: 100B", Format::default(), 100);
    let body = format!("{{\"b\":\"{}\"}}", "x".repeat(60));
    let first = scene.send(scene.post(body.clone()));
    scene.poll();
    assert_eq!(scene.ask(scene.post(body.clone())).0, 429);
    let small = scene.send(scene.post("{}"));
    scene.poll();
    scene.commit();
    assert_eq!((scene.answer(first).0, scene.answer(small).0), (200, 200));
}

#[test]
fn closing_answers_whoever_waits() {
    for close in [true, false] {
        let mut scene = Scene::new("");
        let durable = scene.send(scene.post("{\"a\":1}"));
        scene.poll();
        scene.commit();
        let polled = scene.send(scene.post("{\"a\":2}"));
        scene.poll();
        let waiting = scene.send(scene.post("{\"a\":3}"));
        while scene.reader().lag()[0].1 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        if close {
            scene.reader().close();
        }
        scene.reader = None;
        assert_eq!(scene.answer(durable).0, 200);
        for request in [polled, waiting] {
            let (status, body) = scene.answer(request);
            assert_eq!((status, &body["retry"]), (503, &true.into()));
        }
        let late = scene.io.block_on(scene.client.post(format!("http://{}/", scene.address)).body("{}").send());
        assert!(late.is_err_and(|error| error.is_connect()));
    }
}

#[test]
fn a_sender_who_goes_away_hurts_nobody() {
    let mut scene = Scene::new("max_inflight: 1");
    let mut stream = TcpStream::connect(scene.address).unwrap();
    let body = "{\"a\":1}";
    write!(stream, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    assert_eq!(scene.poll(), [body]);
    drop(stream);
    scene.commit();
    let mut half = TcpStream::connect(scene.address).unwrap();
    write!(half, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n\r\n{{\"a").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    drop(half);
    let begun = Instant::now();
    let next = loop {
        let next = scene.send(scene.post("{\"a\":2}"));
        if let Polled::Payloads(_) = scene.reader().poll(Duration::from_millis(500)).unwrap() {
            break next;
        }
        assert!(begun.elapsed() < PATIENCE, "its room was never given back");
    };
    scene.commit();
    assert_eq!(scene.answer(next).0, 200);
}

#[test]
fn who_sends_slowly_is_sent_away() {
    let scene = Scene::new("read_timeout: 200ms\nmax_connections: 1");
    for beginning in ["POST / HT", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"] {
        let mut slow = TcpStream::connect(scene.address).unwrap();
        slow.set_read_timeout(Some(PATIENCE)).unwrap();
        slow.write_all(beginning.as_bytes()).unwrap();
        let mut answer = String::new();
        slow.read_to_string(&mut answer).unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
}

/// A decoder that is not done with a large body before it is told.
struct Slow(Arc<Mutex<Receiver<()>>>);

impl Decoder for Slow {
    fn decode(&mut self, payloads: &Payloads) -> Decoded {
        if payloads.values.value_data().len() > 64 << 10 {
            self.0.lock().recv_timeout(PATIENCE).expect("nobody could tell it");
        }
        Decoded { records: RecordBatch::new_empty(Arc::new(Schema::empty())), rows: Rows::Same, failed: Vec::new() }
    }
}

#[test]
fn while_a_large_body_is_decoded_others_are_answered() {
    // The only thread for I/O.
    let io = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (tell, told) = mpsc::channel();
    let told = Arc::new(Mutex::new(told));
    let source = configured("path: /\n", Format::Text, false).unwrap();
    let mut server = source.server(&context(io.handle().clone(), 1 << 20)).unwrap();
    server.checks = Checks::new(move || Some(Box::new(Slow(Arc::clone(&told)))));
    let server = Arc::new(server);
    io.block_on(async {
        let (busy, large) = (Arc::clone(&server), Bytes::from(vec![b'x'; 100 << 10]));
        let busy = tokio::spawn(async move { busy.records(&large, None).await.is_ok() });
        tokio::task::yield_now().await;
        assert!(server.records(&Bytes::from("small"), None).await.is_ok());
        tell.send(()).unwrap();
        assert!(busy.await.unwrap());
    });
}

#[test]
fn a_key_is_taken_once() {
    let mut scene = Scene::new("");
    let keyed = |scene: &Scene, body: &'static str| scene.post(body).header("Idempotency-Key", "k1");
    let first = scene.send(keyed(&scene, "{\"a\":1}"));
    assert_eq!(scene.poll().len(), 1);
    assert_eq!(scene.ask(keyed(&scene, "{\"a\":1}")).0, 409);
    assert_eq!(scene.ask(keyed(&scene, "{\"a\":2}")).0, 422);
    scene.commit();
    assert_eq!(scene.answer(first).0, 200);
    let again = scene.ask(keyed(&scene, "{\"a\":1}"));
    assert_eq!(again, (200, serde_json::json!({"accepted": 1, "duplicate": true, "retry": false})));
    assert!(matches!(scene.reader().poll(Duration::from_millis(20)), Ok(Polled::Idle)));
}

#[test]
fn csv_has_its_header_in_every_body() {
    let csv = Format::Csv(CsvSettings { header: true, ..CsvSettings::default() }, None);
    let mut scene = Scene::with("respond: accepted", csv, 1 << 20);
    assert_eq!(scene.ask(scene.post("a\n1\n2\n")).0, 202);
    assert_eq!(scene.ask(scene.post("b,a\nx,3\n")).0, 202);
    assert_eq!(scene.ask(scene.post("b\nx\n")).0, 202);
    assert_eq!(scene.ask(scene.post("b,a\nx,y\n")).0, 400);
    let header = |scene: &mut Scene| match scene.reader().poll(PATIENCE).unwrap() {
        Polled::Header(header) => String::from_utf8(header.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(header(&mut scene), "a");
    assert_eq!(scene.poll(), ["1", "2"]);
    assert_eq!(header(&mut scene), "b,a");
    assert_eq!(scene.poll(), ["x,3"]);
    assert_eq!(header(&mut scene), "b");
}

#[test]
fn a_port_in_use_is_said_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let source = source(&format!("listen: {address}"), Format::default(), false).unwrap();
    let error = source.probe(PATIENCE).unwrap_err().to_string();
    assert!(error.contains(&format!("cannot listen at {address}")), "{error}");
    assert!(error.contains(&format!("ss -ltnp 'sport = :{}'", address.port())), "{error}");
}

#[test]
fn wrong_settings_are_said_with_their_place() {
    let wrong = source("listen: 0.0.0.0:80\npath: events\nmax_body: 5GiB\n", Format::Parquet, false).err().unwrap();
    for text in ["pipeline.yaml:1:9", "anybody on the network", "pipeline.yaml:2:7", "below 4GiB", "format parquet"] {
        assert!(wrong.contains(text), "{text}: {wrong}");
    }
    assert!(source("listen: nowhere\n", Format::default(), false).err().unwrap().contains("no address"));
    assert!(source("listen: 0.0.0.0:80\ntoken: x", Format::default(), false).is_ok());
    assert!(source("listen: \"[::1]:80\"", Format::default(), false).is_ok());
}

/// Requests are sent by a runtime of their own, and their answers checked at the end.
struct Harness {
    io: Runtime,
    address: SocketAddr,
}

impl SourceHarness for Harness {
    fn create(&mut self, _partitions: usize) -> Box<dyn Source> {
        self.address = free_address();
        source(&format!("listen: {}", self.address), Format::Bytes, false).unwrap()
    }

    fn put(&mut self, _partition: usize, records: &[Vec<u8>]) {
        let (url, records) = (format!("http://{}/", self.address), records.to_vec());
        self.io.spawn(async move {
            let client = reqwest::Client::new();
            for record in records {
                let answer = client.post(&url).body(record).send().await.unwrap();
                assert_eq!(answer.status(), 200);
            }
        });
    }

    fn abilities(&self) -> SourceAbilities {
        SourceAbilities { partitions: 1, resumes: false, fed_while_open: true, ..SourceAbilities::default() }
    }
}

#[test]
fn the_source_keeps_its_contract() {
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    check_source(&mut Harness { io, address: free_address() });
}
