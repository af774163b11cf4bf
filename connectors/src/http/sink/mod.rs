//! The sink: rows become requests, and a row is durable when its request was answered with success.

mod deliver;
mod guard;
mod lane;
mod request;
mod retry;

#[cfg(test)]
mod tests;

use std::{
    net::{TcpStream, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use arrow_schema::Schema;
use reqwest::{Client, Url, header::HeaderName, redirect::Policy};
use riverhook_config::{Diagnostic, MapReader, Reading};
use tokio::task::JoinHandle;

use self::{
    deliver::Sender,
    guard::{Guard, Lookup},
    lane::Lane,
    request::Requests,
};
use super::{HttpSinkSettings, Send};
use crate::{
    batch::{Batch, Epoch},
    error::Error,
    format::{Format, Framing},
    registry::Setup,
    sink::{Progress, Rejected, Sink, WriteContext, Writer},
    template::Escape,
};

/// Headers that the connector writes itself.
const OWN_HEADERS: [&str; 6] = ["connection", "content-length", "host", "idempotency-key", "te", "transfer-encoding"];

/// A sink that sends rows to a server.
struct HttpSink {
    settings: HttpSinkSettings,
    format: Format,
    /// Scheme, host and port, for people: the rest may be a secret.
    server: String,
    host: (String, u16),
    body_escape: Escape,
    lookup: Lookup,
}

/// From the node's settings.
pub(super) fn read(map: &mut MapReader<'_>, cx: &mut Reading<'_>, setup: &Setup) -> Option<Box<dyn Sink>> {
    let node = map.node();
    let settings = HttpSinkSettings::read_fields(map, cx)?;
    let mut problems = problems(&settings, &setup.format);
    if settings.max_rows == 0 || settings.concurrency == 0 {
        problems.push(node.error("`max_rows` and `concurrency` are at least 1"));
    }
    if setup.format.framing() == Framing::Container {
        let format = setup.format.name();
        problems.push(node.error(format!("format {format} is for files: use json, csv, text or bytes here")));
    }
    let sink =
        HttpSink::new(settings, setup.format.clone(), guard::system()).map_err(|problem| problems.push(*problem));
    let failed = !problems.is_empty();
    problems.into_iter().for_each(|problem| cx.push(problem));
    let sink = sink.ok().filter(|_| !failed)?;
    Some(Box::new(Arc::new(sink)))
}

fn problems(settings: &HttpSinkSettings, format: &Format) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    if settings.send != Send::Record {
        let several = |what: &str| format!("`{what}` cannot have values of a row: a request has several rows");
        if settings.url.constant().is_none() {
            problems.push(settings.url.error(several("url")).help("set `send: record`"));
        }
        if let Some(body) = &settings.body {
            problems.push(body.error("`body` is for requests with one record").help("set `send: record`"));
        }
        let varying = settings.headers.iter().filter(|(_, value)| value.constant().is_none());
        problems.extend(varying.map(|(name, value)| value.error(several(name)).help("set `send: record`")));
    }
    if settings.send == Send::Array && !matches!(format, Format::Json(_)) {
        problems.push(settings.url.error("only JSON records can be sent as an array").help("set `send: lines`"));
    }
    if settings.send == Send::Lines && !matches!(format, Format::Json(_) | Format::Csv(..) | Format::Text) {
        let several = format!("several records of format {} cannot be told apart in a request", format.name());
        problems.push(settings.url.error(several).help("set `send: record`"));
    }
    for (name, value) in settings.headers.iter() {
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            problems.push(value.error(format!("`{name}` is no name of a header")));
        } else if OWN_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            problems.push(value.error(format!("`{name}` is written by the connector: leave it out")));
        }
    }
    problems
}

impl HttpSink {
    fn new(settings: HttpSinkSettings, format: Format, lookup: Lookup) -> Result<Self, Box<Diagnostic>> {
        let wrong = |message: &str| {
            let wrong = settings.url.error(message).expected("a URL such as https://example.com/events");
            Box::new(wrong)
        };
        let beginning = settings.url.beginning();
        let (_, behind) = beginning.split_once("://").ok_or_else(|| wrong("this is no URL"))?;
        if settings.url.constant().is_none() && !behind.contains(['/', '?']) {
            return Err(wrong("the host cannot come from a row"));
        }
        let url = Url::parse(beginning).map_err(|_| wrong("this is no URL"))?;
        let (Some(host), Some(port), "http" | "https") = (url.host_str(), url.port_or_known_default(), url.scheme())
        else {
            return Err(wrong("this is no URL to send to"));
        };
        let host = (host.trim_matches(['[', ']']).to_owned(), port);
        let server = format!("{}://{}:{port}", url.scheme(), url.host_str().unwrap_or_default());
        if !settings.allow_link_local && guard::check(&url).is_err() {
            let refused = settings.url.error("this address is link-local or a cloud's metadata service");
            return Err(Box::new(refused.help("set `allow_link_local: true` if it is meant")));
        }
        let is_json = settings.body.as_ref().is_some_and(|body| body.beginning().trim_start().starts_with(['{', '[']));
        let body_escape = if is_json { Escape::Json } else { Escape::None };
        Ok(Self { settings, format, server, host, body_escape, lookup })
    }

