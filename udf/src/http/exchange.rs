//! One copy: its connection, and one request at a time on the caller's thread.
//!
//! Each copy has a runtime of its own that runs only while a call does, so that no other thread takes part in the I/O,
//! except in finding a name's address. A connection that the server closed in between would look alive then; hence the
//! runtime turns a little before each request.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use tokio::runtime::{Builder, Runtime};

use super::guard::{Guard, RefusedAddress};
use super::sign::signature;
use super::status::{failure, retry_after};
use super::{HttpVersion, Target};
use crate::contract::{CallError, CallErrorKind, Invocation, Usage};
use crate::json::handler::{Answered, Handler};

/// How long a connection is kept without a request.
const KEPT: Duration = Duration::from_secs(30);
/// What of a failure's body is read, so that its connection can be used again. Nobody looks at it.
const READ: usize = 64 << 10;
/// How long such a body is waited for.
const DRAIN: Duration = Duration::from_millis(200);

const REQUEST_ID: HeaderName = HeaderName::from_static("riverhook-request-id");
const FUNCTION: HeaderName = HeaderName::from_static("riverhook-function");
const DEADLINE: HeaderName = HeaderName::from_static("riverhook-deadline-ms");
const SIGNATURE: HeaderName = HeaderName::from_static("riverhook-signature");

/// A copy of a function over HTTP.
pub(super) struct HttpHandler {
    target: Arc<Target>,
    /// None before the first call.
    live: Option<Live>,
}

impl HttpHandler {
    pub(super) fn new(target: Arc<Target>) -> Self {
        Self { target, live: None }
    }

    fn live(&mut self) -> Result<&Live, CallError> {
        if self.live.is_none() {
            let live = Live::new(&self.target).map_err(|problem| {
                CallError::new(CallErrorKind::Unavailable, format!("cannot set HTTP up: {problem}"))
            })?;
            self.live = Some(live);
        }
        Ok(self.live.as_ref().expect("it was just made"))
    }
}

impl Handler for HttpHandler {
    fn invoke(&mut self, event: &[u8], invocation: &Invocation<'_>) -> Answered {
        let begun = Instant::now();
        let cold = self.live.is_none();
        let target = Arc::clone(&self.target);
        let live = match self.live() {
            Ok(live) => live,
            Err(error) => return Answered { result: Err(error), usage: Usage::default() },
        };
        let started = Instant::now();
        let limit = target.settings.timeout;
        let limit = match invocation.deadline {
            Some(deadline) => limit.min(deadline.saturating_duration_since(started)),
            None => limit,
        };
        let call = Call { target: &target, client: &live.client, event, invocation, limit };
        let result = live.run(call.exchange(), limit);
        let cold_start = cold.then(|| started - begun);
        Answered { result, usage: Usage { duration: started.elapsed(), cold_start, ..Usage::default() } }
    }
}

/// A runtime with its client.
struct Live {
    /// Taken when it is dropped.
    runtime: Option<Runtime>,
    client: Client,
}

impl Live {
    fn new(target: &Target) -> Result<Self, String> {
        // One thread, for the system's own look-up of names, which blocks.
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(1).build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let settings = &target.settings;
        let guard = Guard { lookup: Arc::clone(&target.lookup), allow_link_local: settings.allow_link_local };
        let builder = Client::builder()
            .redirect(Policy::none())
            // A proxy would resolve names itself, and so lead around the guard.
            .no_proxy()
            .dns_resolver(Arc::new(guard))
            // Half, so that a server that cannot be reached is told from one that is slow.
            .connect_timeout(settings.timeout / 2)
            .tcp_nodelay(true)
            .pool_idle_timeout(KEPT)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("riverhook/", env!("CARGO_PKG_VERSION")));
        let builder = match settings.version {
            HttpVersion::Negotiated => builder,
            HttpVersion::Http2 => builder.http2_prior_knowledge(),
        };
        let client = builder.build().map_err(|error| innermost(&error))?;
        Ok(Self { runtime: Some(runtime), client })
    }

    fn run(
        &self,
        exchange: impl Future<Output = Result<Vec<u8>, CallError>>,
        limit: Duration,
    ) -> Result<Vec<u8>, CallError> {
        let runtime = self.runtime.as_ref().expect("it is taken only when this is dropped");
        runtime.block_on(async {
            turn().await;
            tokio::time::timeout(limit, exchange).await.unwrap_or_else(|_| Err(timed_out(limit)))
        })
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A look-up that hangs must not hold up whoever drops a copy.
            runtime.shutdown_background();
        }
    }
}

/// Lets connections notice what happened to them while nothing ran: the first turn asks the system, the others let the
/// connection's task act on it.
async fn turn() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

/// One request.
struct Call<'a> {
    target: &'a Target,
    client: &'a Client,
    event: &'a [u8],
    invocation: &'a Invocation<'a>,
    limit: Duration,
}

impl Call<'_> {
    async fn exchange(self) -> Result<Vec<u8>, CallError> {
        let target = self.target;
        let now = SystemTime::now();
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let deadline = u64::try_from((since + self.limit).as_millis()).unwrap_or(u64::MAX);
        let mut request = self
            .client
            .post(target.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(REQUEST_ID, self.invocation.id.to_string())
            .header(FUNCTION, target.function.clone())
            .header(DEADLINE, deadline);
        if let Some(authorization) = &target.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        if let Some(key) = &target.settings.hmac {
            request = request.header(SIGNATURE, signature(key.0.as_bytes(), since.as_secs(), self.event));
        }
        let answer = request.body(self.event.to_vec()).send().await.map_err(|error| self.unanswered(&error))?;
        let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|value| retry_after(value, now));
        if let Some(error) = failure(answer.status(), asked, &target.server) {
            // The failure is known, whatever becomes of its body.
            let _ = tokio::time::timeout(DRAIN.min(self.limit / 4), self.read(answer, READ)).await;
            return Err(error);
        }
        self.read(answer, target.max_response).await
    }

    /// The body, if it has at most so many bytes. Of a longer one the connection is given up.
    async fn read(&self, mut answer: Response, longest: usize) -> Result<Vec<u8>, CallError> {
        let too_large = || CallError::new(CallErrorKind::OutputTooLarge, format!("answered more than {longest} bytes"));
        if answer.content_length().is_some_and(|length| length > longest as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unanswered(&error))? {
            if body.len() + chunk.len() > longest {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Such errors show the URL, which may be a secret; so only what kind of error it is.
    fn unanswered(&self, error: &reqwest::Error) -> CallError {
        let server = &self.target.server;
        if causes(error).any(|cause| cause.is::<RefusedAddress>()) {
            return CallError::new(CallErrorKind::InvalidEntrypoint, format!("{server}: {RefusedAddress}"));
        }
        if error.is_connect() {
            let message = format!("{server} cannot be reached ({})", innermost(error));
            return CallError::new(CallErrorKind::Unavailable, message);
        }
        // It took the request, so that the batch may be at fault.
        let message = format!("{server} broke the connection off ({})", innermost(error));
        CallError::new(CallErrorKind::Crash, message)
    }
}

fn timed_out(limit: Duration) -> CallError {
    CallError::new(CallErrorKind::Timeout, format!("ran for longer than {limit:?}"))
}

fn causes<'e>(error: &'e reqwest::Error) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error as &'e (dyn StdError + 'static)), |error| (*error).source())
}

fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}
