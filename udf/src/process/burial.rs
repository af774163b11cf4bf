//! The thread that sees children to their end, so that nobody else waits for it.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::child::Child;
use super::family::Snapshot;
use super::watcher;

/// How long a child may take to end after it was asked to.
const GRACE: Duration = Duration::from_millis(500);
/// How often children that are to end are looked at.
const LOOK: Duration = Duration::from_millis(5);

static DYING: Mutex<Option<Sender<Dying>>> = Mutex::new(None);

/// Asks a child to end, and sees to it that it does, without waiting.
pub(super) fn retire(child: Child) {
    bury(Dying { child, next: Step::Ask });
}

/// Kills a child and what it started, without waiting until they are gone.
pub(super) fn kill(child: Child) {
    child.group.kill(&Snapshot::default());
    bury(Dying { child, next: Step::Wait });
}

fn bury(dying: Dying) {
    let group = Arc::clone(&dying.child.group);
    if let Err(error) = send(dying) {
        tracing::warn!(%error, "no thread to wait for a function's process, which is killed");
        group.kill(&Snapshot::default());
    }
}

fn send(dying: Dying) -> io::Result<()> {
    let mut undertaker = DYING.lock();
    let orders = match &*undertaker {
        Some(orders) => orders,
        None => {
            let (orders, received) = mpsc::channel();
            thread::Builder::new().name("function-burial".to_owned()).spawn(move || run(&received))?;
            undertaker.insert(orders)
        }
    };
    orders.send(dying).map_err(|_| io::Error::other("it has ended"))
}

fn run(orders: &Receiver<Dying>) {
    let mut all: Vec<Dying> = Vec::new();
    loop {
        let order = match all.is_empty() {
            true => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => orders.recv_timeout(LOOK),
        };
        match order {
            Ok(dying) => all.push(dying),
            Err(RecvTimeoutError::Timeout) => {}
            // The sender is static: this does not happen while the process lives.
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // As many as there are share one look at the machine's processes.
        all.extend(orders.try_iter());
        let (now, processes) = (Instant::now(), Snapshot::default());
        all = all.into_iter().filter_map(|dying| dying.look(now, &processes)).collect();
    }
}

/// A child that is to end.
struct Dying {
    child: Child,
    next: Step,
}

/// What is to be done about it.
enum Step {
    /// Ask it to end.
    Ask,
    /// Kill it, then.
    Kill(Instant),
    /// It was killed.
    Wait,
}

impl Dying {
    /// Itself, if it has not ended.
    fn look(mut self, now: Instant, processes: &Snapshot) -> Option<Self> {
        if self.child.has_ended() {
            let group = self.child.group.id();
            if let Err(error) = self.child.reap(processes) {
                tracing::warn!(%error, "a function's process could not be reaped");
            }
            watcher::remove(group);
            return None;
        }
        self.next = match self.next {
            Step::Ask => {
                self.child.group.terminate(processes);
                Step::Kill(now + GRACE)
            }
            Step::Kill(then) if then <= now => {
                self.child.group.kill(processes);
                Step::Wait
            }
            other => other,
        };
        Some(self)
    }
}