    fn content_type(&self) -> &'static str {
        match (&self.settings.body, &self.format) {
            (Some(_), _) if self.body_escape == Escape::Json => "application/json",
            (Some(_), _) => "text/plain; charset=utf-8",
            (None, Format::Json(_)) if self.settings.send == Send::Lines => "application/x-ndjson",
            (None, Format::Json(_)) => "application/json",
            (None, Format::Csv(..)) => "text/csv; charset=utf-8",
            (None, Format::Text) => "text/plain; charset=utf-8",
            (None, _) => "application/octet-stream",
        }
    }

    fn client(&self) -> Result<Client, Error> {
        let builder = Client::builder()
            .redirect(Policy::none())
            // A proxy would look names up itself, behind the back of the guard.
            .no_proxy()
            .connect_timeout(self.settings.timeout)
            .user_agent(concat!("riverhook/", env!("CARGO_PKG_VERSION")));
        let builder = if self.settings.allow_link_local {
            builder
        } else {
            builder.dns_resolver(Arc::new(Guard::new(Arc::clone(&self.lookup))))
        };
        builder.build().map_err(|error| Error::fatal("cannot set HTTP up").caused_by(error.without_url()))
    }
}

impl Sink for Arc<HttpSink> {
    fn check(&self, schema: &Schema) -> Result<(), Vec<String>> {
        let templates = self.settings.headers.iter().map(|(_, value)| value).chain([&self.settings.url]);
        let templates = templates.chain(&self.settings.body);
        let mut problems: Vec<String> =
            templates.filter_map(|template| template.check(schema).err()).flatten().collect();
        if self.settings.body.is_none() {
            problems.extend(self.format.check_write(schema).err().into_iter().flatten());
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn probe(&self, timeout: Duration) -> Result<String, Error> {
        let cannot = |why: &str| Error::unavailable(format!("{} {why}", self.server));
        let (host, port) = &self.host;
        let found = (host.as_str(), *port).to_socket_addrs();
        let found = found.map_err(|error| cannot("has no address: is the name right?").caused_by(error))?;
        let mut allowed = found.filter(|address| self.settings.allow_link_local || !guard::is_refused(address.ip()));
        let address =
            allowed.next().ok_or_else(|| Error::config(format!("{}: {}", self.server, guard::RefusedAddress)))?;
        TcpStream::connect_timeout(&address, timeout)
            .map_err(|error| cannot("takes no connection").caused_by(error))?;
        Ok(format!("{} takes connections", self.server))
    }

    fn open(&self, context: WriteContext) -> Result<Box<dyn Writer>, Error> {
        let requests = Requests::new(Arc::clone(self), &context)?;
        let lane = Arc::new(Lane::new(context.inflight_bytes));
        let sender = Sender {
            sink: Arc::clone(self),
            lane: Arc::clone(&lane),
            client: self.client()?,
            header: requests.header(),
            clock: Arc::clone(&context.clock),
            status: context.status.clone(),
        };
        let sending = context.io.spawn(Arc::new(sender).run());
        // Whether the server answers is known from the first row on.
        context.status.up();
        Ok(Box::new(HttpWriter { requests, lane, sending }))
    }
}

struct HttpWriter {
    requests: Requests,
    lane: Arc<Lane>,
    sending: JoinHandle<()>,
}

impl Writer for HttpWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let (jobs, failures) = self.requests.of(batch)?;
        if !failures.is_empty() {
            self.lane.reject(Rejected { batch: batch.clone(), failures, attempts: 0 });
        }
        jobs.into_iter().for_each(|job| self.lane.put(job));
        Ok(())
    }

    fn barrier(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.lane.barrier(epoch);
        Ok(())
    }

    fn poll(&mut self) -> Result<Progress, Error> {
        Ok(self.lane.progress())
    }

    fn close(&mut self) -> Result<Progress, Error> {
        Ok(self.lane.drain())
    }
}

/// After closing nothing is on its way; without it the pipeline failed, and what is on its way is sent again after the
/// restart.
impl Drop for HttpWriter {
    fn drop(&mut self) {
        self.sending.abort();
    }
}
