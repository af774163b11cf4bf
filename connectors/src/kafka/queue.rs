//! A partition's own queue of fetched records: the one place that calls librdkafka's C functions for reading.
//!
//! rdkafka's safe `PartitionQueue` allocates an event and a reference count for each record. Taking records in batches
//! from the same queue costs a third less of a consumer's CPU time, which the chain of nodes behind it needs.
//! Nothing here knows what the records are for.

use std::{
    collections::VecDeque,
    ffi::{CStr, CString, c_char, c_void},
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    slice,
    sync::Arc,
    time::Instant,
};

use parking_lot::{Condvar, Mutex};
use rdkafka::{
    TopicPartitionList, bindings as sys,
    consumer::Consumer as _,
    error::{IsError, KafkaError, KafkaResult, RDKafkaErrorCode},
};

use super::group::GroupConsumer;

/// Records taken from a queue by one call.
const MOST_AT_ONCE: usize = 512;

/// Wakes a reader that waits because all its queues were empty.
#[derive(Debug, Default)]
pub(super) struct Waker {
    awake: Mutex<bool>,
    changed: Condvar,
}

impl Waker {
    /// Ends the wait, or the next one if nobody waits now.
    pub(super) fn wake(&self) {
        let mut awake = self.awake.lock();
        if !*awake {
            *awake = true;
            self.changed.notify_one();
        }
    }

    /// Forgets earlier wake-ups. Call it before looking at what one would be woken for.
    pub(super) fn reset(&self) {
        *self.awake.lock() = false;
    }

    /// Waits to be woken; false if that did not happen before `deadline`.
    pub(super) fn wait_until(&self, deadline: Instant) -> bool {
        let mut awake = self.awake.lock();
        while !*awake {
            if self.changed.wait_until(&mut awake, deadline).timed_out() {
                return *awake;
            }
        }
        true
    }
}

/// One fetched record, or an error that librdkafka put in its place.
pub(super) struct Fetched(NonNull<sys::rd_kafka_message_t>);

// SAFETY: a message is plain memory that librdkafka hands over; it may be read and destroyed on any thread.
unsafe impl Send for Fetched {}

impl Fetched {
    /// A look at a message that somebody else owns. Must not be dropped.
    pub(super) fn borrowed(message: &sys::rd_kafka_message_t) -> ManuallyDrop<Self> {
        ManuallyDrop::new(Self(NonNull::from(message)))
    }

    fn message(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the pointer came from librdkafka and is destroyed only when `self` is dropped.
        unsafe { self.0.as_ref() }
    }

    /// The error this stands for, if it is none of the partition's records.
    pub(super) fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let message = self.message();
        message.err.is_error().then(|| {
            let text = String::from_utf8_lossy(self.payload().unwrap_or_default()).into_owned();
            (message.err.into(), text)
        })
    }

    /// Its offset.
    pub(super) fn offset(&self) -> i64 {
        self.message().offset
    }

    /// Its key; `None` for null.
    pub(super) fn key(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: librdkafka keeps `key_len` bytes at `key` for as long as the message lives.
        unsafe { bytes(message.key, message.key_len) }
    }

    /// Its value; `None` for null.
    pub(super) fn payload(&self) -> Option<&[u8]> {
        let message = self.message();
        // SAFETY: librdkafka keeps `len` bytes at `payload` for as long as the message lives.
        unsafe { bytes(message.payload, message.len) }
    }

    /// Bytes of key and value.
    pub(super) fn size(&self) -> usize {
        self.message().len + self.message().key_len
    }

    /// Its timestamp in milliseconds since 1970-01-01 UTC, if it has one.
    pub(super) fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: both pointers are valid for the call.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &mut kind) };
        (kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && millis >= 0).then_some(millis)
    }

    /// Calls `each` with every header's name and value, in order.
    pub(super) fn headers(&self, mut each: impl FnMut(&str, Option<&[u8]>)) {
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives; librdkafka sets `headers` when it has some and keeps owning them.
        if unsafe { sys::rd_kafka_message_headers(self.0.as_ptr(), &mut headers) }.is_error() {
            return;
        }
        for index in 0.. {
            let (mut name, mut value, mut size): (*const c_char, *const c_void, usize) = (ptr::null(), ptr::null(), 0);
            // SAFETY: `headers` belongs to the living message, the others are valid for the call.
            if unsafe { sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size) }.is_error() {
                return;
            }
            // SAFETY: a header's name ends with a NUL and, like its value, lives as long as the message.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value.cast_mut(), size)) };
            each(&name.to_string_lossy(), value);
        }
    }

    /// Whether it has headers, without reading them.
    pub(super) fn has_headers(&self) -> bool {
        let mut headers = ptr::null_mut();
        // SAFETY: as in `headers`.
        !unsafe { sys::rd_kafka_message_headers(self.0.as_ptr(), &mut headers) }.is_error()
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        // SAFETY: we own the message and nothing borrowed from it is left.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// # Safety
/// `data` must be null or point to `len` bytes that live for `'a`.
unsafe fn bytes<'a>(data: *mut c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller promised.
    (!data.is_null()).then(|| unsafe { slice::from_raw_parts(data.cast::<u8>(), len) })
}

