//! The Runtime API over HTTP, as AWS's own clients expect it, header by header; see [`super::api`] for its state.
//!
//! The child is not trusted: connections, headers and bodies have bounds. What breaks them hurts the call that the
//! child has, and no other copy.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::api::{Answer, Api, Event, Refusal};
use super::errors;
use crate::contract::{CallError, CallErrorKind};

/// Connections of one child. Clients use one or two; more wait to be accepted.
const MAX_CONNECTIONS: usize = 16;
/// The bytes of one request's headers. Their number has hyper's own bound, a hundred.
const MAX_HEAD: usize = 64 << 10;
/// How long to wait after a connection could not be accepted: files may have run out, and the loop must not spin.
const ACCEPT_AGAIN: Duration = Duration::from_millis(20);

const PREFIX: &str = "/2018-06-01/runtime/";
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const ERROR_BODY: &str = "lambda-runtime-function-error-body";
const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const DEADLINE: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");

/// What the server of one child needs besides the state.
pub(super) struct Server {
    pub(super) api: Arc<Api>,
    pub(super) arn: String,
    /// The longest answer, in bytes.
    pub(super) longest: usize,
}

type Reply = Response<Full<Bytes>>;

/// The event that the child was given last on a connection.
type Given = Mutex<Option<Uuid>>;

impl Server {
    /// Serves the child until this is dropped, and its connections with it.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            if connections.len() >= MAX_CONNECTIONS {
                connections.join_next().await;
            }
            while connections.try_join_next().is_some() {}
            match listener.accept().await {
                Ok((stream, _)) => {
                    connections.spawn(Arc::clone(&self).connection(stream));
                }
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        // Without it answers wait for the child's acknowledgement of what went before.
        let _ = stream.set_nodelay(true);
        let fresh = AtomicBool::new(true);
        let given = Given::default();
        let service = service_fn(|request| {
            let (server, fresh, given) = (&self, fresh.swap(false, Ordering::Relaxed), &given);
            async move {
                if fresh {
                    // Lets the connection see whether the child has closed it already: an event must not go there.
                    tokio::task::yield_now().await;
                }
                Ok::<_, Infallible>(server.serve(request, given).await)
            }
        });
        // No timer: it would run between calls, while nobody reads. The call's own time limit ends what hangs.
        let served = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(function = %self.arn, %error, "a connection to the Runtime API ended badly");
        }
        // What was written to a connection that ends may not have been read.
        if let Some(id) = *given.lock() {
            self.api.lost(id);
        }
    }

    async fn serve(&self, request: Request<Incoming>, given: &Given) -> Reply {
        let path = request.uri().path().to_owned();
        let Some(path) = path.strip_prefix(PREFIX) else { return not_found() };
        let (get, post) = (request.method() == Method::GET, request.method() == Method::POST);
        if path == "invocation/next" {
            return if get { self.next(given).await } else { wrong_method() };
        }
        if path == "init/error" {
            return if post { self.init_error(request).await } else { wrong_method() };
        }
        match path.strip_prefix("invocation/").and_then(|rest| rest.split_once('/')) {
            Some((_, "response" | "error")) if !post => wrong_method(),
            Some((id, "response")) => self.response(id, request).await,
            Some((id, "error")) => self.error(id, request).await,
            _ => not_found(),
        }
    }

    /// Holds the request open until there is an event.
    async fn next(&self, given: &Given) -> Reply {
        let poll = match self.api.next() {
            Ok(poll) => poll,
            Err(refusal) => return refused(refusal),
        };
        let Some(event) = poll.event().await else { return refused(Refusal::NotNow) };
        *given.lock() = Some(event.id);
        let trace = trace_id(&event);
        let Event { id, deadline_ms, body } = event;
        Response::builder()
            .header(CONTENT_TYPE, JSON)
            .header(REQUEST_ID, id.to_string())
            .header(DEADLINE, deadline_ms)
            .header(ARN, &self.arn)
            .header(TRACE_ID, trace)
            .body(Full::new(body))
            // A function's name that cannot stand in a header; the child gets no event, and the call fails.
            .unwrap_or_else(|_| failed(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "no header for this name"))
    }

    async fn response(&self, id: &str, request: Request<Incoming>) -> Reply {
        // Unknown ids come first: a late answer must not be told that its mode is wrong.
        let answer = match self.api.answer(id) {
            Ok(answer) => answer,
            Err(refusal) => return refused(refusal),
        };
        match request.headers().get(RESPONSE_MODE).map(|mode| mode.as_bytes()) {
            None => {}
            Some(mode) if mode.eq_ignore_ascii_case(b"streaming") => {}
            Some(_) => {
                let text = "the response mode must be `streaming`, or not be given";
                return failed(StatusCode::BAD_REQUEST, "InvalidFunctionResponseMode", text);
            }
        }
        let body = collect(request.into_body(), self.longest, || answer.is_too_large()).await;
        self.conclude(answer, body, |body, trailers| {
            if trailers.contains_key(ERROR_TYPE) || trailers.contains_key(ERROR_BODY) {
                return Err(streamed_error(&trailers));
            }
            Ok(body)
        })
    }

    async fn error(&self, id: &str, request: Request<Incoming>) -> Reply {
        let answer = match self.api.answer(id) {
            Ok(answer) => answer,
            Err(refusal) => return refused(refusal),
        };
        let error_type = text_of(request.headers(), ERROR_TYPE);
        let body = collect(request.into_body(), self.longest, || {}).await;
        self.conclude(answer, body, |body, _| Err(errors::reported(error_type.as_deref(), &body)))
    }

    /// Ends the call with what was received.
    fn conclude(
        &self,
        answer: Answer,
        body: Collected,
        result: impl FnOnce(Vec<u8>, HeaderMap) -> Result<Vec<u8>, CallError>,
    ) -> Reply {
        match body {
            Collected::Whole(body, trailers) => {
                answer.end(result(body, trailers));
                accepted()
            }
            Collected::TooLarge => {
                answer.end(Err(too_large(self.longest)));
                let text = format!("exceeded maximum allowed payload size ({} bytes)", self.longest);
                failed(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &text)
            }
            // The answer is dropped: the child may give it again.
            Collected::CutOff => failed(StatusCode::BAD_REQUEST, "InvalidRequest", "the body could not be read"),
        }
    }

    async fn init_error(&self, request: Request<Incoming>) -> Reply {
        let error_type = text_of(request.headers(), ERROR_TYPE);
        let body = match collect(request.into_body(), self.longest, || {}).await {
            Collected::Whole(body, _) => body,
            Collected::TooLarge | Collected::CutOff => Vec::new(),
        };
        match self.api.init_failed(errors::reported(error_type.as_deref(), &body)) {
            Ok(()) => accepted(),
            Err(refusal) => refused(refusal),
        }
    }
}

