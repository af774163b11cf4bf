//! Sends requests until they are answered for good.

use std::{error::Error as StdError, sync::Arc, time::Duration};

use reqwest::{Client, Method, Response, StatusCode, header::RETRY_AFTER};
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    HttpSink,
    guard::RefusedAddress,
    lane::Lane,
    request::{Job, Requests},
    retry::{Verdict, pause, retry_after, verdict},
};
use crate::{batch::RowFailure, clock::Clock, http::HttpMethod, sink::Rejected, status::Status};

/// What of an answer is read, so that its connection can be used again. Nobody looks at it.
const READ: usize = 64 << 10;

/// What requests are sent with.
pub(super) struct Sender {
    pub(super) sink: Arc<HttpSink>,
    pub(super) lane: Arc<Lane>,
    pub(super) client: Client,
    /// The line that CSV begins with.
    pub(super) header: Option<Vec<u8>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) status: Status,
}

/// What one try came to.
enum Tried {
    Durable,
    Again {
        why: String,
        asked: Option<Duration>,
    },
    /// The server does not want it, perhaps for the sake of one of its rows.
    Split(Refused),
    /// The server wants none of it.
    Final(Refused),
    /// It was not sent, so that nothing is known of the server.
    Unsent(Refused),
}

/// Why rows are not wanted.
struct Refused {
    code: &'static str,
    message: String,
}

impl Sender {
    /// Sends what comes down the lane, in order or as many at once as may be. Never ends by itself.
    pub(super) async fn run(self: Arc<Self>) {
        let settings = &self.sink.settings;
        let at_once = if settings.ordered { 1 } else { settings.concurrency.max(1) as usize };
        let slots = Arc::new(Semaphore::new(at_once));
        // They end with this task.
        let mut on_the_way = JoinSet::new();
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await.expect("the semaphore is never closed");
            let (number, job) = self.lane.next().await;
            let sender = Arc::clone(&self);
            while on_the_way.try_join_next().is_some() {}
            on_the_way.spawn(async move {
                let bytes = job.bytes();
                sender.deliver(job).await;
                sender.lane.finish(number, bytes);
                drop(slot);
            });
        }
    }

    /// Sends a request, and its halves, until all rows are durable or refused.
    async fn deliver(&self, job: Job) {
        let mut jobs = vec![job];
        while let Some(job) = jobs.pop() {
            let mut failed = 0;
            loop {
                match self.attempt(&job).await {
                    Tried::Durable => {
                        self.status.up();
                        break;
                    }
                    Tried::Again { why, asked } => {
                        failed += 1;
                        let pause = pause(failed, self.sink.settings.backoff, rand::random());
                        self.status.down(why);
                        tokio::time::sleep(pause.max(asked.unwrap_or_default())).await;
                    }
                    Tried::Split(refused) => {
                        self.status.up();
                        match job.halves() {
                            // The first half is to be sent first.
                            Some([first, second]) => jobs.extend([second, first]),
                            None => self.reject(&job, &refused, failed + 1),
                        }
                        break;
                    }
                    Tried::Final(refused) => {
                        // Whoever refuses is there.
                        self.status.up();
                        self.reject(&job, &refused, failed + 1);
                        break;
                    }
                    Tried::Unsent(refused) => {
                        self.reject(&job, &refused, failed + 1);
                        break;
                    }
                }
            }
        }
    }

    async fn attempt(&self, job: &Job) -> Tried {
        let settings = &self.sink.settings;
        let method = match settings.method {
            HttpMethod::Post => Method::POST,
            HttpMethod::Put => Method::PUT,
            HttpMethod::Patch => Method::PATCH,
        };
        let body = Requests::body(&self.sink, self.header.as_deref(), job);
        let request = self.client.request(method, job.url.clone()).headers(job.headers.clone()).body(body);
        match request.timeout(settings.timeout).send().await {
            Ok(answer) => self.answered(answer).await,
            Err(error) => self.unanswered(&error),
        }
    }

    async fn answered(&self, answer: Response) -> Tried {
        let status = answer.status();
        let verdict = verdict(status);
        if verdict == Verdict::Durable {
            read(answer).await;
            return Tried::Durable;
        }
        let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|value| retry_after(value, self.clock.now_micros()));
        read(answer).await;
        match verdict {
            Verdict::Again => {
                Tried::Again { why: format!("{} answers {status}; trying again", self.sink.server), asked }
            }
            Verdict::Split => Tried::Split(self.refused(status)),
            Verdict::Durable | Verdict::Final => Tried::Final(self.refused(status)),
        }
    }

    fn refused(&self, status: StatusCode) -> Refused {
        let hint = match status {
            status if status.is_redirection() => ": redirects are not followed, so set `url` to where it leads",
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": see `token` and `headers`",
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => ": see `url` and `method`",
            _ => "",
        };
        Refused { code: "sink.http.status", message: format!("{} answered {status}{hint}", self.sink.server) }
    }

    /// A URL may be a secret, and such errors show it; so only what kind of error it is.
    fn unanswered(&self, error: &reqwest::Error) -> Tried {
        if is_refused_address(error) {
            let message = format!("{}: {RefusedAddress}", self.sink.server);
            return Tried::Unsent(Refused { code: "sink.http.address", message });
        }
        let server = &self.sink.server;
        let why = if error.is_timeout() {
            format!("{server} does not answer within {:?}; trying again", self.sink.settings.timeout)
        } else if error.is_connect() {
            format!("{server} cannot be reached ({}); trying again", innermost(error))
        } else {
            format!("{server} broke the connection off ({}); trying again", innermost(error))
        };
        Tried::Again { why, asked: None }
    }

    fn reject(&self, job: &Job, refused: &Refused, attempts: u32) {
        let failure = |row| RowFailure {
            row: u32::try_from(row).expect("a batch has fewer than 2^32 rows"),
            code: refused.code,
            message: refused.message.clone(),
        };
        let failures = job.range.clone().map(failure).collect();
        self.lane.reject(Rejected { batch: job.rows.batch.clone(), failures, attempts });
    }
}

/// Reads a short answer to its end; of a longer one, or a broken one, the connection is given up.
async fn read(mut answer: Response) {
    let mut bytes = 0;
    while let Ok(Some(chunk)) = answer.chunk().await {
        bytes += chunk.len();
        if bytes > READ {
            return;
        }
    }
}

fn causes<'e>(error: &'e reqwest::Error) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error as &'e (dyn StdError + 'static)), |error| (*error).source())
}

fn is_refused_address(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.is::<RefusedAddress>())
}

fn innermost(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(String::new, ToString::to_string)
}
