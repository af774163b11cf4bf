//! Functions over HTTP, against a real server.

#![allow(clippy::unwrap_used)]

#[path = "support/json.rs"]
mod json;
#[path = "support/server.rs"]
mod server;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use hmac::{Hmac, Mac as _};
use hyper::Version;
use json::{ArrowJson, passthrough};
use riverhook_udf::conformance::{self, Abilities, Behaviour, Subject};
use riverhook_udf::{
    CallError, CallErrorKind, Caller, Function, HttpError, HttpSettings, HttpVersion, Instance, Invocation,
    JsonFunction, JsonSettings, Limits, LogSink, Secret, Shape,
};
use serde_json::{Value, json};
use server::{Answer, Got, Server, answer, endless, ok};
use sha2::Sha256;
use uuid::Uuid;

fn function(http: HttpSettings, json: JsonSettings) -> JsonFunction {
    let json = JsonSettings { shape: Shape::Records, ..json };
    JsonFunction::http("enrich", http, json, Arc::new(ArrowJson), LogSink::none()).unwrap()
}

fn open(http: HttpSettings) -> Box<dyn Instance> {
    let function = function(http, JsonSettings::new(passthrough()));
    function.instance(conformance::schema(), &Caller::default()).unwrap()
}

fn call(instance: &mut dyn Instance) -> Result<usize, CallError> {
    let reply = instance.call(&conformance::batch([1, 2]), &Invocation::default());
    reply.result.map(|outcome| outcome.output.num_rows())
}

