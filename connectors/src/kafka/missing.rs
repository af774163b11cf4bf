//! Topics that are deleted under a running source. librdkafka tells after half a minute, and then only that something of
//! the kind has happened; until then fetching fails silently. So the brokers are asked, and the answer is the status.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{
    group::{Group, GroupConsumer},
    topics,
};

/// How often the brokers are asked.
const EVERY: Duration = Duration::from_secs(2);

/// What is known of topics that are gone.
pub(super) struct Missing {
    state: Mutex<State>,
    /// For how long a topic may be gone: brokers that were just started may not know of all topics.
    patience: Duration,
}

struct State {
    asked: Instant,
    /// The first one that is gone, and since when.
    topic: Option<(String, Instant)>,
}

impl Missing {
    pub(super) fn new(patience: Duration) -> Self {
        Self { state: Mutex::new(State { asked: Instant::now(), topic: None }), patience }
    }

    /// Asks whether all topics are there, if it is time to. Tells through the status, and ends the pipeline when one has
    /// been gone for too long. No answer is none: brokers that are away are another trouble.
    pub(super) fn look(&self, group: &Group, consumer: &GroupConsumer) {
        let mut state = self.state.lock();
        if state.asked.elapsed() < EVERY {
            return;
        }
        state.asked = Instant::now();
        let mut gone = None;
        for topic in &group.topics {
            match topics::look(consumer, topic) {
                Ok(Some(_)) => {}
                Ok(None) => gone = gone.or(Some(topic)),
                Err(_) => return,
            }
        }
        let Some(topic) = gone else {
            if state.topic.take().is_some() {
                group.health.has_topics();
            }
            return;
        };
        let same = state.topic.take().filter(|(known, _)| known == topic);
        let (topic, since) = same.unwrap_or_else(|| (topic.clone(), Instant::now()));
        group.health.lacks_topic(&topic);
        if since.elapsed() >= self.patience {
            group.fail(format!(
                "topic `{topic}` was deleted while it was read, and has been gone for {:?} (`connect_timeout`); create it \
                 again, or take it out of the source, and start the pipeline again",
                self.patience
            ));
        }
        state.topic = Some((topic, since));
    }
}
