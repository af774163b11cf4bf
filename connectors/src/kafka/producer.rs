//! The producer that all writers of a sink share, and the one place that calls librdkafka's C functions for writing.
//!
//! rdkafka's safe `send` looks the topic up and allocates for every record, and its delivery reports allocate again.
//! Here a batch is handed over in one call, a record carries nothing but its number, and its report is one subtraction.
//! Sharing one producer makes fuller batches, and so fewer requests, than one producer for each task would.

use std::{
    ffi::{CString, c_void},
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
use rdkafka::{
    ClientConfig, ClientContext, Statistics, bindings as sys,
    config::RDKafkaLogLevel,
    error::{IsError, KafkaError, KafkaResult, RDKafkaErrorCode},
    metadata::Metadata,
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext},
};

use super::{
    alone::{Alone, Resend},
    client,
    health::{Health, log},
    inflight::{InFlight, Sequence},
    topics::Ask,
};
use crate::error::Error;

/// How often the thread looks whether it should end.
const TICK: Duration = Duration::from_millis(100);
/// When metadata are asked for behind the start, each after the one before.
const HASTEN: [Duration; 5] = [
    Duration::from_millis(4),
    Duration::from_millis(8),
    Duration::from_millis(16),
    Duration::from_millis(32),
    Duration::from_millis(64),
];
/// Bits of a record's tag that number it; those above tell its writer.
const SEQUENCE_BITS: u32 = 48;

/// One writer's records on their way.
#[derive(Default)]
pub(super) struct Flight {
    pub(super) state: Mutex<InFlight>,
    /// Signalled when some arrived.
    pub(super) arrived: Condvar,
}

/// The producer and the thread that hears of deliveries.
pub(super) struct Producer {
    core: Arc<Core>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the two share.
pub(super) struct Core {
    // Before the client, which must not go while its topic is used.
    topic: Topic,
    client: BaseProducer<Callbacks>,
    pub(super) topic_name: String,
    pub(super) health: Arc<Health>,
    /// Writers by number. A number is not given again: late reports must not reach another writer.
    flights: RwLock<Vec<Arc<Flight>>>,
    pub(super) alone: Alone,
    stopping: AtomicBool,
}

struct Topic(NonNull<sys::rd_kafka_topic_t>);

// SAFETY: librdkafka's topic handles may be used from any thread.
unsafe impl Send for Topic {}
// SAFETY: as above, at the same time too.
unsafe impl Sync for Topic {}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and its client lives.
        unsafe { sys::rd_kafka_topic_destroy(self.0.as_ptr()) }
    }
}

/// A producer's callbacks. Deliveries do not come here but through [`Core::listen`].
struct Callbacks(Arc<Health>);

impl ClientContext for Callbacks {
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

impl ProducerContext for Callbacks {
    type DeliveryOpaque = usize;

    fn delivery(&self, _: &DeliveryResult<'_>, _: usize) {}
}

/// Which writer's which record: travels through librdkafka with the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(usize);

impl Tag {
    pub(super) fn new(writer: usize, record: Sequence) -> Self {
        Self(
            writer << SEQUENCE_BITS
                | usize::try_from(record).expect("fewer than 2^48 records are written in a lifetime"),
        )
    }

    fn writer(self) -> usize {
        self.0 >> SEQUENCE_BITS
    }

    fn record(self) -> Sequence {
        (self.0 & ((1 << SEQUENCE_BITS) - 1)) as Sequence
    }
}

/// Records for librdkafka, which copies them when they are handed over. Kept for its memory.
#[derive(Default)]
pub(super) struct Records(Vec<sys::rd_kafka_message_t>);

// SAFETY: the pointers are used only while the slices they were made of are borrowed, in `Core::produce`.
unsafe impl Send for Records {}

impl Producer {
    /// Makes the client; nothing waits for brokers yet.
    pub(super) fn start(config: &ClientConfig, topic: &str, health: Arc<Health>) -> Result<Self, Error> {
        let client: BaseProducer<Callbacks> =
            config.create_with_context(Callbacks(Arc::clone(&health))).map_err(client::unusable)?;
        let name =
            CString::new(topic).map_err(|error| Error::config("a topic's name cannot contain NUL").caused_by(error))?;
        // SAFETY: the client lives, the name ends with a NUL, and no configuration of the topic's own is given.
        let handle = unsafe { sys::rd_kafka_topic_new(client.client().native_ptr(), name.as_ptr(), ptr::null_mut()) };
        let handle =
            NonNull::new(handle).ok_or_else(|| Error::config(format!("`{topic}` cannot be a topic's name")))?;
        let core = Arc::new(Core {
            topic: Topic(handle),
            client,
            topic_name: topic.to_owned(),
            health,
            flights: RwLock::default(),
            alone: Alone::default(),
            stopping: AtomicBool::new(false),
        });
        let listener = Arc::clone(&core);
        let thread = thread::Builder::new()
            .name("kafka-deliveries".to_owned())
            .spawn(move || listener.listen())
            .map_err(|error| Error::unavailable("no thread for the kafka producer").caused_by(error))?;
        Ok(Self { core, thread: Some(thread) })
    }

