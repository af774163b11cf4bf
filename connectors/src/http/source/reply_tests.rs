//! Requests that a node answers, and requests as events, by real clients.

use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

use reqwest::{Method, RequestBuilder};
use riverhook_config::Spanned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::tests::{PATIENCE, context, free_address, source};
use crate::{
    format::Format,
    position::Position,
    reply::{Replies, ReplyError},
    source::{Polled, Reader},
};

/// A source with `reply`, and somebody who asks it.
struct Scene {
    io: tokio::runtime::Runtime,
    reader: Box<dyn Reader>,
    replies: Replies,
    url: String,
    client: reqwest::Client,
}

/// Status and body.
type Answered = (u16, String);

impl Scene {
    fn new(settings: &str) -> Self {
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let address = free_address();
        let function_url = settings.contains("function_url");
        let yaml = format!("listen: {address}\nreply: answers\n{settings}");
        let source = source(&yaml, Format::default(), !function_url).unwrap();
        let reader = source.open(context(io.handle().clone(), 1 << 20)).unwrap().remove(0);
        let replies = source.replies().unwrap();
        Self { io, reader, replies, url: format!("http://{address}"), client: reqwest::Client::new() }
    }

    fn post(&self, body: &'static str) -> RequestBuilder {
        self.client.post(&self.url).body(body)
    }

