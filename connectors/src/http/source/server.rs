//! The server: connections within bounds, and from a request to its answer. Knows nothing of readers and batches.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Method, Request as HttpRequest, StatusCode,
    body::{Body, Incoming},
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, ORIGIN},
    http::request::Parts,
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
    event::{self, Identity},
    keys::Seen,
    queue::{Pushed, Queue, Request, Room},
    respond::Replying,
};
use crate::{clock::Clock, format::Format, http::RequestShape};

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
    /// How requests are answered with a node's rows, if they are.
    pub(super) replying: Option<Replying>,
    pub(super) shape: RequestShape,
    pub(super) identity: Identity,
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
                Ok((stream, peer)) => {
                    let connection = Arc::clone(&self).connection(stream, peer, self.closing.subscribe());
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
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, mut closing: watch::Receiver<bool>) {
        // Answers are small and sent at once; without this they would wait for the sender's acknowledgement.
        let _ = stream.set_nodelay(true);
        let timeout = self.read_timeout;
        let service = service_fn(move |request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request, peer).await) }
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

    async fn answer(self: &Arc<Self>, request: HttpRequest<Incoming>, peer: SocketAddr) -> Answer {
        self.handle(request, peer).await.unwrap_or_else(Refusal::into_answer)
    }

    async fn handle(self: &Arc<Self>, request: HttpRequest<Incoming>, peer: SocketAddr) -> Result<Answer, Refusal> {
        self.admit(&request)?;
        let key = idempotency_key(request.headers())?;
        let mut room = self.room(request.body().size_hint().exact())?;
        let (head, body) = request.into_parts();
        let body = self.body(body).await?;
        room.shrink(body.len());
        let key = key.map(|key| (key, self.contents(&head, &body)));
        let (body, records) = match self.shape {
            RequestShape::Records => {
                let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
                let records = self.records(&body, content_type.map(str::to_owned)).await?;
                (body, records)
            }
            RequestShape::FunctionUrl => self.event(head, peer, body, &mut room).await?,
        };
        self.take(body, records, room, key).await
    }

    /// A hash of what requests with the same `Idempotency-Key` have in common.
    fn contents(&self, head: &Parts, body: &[u8]) -> u64 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        if self.shape == RequestShape::FunctionUrl {
            hash.update(head.method.as_str().as_bytes());
            hash.update(head.uri.to_string().as_bytes());
        }
        hash.update(body);
        hash.digest()
    }

    /// The request as one record, and room for what that has beyond the body.
    async fn event(
        self: &Arc<Self>,
        head: Parts,
        peer: SocketAddr,
        body: Bytes,
        room: &mut Room,
    ) -> Result<(Bytes, Records), Refusal> {
        let (server, length, now) = (Arc::clone(self), body.len(), self.clock.now_micros());
        let make = move || event::make(&head, peer, &body, &server.identity, now, server.token.is_some());
        let event = Bytes::from(self.work(length, make).await?);
        if !self.queue.grow(room, event.len().saturating_sub(length)) {
            return Err(too_much());
        }
        let ranges = std::iter::once(0..event.len()).collect();
        Ok((event, Records { ranges, header: None }))
    }

    /// Brings the records to the reader, and waits if the sender is to wait.
    async fn take(
        &self,
        body: Bytes,
        records: Records,
        room: Room,
        key: Option<(Arc<str>, u64)>,
    ) -> Result<Answer, Refusal> {
        let Records { ranges: records, header } = records;
        let count = records.len();
        if count == 0 {
            return Ok(self.replying.as_ref().map_or_else(|| self.success(0, false), Replying::nothing));
        }
        let name = key.as_ref().map(|(name, _)| Arc::clone(name));
        let request = Request { body, records, header, read_at: self.clock.now_micros() };
        match (self.queue.push(request, room, key), &self.replying) {
            (Pushed::Taken(promise), Some(replying)) => {
                let answered = replying.answer(promise).await;
                if let (Err(failed), Some(name)) = (&answered, name)
                    && failed.may_come_again()
                {
                    self.queue.failed(&name);
                }
                answered
            }
            (Pushed::Taken(_), None) if !self.respond_when_durable => Ok(self.success(count, false)),
            (Pushed::Taken(promise), None) => match promise.durable.await {
                Ok(()) => Ok(self.success(count, false)),
                Err(_) => Err(Refusal::closed()),
            },
            (Pushed::Seen(Seen::Other), _) => {
                let message = "this Idempotency-Key came with another body before";
                Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, message))
            }
            (Pushed::Seen(Seen::Open), _) if self.respond_when_durable => {
                let message = "the first request with this Idempotency-Key is still on the way";
                Err(Refusal::later(StatusCode::CONFLICT, message))
            }
            (Pushed::Seen(_), Some(_)) => {
                let message = "a request with this Idempotency-Key was taken before, and its answer is not kept";
                Err(Refusal::new(StatusCode::CONFLICT, message))
            }
            (Pushed::Seen(_), None) => Ok(self.success(count, true)),
            (Pushed::Closed, _) => Err(Refusal::closed()),
        }
    }

    /// Whether this request is for us and may be.
    fn admit(&self, request: &HttpRequest<Incoming>) -> Result<(), Refusal> {
        let path = request.uri().path();
        let below = || self.shape == RequestShape::FunctionUrl && is_below(path, &self.path);
        if path != self.path && !below() {
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
        if self.shape == RequestShape::FunctionUrl {
            // Any method and any encoding is the function's business.
            return Ok(());
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
        self.queue.room(length).ok_or_else(too_much)
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
        let (server, length, body) = (Arc::clone(self), body.len(), body.clone());
        let decoded = self.work(length, move || server.decode(&body, content_type.as_deref())).await?;
        decoded.map_err(|bad| Refusal::body(&bad))
    }

    /// Does what takes time for so many bytes.
    async fn work<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        if bytes <= AT_ONCE {
            return Ok(work());
        }
        let turn = Arc::clone(&self.decoding).acquire_owned().await.expect("the semaphore is never closed");
        let working = tokio::task::spawn_blocking(move || {
            let done = work();
            // Also when the sender has gone away, the turn ends only here.
            drop(turn);
            done
        });
        // It does not end when the process is about to.
        working.await.map_err(|_| Refusal::closed())
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

fn too_much() -> Refusal {
    Refusal::later(StatusCode::TOO_MANY_REQUESTS, "too much is on the way: the pipeline is slower than its senders")
}

/// Whether `path` begins with all parts of `root`.
fn is_below(path: &str, root: &str) -> bool {
    let root = root.strip_suffix('/').unwrap_or(root);
    path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
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
