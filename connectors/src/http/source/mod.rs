//! The source: listens, and hands on what comes.

mod answer;
mod checks;
mod cut;
mod event;
mod keys;
mod queue;
mod respond;
mod server;

#[cfg(test)]
mod reply_tests;
#[cfg(test)]
mod tests;

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::builder::BinaryBuilder;
use arrow_schema::SchemaRef;
use riverhook_config::{MapReader, Reading};
use tokio::sync::{Semaphore, watch};

use self::{
    checks::Checks,
    queue::{Piece, Queue, Taken},
    respond::Replying,
    server::{MOST_DECODING, Server},
};
use super::{After, HttpSourceSettings, RequestShape, Respond};
use crate::{
    batch::{Input, Payloads},
    error::Error,
    format::{Format, Framing},
    position::{Partition, Position, Positions},
    registry::Setup,
    reply::Replies,
    source::{Keeper, Polled, ReadContext, Reader, Source},
};

/// How long closing waits for the last answers to be sent.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// A source of what others POST.
struct HttpSource {
    settings: HttpSourceSettings,
    address: SocketAddr,
    path: String,
    format: Format,
    schema: Option<SchemaRef>,
    replies: Option<Replies>,
}

/// From the node's settings.
pub(super) fn read(map: &mut MapReader<'_>, cx: &mut Reading<'_>, setup: &Setup) -> Option<Box<dyn Source>> {
    HttpSource::read(map, cx, setup).map(|source| Box::new(source) as Box<dyn Source>)
}

impl HttpSource {
    fn read(map: &mut MapReader<'_>, cx: &mut Reading<'_>, setup: &Setup) -> Option<Self> {
        let node = map.node();
        let settings = HttpSourceSettings::read_fields(map, cx)?;
        let mut problems = settings.problems(node);
        let address = match &settings.listen {
            None => SocketAddr::from(([127, 0, 0, 1], 8080)),
            Some(listen) => match settings.address(listen) {
                Ok(address) => address,
                Err(problem) => {
                    problems.push(*problem);
                    SocketAddr::from(([127, 0, 0, 1], 0))
                }
            },
        };
        if setup.format.framing() == Framing::Container {
            let format = setup.format.name();
            problems.push(node.error(format!("format {format} is for files: use json, csv, text or bytes here")));
        }
        let function_url = settings.shape == RequestShape::FunctionUrl;
        if function_url && !matches!(setup.format, Format::Json(_)) {
            let wrong = node.error("events of function URLs are JSON, whatever the bodies of the requests are");
            problems.push(wrong.help("leave `format` out"));
        }
        let failed = !problems.is_empty();
        problems.into_iter().for_each(|problem| cx.push(problem));
        let path = settings.path.as_ref().map_or("/", |path| path.as_str()).to_owned();
        let schema = if function_url { Some(event::schema()) } else { setup.schema.clone() };
        let replies = settings.reply.clone().map(|node| Replies::new(node, settings.max_reply.as_usize()));
        let format = setup.format.clone();
        (!failed).then_some(Self { settings, address, path, format, schema, replies })
    }

    fn bind(&self) -> Result<TcpListener, Error> {
        let address = self.address;
        TcpListener::bind(address).map_err(|error| {
            let said = match error.kind() {
                ErrorKind::AddrInUse => Error::unavailable(format!(
                    "cannot listen at {address}: another process does. `ss -ltnp 'sport = :{}'` tells which; stop it, or \
                     set another `listen`",
                    address.port()
                )),
                ErrorKind::AddrNotAvailable => {
                    Error::config(format!("cannot listen at {address}: this machine has no such address (`ip addr` lists them)"))
                }
                ErrorKind::PermissionDenied => {
                    Error::config(format!("cannot listen at {address}: not allowed; ports from 1024 on are for everybody"))
                }
                _ => Error::unavailable(format!("cannot listen at {address}")),
            };
            said.caused_by(error)
        })
    }

    /// Everything but the socket.
    fn server(&self, context: &ReadContext) -> Result<Server, Error> {
        let settings = &self.settings;
        let (format, schema) = (self.format.clone(), self.schema.clone().or_else(|| self.format.fixed_schema()));
        let decoder = move || schema.as_ref().map(|schema| format.decoder(Arc::clone(schema))).transpose();
        // What the pipeline file says about columns is wrong now or never.
        decoder()?;
        let replying = self.replies.is_some().then(|| Replying {
            timeout: settings.reply_timeout,
            when_durable: settings.after == After::Durable,
            shape: settings.shape,
        });
        let durable = replying.as_ref().map_or(settings.respond == Respond::Durable, |replying| replying.when_durable);
        let max_body = settings.max_body.as_usize();
        let largest = if settings.shape == RequestShape::FunctionUrl { event::largest(max_body) } else { max_body };
        let bytes = context.prefetch_bytes.max(largest);
        let requests = settings.max_inflight as usize;
        let (replies, clock) = (self.replies.clone(), Arc::clone(&context.clock));
        Ok(Server {
            path: self.path.clone(),
            token: settings.token.clone(),
            allow_anonymous: settings.allow_anonymous,
            respond_when_durable: durable,
            replying,
            shape: settings.shape,
            identity: event::Identity::new(&context.source, context.clock.now_micros()),
            max_body,
            max_connections: settings.max_connections as usize,
            read_timeout: settings.read_timeout,
            format: self.format.clone(),
            queue: Queue::new(requests, bytes, durable, replies, settings.dedupe, clock),
            checks: Checks::new(move || decoder().ok().flatten()),
            decoding: Arc::new(Semaphore::new(MOST_DECODING)),
            clock: Arc::clone(&context.clock),
            closing: watch::channel(false).0,
        })
    }
}

