//! The server: connections within bounds, and from a request to its answer. Knows nothing of readers and batches.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Method, Request as HttpRequest, StatusCode,
    body::{Body, Incoming},
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, ORIGIN},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use riverhook_config::Secret;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

use super::{
    answer::{Answer, Refusal, answer},
    checks::Checks,
    cut::{BadBody, Records, cut},
    keys::Seen,
    queue::{Pushed, Queue, Request, Room},
};
use crate::{clock::Clock, format::Format};

/// The longest `Idempotency-Key`.
const LONGEST_KEY: usize = 256;

/// A body up to this many bytes is decoded where it arrives: that takes less time than handing it to another thread.
const AT_ONCE: usize = 64 << 10;

/// Larger bodies that are decoded at once; others wait.
pub(super) const MOST_DECODING: usize = 4;

/// How long to stay away from accepting after it failed (out of file handles, most likely).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Everything that requests are handled with.
pub(super) struct Server {
    pub(super) path: String,
    pub(super) token: Option<Secret>,
    /// Whether a page in a browser may send without a token.
    pub(super) allow_anonymous: bool,
    pub(super) respond_when_durable: bool,
    pub(super) max_body: usize,
    pub(super) max_connections: usize,
    pub(super) read_timeout: Duration,
    pub(super) format: Format,
    pub(super) queue: Queue,
    pub(super) checks: Checks,
    /// A permit for each large body that may be decoded now.
    pub(super) decoding: Arc<Semaphore>,
    pub(super) clock: Arc<dyn Clock>,
    /// True when no more requests are to come. Its receivers are the open connections.
    pub(super) closing: watch::Sender<bool>,
}

impl Server {
    /// Takes connections until it is closed.
    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let connections = Arc::new(Semaphore::new(self.max_connections));
        let mut closing = self.closing.subscribe();
        loop {
            let permit = Arc::clone(&connections).acquire_owned().await.expect("the semaphore is never closed");
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = closing.wait_for(|closing| *closing) => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection = Arc::clone(&self).connection(stream, self.closing.subscribe());
                    tokio::spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// One connection until it ends; when the server closes, until the request at hand is answered.
    async fn connection(self: Arc<Self>, stream: TcpStream, mut closing: watch::Receiver<bool>) {
        // Answers are small and sent at once; without this they would wait for the sender's acknowledgement.
        let _ = stream.set_nodelay(true);
        let timeout = self.read_timeout;
        let service = service_fn(move |request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        let builder = builder.timer(TokioTimer::new()).header_read_timeout(timeout).max_headers(64);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        // A client that breaks the protocol or goes away is its own business.
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = closing.wait_for(|closing| *closing) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    async fn answer(self: &Arc<Self>, request: HttpRequest<Incoming>) -> Answer {
        self.handle(request).await.unwrap_or_else(Refusal::into_answer)
    }

    async fn handle(self: &Arc<Self>, request: HttpRequest<Incoming>) -> Result<Answer, Refusal> {
        self.admit(&request)?;
        let key = idempotency_key(request.headers())?;
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut room = self.room(request.body().size_hint().exact())?;
        let body = self.body(request.into_body()).await?;
        room.shrink(body.len());
        let records = self.records(&body, content_type).await?;
        self.take(body, records, room, key).await
    }

    /// Brings the records to the reader, and waits if the sender is to wait.
    async fn take(&self, body: Bytes, records: Records, room: Room, key: Option<Arc<str>>) -> Result<Answer, Refusal> {
        let Records { ranges: records, header } = records;
        let count = records.len();
        if count == 0 {
            return Ok(self.success(0, false));
        }
        let key = key.map(|key| (key, xxhash_rust::xxh3::xxh3_64(&body)));
        let request = Request { body, records, header, read_at: self.clock.now_micros() };
        match self.queue.push(request, room, key) {
            Pushed::Taken(_) if !self.respond_when_durable => Ok(self.success(count, false)),
            Pushed::Taken(durable) => match durable.await {
                Ok(()) => Ok(self.success(count, false)),
                Err(_) => Err(Refusal::closed()),
            },
            Pushed::Seen(Seen::Open) if self.respond_when_durable => {
                let message = "the first request with this Idempotency-Key is still on the way";
                Err(Refusal::later(StatusCode::CONFLICT, message))
            }
            Pushed::Seen(Seen::Other) => {
                let message = "this Idempotency-Key came with another body before";
                Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message))
            }
            Pushed::Seen(_) => Ok(self.success(count, true)),
            Pushed::Closed => Err(Refusal::closed()),
        }
    }

    /// Whether this request is for us and may be.
    fn admit(&self, request: &HttpRequest<Incoming>) -> Result<(), Refusal> {
        if request.uri().path() != self.path {
            return Err(Refusal::new(StatusCode::NOT_FOUND, "there is nothing here: see `path` of the source"));
        }
        if let Some(token) = &self.token {
            let given = request.headers().get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
            if !given.is_some_and(|given| equal(given, token.expose().as_bytes())) {
                return Err(Refusal::token());
            }
        } else if !self.allow_anonymous && request.headers().contains_key(ORIGIN) {
            // Any page that somebody on this machine looks at could send to a port of this machine.
            return Err(Refusal::new(StatusCode::FORBIDDEN, "pages in browsers need a `token`, or `allow_anonymous`"));
        }
        if request.method() != Method::POST {
            return Err(Refusal::method());
        }
        let encoding = request.headers().get(CONTENT_ENCODING);
        if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send the body uncompressed"));
        }
        Ok(())
    }