/// A server that answers every request alike.
fn always(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Server {
    Server::start(move |_| {
        let answer = answer();
        Box::pin(async move { answer })
    })
}

/// The one call that a server answers so.
fn against(status: u16, headers: &'static [(&'static str, &'static str)]) -> CallError {
    let server = always(move || answer(status, headers, "what went wrong with xyzzy"));
    let error = call(&mut *open(HttpSettings::new(server.url("secret-path")))).unwrap_err();
    assert!(!error.message.contains("secret-path") && !error.message.contains("xyzzy"), "{}", error.message);
    error
}

#[test]
fn http_functions_keep_the_contract() {
    conformance::check(&mut Subjects::new());
}

/// The code of the suite's functions, in a server; the path names what it does.
struct Subjects {
    server: Server,
    made: usize,
}

impl Subjects {
    fn new() -> Self {
        // When each function that is slow to start was first asked.
        let asked = Arc::new(Mutex::new(HashMap::new()));
        let server = Server::start(move |got| {
            let asked = Arc::clone(&asked);
            Box::pin(async move {
                let rows: Vec<Value> = serde_json::from_slice(&got.body).unwrap();
                let behaviour = got.path.split('/').nth(1).unwrap().to_owned();
                let first = *asked.lock().unwrap().entry(got.path).or_insert_with(Instant::now);
                behave(&behaviour, rows, first.elapsed()).await
            })
        });
        Self { server, made: 0 }
    }
}

impl Subject for Subjects {
    fn function(&mut self, behaviour: Behaviour, limits: &Limits) -> Box<dyn Function> {
        self.made += 1;
        let url = self.server.url(&format!("{}/{}", behaviour.name(), self.made));
        let http = HttpSettings { timeout: limits.timeout, ..HttpSettings::new(url) };
        let json = JsonSettings::new(passthrough());
        let json = JsonSettings { output: Some(behaviour.output()), max_response: limits.max_output, ..json };
        Box::new(function(http, json))
    }

    fn abilities(&self) -> Abilities {
        // The server's memory is its own, and so is its start.
        Abilities { memory: false, cold_start: false, ..Abilities::default() }
    }
}

/// What is left to do is what the rows say.
async fn behave(behaviour: &str, rows: Vec<Value>, since_first: Duration) -> Answer {
    let is_bad = |row: &Value| row["id"].as_i64().unwrap() < 0;
    let bad: Vec<usize> = (0..rows.len()).filter(|row| is_bad(&rows[*row])).collect();
    let answered = |rows: Vec<Value>| ok(serde_json::to_vec(&rows).unwrap());
    match behaviour {
        "filter" => answered(rows.into_iter().filter(|row| !is_bad(row)).collect()),
        "twice" => answered(rows.into_iter().flat_map(|row| [row.clone(), row]).collect()),
        "relabel" => answered(rows.iter().map(|row| json!({"label": format!("row {}", row["id"])})).collect()),
        "slow-start" if since_first < conformance::START => answer(503, &[], ""),
        _ if bad.is_empty() => answered(rows),
        "fail-rows" => {
            let failures: Vec<_> = bad.iter().map(|row| json!({"itemIdentifier": row.to_string()})).collect();
            ok(json!({"batchItemFailures": failures}).to_string())
        }
        "fail-batch" => answer(422, &[], "no"),
        "hang" => std::future::pending().await,
        "crash" => None,
        "flood" => ok(format!("[{}]", " ".repeat(1 << 20))),
        "garbage" => ok("<html>"),
        "nap" => {
            tokio::time::sleep(Duration::from_millis(400)).await;
            answered(rows)
        }
        _ => answered(rows),
    }
}

/// Keeps the requests and answers nothing.
fn keeping() -> (Server, Arc<Mutex<Vec<Got>>>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let server = Server::start(move |got| {
        keep.lock().unwrap().push(got);
        Box::pin(async { ok("") })
    });
    (server, kept)
}

#[test]
fn a_request_says_who_asks_and_until_when() {
    let (server, kept) = keeping();
    let (token, hmac) = (Some(Secret::new("t0ken")), Some(Secret::new("key")));
    let http = HttpSettings { token, hmac, timeout: Duration::from_secs(20), ..HttpSettings::new(server.url("f?a=b")) };
    let mut instance = open(http);
    let id = Uuid::new_v4();
    let before = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let invocation = Invocation { id, ..Invocation::default() };
    instance.call(&conformance::batch([1]), &invocation).result.unwrap();
    let kept = kept.lock().unwrap();
    let got = &kept[0];
    assert_eq!((&*got.method, &*got.path), ("POST", "/f"));
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(got.header("riverhook-request-id"), id.to_string());
    assert_eq!(got.header("riverhook-function"), "enrich");
    assert_eq!(got.header("authorization"), "Bearer t0ken");
    let deadline: u128 = got.header("riverhook-deadline-ms").parse().unwrap();
    let soonest = (before + Duration::from_secs(20)).as_millis();
    assert!((soonest..soonest + 5_000).contains(&deadline));
    let rows: Vec<Value> = serde_json::from_slice(&got.body).unwrap();
    assert_eq!((rows.len(), &rows[0]["id"]), (1, &json!(1)));

    let (time, code) = got.header("riverhook-signature").split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    assert!(time.parse::<u64>().unwrap() - before.as_secs() < 5);
    let mut mac = Hmac::<Sha256>::new_from_slice(b"key").unwrap();
    mac.update(&[time.as_bytes(), b".", &got.body].concat());
    assert_eq!(code, format!("{:x}", mac.finalize().into_bytes()));
}

#[test]
fn a_deadline_is_told_where_it_comes_before_the_limit() {
    let (server, kept) = keeping();
    let mut instance = open(HttpSettings::new(server.url("")));
    let deadline = Some(Instant::now() + Duration::from_secs(2));
    instance.call(&conformance::batch([1]), &Invocation { deadline, ..Invocation::default() }).result.unwrap();
    let told: u128 = kept.lock().unwrap()[0].header("riverhook-deadline-ms").parse().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
    assert!(told <= now + 2_000, "{told} is after {now}");
}

#[test]
fn nothing_secret_is_sent_unless_set() {
    let (server, kept) = keeping();
    call(&mut *open(HttpSettings::new(server.url("")))).unwrap();
    let kept = kept.lock().unwrap();
    assert_eq!((kept[0].header("authorization"), kept[0].header("riverhook-signature")), ("", ""));
}

#[test]
fn a_connection_is_kept_and_made_anew_when_the_server_closed_it() {
    let server = always(|| ok("[1]"));
    let mut instance = open(HttpSettings::new(server.url("")));
    for _ in 0..5 {
        assert_eq!(call(&mut *instance), Ok(1));
    }
    assert_eq!(server.connections(), 1);
    for closed in 1..10 {
        server.close_connections();
        assert_eq!(call(&mut *instance), Ok(1));
        assert_eq!(server.connections(), 1 + closed);
    }
}

#[test]
fn a_failure_keeps_its_connection() {
    let server = always(|| answer(500, &[], "sorry"));
    let mut instance = open(HttpSettings::new(server.url("")));
    for _ in 0..3 {
        assert_eq!(call(&mut *instance).unwrap_err().code(), "Http.500");
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn http2_is_spoken_without_tls_if_asked_for() {
    let server = Server::http2(|got| {
        Box::pin(async move { if got.version == Version::HTTP_2 { ok("[1,2,3]") } else { answer(505, &[], "") } })
    });
    let http = HttpSettings { version: HttpVersion::Http2, ..HttpSettings::new(server.url("")) };
    let mut instance = open(http);
    for _ in 0..3 {
        assert_eq!(call(&mut *instance), Ok(3));
    }
    assert_eq!(server.connections(), 1);
    server.close_connections();
    assert_eq!(call(&mut *instance), Ok(3));
}

#[test]
fn a_server_without_room_is_unavailable() {
    let error = against(429, &[("retry-after", "7")]);
    assert_eq!((error.is_unavailable(), error.retry_after()), (true, Some(Duration::from_secs(7))));
    let error = against(503, &[]);
    assert_eq!((error.kind, error.retryable), (CallErrorKind::Unavailable, true));
}

#[test]
fn a_server_that_says_no_failed() {
    let error = against(500, &[("retry-after", "7")]);
    assert_eq!((error.code(), error.retryable), ("Http.500", true));
    let error = against(404, &[]);
    assert_eq!((error.code(), error.retryable), ("Http.404", false));
}

#[test]
fn redirects_are_not_followed() {
    let (elsewhere, kept) = keeping();
    let target = elsewhere.url("");
    let server = always(move || answer(307, &[("location", &*target)], ""));
    let http = HttpSettings { token: Some(Secret::new("t0ken")), ..HttpSettings::new(server.url("")) };
    let error = call(&mut *open(http)).unwrap_err();
    assert_eq!((error.code(), error.retryable), ("Http.307", false));
    assert!(kept.lock().unwrap().is_empty());
}

#[test]
fn a_server_that_is_not_there_is_unavailable() {
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut instance = open(HttpSettings::new(format!("http://{address}/secret-path")));
    let error = call(&mut *instance).unwrap_err();
    assert_eq!((&error.kind, error.retryable), (&CallErrorKind::Unavailable, true));
    assert!(!error.message.contains("secret-path") && error.message.contains(&address.to_string()));
}

#[test]
fn an_answer_without_end_is_cut_at_its_limit_or_the_call_at_its_own() {
    let server = always(|| endless(&[b' '; 1024], Duration::ZERO));
    let json = JsonSettings { max_response: 100 << 10, ..JsonSettings::new(passthrough()) };
    let large = function(HttpSettings::new(server.url("")), json);
    let mut instance = large.instance(conformance::schema(), &Caller::default()).unwrap();
    assert_eq!(call(&mut *instance).unwrap_err().kind, CallErrorKind::OutputTooLarge);

    let server = always(|| endless(b" ", Duration::from_millis(20)));
    let mut instance = open(HttpSettings { timeout: Duration::from_millis(300), ..HttpSettings::new(server.url("")) });
    let started = Instant::now();
    let error = call(&mut *instance).unwrap_err();
    assert_eq!((&error.kind, error.retryable), (&CallErrorKind::Timeout, true));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_failure_whose_body_does_not_end_is_still_that_failure() {
    let server = always(|| {
        let mut response = endless(b" ", Duration::from_millis(20))?;
        *response.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
        Some(response)
    });
    let mut instance = open(HttpSettings { timeout: Duration::from_secs(2), ..HttpSettings::new(server.url("")) });
    assert_eq!(call(&mut *instance).unwrap_err().kind, CallErrorKind::Unavailable);
}

#[test]
fn settings_are_checked() {
    let error = |http: HttpSettings| {
        let json = JsonSettings::new(passthrough());
        JsonFunction::http("f", http, json, Arc::new(ArrowJson), LogSink::none()).err()
    };
    for url in ["", "nowhere", "ftp://host/", "unix:/socket"] {
        assert_eq!(error(HttpSettings::new(url)), Some(HttpError::Url), "{url}");
    }
    let metadata = HttpSettings::new("http://169.254.169.254/latest/meta-data");
    assert_eq!(error(metadata.clone()), Some(HttpError::Address));
    assert_eq!(error(HttpSettings { allow_link_local: true, ..metadata }), None);
    let fine = || HttpSettings::new("https://example.com/f");
    for token in ["", "line\nend"] {
        let token = Some(Secret::new(token));
        assert_eq!(error(HttpSettings { token, ..fine() }), Some(HttpError::Token));
    }
    assert_eq!(error(HttpSettings { hmac: Some(Secret::new("")), ..fine() }), Some(HttpError::Hmac));
    assert_eq!(error(fine()), None);
}

#[test]
fn a_version_names_the_code_and_no_secret() {
    let version = |http: HttpSettings| function(http, JsonSettings::new(passthrough())).version().to_owned();
    let fine = || HttpSettings::new("https://example.com/f");
    assert_eq!(version(fine()).len(), 64);
    assert_eq!(version(HttpSettings { token: Some(Secret::new("t0ken")), ..fine() }), version(fine()));
    assert_ne!(version(HttpSettings::new("https://example.com/g")), version(fine()));
    assert_ne!(version(HttpSettings { version: HttpVersion::Http2, ..fine() }), version(fine()));
    let secret = HttpSettings { token: Some(Secret::new("t0ken")), hmac: Some(Secret::new("t0ken")), ..fine() };
    assert!(!format!("{secret:?}").contains("t0ken"));
}