impl Source for HttpSource {
    fn keeper(&self) -> Keeper {
        Keeper::Nobody
    }

    fn schema(&self) -> Result<Option<SchemaRef>, Error> {
        Ok((self.settings.shape == RequestShape::FunctionUrl).then(event::schema))
    }

    fn replies(&self) -> Option<Replies> {
        self.replies.clone()
    }

    fn probe(&self, _timeout: Duration) -> Result<String, Error> {
        self.bind().map(|_| format!("{} is free to listen at", self.address))
    }

    fn open(&self, context: ReadContext) -> Result<Vec<Box<dyn Reader>>, Error> {
        let server = Arc::new(self.server(&context)?);
        let next = server.queue.next();
        let listener = self.bind()?;
        let cannot = |error| Error::unavailable(format!("cannot listen at {}", self.address)).caused_by(error);
        listener.set_nonblocking(true).map_err(cannot)?;
        let entered = context.io.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(cannot)?;
        drop(entered);
        context.io.spawn(Arc::clone(&server).serve(listener));
        tracing::info!(source = &*context.source, "listening at http://{}{}", self.address, self.path);
        context.status.up();
        let partition = Partition::new(&*context.source);
        Ok(vec![Box::new(HttpReader { server, context, partition, next, header: None })])
    }
}

struct HttpReader {
    server: Arc<Server>,
    context: ReadContext,
    partition: Partition,
    /// The position behind the last record handed on.
    next: u64,
    /// The header handed on last.
    header: Option<Arc<[u8]>>,
}

impl Reader for HttpReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        Ok(match self.server.queue.take(self.context.limits, wait, self.header.as_ref()) {
            Taken::Nothing => Polled::Idle,
            Taken::Header(header) => {
                self.header = Some(Arc::clone(&header));
                Polled::Header(header)
            }
            Taken::Pieces(pieces) => Polled::Payloads(self.payloads(&pieces)),
        })
    }

    fn positions(&self) -> Positions {
        Positions::from([(self.partition.clone(), Position::Offset(self.next))])
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), Error> {
        if let Some(Position::Offset(position)) = positions.get(&self.partition) {
            self.server.queue.commit(*position);
        }
        Ok(())
    }

    fn wants_barrier(&self) -> bool {
        self.server.queue.is_waited_for()
    }

    fn lag(&self) -> Vec<(Partition, u64)> {
        vec![(self.partition.clone(), self.server.queue.lag())]
    }

    fn queued(&self) -> Vec<(Partition, u64)> {
        self.lag()
    }

    fn promised(&mut self) -> bool {
        // Who waits for durable rows is told that there will be none, and sends again.
        !self.server.respond_when_durable && self.server.queue.take_in_no_more()
    }

    fn close(&mut self) {
        self.server.queue.close();
        self.server.closing.send_replace(true);
        let begun = Instant::now();
        while self.server.closing.receiver_count() > 0 && begun.elapsed() < LAST_ANSWERS {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A pipeline that failed does not close its readers: whoever waits must hear of it all the same.
impl Drop for HttpReader {
    fn drop(&mut self) {
        self.server.queue.close();
        self.server.closing.send_replace(true);
    }
}

impl HttpReader {
    fn payloads(&mut self, pieces: &[Piece]) -> Payloads {
        let count = pieces.iter().map(|piece| piece.records.len()).sum();
        let mut values = BinaryBuilder::with_capacity(count, 0);
        let mut positions = Vec::with_capacity(count);
        for Piece { request, records, first } in pieces {
            request.records[records.clone()]
                .iter()
                .for_each(|record| values.append_value(&request.body[record.clone()]));
            positions.extend((*first..).take(records.len()).map(Position::Offset));
            self.next = first + records.len() as u64;
        }
        let input = Input {
            source: Arc::clone(&self.context.source),
            partition: self.partition.clone(),
            positions,
            keys: None,
            headers: None,
            times: None,
            read_at: pieces.first().map_or(0, |piece| piece.request.read_at),
        };
        Payloads { values: values.finish(), metadata: Vec::new(), input: Arc::new(input) }
    }
}
