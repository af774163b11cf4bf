//! The keys of `http` nodes.

use std::{net::SocketAddr, time::Duration};

use riverhook_config::{ByteSize, Diagnostic, DurationRange, Map, Node, Secret, Spanned, choices, settings};

use crate::template::Template;

settings! {
    /// Listens for records that others POST: a JSON object, an array of them or one a line; with other formats, bodies
    /// are cut as files are.
    ///
    /// Who sends gets 200 (or 202), or: 400 with the place of what is wrong, 401 without the token, 413 for too large a
    /// body, 429 when too much is on the way, 503 when the pipeline stops. 429 and 503 say in `Retry-After` when to try
    /// again; nothing of such a request was taken. After 503 and broken connections its records may still come through:
    /// send an `Idempotency-Key` if a second copy would hurt.
    ///
    /// With `reply`, who sends gets what a node of the pipeline makes of the records: for a single record 204 without a
    /// row, the row as an object, or an array of more; for several records an array of all rows in the records' order.
    /// If that fails, 502 with `{"error": {"code": …, "message": …}}`, or 504 after `reply_timeout`.
    ///
    /// With `shape: function_url`, any request at the path or below it is one record, with the columns of API Gateway's
    /// events (version 2.0): `version`, `routeKey`, `rawPath`, `rawQueryString`, `cookies`, `headers`,
    /// `queryStringParameters`, `requestContext`, `body` and `isBase64Encoded`. A function with `batch: { rows: 1 }` gets it
    /// as its event. A row of the `reply` node that has a `statusCode`, or whose only column `value` has one, is then the
    /// response, with `headers`, `cookies`, `body` and `isBase64Encoded`.
    pub struct HttpSourceSettings {
        /// Address and port; 127.0.0.1:8080 unless set. Any address that other machines reach needs a `token`.
        pub listen: Option<Spanned<String>>,
        /// The path that records are POSTed to, or below which requests are taken with `shape: function_url`; `/` unless
        /// set.
        pub path: Option<Spanned<String>>,
        /// What a request must bring as `Authorization: Bearer …`.
        pub token: Option<Secret>,
        /// Lets other machines, and pages in browsers, send without a token.
        pub allow_anonymous: bool = false,
        /// When a request is answered, without `reply`.
        pub respond: Respond = Respond::Durable,
        /// The node whose rows are the answers.
        pub reply: Option<Spanned<String>>,
        /// When an answer is sent, with `reply`.
        pub after: After = After::Rows,
        /// How long a request waits for its answer, with `reply`.
        pub reply_timeout: Duration = Duration::from_secs(30),
        /// The largest answer, with `reply`: a larger one is 502.
        pub max_reply: ByteSize = ByteSize::mib(6),
        /// What a request is.
        pub shape: RequestShape = RequestShape::Records,
        /// The largest body.
        pub max_body: ByteSize = ByteSize::mib(1),
        /// Requests on the way at most, answered with 429 beyond.
        pub max_inflight: u32 = 1024,
        /// Connections at most; others wait.
        pub max_connections: u32 = 1024,
        /// How long a request may take to arrive.
        pub read_timeout: Duration = Duration::from_secs(30),
        /// For how long a second request with the same `Idempotency-Key` is only answered.
        pub dedupe: Duration = Duration::from_secs(600),
    }
}

