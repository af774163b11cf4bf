//! Our member of the consumer group: the consumer, the thread that serves it, and who reads which partition.
//!
//! One consumer a source and process. Its thread polls the common queue, which holds everything but records: rebalances,
//! errors, commits. So the group never takes us for dead while a chain is slow. Records go from the partitions' own
//! queues straight to the readers, who never wait for this thread. It is also the only one that commits: readers say
//! what is durable, and what is news goes to the broker in one request at a time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use rdkafka::{
    ClientContext, Offset, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{CommitMode, Consumer, ConsumerContext, RebalanceProtocol, base_consumer::BaseConsumer},
    error::{KafkaError, KafkaResult},
    types::RDKafkaRespErr,
};

use super::{
    assignment::Assigned,
    coverage,
    health::{Health, log},
    queue::{self, PartitionQueue, Waker},
    settings::KafkaSource,
    slot::Slot,
    start::{self, OnGap, Start, Trouble},
};

/// The consumer of a group.
pub(super) type GroupConsumer = BaseConsumer<Member>;

/// How often the thread looks for something to commit.
const TICK: Duration = Duration::from_millis(50);
/// For how long a partition that the group wants back is kept, so that what was read of it becomes durable.
const SETTLE: Duration = Duration::from_secs(3);
/// For how long one question to the brokers may take during a rebalance, before it is asked again.
const ASK: Duration = Duration::from_secs(5);
/// How soon after an assignment, and how often, to look whether the group has given every partition to somebody.
const COVER: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(60));
/// For how long the answer to a commit is waited for.
const ANSWER: Duration = Duration::from_secs(10);
/// How long to wait after a failed commit or question.
const AGAIN: Duration = Duration::from_millis(500);

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
    name: String,
    topics: Vec<String>,
    pub(super) health: Arc<Health>,
    pub(super) seats: Vec<Seat>,
    start: Start,
    pub(super) on_gap: OnGap,
    /// Signalled when records became durable.
    settled: (Mutex<()>, Condvar),
    commit: Mutex<Commit>,
    stopping: AtomicBool,
    open_readers: AtomicUsize,
    pub(super) consumer: OnceLock<Weak<GroupConsumer>>,
    /// When to look for partitions that nobody has.
    cover_at: Mutex<Instant>,
}

/// The commit under way, and when to try again after one that failed.
#[derive(Default)]
struct Commit {
    /// Set while one is under way. A rebalance can swallow the answer.
    answer_by: Option<Instant>,
    not_before: Option<Instant>,
}

impl Group {
    pub(super) fn new(name: &str, settings: &KafkaSource, health: Arc<Health>, readers: usize) -> Self {
        let seat = || Seat {
            partitions: Mutex::default(),
            changed: AtomicBool::new(false),
            waker: Arc::new(Waker::default()),
        };
        Self {
            name: name.to_owned(),
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
        }
    }

    /// Ends the pipeline with a message, and wakes the readers so that they say so.
    fn fail(&self, message: String) {
        self.health.fail(message);
        self.wake();
    }

