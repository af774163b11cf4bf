//! Holds children to their memory limit: one thread that looks at those with a call, and kills what holds too much.
//!
//! It sees resident memory, of all processes of a copy together, a few times in a tenth of a second: what a child takes
//! in between is its overshoot. It sleeps while no call runs.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::child::Group;
use super::family::{self, Snapshot};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(25);
/// Every how many looks it asks anew which processes a copy has, and counts exactly what they share.
const THOROUGH: u64 = 8;
/// How long it keeps looking after the last call, so that a steady stream of calls does not wake it each time.
const LINGER: Duration = Duration::from_millis(500);
/// Processes of one copy, as on Lambda. What starts more is killed before it can fill the machine.
const MAX_PROCESSES: usize = 1024;

static WATCHED: Mutex<Vec<Weak<Watched>>> = Mutex::new(Vec::new());
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static THREAD: OnceLock<Thread> = OnceLock::new();

/// What is known of one child.
#[derive(Debug)]
pub(super) struct Watched {
    group: Arc<Group>,
    limit: usize,
    running: AtomicBool,
    peak: AtomicUsize,
    verdict: Mutex<Option<Verdict>>,
    members: Mutex<Vec<i32>>,
}

/// Why a child was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It held so many bytes.
    Memory(usize),
    /// It had so many processes.
    Processes(usize),
}

impl Watched {
    /// A child that is looked at while it has a call.
    pub(super) fn new(group: &Arc<Group>, limit: usize) -> io::Result<Arc<Self>> {
        ensure_thread()?;
        let watched = Arc::new(Self {
            group: Arc::clone(group),
            limit,
            running: AtomicBool::new(false),
            peak: AtomicUsize::new(0),
            verdict: Mutex::new(None),
            members: Mutex::new(vec![group.id()]),
        });
        WATCHED.lock().push(Arc::downgrade(&watched));
        Ok(watched)
    }

    /// Has it looked at until the result is dropped.
    pub(super) fn running(self: &Arc<Self>) -> Running {
        self.running.store(true, Ordering::SeqCst);
        if RUNNING.fetch_add(1, Ordering::SeqCst) == 0
            && let Some(thread) = THREAD.get()
        {
            thread.unpark();
        }
        Running(Arc::clone(self))
    }

    /// Why it was killed, if it was.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        *self.verdict.lock()
    }

    /// The most memory that all its processes together were seen with.
    pub(super) fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// Looks at it once.
    fn look(&self, thorough: bool) {
        if self.verdict().is_some() {
            return;
        }
        let mut members = self.members.lock();
        if thorough {
            *members = family::members(self.group.id());
        }
        let mut held: usize = members.iter().filter_map(|process| family::resident(*process)).sum();
        // Processes that were forked share most of their memory. It is counted exactly where that may matter.
        let shared = members.len() > 1;
        if shared && (thorough || held > self.limit) {
            held = members.iter().filter_map(|process| family::proportional(*process)).sum();
        }
        if !shared || thorough {
            self.peak.fetch_max(held, Ordering::Relaxed);
        }
        let verdict = match members.len() {
            _ if held > self.limit => Verdict::Memory(held),
            processes if processes > MAX_PROCESSES => Verdict::Processes(processes),
            _ => return,
        };
        self.peak.fetch_max(held, Ordering::Relaxed);
        *self.verdict.lock() = Some(verdict);
        self.group.kill(&Snapshot::default());
    }
}

/// Keeps a child looked at.
pub(super) struct Running(Arc<Watched>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.store(false, Ordering::SeqCst);
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

fn ensure_thread() -> io::Result<()> {
    // Under the lock of the list, so that there is one thread only.
    let _list = WATCHED.lock();
    if THREAD.get().is_none() {
        let handle = thread::Builder::new().name("function-memory".to_owned()).spawn(watch)?;
        THREAD.get_or_init(|| handle.thread().clone());
    }
    Ok(())
}

fn watch() {
    let mut last_run = Instant::now();
    for look in 0_u64.. {
        let now = Instant::now();
        if RUNNING.load(Ordering::SeqCst) > 0 {
            last_run = now;
            let mut running = Vec::new();
            WATCHED.lock().retain(|watched| match watched.upgrade() {
                Some(watched) => {
                    running.push(watched);
                    true
                }
                None => false,
            });
            for watched in running.iter().filter(|watched| watched.running.load(Ordering::SeqCst)) {
                watched.look(look.is_multiple_of(THOROUGH));
            }
        } else if now.duration_since(last_run) > LINGER {
            thread::park();
            last_run = Instant::now();
            continue;
        }
        thread::sleep(LOOK);
    }
}
