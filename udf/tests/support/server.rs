//! A small HTTP server for tests, on a port of its own.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// One request, whole.
pub(crate) struct Got {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(crate) type Body = BoxBody<Bytes, Infallible>;

/// An answer, or none: the connection is broken off.
pub(crate) type Answer = Option<Response<Body>>;

pub(crate) type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What answers requests.
type Answerer = Arc<dyn Fn(Got) -> Answering + Send + Sync>;

pub(crate) struct Server {
    runtime: Option<Runtime>,
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    open: Arc<Mutex<JoinSet<()>>>,
}

impl Server {
    /// Answers with what `answer` makes of a request.
    pub(crate) fn start(answer: impl Fn(Got) -> Answering + Send + Sync + 'static) -> Self {
        Self::speaking(false, Arc::new(answer))
    }

    /// The same, over HTTP/2 without TLS.
    pub(crate) fn http2(answer: impl Fn(Got) -> Answering + Send + Sync + 'static) -> Self {
        Self::speaking(true, Arc::new(answer))
    }

    fn speaking(http2: bool, answer: Answerer) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, open) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<JoinSet<()>>>::default());
        let (count, joined, handle) = (Arc::clone(&connections), Arc::clone(&open), runtime.handle().clone());
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let connection = serve(TokioIo::new(stream), http2, Arc::clone(&answer));
                joined.lock().unwrap().spawn_on(connection, &handle);
            }
        });
        Self { runtime: Some(runtime), address, connections, open }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// How many connections were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Closes all connections, as a server does with those that are idle.
    pub(crate) fn close_connections(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap());
        self.runtime.as_ref().unwrap().block_on(async move {
            let mut open = open;
            open.shutdown().await;
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

async fn serve(io: TokioIo<tokio::net::TcpStream>, http2: bool, answer: Answerer) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let answer = Arc::clone(&answer);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(|_| "the request was broken off")?.to_bytes().to_vec();
            let (method, path) = (head.method.to_string(), head.uri.path().to_owned());
            let got = Got { method, path, version: head.version, headers: head.headers, body };
            answer(got).await.ok_or("no answer")
        }
    });
    // A client that goes away is no matter to the server.
    if http2 {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    }
}

/// A whole answer.
pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    Some(response.body(Full::new(body.into()).boxed()).unwrap())
}

pub(crate) fn ok(body: impl Into<Bytes>) -> Answer {
    answer(200, &[], body)
}

/// Success whose body is this piece again and again without end, with pauses between.
pub(crate) fn endless(piece: &'static [u8], pause: Duration) -> Answer {
    let pieces = futures::stream::unfold((), move |()| async move {
        tokio::time::sleep(pause).await;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece))), ()))
    });
    Some(Response::new(BodyExt::boxed(StreamBody::new(Box::pin(pieces)))))
}