    fn wake(&self) {
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

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn assigned(&self) -> Vec<Arc<Assigned>> {
        self.seats.iter().flat_map(|seat| seat.partitions.lock().clone()).collect()
    }

    /// Gives a partition to a reader.
    fn seat(&self, partition: Arc<Assigned>, seat: usize) {
        let seat = &self.seats[seat];
        seat.partitions.lock().push(partition);
        seat.changed.store(true, Ordering::Release);
        seat.waker.wake();
    }

    /// How many partitions each reader has.
    fn taken_seats(&self) -> Vec<usize> {
        self.seats.iter().map(|seat| seat.partitions.lock().len()).collect()
    }

    /// Takes partitions from their readers. Their records and queues are gone when this returns.
    fn release(&self, gone: &[Arc<Assigned>]) {
        for seat in &self.seats {
            seat.partitions.lock().retain(|partition| !gone.iter().any(|gone| Arc::ptr_eq(gone, partition)));
            seat.changed.store(true, Ordering::Release);
        }
        gone.iter().for_each(|partition| partition.release());
        self.wake();
    }

    /// Commits what is durable and not yet committed.
    fn commit(&self, consumer: &GroupConsumer, mode: CommitMode, of: &[Arc<Assigned>]) {
        let mut news = BTreeMap::new();
        for partition in of {
            if let Some(offset) = partition.state().to_commit() {
                news.insert((partition.topic.to_string(), partition.number), offset);
            }
        }
        if news.is_empty() {
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

    fn committed(&self, offsets: &BTreeMap<(String, i32), i64>) {
        for partition in self.assigned() {
            if let Some(offset) = offsets.get(&(partition.topic.to_string(), partition.number)) {
                let mut state = partition.state();
                state.committed = state.committed.max(*offset);
            }
        }
    }

    /// Nothing is lost: what is durable stays so, and is committed with the next try.
    fn commit_failed(&self, error: &KafkaError) {
        tracing::debug!(%error, "kafka commit failed; trying again");
        self.commit.lock().not_before = Some(Instant::now() + AGAIN);
    }

    fn commit_is_due(&self) -> bool {
        let commit = self.commit.lock();
        let passed = |time: Option<Instant>| time.is_none_or(|time| time <= Instant::now());
        passed(commit.answer_by) && passed(commit.not_before)
    }

    /// Waits until all that was read of the partitions is durable, for a bounded time.
    fn settle(&self, partitions: &[Arc<Assigned>]) {
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

/// The consumer's callbacks. All run on the coordinator's thread, inside its poll.
pub(super) struct Member(pub(super) Arc<Group>);

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.0.health.error(code, reason);
            if self.0.health.failure().is_some() {
                self.0.wake();
            }
        }
    }

    fn stats(&self, _: Statistics) {}
}

impl ConsumerContext for Member {
    fn rebalance(&self, consumer: &GroupConsumer, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let incremental = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let result = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.gained(consumer, partitions, incremental)
        } else {
            self.lost(consumer, partitions, incremental)
        };
        if let Err(error) = result {
            self.0.fail(format!("the consumer group cannot go on: {error}; start the pipeline again"));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        self.0.commit.lock().answer_by = None;
        let failed = result.err().or_else(|| offsets.elements().iter().find_map(|element| element.error().err()));
        match failed {
            Some(error) => self.0.commit_failed(&error),
            None => {
                let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
                let stored = offsets
                    .elements()
                    .iter()
                    .filter_map(|e| Some(((e.topic().to_owned(), e.partition()), offset(e.offset())?)))
                    .collect();
                self.0.committed(&stored);
                self.0.health.up();
            }
        }
    }
}

impl Member {
    fn gained(&self, consumer: &GroupConsumer, list: &TopicPartitionList, incremental: bool) -> KafkaResult<()> {
        let group = &self.0;
        let begin = self.begin(consumer, list);
        let (Some(owner), Some(begin)) = (group.consumer.get().and_then(Weak::upgrade), begin) else {
            // Closing, or the pipeline ends with an error: take part in the rebalance, but read nothing.
            return if incremental {
                consumer.incremental_assign(&TopicPartitionList::new())
            } else {
                consumer.unassign()
            };
        };
        let mut gained = Vec::new();
        let mut taken = group.taken_seats();
        for ((topic, number), offset) in &begin {
            let seat = (0..taken.len()).min_by_key(|seat| taken[*seat]).unwrap_or(0);
            taken[seat] += 1;
            let waker = Arc::clone(&group.seats[seat].waker);
            if let Some(queue) = PartitionQueue::split(Arc::clone(&owner), topic, *number, waker) {
                gained.push((seat, Arc::new(Assigned::new(topic.as_str().into(), *number, *offset, queue))));
            }
        }
        let list = start::list(&begin, Offset::Offset)?;
        if incremental {
            consumer.incremental_assign(&list)?
        } else {
            consumer.assign(&list)?
        }
        tracing::info!(partitions = ?names(gained.iter().map(|(_, partition)| partition)), "partitions assigned");
        gained.into_iter().for_each(|(seat, partition)| group.seat(partition, seat));
        *group.cover_at.lock() = Instant::now() + COVER.0;
        group.health.up();
        Ok(())
    }

    /// Where the partitions begin; `None` if the pipeline ends before that is known.
    fn begin(&self, consumer: &GroupConsumer, list: &TopicPartitionList) -> Option<BTreeMap<(String, i32), i64>> {
        let group = &self.0;
        while !group.is_stopping() && group.health.failure().is_none() {
            match start::find(consumer, list, group.start, group.on_gap, ASK) {
                Ok(begin) => return Some(begin),
                Err(Trouble::Gap(message)) => group.fail(message),
                Err(Trouble::Later(error)) => {
                    group.health.unanswered(&error);
                    thread::sleep(AGAIN);
                }
            }
        }
        None
    }

    fn lost(&self, consumer: &GroupConsumer, list: &TopicPartitionList, incremental: bool) -> KafkaResult<()> {
        let group = &self.0;
        let named = |partition: &Assigned| list.find_partition(&partition.topic, partition.number).is_some();
        let gone: Vec<_> = group.assigned().into_iter().filter(|partition| named(partition)).collect();
        if !gone.is_empty() {
            tracing::info!(partitions = ?names(gone.iter()), "partitions revoked");
            // When the group has given them to somebody already, nothing can be committed any more.
            if !consumer.assignment_lost() && !group.is_stopping() {
                gone.iter().for_each(|partition| partition.state().revoking = true);
                group.wake();
                group.settle(&gone);
                group.commit(consumer, CommitMode::Sync, &gone);
            }
            group.release(&gone);
        }
        if incremental { consumer.incremental_unassign(list) } else { consumer.unassign() }
    }
}

fn names<'a>(partitions: impl Iterator<Item = &'a Arc<Assigned>>) -> Vec<&'a str> {
    partitions.map(|partition| partition.name.as_str()).collect()
}

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