    /// What writers use.
    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.core.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell; a panic in it was printed.
            let _ = thread.join();
        }
    }
}

impl Ask for Core {
    fn metadata(&self, topic: Option<&str>, timeout: Duration) -> KafkaResult<Metadata> {
        self.client.client().fetch_metadata(topic, timeout)
    }

    fn serve(&self) {}
}

impl Core {
    /// A new writer's number and records.
    pub(super) fn join(&self) -> (usize, Arc<Flight>) {
        let mut flights = self.flights.write();
        let flight = Arc::new(Flight::default());
        flights.push(Arc::clone(&flight));
        (flights.len() - 1, flight)
    }

    /// Has librdkafka ask for its producer id now. It tries once, when no broker is connected yet, and then only half a
    /// second later, unless metadata arrive while one is: so ask for those until the connection is up. Nobody waits.
    pub(super) fn hasten(self: &Arc<Self>) {
        let core = Arc::clone(self);
        let ask = move || {
            for pause in HASTEN {
                thread::sleep(pause);
                if core.is_stopping() || core.metadata(Some(&core.topic_name), TICK).is_err() {
                    break;
                }
            }
        };
        // Without the thread the first record waits as long as librdkafka does.
        let _ = thread::Builder::new().name("kafka-hasten".to_owned()).spawn(ask);
    }

