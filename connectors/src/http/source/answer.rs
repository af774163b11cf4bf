//! What requests are answered with.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::json;

use super::cut::BadBody;
use crate::reply::ReplyError;

/// An answer on its way to the sender.
pub(super) type Answer = Response<Full<Bytes>>;

/// Why a request has no better answer. Unless it [failed](Refusal::failed), nothing of it was taken.
pub(super) struct Refusal {
    status: StatusCode,
    body: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, message: &str) -> Self {
        Self { status, body: json!({ "error": message }).to_string(), header: None }
    }

    /// The body is wrong, and where.
    pub(super) fn body(bad: &BadBody) -> Self {
        Self { status: StatusCode::BAD_REQUEST, body: bad.to_json().to_string(), header: None }
    }

    /// Trying again in a second may help.
    pub(super) fn later(status: StatusCode, message: &str) -> Self {
        Self { header: Some((RETRY_AFTER, HeaderValue::from_static("1"))), ..Self::new(status, message) }
    }

    pub(super) fn too_large(most: usize) -> Self {
        let message = format!("a body may have {most} bytes: send less at a time, or raise `max_body`");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, &message)
    }

    pub(super) fn token() -> Self {
        let header = Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        Self { header, ..Self::new(StatusCode::UNAUTHORIZED, "send the token as `Authorization: Bearer …`") }
    }

    pub(super) fn method() -> Self {
        let header = Some((ALLOW, HeaderValue::from_static("POST")));
        Self { header, ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "records are sent with POST") }
    }

    pub(super) fn closed() -> Self {
        let message = "the pipeline stopped before the records were durable: send them again";
        Self::later(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// The request was taken, and there is no answer to it: why.
    pub(super) fn failed(status: StatusCode, failure: &ReplyError) -> Self {
        let error = json!({ "code": failure.code, "message": failure.message });
        Self { status, body: json!({ "error": error }).to_string(), header: None }
    }

    /// Whether the same request may be tried anew: nothing of it is under way any more.
    pub(super) fn may_come_again(&self) -> bool {
        self.status != StatusCode::GATEWAY_TIMEOUT
    }

    pub(super) fn into_answer(self) -> Answer {
        let mut answer = answer(self.status, self.body);
        answer.headers_mut().extend(self.header);
        answer
    }
}

/// An answer with a line of JSON.
pub(super) fn answer(status: StatusCode, mut body: String) -> Answer {
    body.push('\n');
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