    /// Room for the body, whose length may not be known yet.
    fn room(&self, length: Option<u64>) -> Result<Room, Refusal> {
        let length = length.map_or(self.max_body, |length| usize::try_from(length).unwrap_or(usize::MAX));
        if length > self.max_body {
            return Err(Refusal::too_large(self.max_body));
        }
        let message = "too much is on the way: the pipeline is slower than its senders";
        self.queue.room(length).ok_or_else(|| Refusal::later(StatusCode::TOO_MANY_REQUESTS, message))
    }

    async fn body(&self, body: Incoming) -> Result<Bytes, Refusal> {
        let whole = Limited::new(body, self.max_body).collect();
        match tokio::time::timeout(self.read_timeout, whole).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::too_large(self.max_body)),
            Ok(Err(_)) => Err(Refusal::new(StatusCode::BAD_REQUEST, "the body broke off")),
            Err(_) => {
                let message = format!("the body did not arrive within {:?}", self.read_timeout);
                Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, &message))
            }
        }
    }

    /// The records, if every one of them can be decoded. Large bodies are not decoded on the threads for I/O, which
    /// also tell whether the process lives.
    pub(super) async fn records(
        self: &Arc<Self>,
        body: &Bytes,
        content_type: Option<String>,
    ) -> Result<Records, Refusal> {
        let decoded = if body.len() <= AT_ONCE {
            self.decode(body, content_type.as_deref())
        } else {
            let turn = Arc::clone(&self.decoding).acquire_owned().await.expect("the semaphore is never closed");
            let (server, body) = (Arc::clone(self), body.clone());
            let decoding = tokio::task::spawn_blocking(move || {
                let decoded = server.decode(&body, content_type.as_deref());
                // Also when the sender has gone away, the turn ends only here.
                drop(turn);
                decoded
            });
            // It does not end when the process is about to.
            decoding.await.map_err(|_| Refusal::closed())?
        };
        decoded.map_err(|bad| Refusal::body(&bad))
    }

    fn decode(&self, body: &Bytes, content_type: Option<&str>) -> Result<Records, BadBody> {
        let records = cut(&self.format, body, content_type)?;
        self.checks.run(body, &records)?;
        Ok(records)
    }

    fn success(&self, records: usize, duplicate: bool) -> Answer {
        let status = if self.respond_when_durable { StatusCode::OK } else { StatusCode::ACCEPTED };
        let mut body = json!({ "accepted": records });
        if duplicate {
            body["duplicate"] = true.into();
        }
        answer(status, body.to_string())
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<Arc<str>>, Refusal> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().ok().filter(|key| key.len() <= LONGEST_KEY);
    let wrong = || format!("an Idempotency-Key is text of up to {LONGEST_KEY} characters");
    key.map(|key| Some(key.into())).ok_or_else(|| Refusal::new(StatusCode::BAD_REQUEST, &wrong()))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Compares without telling by the time it takes how much was right.
fn equal(given: &[u8], expected: &[u8]) -> bool {
    let differ = given.iter().zip(expected).fold(0, |differ, (given, expected)| differ | (given ^ expected));
    std::hint::black_box(differ) == 0 && given.len() == expected.len()
}