/// The queue of one assigned partition. Must go before its consumer can be closed, hence the reference to it.
pub(super) struct PartitionQueue {
    consumer: Arc<GroupConsumer>,
    queue: NonNull<sys::rd_kafka_queue_t>,
    topic: CString,
    partition: i32,
    /// What the queue's callback points to.
    _waker: Arc<Waker>,
}

// SAFETY: librdkafka's queues may be used from any thread; ours is used by one at a time (`&mut self`).
unsafe impl Send for PartitionQueue {}

impl PartitionQueue {
    /// Takes the partition's records out of the consumer's common queue into one of their own, which wakes `waker`
    /// whenever it gets its first record. To be done before the partition is assigned: later, records that were
    /// fetched already would be in the common queue. `None` if librdkafka does not know the partition.
    pub(super) fn split(consumer: Arc<GroupConsumer>, topic: &str, partition: i32, waker: Arc<Waker>) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let client = consumer.client().native_ptr();
        // SAFETY: the client lives (we hold the consumer), `topic` ends with a NUL.
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition) })?;
        // SAFETY: the queue is ours. The callback's argument lives in `_waker` until `drop` has disabled the callback;
        // librdkafka runs it with the queue locked and disables it under the same lock, so never later.
        unsafe {
            sys::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            let argument = Arc::as_ptr(&waker).cast_mut().cast::<c_void>();
            sys::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(wake), argument);
        }
        Some(Self { consumer, queue, topic, partition, _waker: waker })
    }

    /// Moves up to `most` queued records to the end of `into`, without waiting.
    pub(super) fn take(&mut self, most: usize, into: &mut VecDeque<Fetched>) {
        let mut messages = [ptr::null_mut(); MOST_AT_ONCE];
        let most = most.clamp(1, MOST_AT_ONCE);
        // SAFETY: `messages` has room for `most` pointers; those that librdkafka fills in are ours from then on.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, messages.as_mut_ptr(), most) };
        let count = usize::try_from(count).unwrap_or(0);
        into.extend(messages[..count].iter().filter_map(|message| NonNull::new(*message).map(Fetched)));
    }

    /// How many records wait in it.
    pub(super) fn len(&self) -> usize {
        // SAFETY: the queue is ours.
        unsafe { sys::rd_kafka_queue_length(self.queue.as_ptr()) }
    }

    /// The offset behind the partition's last record as of the last fetch, if there was one.
    pub(super) fn end(&self) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        let client = self.consumer.client().native_ptr();
        // SAFETY: the client lives, all pointers are valid for the call; it reads what librdkafka remembers.
        let code = unsafe {
            sys::rd_kafka_get_watermark_offsets(client, self.topic.as_ptr(), self.partition, &mut low, &mut high)
        };
        (!code.is_error() && high >= 0).then_some(high)
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is ours, and the consumer it belongs to lives.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Commits without waiting. The answer comes as an event, to the consumer's callback. (`Consumer::commit` tells the
/// outcome of an asynchronous commit to nobody, unless a C callback was configured, which rdkafka does not do.)
pub(super) fn commit(consumer: &GroupConsumer, offsets: &TopicPartitionList) -> KafkaResult<()> {
    let client = consumer.client().native_ptr();
    // SAFETY: client and list live for the call, which copies the list; the queue is ours and is given back.
    let code = unsafe {
        let queue = sys::rd_kafka_queue_get_consumer(client);
        let code = sys::rd_kafka_commit_queue(client, offsets.ptr(), queue, None, ptr::null_mut());
        sys::rd_kafka_queue_destroy(queue);
        code
    };
    if code.is_error() { Err(KafkaError::ConsumerCommit(code.into())) } else { Ok(()) }
}

unsafe extern "C" fn wake(_: *mut sys::rd_kafka_t, waker: *mut c_void) {
    // SAFETY: `split` passed a pointer to a waker that lives as long as the callback is enabled.
    unsafe { &*waker.cast::<Waker>() }.wake();
}
