//! What the callbacks of a Kafka client say about its brokers, as one answer: up, down and why, or never again.
//!
//! librdkafka retries everything for ever, wrong passwords too. Which errors end the pipeline is decided here.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rdkafka::{
    ClientContext, Statistics,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

use crate::{error::Error, status::Status};

/// For how long a cluster that once took our credentials may refuse them (it is restarting) before we give up.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// What is known of a cluster's health. Shared by a client's callbacks and those who use it.
pub(super) struct Health {
    status: Status,
    brokers: String,
    down: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    was_up: bool,
    refused_since: Option<Instant>,
    fatal: Option<String>,
    reason: Option<String>,
    /// The topic that is gone, of a cluster that answers.
    lacks: Option<String>,
}

/// What an error of librdkafka means for the pipeline.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    /// Nothing: it is told elsewhere, or mends itself.
    Passing,
    /// The brokers do not answer.
    Down,
    /// The brokers answer, but refuse us or cannot be trusted.
    Refused(&'static str),
    /// Trying again cannot help.
    Fatal(&'static str),
}

fn meaning(code: RDKafkaErrorCode) -> Meaning {
    use RDKafkaErrorCode as C;
    match code {
        C::Authentication | C::SaslAuthenticationFailed | C::UnsupportedSASLMechanism | C::IllegalSASLState => {
            Meaning::Refused("refused the credentials; check `sasl` (mechanism, username, password)")
        }
        C::SSL => Meaning::Refused(
            "could not be reached by TLS; check `tls` (ca, certificate, key), and that no certificate has expired",
        ),
        C::TopicAuthorizationFailed => Meaning::Fatal(
            "does not allow this user to use the topic; give it an ACL (READ for a source, WRITE for a sink)",
        ),
        C::GroupAuthorizationFailed => {
            Meaning::Fatal("does not allow this user to use the consumer group; give it an ACL to READ the group")
        }
        C::ClusterAuthorizationFailed => Meaning::Fatal(
            "does not allow this user to write idempotently; give it an ACL (IDEMPOTENT_WRITE on the cluster)",
        ),
        C::FencedInstanceId => Meaning::Fatal(
            "has another member with the same group.instance.id: a second process runs with the same state folder and host name",
        ),
        C::Fatal => Meaning::Fatal("made the client unusable"),
        C::AllBrokersDown | C::BrokerTransportFailure | C::Resolve => Meaning::Down,
        _ => Meaning::Passing,
    }
}

impl Health {
    /// Of the cluster at `brokers`, told through `status`.
    pub(super) fn new(status: Status, brokers: impl Into<String>) -> Self {
        let state = Mutex::new(State::default());
        Self { status, brokers: brokers.into(), down: AtomicBool::new(true), state }
    }

    /// The brokers' addresses, as the pipeline file gives them.
    pub(super) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The cluster answered. Cheap when that is no news.
    pub(super) fn up(&self) {
        if !self.down.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        if state.was_up {
            tracing::info!(brokers = %self.brokers, "kafka answers again");
        }
        let (fatal, lacks) = (state.fatal.take(), state.lacks.take());
        *state = State { was_up: true, fatal, lacks, ..State::default() };
        self.tell_topics(&state);
    }

    /// A topic that is used is gone.
    pub(super) fn lacks_topic(&self, topic: &str) {
        let mut state = self.state.lock();
        if state.lacks.as_deref() == Some(topic) {
            return;
        }
        tracing::warn!(brokers = %self.brokers, topic, "the topic is gone");
        state.lacks = Some(topic.to_owned());
        if !self.is_down() {
            self.tell_topics(&state);
        }
    }

    /// All topics that are used are there.
    pub(super) fn has_topics(&self) {
        let mut state = self.state.lock();
        state.lacks = None;
        if !self.is_down() {
            self.tell_topics(&state);
        }
    }

    /// The status of a cluster that answers.
    fn tell_topics(&self, state: &State) {
        match &state.lacks {
            Some(topic) => self.status.down(format!("kafka at {}: topic `{topic}` is gone", self.brokers)),
            None => self.status.up(),
        }
    }

    /// Whether the cluster is known not to answer.
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// The cluster does not answer, or answers that it cannot serve.
    pub(super) fn down(&self, reason: &str) {
        let mut state = self.state.lock();
        let was_down = self.down.swap(true, Ordering::Relaxed);
        if !was_down {
            tracing::warn!(brokers = %self.brokers, reason, "kafka does not answer");
        }
        self.status.down(format!("kafka at {}: {reason}", self.brokers));
        state.reason = Some(reason.to_owned());
    }

    /// An error from a callback or a call.
    pub(super) fn error(&self, code: RDKafkaErrorCode, reason: &str) {
        match meaning(code) {
            Meaning::Passing => tracing::debug!(brokers = %self.brokers, ?code, reason, "kafka client"),
            // The reason of a transport failure says more than "all brokers down", which follows it.
            Meaning::Down if code == RDKafkaErrorCode::AllBrokersDown => {
                let earlier = self.state.lock().reason.clone();
                self.down(earlier.as_deref().unwrap_or(reason));
            }
            Meaning::Down if self.is_down() => self.down(reason),
            Meaning::Down => self.state.lock().reason = Some(reason.to_owned()),
            Meaning::Refused(what) => self.refused(what, reason),
            Meaning::Fatal(what) => self.fail(format!("kafka at {} {what} ({reason})", self.brokers)),
        }
    }

    /// A question was not answered, or with an error. Callbacks, which come before, know more about why.
    pub(super) fn unanswered(&self, error: &KafkaError) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        match meaning(code) {
            Meaning::Passing | Meaning::Down => {
                let earlier = self.state.lock().reason.clone();
                self.down(earlier.as_deref().unwrap_or(&error.to_string()));
            }
            Meaning::Refused(_) | Meaning::Fatal(_) => self.error(code, &error.to_string()),
        }
    }

    fn refused(&self, what: &str, reason: &str) {
        self.down(reason);
        let mut state = self.state.lock();
        let since = *state.refused_since.get_or_insert_with(Instant::now);
        if !state.was_up || since.elapsed() > REFUSED_FOR {
            state.fatal.get_or_insert(format!("kafka at {} {what} ({reason})", self.brokers));
        }
    }

    /// Ends the pipeline, unless something else did before.
    pub(super) fn fail(&self, message: String) {
        self.state.lock().fatal.get_or_insert(message);
    }

    /// Why the pipeline must stop, if it must.
    pub(super) fn failure(&self) -> Option<Error> {
        self.state.lock().fatal.clone().map(Error::fatal)
    }

    /// That the cluster was not reached in time, and what is known about it.
    pub(super) fn unavailable(&self, waited: Duration) -> Error {
        let reason = self.state.lock().reason.clone();
        let reason =
            reason.unwrap_or_else(|| "no answer; is it a TLS or SASL port? then set `tls` or `sasl`".to_owned());
        Error::unavailable(format!("kafka at {} was not reached within {waited:?}: {reason}", self.brokers))
    }
}

/// A client's callbacks that only tell its health.
pub(super) struct Watch(pub(super) std::sync::Arc<Health>);

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.0.error(code, reason);
        }
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for Watch {}

/// librdkafka's own log: every failed connection attempt is an error there. What matters of it is told through the
/// status, so the log keeps the rest for those who look for it.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(target: "librdkafka", ?level, facility, "{message}");
}
