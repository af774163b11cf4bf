//! What the parts of a source share: who reads which partition, what is durable, and what is committed.
//!
//! One consumer a source and process. Records go from the partitions' own queues straight to the readers; everything
//! else is for the [`coordinator`](super::coordinator) and the [callbacks](super::member) on its thread.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use rdkafka::{
    Offset,
    consumer::{CommitMode, Consumer, base_consumer::BaseConsumer},
    error::KafkaError,
};

use super::{
    assignment::Assigned,
    health::Health,
    member::Member,
    missing::Missing,
    queue::{self, Waker},
    source::KafkaTopics,
    start::{self, OnGap, Start},
};

/// The consumer of a group.
pub(super) type GroupConsumer = BaseConsumer<Member>;

/// For how long a partition that the group wants back is kept, so that what was read of it becomes durable.
const SETTLE: Duration = Duration::from_secs(3);
/// How soon after an assignment, and how often, to look whether the group has given every partition to somebody.
pub(super) const COVER: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(60));
/// For how long the answer to a commit is waited for.
const ANSWER: Duration = Duration::from_secs(10);
/// How long to wait after a failed commit or question.
pub(super) const AGAIN: Duration = Duration::from_millis(500);

/// One reader's place: the partitions it has, and how it is woken.
pub(super) struct Seat {
    pub(super) partitions: Mutex<Vec<Arc<Assigned>>>,
    /// Set whenever `partitions` changes, so that a reader need not lock to see that nothing did.
    pub(super) changed: AtomicBool,
    pub(super) waker: Arc<Waker>,
}

/// What the thread, the callbacks and the readers share.
pub(super) struct Group {
    /// The group's name.
    pub(super) name: String,
    /// Whether nothing is committed.
    pub(super) leaves_nothing: bool,
    /// Which of the topics is gone.
    pub(super) missing: Missing,
    pub(super) topics: Vec<String>,
    pub(super) health: Arc<Health>,
    pub(super) seats: Vec<Seat>,
    pub(super) start: Start,
    pub(super) on_gap: OnGap,
    /// Signalled when records became durable.
    settled: (Mutex<()>, Condvar),
    pub(super) commit: Mutex<Commit>,
    stopping: AtomicBool,
    open_readers: AtomicUsize,
    pub(super) consumer: OnceLock<Weak<GroupConsumer>>,
    /// When to look for partitions that nobody has.
    pub(super) cover_at: Mutex<Instant>,
    /// Where partitions that we once had would go on. Brokers forget a topic's commits with the topic: one that is made
    /// anew while we run must not pass for one that was never read.
    left_at: Mutex<BTreeMap<(String, i32), i64>>,
}

/// The commit under way, and when to try again after one that failed.
#[derive(Default)]
pub(super) struct Commit {
    /// Set while one is under way. A rebalance can swallow the answer.
    pub(super) answer_by: Option<Instant>,
    not_before: Option<Instant>,
}

impl Group {
    pub(super) fn new(source: &KafkaTopics, health: Arc<Health>, readers: usize) -> Self {
        let settings = &source.settings;
        let seat = || Seat {
            partitions: Mutex::default(),
            changed: AtomicBool::new(false),
            waker: Arc::new(Waker::default()),
        };
        Self {
            name: source.group.clone(),
            leaves_nothing: source.leaves_nothing,
            missing: Missing::new(source.connection.connect_timeout),
            topics: settings.topic.as_slice().to_vec(),
            health,
            seats: (0..readers).map(|_| seat()).collect(),
            start: settings.start,
            on_gap: settings.on_gap,
            settled: Default::default(),
            commit: Mutex::default(),
            stopping: AtomicBool::new(false),
            open_readers: AtomicUsize::new(readers),
            consumer: OnceLock::new(),
            cover_at: Mutex::new(Instant::now() + COVER.0),
            left_at: Mutex::default(),
        }
    }

    /// Ends the pipeline with a message, and wakes the readers so that they say so.
    pub(super) fn fail(&self, message: String) {
        self.health.fail(message);
        self.wake();
    }

    pub(super) fn wake(&self) {
        self.seats.iter().for_each(|seat| seat.waker.wake());
    }