    /// Sends, and does not wait.
    fn send(&self, request: RequestBuilder) -> JoinHandle<Answered> {
        self.io.spawn(async {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    }

    fn answer(&self, request: JoinHandle<Answered>) -> Answered {
        self.io.block_on(async { tokio::time::timeout(PATIENCE, request).await.expect("no answer").unwrap() })
    }

    /// The next records with their positions, as many as there are to come.
    fn poll(&mut self, count: usize) -> (Vec<Position>, Vec<String>) {
        let (begun, mut positions, mut records) = (Instant::now(), Vec::new(), Vec::new());
        while records.len() < count {
            assert!(begun.elapsed() < PATIENCE, "no records came");
            if let Polled::Payloads(payloads) = self.reader.poll(Duration::from_millis(50)).unwrap() {
                let text = |value: Option<&[u8]>| String::from_utf8(value.unwrap().to_vec()).unwrap();
                positions.extend(payloads.input.positions.clone());
                records.extend(payloads.values.iter().map(text));
            }
        }
        (positions, records)
    }

    fn commit(&mut self) {
        let positions = self.reader.positions();
        self.reader.commit(&positions).unwrap();
    }

    /// Waits until so many requests wait for an answer.
    #[track_caller]
    fn settle(&self, waiting: usize) {
        let begun = Instant::now();
        while self.replies.waiting() != waiting {
            assert!(begun.elapsed() < PATIENCE, "{} requests wait, not {waiting}", self.replies.waiting());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn rows(rows: &[&str]) -> Result<Vec<Vec<u8>>, ReplyError> {
    Ok(rows.iter().map(|row| row.as_bytes().to_vec()).collect())
}

fn ok(body: &str) -> Answered {
    (200, body.to_owned())
}

#[test]
fn a_request_is_answered_with_the_rows_of_its_record() {
    let mut scene = Scene::new("");
    let node: &Spanned<String> = scene.replies.node();
    assert_eq!(node.value, "answers");
    for (made, expected) in [
        (&[][..], (204, String::new())),
        (&[r#"{"b":1}"#], ok(r#"{"b":1}"#)),
        (&[r#"{"b":1}"#, r#"{"b":2}"#], ok(r#"[{"b":1},{"b":2}]"#)),
    ] {
        let request = scene.send(scene.post(r#"{"a":1}"#));
        let (positions, records) = scene.poll(1);
        assert_eq!(records, [r#"{"a":1}"#]);
        scene.replies.reply(positions[0], rows(made));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!request.is_finished(), "more rows may come");
        scene.replies.done(&positions);
        assert_eq!(scene.answer(request), expected);
        assert!(!scene.reader.wants_barrier(), "nobody waits for the sinks");
    }
    scene.settle(0);
}

#[test]
fn several_records_are_answered_in_their_order() {
    let mut scene = Scene::new("");
    let other = scene.send(scene.post(r#"{"a":9}"#));
    let (lone, _) = scene.poll(1);
    let request = scene.send(scene.post(r#"[{"a":1},{"a":2},{"a":3},{"a":4}]"#));
    let (positions, _) = scene.poll(4);
    scene.replies.reply(positions[2], rows(&["3"]));
    scene.replies.reply(positions[0], rows(&["1", "1.5"]));
    scene.replies.reply(positions[3], rows(&["4"]));
    scene.replies.done(&positions);
    assert_eq!(scene.answer(request), ok("[1,1.5,3,4]"));
    scene.replies.reply(lone[0], rows(&["9"]));
    scene.replies.done(&lone);
    assert_eq!(scene.answer(other), ok("9"));
    let none = scene.send(scene.post("[]"));
    assert_eq!(scene.answer(none), (204, String::new()));
}

#[test]
fn a_failure_is_told() {
    let mut scene = Scene::new("max_reply: 10B");
    let request = scene.send(scene.post(r#"[{"a":1},{"a":2}]"#).header("Idempotency-Key", "k"));
    let (positions, _) = scene.poll(2);
    scene.replies.reply(positions[1], Err(ReplyError::new("Sandbox.Timedout", "it took 3 seconds")));
    let (status, body) = scene.answer(request);
    let expected = json!({"error": {"code": "Sandbox.Timedout", "message": "it took 3 seconds"}});
    assert_eq!((status, serde_json::from_str::<Value>(&body).unwrap()), (502, expected));
    scene.replies.done(&positions);
    // What failed may come again under its key, and an answer has a bound.
    let request = scene.send(scene.post(r#"[{"a":1},{"a":2}]"#).header("Idempotency-Key", "k"));
    let (positions, _) = scene.poll(2);
    scene.replies.reply(positions[0], rows(&["\"0123456789\""]));
    let (status, body) = scene.answer(request);
    assert!(status == 502 && body.contains("reply.too_large") && body.contains("max_reply"), "{body}");
}

#[test]
fn who_waits_too_long_is_told() {
    let mut scene = Scene::new("reply_timeout: 100ms");
    let request = scene.send(scene.post(r#"{"a":1}"#));
    let (positions, _) = scene.poll(1);
    let (status, body) = scene.answer(request);
    assert!(status == 504 && body.contains("reply.timeout"), "{body}");
    scene.settle(0);
    scene.replies.reply(positions[0], rows(&["late"]));
    scene.replies.done(&positions);
    // Also when nobody ever polls.
    let request = scene.send(scene.post(r#"{"a":1}"#));
    assert_eq!(scene.answer(request).0, 504);
}

#[test]
fn an_answer_can_wait_for_the_sinks() {
    let mut scene = Scene::new("after: durable");
    let request = scene.send(scene.post(r#"{"a":1}"#));
    let (positions, _) = scene.poll(1);
    assert!(scene.reader.wants_barrier());
    scene.replies.reply(positions[0], rows(&["1"]));
    scene.replies.done(&positions);
    std::thread::sleep(Duration::from_millis(50));
    assert!(!request.is_finished(), "it was answered before it was durable");
    scene.commit();
    assert_eq!(scene.answer(request), ok("1"));
    // The other way round, too.
    let request = scene.send(scene.post(r#"{"a":1}"#));
    let (positions, _) = scene.poll(1);
    scene.commit();
    scene.replies.reply(positions[0], rows(&["2"]));
    scene.replies.done(&positions);
    assert_eq!(scene.answer(request), ok("2"));
}

#[test]
fn requests_without_an_answer_count_as_on_the_way() {
    let mut scene = Scene::new("max_inflight: 1");
    let first = scene.send(scene.post(r#"{"a":1}"#));
    let (positions, _) = scene.poll(1);
    let second = scene.send(scene.post(r#"{"a":2}"#));
    assert_eq!(scene.answer(second).0, 429);
    scene.replies.done(&positions);
    assert_eq!(scene.answer(first).0, 204);
    let begun = Instant::now();
    let third = loop {
        let third = scene.send(scene.post(r#"{"a":3}"#));
        if let Polled::Payloads(payloads) = scene.reader.poll(Duration::from_millis(500)).unwrap() {
            scene.replies.done(&payloads.input.positions);
            break third;
        }
        assert!(begun.elapsed() < PATIENCE, "its room was never given back");
    };
    assert_eq!(scene.answer(third).0, 204);
}

#[test]
fn nothing_is_left_of_a_sender_who_goes_away() {
    let mut scene = Scene::new("max_inflight: 1");
    let mut stream = TcpStream::connect(scene.url.strip_prefix("http://").unwrap()).unwrap();
    write!(stream, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 7\r\n\r\n{{\"a\":1}}").unwrap();
    let (positions, _) = scene.poll(1);
    scene.settle(1);
    drop(stream);
    scene.settle(0);
    scene.replies.reply(positions[0], rows(&["1"]));
    scene.replies.done(&positions);
    let next = scene.send(scene.post(r#"{"a":2}"#));
    let (positions, _) = scene.poll(1);
    scene.replies.done(&positions);
    assert_eq!(scene.answer(next).0, 204);
}

#[test]
fn closing_tells_whoever_waits() {
    let mut scene = Scene::new("");
    let polled = scene.send(scene.post(r#"{"a":1}"#));
    scene.poll(1);
    let waiting = scene.send(scene.post(r#"{"a":2}"#));
    scene.settle(2);
    scene.reader.close();
    assert_eq!([scene.answer(polled).0, scene.answer(waiting).0], [503, 503]);
    scene.settle(0);
}

#[test]
fn a_key_is_worked_on_once() {
    let mut scene = Scene::new("");
    let keyed = |scene: &Scene| scene.send(scene.post(r#"{"a":1}"#).header("Idempotency-Key", "k"));
    let first = keyed(&scene);
    let (positions, _) = scene.poll(1);
    let second = keyed(&scene);
    assert_eq!(scene.answer(second).0, 409);
    scene.replies.done(&positions);
    assert_eq!(scene.answer(first).0, 204);
    let third = keyed(&scene);
    let (status, body) = scene.answer(third);
    assert!(status == 409 && body.contains("not kept"), "{body}");
}

#[test]
fn a_function_url_is_asked_and_answers() {
    let mut scene = Scene::new("path: /api\nshape: function_url\ntoken: s3cret");
    let ask = |scene: &Scene, method: Method, path: &str, body: &'static str| {
        let request = scene.client.request(method, format!("{}{path}", scene.url));
        scene.send(request.bearer_auth("s3cret").header("cookie", "a=1").body(body))
    };
    for path in ["/", "/apis", "/ap"] {
        let elsewhere = ask(&scene, Method::GET, path, "");
        assert_eq!(scene.answer(elsewhere).0, 404, "{path}");
    }
    let anonymous = scene.send(scene.client.get(format!("{}/api", scene.url)));
    assert_eq!(scene.answer(anonymous).0, 401);
    for (method, path, body) in [
        (Method::GET, "/api", ""),
        (Method::DELETE, "/api/users/7?hard=true", ""),
        (Method::PUT, "/api/", "[1] not JSON"),
        (Method::from_bytes(b"PURGE").unwrap(), "/api/x", "{"),
    ] {
        let request = ask(&scene, method.clone(), path, body);
        let (positions, records) = scene.poll(1);
        let event: Value = serde_json::from_str(&records[0]).unwrap();
        let context = &event["requestContext"];
        assert_eq!(context["http"]["method"], method.as_str());
        assert_eq!(event["rawPath"], path.split('?').next().unwrap());
        assert_eq!((event["body"].as_str().unwrap_or_default(), &event["cookies"]), (body, &json!(["a=1"])));
        assert_eq!((&context["http"]["sourceIp"], &context["domainName"]), (&json!("127.0.0.1"), &json!("127.0.0.1")));
        assert!(event["headers"].get("authorization").is_none(), "the token is ours");
        scene.replies.reply(positions[0], rows(&[r#"{"statusCode":201,"body":"made","headers":{"X-A":"b"}}"#]));
        scene.replies.done(&positions);
        assert_eq!(scene.answer(request), (201, "made".to_owned()));
    }
    let request = ask(&scene, Method::GET, "/api", "");
    let (positions, _) = scene.poll(1);
    scene.replies.reply(positions[0], rows(&[r#"{"statusCode":1}"#]));
    scene.replies.done(&positions);
    let (status, body) = scene.answer(request);
    assert!(status == 502 && body.contains("reply.invalid"), "{body}");
}

#[test]
fn events_can_be_decoded_and_need_no_reply() {
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let address = free_address();
    let source = source(&format!("listen: {address}\nshape: function_url"), Format::default(), false).unwrap();
    assert!(source.replies().is_none());
    let mut reader = source.open(context(io.handle().clone(), 1 << 20)).unwrap().remove(0);
    let request = io.spawn(async move {
        let body = vec![0xff; 100 << 10];
        let request = reqwest::Client::new().post(format!("http://{address}/x?a=1")).body(body);
        request.send().await.unwrap().status().as_u16()
    });
    let begun = Instant::now();
    let payloads = loop {
        assert!(begun.elapsed() < PATIENCE, "no record came");
        if let Polled::Payloads(payloads) = reader.poll(Duration::from_millis(50)).unwrap() {
            break payloads;
        }
    };
    let schema = source.schema().unwrap().unwrap();
    let decoded = Format::default().decoder(schema).unwrap().decode(&payloads);
    assert_eq!((decoded.records.num_rows(), decoded.failed), (1, vec![]));
    let positions = reader.positions();
    reader.commit(&positions).unwrap();
    let status = io.block_on(async { tokio::time::timeout(PATIENCE, request).await.unwrap().unwrap() });
    assert_eq!(status, 200);
}

#[test]
fn wrong_settings_are_said_with_their_place() {
    let wrong = source("reply: answers\nrespond: accepted\nreply_timeout: 0s", Format::default(), true).err().unwrap();
    assert!(wrong.contains("pipeline.yaml:1:8") && wrong.contains("above 0"), "{wrong}");
    let wrong = source("shape: function_url", Format::Text, false).err().unwrap();
    assert!(wrong.contains("leave `format` out"), "{wrong}");
}
