//! Records that failed in company, each tried again on its own.
//!
//! A broker refuses batches, not records: one record that is too large or invalid fails all that were sent with it. So
//! each of them is sent once more with nothing beside it, and what then fails is at fault itself. While that goes on,
//! writers wait. Records of one key may change their order by it; nothing is lost.

use std::{
    collections::VecDeque,
    slice,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use rdkafka::{
    bindings as sys,
    message::{Header, OwnedHeaders},
    producer::BaseRecord,
};

use super::{
    producer::{Core, Tag},
    queue::Fetched,
};

/// How often the thread looks whether it may go on.
const TICK: Duration = Duration::from_millis(1);

/// The records to be tried again, and the one that is under way.
#[derive(Default)]
pub(super) struct Alone {
    state: Mutex<State>,
    /// Held for reading by whoever writes, for writing while a record must be alone.
    gate: RwLock<()>,
    /// Whether there is anything to do at all: what every delivery looks at.
    active: AtomicBool,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Resend>,
    /// Being tried; nothing once it was reported.
    under_way: Option<Tag>,
    running: bool,
}

/// A record, copied out of the report of its failed delivery.
pub(super) struct Resend {
    tag: Tag,
    partition: i32,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: Option<i64>,
    headers: Option<OwnedHeaders>,
}

impl Resend {
    /// # Safety
    /// The message must be alive.
    pub(super) unsafe fn of(message: &sys::rd_kafka_message_t, tag: Tag) -> Self {
        // SAFETY: a living message's key and value are as long as it says.
        let copy = |data: *mut std::ffi::c_void, len| {
            (!data.is_null()).then(|| unsafe { slice::from_raw_parts(data.cast::<u8>(), len) }.to_vec())
        };
        let fetched = Fetched::borrowed(message);
        let mut headers = None;
        if fetched.has_headers() {
            let mut all = OwnedHeaders::new();
            fetched.headers(|key, value| all = std::mem::take(&mut all).insert(Header { key, value }));
            headers = Some(all);
        }
        Self {
            tag,
            partition: message.partition,
            key: copy(message.key, message.key_len),
            value: copy(message.payload, message.len),
            timestamp: fetched.timestamp(),
            headers,
        }
    }
}

impl Alone {
    /// Held while records are handed over, so that none joins one that must be alone.
    pub(super) fn gate(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read()
    }

    /// Takes a failed record to try it again; false if this was its second try.
    pub(super) fn take(&self, core: &Arc<Core>, tag: Tag, record: Resend) -> bool {
        let mut state = self.state.lock();
        if state.under_way == Some(tag) {
            state.under_way = None;
            return false;
        }
        state.waiting.push_back(record);
        self.active.store(true, Ordering::Release);
        if !state.running {
            let core = Arc::clone(core);
            state.running =
                thread::Builder::new().name("kafka-alone".to_owned()).spawn(move || core.alone.run(&core)).is_ok();
        }
        true
    }

    /// A record was delivered, maybe the one under way.
    pub(super) fn delivered(&self, tag: Tag) {
        if self.active.load(Ordering::Acquire) {
            let mut state = self.state.lock();
            if state.under_way == Some(tag) {
                state.under_way = None;
            }
        }
    }

    fn run(&self, core: &Core) {
        let _alone = self.gate.write();
        loop {
            while core.outstanding() > 0 {
                if core.is_stopping() {
                    return;
                }
                thread::sleep(TICK);
            }
            let mut state = self.state.lock();
            if state.under_way.is_some() {
                // Its report is still being heard.
                drop(state);
                thread::sleep(TICK);
                continue;
            }
            let Some(next) = state.waiting.pop_front() else {
                state.running = false;
                self.active.store(false, Ordering::Release);
                return;
            };
            state.under_way = Some(next.tag);
            drop(state);
            next.send(core);
        }
    }
}

impl Resend {
    fn send(&self, core: &Core) {
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(&core.topic_name, 0);
        record.partition = Some(self.partition);
        record.key = self.key.as_deref();
        record.payload = self.value.as_deref();
        record.timestamp = self.timestamp;
        record.headers.clone_from(&self.headers);
        if let Err(code) = core.send(self.tag, record) {
            core.health.fail(format!("a record of topic `{}` cannot be sent again: {code}", core.topic_name));
        }
    }
}
