//! Functions behind HTTP: a POST of the event to a server, whose body is the answer.
//!
//! A copy sends one request at a time over a connection of its own, on the thread that calls it ([`exchange`]). What a
//! status means is in [`status`], how a request is signed in [`sign`], where requests may not go in [`guard`]. Nothing
//! here knows what is in an event or an answer.
//!
//! The URL may be a secret, as those with a key in the query are: no message shows more of it than the server's address.

mod exchange;
mod guard;
mod sign;
mod status;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use sha2::{Digest as _, Sha256};

use self::exchange::HttpHandler;
use self::guard::Lookup;
use crate::codec::Codecs;
use crate::contract::{Caller, LogSink};
use crate::json::handler::{Endpoint, Handler};
use crate::json::{JsonFunction, JsonSettings};

/// Where a function over HTTP is, and how to talk to it.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Where to POST the events.
    pub url: String,
    /// Sent as `authorization: Bearer TOKEN`.
    pub token: Option<Secret>,
    /// Signs each request: `riverhook-signature: t=SECONDS,v1=HEX` with HMAC-SHA-256 over `SECONDS.BODY`.
    pub hmac: Option<Secret>,
    /// The longest one call may take, with connecting. Default 30 s.
    pub timeout: Duration,
    /// Which HTTP is spoken.
    pub version: HttpVersion,
    /// Whether the URL may lead to link-local addresses and clouds' metadata services, where machines keep credentials.
    pub allow_link_local: bool,
}

impl HttpSettings {
    /// The defaults for a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            hmac: None,
            timeout: Duration::from_secs(30),
            version: HttpVersion::default(),
            allow_link_local: false,
        }
    }
}

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/2 if the server offers it while TLS is negotiated, else HTTP/1.1.
    #[default]
    Negotiated,
    /// HTTP/2 without asking, also without TLS.
    Http2,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps the text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// Why a function over HTTP cannot be made of its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL is none.
    #[error("this is no URL such as https://example.com/function")]
    Url,
    /// The URL leads to where machines keep credentials.
    #[error("the URL's address is link-local or a cloud's metadata service")]
    Address,
    /// The token cannot be sent.
    #[error("the token is empty or has characters that no header can have")]
    Token,
    /// The key for signatures is none.
    #[error("the secret for signatures is empty")]
    Hmac,
}

impl JsonFunction {
    /// The function `name` behind a URL. Nothing is connected before the first call.
    ///
    /// Calls block, also on asynchronous code of their own, so they must not come from within a runtime's thread.
    pub fn http(
        name: &str,
        http: HttpSettings,
        json: JsonSettings,
        codecs: Arc<dyn Codecs>,
        logs: LogSink,
    ) -> Result<Self, HttpError> {
        let target = Target::new(name, http, json.max_response, guard::system())?;
        Ok(Self::new(name, Arc::new(HttpEndpoint(Arc::new(target))), json, codecs, logs))
    }
}

/// A server that answers events.
struct HttpEndpoint(Arc<Target>);

impl Endpoint for HttpEndpoint {
    fn copy(&self, _: &Caller) -> Box<dyn Handler> {
        Box::new(HttpHandler::new(Arc::clone(&self.0)))
    }

    fn version(&self) -> &str {
        &self.0.code
    }
}

/// The settings, checked.
struct Target {
    function: HeaderValue,
    url: Url,
    /// Scheme, host and port, for people.
    server: String,
    authorization: Option<HeaderValue>,
    settings: HttpSettings,
    max_response: usize,
    lookup: Lookup,
    /// What names the code: [`Endpoint::version`].
    code: String,
}

impl Target {
    fn new(name: &str, settings: HttpSettings, max_response: usize, lookup: Lookup) -> Result<Self, HttpError> {
        let url = Url::parse(&settings.url).map_err(|_| HttpError::Url)?;
        let (Some(host), Some(port), "http" | "https") = (url.host_str(), url.port_or_known_default(), url.scheme())
        else {
            return Err(HttpError::Url);
        };
        if !settings.allow_link_local && guard::check(&url).is_err() {
            return Err(HttpError::Address);
        }
        if settings.hmac.as_ref().is_some_and(|key| key.0.is_empty()) {
            return Err(HttpError::Hmac);
        }
        let authorization = settings.token.as_ref().map(bearer).transpose()?;
        let server = format!("{}://{host}:{port}", url.scheme());
        let function = HeaderValue::from_str(name).unwrap_or_else(|_| HeaderValue::from_static("?"));
        let code = code(&settings, &url);
        Ok(Self { function, url, server, authorization, settings, max_response, lookup, code })
    }
}

fn bearer(token: &Secret) -> Result<HeaderValue, HttpError> {
    let value = HeaderValue::try_from(format!("Bearer {}", token.0)).ok().filter(|_| !token.0.is_empty());
    let mut value = value.ok_or(HttpError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// What code is called: where it is and how. Secrets have no part in it, so that they can be renewed.
fn code(settings: &HttpSettings, url: &Url) -> String {
    let version: &[u8] = match settings.version {
        HttpVersion::Negotiated => b"negotiated",
        HttpVersion::Http2 => b"http2",
    };
    let signed: &[u8] = if settings.hmac.is_some() { b"signed" } else { b"plain" };
    let hash = Sha256::new().chain_update(url.as_str());
    format!("{:x}", hash.chain_update(b"\0").chain_update(version).chain_update(b"\0").chain_update(signed).finalize())
}
