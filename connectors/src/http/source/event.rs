//! A request as the event that handlers behind a function URL get: API Gateway's, version 2.0.
//!
//! What handlers may take for granted on AWS holds here: names of headers are in lower case and values that come more
//! than once are joined by commas, cookies stand apart, query parameters are decoded, and a body that is not text is in
//! base64.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow_schema::{Schema, SchemaRef};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::DateTime;
use hyper::{
    Version,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, USER_AGENT},
    http::{request::Parts, uri::Authority},
};
use serde_json::{Map, Value, json};

use crate::format::schema::parse_type;

/// The columns and their types.
const COLUMNS: [(&str, &str); 10] = [
    ("version", "string!"),
    ("routeKey", "string!"),
    ("rawPath", "string!"),
    ("rawQueryString", "string!"),
    ("cookies", "list<string>"),
    ("headers", "map<string, string>!"),
    ("queryStringParameters", "map<string, string>"),
    (
        "requestContext",
        "struct<accountId: string, apiId: string, domainName: string, domainPrefix: string, \
         http: struct<method: string, path: string, protocol: string, sourceIp: string, userAgent: string>, \
         requestId: string, routeKey: string, stage: string, time: string, timeEpoch: int64>!",
    ),
    ("body", "string"),
    ("isBase64Encoded", "bool!"),
];

/// The only route and the only stage there are.
const DEFAULT: &str = "$default";

/// Bytes of an event beside the body, at most: hyper takes heads of up to 408 KiB, of which a byte that is no text
/// becomes three, and paths and queries come twice.
const HEAD: usize = 2 << 20;

/// The columns of an event.
pub(super) fn schema() -> SchemaRef {
    let fields = COLUMNS.map(|(name, text)| parse_type(name, text).expect("the types above are types"));
    Arc::new(Schema::new(fields.to_vec()))
}

/// How large an event with so large a body can be: a control character is six in JSON.
pub(super) fn largest(body: usize) -> usize {
    body.saturating_mul(6).saturating_add(HEAD)
}

/// What tells requests from others.
pub(super) struct Identity {
    source: Arc<str>,
    /// When the source was opened, in microseconds.
    opened: u64,
    requests: AtomicU64,
}

impl Identity {
    pub(super) fn new(source: &Arc<str>, opened: i64) -> Self {
        Self { source: Arc::clone(source), opened: opened.unsigned_abs(), requests: AtomicU64::new(0) }
    }

    /// A request's id, unlike that of any other of this source.
    fn next(&self) -> String {
        let mut bytes = [0; 16];
        // The rest of the first half says that it is a UUID. 48 bits of microseconds are nine years.
        bytes[..6].copy_from_slice(&self.opened.to_be_bytes()[2..]);
        bytes[8..].copy_from_slice(&self.requests.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }
}

/// The event, as JSON. `now` is in microseconds; with `token`, the `Authorization` was for the source.
pub(super) fn make(head: &Parts, peer: SocketAddr, body: &[u8], identity: &Identity, now: i64, token: bool) -> Vec<u8> {
    let query = head.uri.query().unwrap_or_default();
    let mut event = Map::new();
    event.insert("version".into(), "2.0".into());
    event.insert("routeKey".into(), DEFAULT.into());
    event.insert("rawPath".into(), head.uri.path().into());
    event.insert("rawQueryString".into(), query.into());
    let cookies = cookies(&head.headers);
    if !cookies.is_empty() {
        event.insert("cookies".into(), cookies.into());
    }
    let left_out = |name: &HeaderName| *name == COOKIE || token && *name == AUTHORIZATION;
    let names = head.headers.keys().filter(|name| !left_out(name));
    let headers: Map<String, Value> =
        names.map(|name| (name.to_string(), all_of(&head.headers, name).into())).collect();
    event.insert("headers".into(), headers.into());
    if !query.is_empty() {
        event.insert("queryStringParameters".into(), parameters(query).into());
    }
    event.insert("requestContext".into(), context(head, peer, identity, now));
    let text = text(&head.headers, body);
    if !body.is_empty() {
        event.insert("body".into(), text.map_or_else(|| STANDARD.encode(body), str::to_owned).into());
    }
    event.insert("isBase64Encoded".into(), text.is_none().into());
    Value::Object(event).to_string().into_bytes()
}

fn context(head: &Parts, peer: SocketAddr, identity: &Identity, now: i64) -> Value {
    let domain = domain(head).unwrap_or_else(|| "localhost".into());
    let time = DateTime::from_timestamp_micros(now).unwrap_or_default();
    json!({
        "accountId": "anonymous",
        "apiId": &*identity.source,
        "domainName": domain,
        "domainPrefix": domain.split('.').next(),
        "http": {
            "method": head.method.as_str(),
            "path": head.uri.path(),
            "protocol": if head.version == Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" },
            "sourceIp": peer.ip().to_string(),
            "userAgent": all_of(&head.headers, &USER_AGENT),
        },
        "requestId": identity.next(),
        "routeKey": DEFAULT,
        "stage": DEFAULT,
        "time": time.format("%d/%b/%Y:%H:%M:%S %z").to_string(),
        "timeEpoch": time.timestamp_millis(),
    })
}

/// The name by which the sender knows us, without a port.
fn domain(head: &Parts) -> Option<String> {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    host.as_ref().or_else(|| head.uri.authority()).map(|authority| authority.host().to_owned())
}

/// The header's values, joined.
fn all_of(headers: &HeaderMap, name: &HeaderName) -> String {
    let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    values.collect::<Vec<_>>().join(",")
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let headers = headers.get_all(COOKIE).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let cookies =
        headers.flat_map(|header| header.split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>());
    cookies.filter(|cookie| !cookie.is_empty()).collect()
}

/// The query's parameters, decoded; those that come more than once joined by commas.
fn parameters(query: &str) -> Map<String, Value> {
    let mut parameters: Map<String, Value> = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let joined = match parameters.get(&*name).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value.into_owned(),
        };
        parameters.insert(name.into_owned(), joined.into());
    }
    parameters
}

