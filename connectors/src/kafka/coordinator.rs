//! The thread that serves the consumer of a group.
//!
//! It polls the common queue, which holds everything but records: rebalances, errors, commits. So the group never takes
//! us for dead while a chain is slow. It is also the only one that commits: readers say what is durable, and what is
//! news goes to the broker in one request at a time.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rdkafka::consumer::{CommitMode, Consumer};

use super::{
    coverage,
    group::{AGAIN, COVER, Group, GroupConsumer},
    slot::Slot,
};

/// How often the thread looks for something to commit.
const TICK: Duration = Duration::from_millis(50);
/// For how long one question to the brokers may take.
const ASK: Duration = Duration::from_secs(5);

/// The coordinator's thread. Its channel tells when the consumer is closed.
pub(super) struct Coordinator {
    closed: Mutex<mpsc::Receiver<()>>,
}

impl Coordinator {
    /// Serves the consumer until the last reader has left.
    pub(super) fn start(group: Arc<Group>, consumer: Arc<GroupConsumer>, slot: Slot) -> std::io::Result<Self> {
        let (tell, closed) = mpsc::channel();
        thread::Builder::new().name("kafka-group".to_owned()).spawn(move || {
            serve(&group, &consumer);
            group.commit(&consumer, CommitMode::Sync, &group.assigned());
            group.release(&group.assigned());
            // The last reference: the consumer closes here. That may hang, which is why nobody waits for ever.
            drop(consumer);
            drop(slot);
            // Nobody may be waiting any more.
            let _ = tell.send(());
        })?;
        Ok(Self { closed: Mutex::new(closed) })
    }

    /// Waits until the consumer is closed; false if it is not in time. Then its thread is left behind.
    pub(super) fn join(&self, timeout: Duration) -> bool {
        !matches!(self.closed.lock().recv_timeout(timeout), Err(mpsc::RecvTimeoutError::Timeout))
    }
}

fn serve(group: &Group, consumer: &GroupConsumer) {
    let mut asked = Instant::now();
    while !group.is_stopping() {
        match consumer.poll(TICK) {
            None => {}
            Some(Err(error)) => tracing::debug!(%error, "kafka consumer"),
            // Only records of partitions that were not split come here, and all are.
            Some(Ok(_)) => {
                group.fail("a record arrived outside its partition's queue; this is a bug in riverhook".to_owned());
            }
        }
        if group.commit_is_due() {
            group.commit(consumer, CommitMode::Async, &group.assigned());
        }
        // Nothing says that brokers are back while no record arrives, so ask.
        if group.health.is_down() && asked.elapsed() > AGAIN {
            if consumer.fetch_metadata(Some(&group.topics[0]), Duration::from_secs(1)).is_ok() {
                group.health.up();
            }
            asked = Instant::now();
        }
        if !group.health.is_down() {
            group.missing.look(group, consumer);
        }
        cover(group, consumer);
    }
}

/// Joins anew when nobody has some partition.
fn cover(group: &Group, consumer: &GroupConsumer) {
    if group.health.is_down() || *group.cover_at.lock() > Instant::now() {
        return;
    }
    *group.cover_at.lock() = Instant::now() + COVER.1;
    if let Ok(true) = coverage::is_incomplete(consumer, &group.name, &group.topics, ASK) {
        tracing::info!(group = group.name, "a partition belongs to nobody; joining the group anew");
        consumer.unsubscribe();
        let topics: Vec<&str> = group.topics.iter().map(String::as_str).collect();
        if let Err(error) = consumer.subscribe(&topics) {
            group.fail(format!("cannot subscribe again to {topics:?}: {error}"));
        }
    }
}
