//! From the rows of a node to the answer of a request.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{
    answer::{Answer, Refusal},
    queue::Promise,
};
use crate::{
    http::RequestShape,
    reply::{ReplyError, Rows},
};

/// How requests are answered with a node's rows.
pub(super) struct Replying {
    /// How long one waits.
    pub(super) timeout: Duration,
    /// Whether its records are to be durable first.
    pub(super) when_durable: bool,
    pub(super) shape: RequestShape,
}

/// Headers that are the server's business.
const OURS: [HeaderName; 6] = [CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

impl Replying {
    /// The answer to a request that was taken, as soon as there is one.
    pub(super) async fn answer(&self, promise: Promise) -> Result<Answer, Refusal> {
        match tokio::time::timeout(self.timeout, self.when_done(promise)).await {
            Ok(answered) => answered,
            Err(_) => {
                let message = format!("there was no answer within {:?}; it may still be worked on", self.timeout);
                Err(Refusal::failed(StatusCode::GATEWAY_TIMEOUT, &ReplyError::new("reply.timeout", message)))
            }
        }
    }

    async fn when_done(&self, mut promise: Promise) -> Result<Answer, Refusal> {
        let reply = promise.reply.as_mut().expect("the queue expects replies where requests are answered with them");
        let rows = reply.answer().await.ok_or_else(Refusal::closed)?;
        let answer = rows.and_then(|rows| self.of_rows(rows));
        let answer = answer.map_err(|failure| Refusal::failed(StatusCode::BAD_GATEWAY, &failure))?;
        if self.when_durable {
            (&mut promise.durable).await.map_err(|_| Refusal::closed())?;
        }
        Ok(answer)
    }

    /// The answer to a request without records.
    pub(super) fn nothing(&self) -> Answer {
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        answer
    }

    fn of_rows(&self, rows: Rows) -> Result<Answer, ReplyError> {
        match (rows.records, rows.rows.as_slice()) {
            (1, []) => Ok(self.nothing()),
            (1, [row]) if self.shape == RequestShape::FunctionUrl => {
                let row = passed_on(row).unwrap_or(row);
                function_response(row).transpose().unwrap_or_else(|| Ok(json(row.to_vec())))
            }
            (1, [row]) => Ok(json(row.clone())),
            (_, rows) => Ok(json(array(rows))),
        }
    }
}

fn array(rows: &[Vec<u8>]) -> Vec<u8> {
    [&b"["[..], &rows.join(&b","[..]), b"]"].concat()
}

fn json(body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// What a function without declared columns answered: it is the row's only column, `value`.
fn passed_on(row: &[u8]) -> Option<&[u8]> {
    let value = row.strip_prefix(b"{\"value\":")?.strip_suffix(b"}")?;
    // With another column behind it, this would be no JSON.
    serde_json::from_slice::<IgnoredAny>(value).ok().map(|IgnoredAny| value)
}

/// The response that a handler describes by a `statusCode` and what belongs to it, if it does.
fn function_response(row: &[u8]) -> Result<Option<Answer>, ReplyError> {
    // Most rows that are none are not parsed.
    if memchr::memmem::find(row, b"\"statusCode\"").is_none() {
        return Ok(None);
    }
    let Ok(Value::Object(mut response)) = serde_json::from_slice::<Value>(row) else { return Ok(None) };
    let Some(status) = response.get("statusCode").filter(|status| !status.is_null()) else { return Ok(None) };
    let status = status_code(status)?;
    let body = body(&mut response)?;
    let mut answer = Response::new(Full::new(if has_body(status) { body } else { Bytes::new() }));
    *answer.status_mut() = status;
    if has_body(status) {
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    headers(&response, answer.headers_mut())?;
    Ok(Some(answer))
}

fn has_body(status: StatusCode) -> bool {
    status != StatusCode::NO_CONTENT && status != StatusCode::NOT_MODIFIED
}

fn wrong(what: &str) -> ReplyError {
    ReplyError::new("reply.invalid", format!("the function's response cannot be sent: {what}"))
}

fn status_code(status: &Value) -> Result<StatusCode, ReplyError> {
    let number = status.as_u64().or_else(|| status.as_str()?.parse().ok());
    // A status below 200 would tell the sender to wait for the real one.
    let number = number.and_then(|number| u16::try_from(number).ok()).filter(|number| (200..600).contains(number));
    let status = number.and_then(|number| StatusCode::from_u16(number).ok());
    status.ok_or_else(|| wrong("its `statusCode` is no number from 200 to 599"))
}

fn body(response: &mut Map<String, Value>) -> Result<Bytes, ReplyError> {
    let encoded = response.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
    match response.remove("body") {
        None | Some(Value::Null) => Ok(Bytes::new()),
        Some(Value::String(text)) if encoded => {
            STANDARD.decode(text).map(Bytes::from).map_err(|_| wrong("its `body` is not base64"))
        }
        Some(Value::String(text)) => Ok(Bytes::from(text)),
        Some(other) => Ok(Bytes::from(other.to_string())),
    }
}

fn headers(response: &Map<String, Value>, headers: &mut HeaderMap) -> Result<(), ReplyError> {
    let value = |text: &str, what: &str| HeaderValue::from_str(text).map_err(|_| wrong(what));
    let described = response.get("headers").and_then(Value::as_object).into_iter().flatten();
    for (name, described) in described.filter(|(_, value)| !value.is_null()) {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| wrong("one of its `headers` has no valid name"))?;
        if !OURS.contains(&name) {
            let text = described.as_str().map_or_else(|| described.to_string(), str::to_owned);
            headers
                .insert(name, value(&text, "one of its `headers` has a line end or another character that cannot be")?);
        }
    }
    let cookies = response.get("cookies").and_then(Value::as_array).into_iter().flatten();
    for cookie in cookies.filter_map(Value::as_str) {
        headers.append(SET_COOKIE, value(cookie, "one of its `cookies` has a character that cannot be")?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    /// The answer to a request of so many records with these rows: status, headers but those for JSON, body.
    fn answer(shape: RequestShape, records: usize, rows: &[&str]) -> Result<(u16, String, String), String> {
        let replying = Replying { timeout: Duration::from_secs(1), when_durable: false, shape };
        let rows = rows.iter().map(|row| row.as_bytes().to_vec()).collect();
        let answer = replying.of_rows(Rows { records, rows }).map_err(|failure| failure.message)?;
        let headers: Vec<String> =
            answer.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        let status = answer.status().as_u16();
        let body = futures::executor::block_on(answer.into_body().collect()).unwrap().to_bytes();
        Ok((status, headers.join(", "), String::from_utf8(body.to_vec()).unwrap()))
    }

    #[track_caller]
    fn check(records: usize, rows: &[&str], status: u16, body: &str) {
        let (found, _, text) = answer(RequestShape::Records, records, rows).unwrap();
        assert_eq!((found, text.as_str()), (status, body));
    }

    #[test]
    fn rows_as_json() {
        check(1, &[], 204, "");
        check(1, &[r#"{"a":1}"#], 200, r#"{"a":1}"#);
        check(1, &[r#"{"a":1}"#, "2"], 200, r#"[{"a":1},2]"#);
        check(2, &[], 200, "[]");
        check(2, &["1"], 200, "[1]");
        check(1, &[r#"{"statusCode":404}"#], 200, r#"{"statusCode":404}"#);
    }

    #[test]
    fn a_response_that_a_handler_describes() {
        let url = |row| answer(RequestShape::FunctionUrl, 1, &[row]);
        let json = "content-type: application/json";
        let ok = |status, headers: &str, body: &str| Ok((status, headers.to_owned(), body.to_owned()));
        assert_eq!(url(r#"{"a":"statusCode"}"#), ok(200, json, r#"{"a":"statusCode"}"#));
        assert_eq!(url(r#"{"statusCode":null,"b":1}"#), ok(200, json, r#"{"statusCode":null,"b":1}"#));
        assert_eq!(url(r#"{"statusCode":404}"#), ok(404, json, ""));
        assert_eq!(url(r#"{"statusCode":"201","body":{"a":1}}"#), ok(201, json, r#"{"a":1}"#));
        assert_eq!(url(r#"{"statusCode":204,"body":"x"}"#), ok(204, "", ""));
        // Answers of functions that do not declare their columns.
        assert_eq!(url(r#"{"value":{"statusCode":404,"body":"no"}}"#), ok(404, json, "no"));
        assert_eq!(url(r#"{"value":{"a":1}}"#), ok(200, json, r#"{"a":1}"#));
        assert_eq!(url(r#"{"value":1,"b":{}}"#), ok(200, json, r#"{"value":1,"b":{}}"#));
        let row = r#"{"statusCode":200,"headers":{"Content-Type":"text/plain","X-N":7,"Content-Length":"9","x":null},
                      "cookies":["a=1","b=2; Secure"],"body":"aGk=","isBase64Encoded":true}"#;
        let headers = "content-type: text/plain, x-n: 7, set-cookie: a=1, set-cookie: b=2; Secure";
        assert_eq!(url(row), ok(200, headers, "hi"));
    }

    #[test]
    fn a_response_that_cannot_be_sent() {
        for (row, text) in [
            (r#"{"statusCode":"ok"}"#, "`statusCode`"),
            (r#"{"statusCode":101}"#, "`statusCode`"),
            (r#"{"statusCode":200,"body":"*","isBase64Encoded":true}"#, "base64"),
            (r#"{"statusCode":200,"headers":{"a b":"c"}}"#, "name"),
            (r#"{"statusCode":200,"headers":{"a":"b\nc"}}"#, "line end"),
            (r#"{"statusCode":200,"cookies":["b\nc"]}"#, "cookies"),
        ] {
            let error = answer(RequestShape::FunctionUrl, 1, &[row]).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }
}