    /// Records that were handed over and not reported yet, of all writers.
    pub(super) fn outstanding(&self) -> usize {
        usize::try_from(self.client.in_flight_count()).unwrap_or(0)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Hands over records, numbered from `first` on. `refused` gets those that librdkafka does not take.
    pub(super) fn produce<'a>(
        &self,
        writer: usize,
        first: Sequence,
        rows: impl Iterator<Item = (Option<&'a [u8]>, &'a [u8])>,
        records: &mut Records,
        mut refused: impl FnMut(Sequence, RDKafkaErrorCode),
    ) {
        records.0.clear();
        records.0.extend(rows.zip(first..).map(|((key, value), number)| message(key, value, Tag::new(writer, number))));
        let mut rest = records.0.as_mut_slice();
        while !rest.is_empty() {
            let count = i32::try_from(rest.len()).expect("a batch has fewer than 2^31 rows");
            let flags = sys::RD_KAFKA_MSG_F_COPY;
            // SAFETY: topic and client live, `rest` is as long as said, and keys and values, which are copied by the
            // call, are borrowed for `'a`, which outlives it.
            unsafe { sys::rd_kafka_produce_batch(self.topic.0.as_ptr(), -1, flags, rest.as_mut_ptr(), count) };
            let full = rest.iter().position(|record| RDKafkaErrorCode::from(record.err) == RDKafkaErrorCode::QueueFull);
            let handled = full.unwrap_or(rest.len());
            for record in rest[..handled].iter().filter(|record| record.err.is_error()) {
                refused(Tag(record._private as usize).record(), record.err.into());
            }
            rest = &mut rest[handled..];
            if full.is_some() {
                // All from the first such record on were left out, so the order holds when they are handed over again.
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Hands over one record that needs more than a key and a value.
    pub(super) fn send(&self, tag: Tag, mut record: BaseRecord<'_, [u8], [u8], usize>) -> Result<(), RDKafkaErrorCode> {
        record.delivery_opaque = tag.0;
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    record = back;
                    thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::InvalidArgument)),
            }
        }
    }

    /// Hears of deliveries and errors until the producer goes.
    fn listen(self: Arc<Self>) {
        // SAFETY: the client lives; the queue is given back below.
        let queue = unsafe { sys::rd_kafka_queue_get_main(self.client.client().native_ptr()) };
        let tick = i32::try_from(TICK.as_millis()).expect("a short time");
        while !self.is_stopping() {
            // SAFETY: the queue is ours, and so is the event until it is destroyed.
            unsafe {
                let event = sys::rd_kafka_queue_poll(queue, tick);
                if !event.is_null() {
                    self.hear(event);
                    sys::rd_kafka_event_destroy(event);
                }
            }
        }
        // SAFETY: the queue is ours and not used again.
        unsafe { sys::rd_kafka_queue_destroy(queue) }
    }

    /// # Safety
    /// The event must be alive.
    unsafe fn hear(self: &Arc<Self>, event: *mut sys::rd_kafka_event_t) {
        // SAFETY: the event is alive, and texts of it are copied while it is.
        unsafe {
            match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_DR => self.deliveries(event),
                sys::RD_KAFKA_EVENT_ERROR => {
                    let code = RDKafkaErrorCode::from(sys::rd_kafka_event_error(event));
                    let reason = std::ffi::CStr::from_ptr(sys::rd_kafka_event_error_string(event)).to_string_lossy();
                    self.health.error(code, &reason);
                    tell(&self.flights.read());
                }
                sys::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                    if sys::rd_kafka_event_log(event, &mut facility, &mut text, &mut level) == 0 {
                        let text = std::ffi::CStr::from_ptr(text).to_string_lossy();
                        log(RDKafkaLogLevel::Debug, "producer", &text);
                    }
                }
                _ => {}
            }
        }
    }

    /// # Safety
    /// The event must be alive and report deliveries.
    unsafe fn deliveries(self: &Arc<Self>, event: *mut sys::rd_kafka_event_t) {
        let flights = self.flights.read();
        let mut current: Option<(usize, MutexGuard<'_, InFlight>)> = None;
        let mut any_good = false;
        // SAFETY: the event is alive; a message of it is until the event is destroyed.
        while let Some(message) = unsafe { sys::rd_kafka_event_message_next(event).as_ref() } {
            let tag = Tag(message._private as usize);
            let flight = match &mut current {
                Some((writer, flight)) if *writer == tag.writer() => flight,
                _ => {
                    drop(current.take());
                    &mut current.insert((tag.writer(), flights[tag.writer()].state.lock())).1
                }
            };
            if message.err.is_error() {
                // SAFETY: key and value live as long as the message.
                let resend = unsafe { Resend::of(message, tag) };
                self.undelivered(flight, tag, message.err.into(), resend);
            } else {
                any_good = true;
                flight.delivered(tag.record());
                self.alone.delivered(tag);
            }
        }
        drop(current);
        if any_good {
            self.health.up();
        }
        tell(&flights);
    }

    fn undelivered(self: &Arc<Self>, flight: &mut InFlight, tag: Tag, code: RDKafkaErrorCode, resend: Resend) {
        match failure(code) {
            // Going down; nobody waits for it any more.
            Failure::Ended => {}
            Failure::Row(_) if self.alone.take(self, tag, resend) => {}
            Failure::Row(what) => flight.refused(tag.record(), 2, what, self.refusal(code)),
            Failure::Stop => {
                self.health.error(code, &code.to_string());
                self.health.fail(format!(
                    "kafka at {} did not store records of topic `{}`: {code}",
                    self.health.brokers(),
                    self.topic_name
                ));
            }
        }
    }

    /// Why a row was refused, for its dead letter.
    pub(super) fn refusal(&self, code: RDKafkaErrorCode) -> String {
        match code {
            RDKafkaErrorCode::MessageSizeTooLarge => format!(
                "the record is larger than `max_record` of the sink or `max.message.bytes` of topic `{}` allows",
                self.topic_name
            ),
            _ => format!("topic `{}` refused the record: {code}", self.topic_name),
        }
    }
}

/// Wakes writers that wait for deliveries.
fn tell(flights: &[Arc<Flight>]) {
    for flight in flights {
        flight.arrived.notify_all();
    }
}

/// What a failed delivery means.
pub(super) enum Failure {
    /// The row is at fault: its code.
    Row(&'static str),
    /// The producer is being closed.
    Ended,
    /// Nothing can be written.
    Stop,
}

/// What an error of a delivery, or of handing a record over, means.
pub(super) fn failure(code: RDKafkaErrorCode) -> Failure {
    use RDKafkaErrorCode as C;
    match code {
        C::MessageSizeTooLarge => Failure::Row("sink.kafka.too_large"),
        C::InvalidRecord | C::InvalidDifferentRecord | C::InvalidTimestamp | C::InvalidMessageSize => {
            Failure::Row("sink.kafka.invalid_record")
        }
        C::PurgeQueue | C::PurgeInflight | C::BrokerDestroy => Failure::Ended,
        _ => Failure::Stop,
    }
}

fn message(key: Option<&[u8]>, value: &[u8], tag: Tag) -> sys::rd_kafka_message_t {
    let (key, key_len) = key.map_or((ptr::null(), 0), |key| (key.as_ptr(), key.len()));
    sys::rd_kafka_message_t {
        err: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
        rkt: ptr::null_mut(),
        partition: -1,
        payload: value.as_ptr().cast_mut().cast::<c_void>(),
        len: value.len(),
        key: key.cast_mut().cast::<c_void>(),
        key_len,
        offset: 0,
        _private: tag.0 as *mut c_void,
    }
}