/// What became of a request's body.
enum Collected {
    Whole(Vec<u8>, HeaderMap),
    TooLarge,
    CutOff,
}

/// Reads a body. What is beyond `longest` bytes is read away and not kept, so that the child can finish its request
/// and read why it was refused.
async fn collect(mut body: Incoming, longest: usize, too_large: impl FnOnce()) -> Collected {
    let expected = body.size_hint().lower();
    let mut kept = Vec::with_capacity(usize::try_from(expected).unwrap_or(usize::MAX).min(longest));
    let (mut trailers, mut over, mut too_large) = (HeaderMap::new(), expected > longest as u64, Some(too_large));
    loop {
        if over && let Some(too_large) = too_large.take() {
            too_large();
        }
        match body.frame().await {
            None if over => return Collected::TooLarge,
            None => return Collected::Whole(kept, trailers),
            Some(Err(_)) => return Collected::CutOff,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if over || kept.len() + data.len() > longest => {
                    over = true;
                    kept = Vec::new();
                }
                Ok(data) => kept.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            },
        }
    }
}

/// The error that a streamed answer ends with, in its trailers.
fn streamed_error(trailers: &HeaderMap) -> CallError {
    let body = text_of(trailers, ERROR_BODY).unwrap_or_default();
    // Clients encode it, since JSON need not be what a header may hold.
    let body = STANDARD.decode(&body).unwrap_or_else(|_| body.into_bytes());
    errors::reported(text_of(trailers, ERROR_TYPE).as_deref(), &body)
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

/// The failure of a call whose answer is longer than allowed.
pub(super) fn too_large(longest: usize) -> CallError {
    CallError::new(CallErrorKind::OutputTooLarge, format!("answered more than {longest} bytes"))
}

/// A trace of X-Ray's form: clients pass it on to the handler.
fn trace_id(event: &Event) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let Event { id, .. } = event;
    let (high, low) = Uuid::as_u64_pair(id);
    format!("Root=1-{:08x}-{high:016x}{:08x};Parent={low:016x};Sampled=1", now & 0xffff_ffff, low >> 32)
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, JSON);
    reply
}

fn accepted() -> Reply {
    json(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
}

fn failed(status: StatusCode, error_type: &str, message: &str) -> Reply {
    json(status, serde_json::json!({ "errorMessage": message, "errorType": error_type }).to_string())
}

fn refused(refusal: Refusal) -> Reply {
    match refusal {
        Refusal::UnknownId => {
            failed(StatusCode::BAD_REQUEST, "InvalidRequestID", "this id is of no event that waits for an answer")
        }
        Refusal::NotNow => failed(StatusCode::FORBIDDEN, "InvalidStateTransition", "this is not allowed in this state"),
    }
}

fn not_found() -> Reply {
    failed(StatusCode::NOT_FOUND, "NotFound", "there is no such call in the Runtime API")
}

fn wrong_method() -> Reply {
    failed(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "this call has another method")
}