/// The body, if it is text that may be handed on as such.
fn text<'a>(headers: &HeaderMap, body: &'a [u8]) -> Option<&'a str> {
    let packed = headers.get(CONTENT_ENCODING).is_some_and(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let media_type = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase());
    let media_type = media_type.as_deref().and_then(|value| value.split(';').next()).unwrap_or("text/plain").trim();
    let textual = media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || ["application/json", "application/javascript", "application/xml"].contains(&media_type);
    std::str::from_utf8(body).ok().filter(|_| body.is_empty() || textual && !packed)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn event(request: hyper::http::request::Builder, body: &[u8], token: bool) -> Value {
        let (head, ()) = request.body(()).unwrap().into_parts();
        let identity = Identity::new(&"in".into(), 1);
        let peer = "192.0.2.7:4711".parse().unwrap();
        serde_json::from_slice(&make(&head, peer, body, &identity, 1_584_039_838_123_456, token)).unwrap()
    }

    #[test]
    fn a_request_in_full() {
        let request = Request::post("/a%20b/c?x=1&y=%C3%A9+z&x=2&flag")
            .header("Host", "api.example.com:8080")
            .header("X-Many", "one")
            .header("x-many", "two")
            .header("Cookie", "a=1; b=2")
            .header("cookie", "c=3")
            .header("User-Agent", "curl/8")
            .header("Content-Type", "application/json; charset=utf-8");
        let expected = r#"{"version":"2.0","routeKey":"$default","rawPath":"/a%20b/c","rawQueryString":"x=1&y=%C3%A9+z&x=2&flag","cookies":["a=1","b=2","c=3"],"headers":{"host":"api.example.com:8080","x-many":"one,two","user-agent":"curl/8","content-type":"application/json; charset=utf-8"},"queryStringParameters":{"x":"1,2","y":"é z","flag":""},"requestContext":{"accountId":"anonymous","apiId":"in","domainName":"api.example.com","domainPrefix":"api","http":{"method":"POST","path":"/a%20b/c","protocol":"HTTP/1.1","sourceIp":"192.0.2.7","userAgent":"curl/8"},"requestId":"00000000-0001-8000-8000-000000000000","routeKey":"$default","stage":"$default","time":"12/Mar/2020:19:03:58 +0000","timeEpoch":1584039838123},"body":"{\"a\":1}","isBase64Encoded":false}"#;
        let found = event(request, b"{\"a\":1}", false);
        assert_eq!(found, serde_json::from_str::<Value>(expected).unwrap(), "{found}");
    }

    #[test]
    fn a_body_that_is_no_text_is_in_base64() {
        for (headers, body, expected) in [
            (vec![("content-type", "text/plain")], &b"hi"[..], Some(("hi", false))),
            (vec![("content-type", "text/plain")], b"\xff", Some(("/w==", true))),
            (vec![("content-type", "image/svg+xml")], b"<svg/>", Some(("<svg/>", false))),
            (vec![("content-type", "image/png")], b"hi", Some(("aGk=", true))),
            (vec![("content-type", "text/plain"), ("content-encoding", "gzip")], b"hi", Some(("aGk=", true))),
            (vec![], b"hi", Some(("hi", false))),
            (vec![("content-type", "image/png")], b"", None),
        ] {
            let request =
                headers.iter().fold(Request::get("/"), |request, (name, value)| request.header(*name, *value));
            let event = event(request, body, false);
            let found = event["body"].as_str().map(|text| (text, event["isBase64Encoded"].as_bool().unwrap()));
            assert_eq!(found, expected, "{headers:?}");
            assert!(event.get("cookies").is_none() && event.get("queryStringParameters").is_none());
        }
    }

    #[test]
    fn the_token_is_not_handed_on() {
        let request = || Request::get("/").header("Authorization", "Bearer s3cret");
        assert_eq!(event(request(), b"", false)["headers"]["authorization"], "Bearer s3cret");
        assert!(event(request(), b"", true)["headers"].get("authorization").is_none());
    }

    #[test]
    fn no_two_requests_have_one_id() {
        let identity = Identity::new(&"in".into(), 1_800_000_000_000_000);
        assert_ne!(identity.next(), identity.next());
    }
}