    /// A reader's records became durable.
    pub(super) fn acknowledged(&self) {
        let _guard = self.settled.0.lock();
        self.settled.1.notify_all();
    }

    /// A reader was closed; whether it was the last one.
    pub(super) fn leave(&self) -> bool {
        let last = self.open_readers.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            self.stopping.store(true, Ordering::Release);
            self.acknowledged();
        }
        last
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn assigned(&self) -> Vec<Arc<Assigned>> {
        self.seats.iter().flat_map(|seat| seat.partitions.lock().clone()).collect()
    }

    /// Where partitions that we once had would go on.
    pub(super) fn left_at(&self) -> BTreeMap<(String, i32), i64> {
        self.left_at.lock().clone()
    }

    /// Gives a partition to a reader.
    pub(super) fn seat(&self, partition: Arc<Assigned>, seat: usize) {
        let seat = &self.seats[seat];
        seat.partitions.lock().push(partition);
        seat.changed.store(true, Ordering::Release);
        seat.waker.wake();
    }

    /// How many partitions each reader has.
    pub(super) fn taken_seats(&self) -> Vec<usize> {
        self.seats.iter().map(|seat| seat.partitions.lock().len()).collect()
    }

    /// Takes partitions from their readers. Their records and queues are gone when this returns.
    pub(super) fn release(&self, gone: &[Arc<Assigned>]) {
        for seat in &self.seats {
            seat.partitions.lock().retain(|partition| !gone.iter().any(|gone| Arc::ptr_eq(gone, partition)));
            seat.changed.store(true, Ordering::Release);
        }
        for partition in gone {
            let at = partition.state().durable;
            self.left_at.lock().insert((partition.topic.to_string(), partition.number), at);
            partition.release();
        }
        self.wake();
    }

    /// Commits what is durable and not yet committed.
    pub(super) fn commit(&self, consumer: &GroupConsumer, mode: CommitMode, of: &[Arc<Assigned>]) {
        let mut news = BTreeMap::new();
        for partition in of {
            if let Some(offset) = partition.state().to_commit() {
                news.insert((partition.topic.to_string(), partition.number), offset);
            }
        }
        if news.is_empty() || self.leaves_nothing {
            return;
        }
        let result = start::list(&news, Offset::Offset).and_then(|list| match mode {
            CommitMode::Sync => consumer.commit(&list, mode),
            CommitMode::Async => queue::commit(consumer, &list),
        });
        match (result, mode) {
            (Ok(()), CommitMode::Async) => self.commit.lock().answer_by = Some(Instant::now() + ANSWER),
            (Ok(()), CommitMode::Sync) => self.committed(&news),
            (Err(error), _) => self.commit_failed(&error),
        }
    }

    pub(super) fn committed(&self, offsets: &BTreeMap<(String, i32), i64>) {
        for partition in self.assigned() {
            if let Some(offset) = offsets.get(&(partition.topic.to_string(), partition.number)) {
                let mut state = partition.state();
                state.committed = state.committed.max(*offset);
            }
        }
    }

    /// Nothing is lost: what is durable stays so, and is committed with the next try.
    pub(super) fn commit_failed(&self, error: &KafkaError) {
        tracing::debug!(%error, "kafka commit failed; trying again");
        self.commit.lock().not_before = Some(Instant::now() + AGAIN);
    }

    pub(super) fn commit_is_due(&self) -> bool {
        let commit = self.commit.lock();
        let passed = |time: Option<Instant>| time.is_none_or(|time| time <= Instant::now());
        passed(commit.answer_by) && passed(commit.not_before)
    }

    /// Waits until all that was read of the partitions is durable, for a bounded time.
    pub(super) fn settle(&self, partitions: &[Arc<Assigned>]) {
        let deadline = Instant::now() + SETTLE;
        let mut guard = self.settled.0.lock();
        while !partitions.iter().all(|partition| partition.state().is_settled()) && !self.is_stopping() {
            if self.settled.1.wait_until(&mut guard, deadline).timed_out() {
                tracing::warn!(
                    "not all that was read of revoked partitions became durable in time; their next owner reads it again"
                );
                return;
            }
        }
    }
}