settings! {
    /// POSTs rows, and takes a row for durable when it was answered with 2xx.
    ///
    /// While the server is away, or answers 408, 425, 429 or 5xx, a request is tried again, for as long as it takes: the
    /// pipeline waits. Any other answer is final, and its rows go where `on_error` says; with several rows in a request
    /// it is halved until the row that is not wanted is alone. Redirects are not followed, and proxies in the environment
    /// (`HTTPS_PROXY`) are not used.
    pub struct HttpSinkSettings {
        /// Where to: `https://example.com/users/{user}`, in which {column} is a value of the row, percent-encoded. The
        /// host is the same for all rows.
        pub url: Spanned<Template>,
        /// How.
        pub method: HttpMethod = HttpMethod::Post,
        /// What a request has.
        pub send: Send = Send::Record,
        /// The body of a request with one record, in which {column} is a value of the row. In JSON it is a JSON value,
        /// and within quotes its text. The record in the node's `format` unless set.
        pub body: Option<Spanned<Template>>,
        /// Headers, in which {column} is a value of the row. Single records bring an `Idempotency-Key` of their own.
        pub headers: Map<Spanned<Template>> = Map::default(),
        /// Sent as `Authorization: Bearer …`.
        pub token: Option<Secret>,
        /// Rows in a request at most.
        pub max_rows: u32 = 500,
        /// Bytes of a request's body at most, unless a single row has more.
        pub max_bytes: ByteSize = ByteSize::mib(1),
        /// Whether rows are sent in their order, each request of a task after the one before was answered.
        pub ordered: bool = true,
        /// Requests at once of each task, with `ordered: false`.
        pub concurrency: u32 = 8,
        /// How long to wait for an answer.
        pub timeout: Duration = Duration::from_secs(10),
        /// How long to wait before a request is tried again: the first time and at most. `Retry-After` can make it
        /// longer, up to 5m.
        pub backoff: DurationRange = DurationRange { min: Duration::from_millis(100), max: Duration::from_secs(30) },
        /// Lets requests go to link-local and cloud metadata addresses, where machines keep credentials.
        pub allow_link_local: bool = false,
    }
}

choices! {
    /// Methods that send something.
    pub enum HttpMethod {
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
        /// PATCH.
        Patch = "PATCH",
    }

    /// What a request has.
    pub enum Send {
        /// One record.
        Record = "record",
        /// A JSON array of records.
        Array = "array",
        /// One record a line.
        Lines = "lines",
    }

    /// When a request is answered.
    pub enum Respond {
        /// When its records are durable at every sink: with 200.
        Durable = "durable",
        /// At once, with 202: what is on the way is lost if the pipeline fails.
        Accepted = "accepted",
    }

    /// When an answer is sent.
    pub enum After {
        /// When the records have been through all nodes on the way to the one that replies.
        Rows = "rows",
        /// When the records are durable at every sink, too.
        Durable = "durable",
    }

    /// What a request is.
    pub enum RequestShape {
        /// Records, in its body.
        Records = "records",
        /// One record: the event of a function URL.
        FunctionUrl = "function_url",
    }
}

impl HttpSourceSettings {
    /// Where to listen, if that is an address, and one that may be listened at.
    pub(super) fn address(&self, listen: &Spanned<String>) -> Result<SocketAddr, Box<Diagnostic>> {
        let address: SocketAddr = listen.replace("localhost", "127.0.0.1").parse().map_err(|_| {
            let wrong = listen.error("this is no address to listen at");
            Box::new(wrong.expected("an address and a port such as 127.0.0.1:8080 or 0.0.0.0:8080"))
        })?;
        if !address.ip().is_loopback() && self.token.is_none() && !self.allow_anonymous {
            let open = listen.error("anybody on the network could send records to this address");
            return Err(Box::new(open.help("set a `token`, or `allow_anonymous: true` if that is meant")));
        }
        Ok(address)
    }

    /// What else is wrong.
    pub(super) fn problems(&self, node: &Node) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        if let Some(path) = self.path.as_ref().filter(|path| !path.starts_with('/') || path.contains(['?', '#', ' '])) {
            problems.push(path.error("this is no path").expected("a path such as /events"));
        }
        if self.token.as_ref().is_some_and(|token| token.expose().is_empty()) {
            problems.push(node.error("the `token` is empty").help("leave it out to need none"));
        }
        if self.max_body.0 == 0 || self.max_inflight == 0 || self.max_connections == 0 {
            problems.push(node.error("`max_body`, `max_inflight` and `max_connections` are at least 1"));
        }
        if let Some(reply) = self.reply.as_ref().filter(|_| self.respond == Respond::Accepted) {
            let twice = reply.error("an answer that is a node's rows cannot be sent at once");
            problems.push(twice.help("leave `respond` out, or `reply`"));
        }
        if self.reply_timeout.is_zero() || self.max_reply.0 == 0 {
            problems.push(node.error("`reply_timeout` and `max_reply` are above 0"));
        }
        if u32::try_from(self.max_body.0).is_err() {
            problems.push(node.error("`max_body` is below 4GiB"));
        }
        problems
    }
}
