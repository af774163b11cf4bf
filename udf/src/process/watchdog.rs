//! Holds children to their limits of memory and processes where the kernel does not: one thread that looks at those
//! with a call, and kills what has too much.
//!
//! It sees resident memory, of all processes of a copy together, a few times in a tenth of a second: what a child takes
//! in between is its overshoot. When processes become more it looks more often. It sleeps while no call runs.

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
/// How often it looks while a copy starts processes: a fork bomb doubles within a few milliseconds.
const LOOK_CLOSELY: Duration = Duration::from_millis(2);
/// How many more processes than at the look before make it look closely.
const GROWTH: usize = 4;
/// How often it asks anew which processes a copy has, and counts exactly what they share.
const THOROUGH: Duration = Duration::from_millis(200);
/// How long it keeps looking after the last call, so that a steady stream of calls does not wake it each time.
const LINGER: Duration = Duration::from_millis(500);

static WATCHED: Mutex<Vec<Weak<Watched>>> = Mutex::new(Vec::new());
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static THREAD: OnceLock<Thread> = OnceLock::new();

/// What is known of one child.
#[derive(Debug)]
pub(super) struct Watched {
    group: Arc<Group>,
    max_memory: usize,
    max_processes: usize,
    running: AtomicBool,
    peak: AtomicUsize,
    verdict: Mutex<Option<Verdict>>,
    members: Mutex<Members>,
}

/// The processes of a child, as they were seen last.
#[derive(Debug)]
struct Members {
    processes: Vec<i32>,
    /// How many the machine had when they were searched for.
    machine: usize,
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
    pub(super) fn new(group: &Arc<Group>, max_memory: usize, max_processes: usize) -> io::Result<Arc<Self>> {
        ensure_thread()?;
        let watched = Arc::new(Self {
            group: Arc::clone(group),
            max_memory,
            max_processes,
            running: AtomicBool::new(false),
            peak: AtomicUsize::new(0),
            verdict: Mutex::new(None),
            members: Mutex::new(Members { processes: vec![group.id()], machine: 0 }),
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

    /// Looks at it once. Whether it is starting processes.
    fn look(&self, thorough: bool, machine: usize) -> bool {
        if self.verdict().is_some() {
            return false;
        }
        let mut members = self.members.lock();
        let before = members.processes.len();
        // With a control group it is one file to read, else all processes of the machine: then only if they are more.
        if thorough || self.group.cgroup().is_some() || machine > members.machine + GROWTH {
            *members = Members { processes: self.group.members(), machine };
        }
        let processes = members.processes.len();
        let growing = processes > before + GROWTH;
        let verdict = if processes > self.max_processes {
            Some(Verdict::Processes(processes))
        } else if growing {
            // Not now: to count the memory of processes that fork is to wait for each, and meanwhile they become more.
            None
        } else {
            self.too_much_memory(&members.processes, thorough).map(Verdict::Memory)
        };
        if verdict.is_some() {
            *self.verdict.lock() = verdict;
            self.group.kill(&Snapshot::default());
        }
        growing
    }

    /// How much memory they hold, if that is more than they may.
    fn too_much_memory(&self, processes: &[i32], thorough: bool) -> Option<usize> {
        let mut held: usize = processes.iter().filter_map(|process| family::resident(*process)).sum();
        // Processes that were forked share most of their memory. It is counted exactly where that may matter.
        let shared = processes.len() > 1;
        let mut over = held > self.max_memory;
        if shared && (thorough || over) {
            (over, held) = family::hold_more_than(self.max_memory, processes);
        }
        if !shared || thorough || over {
            self.peak.fetch_max(held, Ordering::Relaxed);
        }
        over.then_some(held)
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
    let mut last_thorough = last_run;
    loop {
        let now = Instant::now();
        let mut pause = LOOK;
        if RUNNING.load(Ordering::SeqCst) > 0 {
            last_run = now;
            let thorough = now.duration_since(last_thorough) >= THOROUGH;
            if thorough {
                last_thorough = now;
            }
            if look_at_all(thorough) {
                pause = LOOK_CLOSELY;
            }
        } else if now.duration_since(last_run) > LINGER {
            thread::park();
            last_run = Instant::now();
            continue;
        }
        thread::sleep(pause);
    }
}

/// Whether one of those with a call is starting processes.
fn look_at_all(thorough: bool) -> bool {
    let mut running = Vec::new();
    WATCHED.lock().retain(|watched| {
        let watched = watched.upgrade();
        let alive = watched.is_some();
        running.extend(watched);
        alive
    });
    let machine = family::machine_total().unwrap_or(usize::MAX);
    let looked = running.iter().filter(|watched| watched.running.load(Ordering::SeqCst));
    // All of them, also behind one that grows.
    looked.filter(|watched| watched.look(thorough, machine)).count() > 0
}
