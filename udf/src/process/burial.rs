//! The thread that sees children to their end, so that nobody else waits for it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::cgroup;
use super::child::Child;
use super::family::Snapshot;
use super::watcher;

/// How long a child may take to end after it was asked to.
const GRACE: Duration = Duration::from_millis(500);
/// How often children that are to end are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// How long a control group may take to become empty after all in it were killed.
const EMPTY: Duration = Duration::from_secs(10);

static UNDERTAKER: Mutex<Option<Sender<Order>>> = Mutex::new(None);

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
    if let Err(error) = send(Order::Bury(dying)) {
        tracing::warn!(%error, "no thread to wait for a function's process, which is killed");
        group.kill(&Snapshot::default());
    }
}

/// Removes a control group whose processes have been killed, as soon as they are gone.
pub(super) fn remove(group: PathBuf) {
    if let Err(error) = send(Order::Remove(Grave { group, until: Instant::now() + EMPTY })) {
        tracing::debug!(%error, "a control group stays until the next start");
    }
}

/// What is to be done.
enum Order {
    Bury(Dying),
    Remove(Grave),
}

fn send(order: Order) -> io::Result<()> {
    let mut undertaker = UNDERTAKER.lock();
    let orders = match &*undertaker {
        Some(orders) => orders,
        None => {
            let (orders, received) = mpsc::channel();
            thread::Builder::new().name("function-burial".to_owned()).spawn(move || run(&received))?;
            undertaker.insert(orders)
        }
    };
    orders.send(order).map_err(|_| io::Error::other("it has ended"))
}

fn run(orders: &Receiver<Order>) {
    let (mut all, mut graves): (Vec<Dying>, Vec<Grave>) = Default::default();
    loop {
        let order = match all.is_empty() && graves.is_empty() {
            true => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => orders.recv_timeout(LOOK),
        };
        match order {
            Ok(order) => {
                // As many as there are share one look at the machine's processes.
                for order in std::iter::once(order).chain(orders.try_iter()) {
                    match order {
                        Order::Bury(dying) => all.push(dying),
                        Order::Remove(grave) => graves.push(grave),
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The sender is static: this does not happen while the process lives.
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let (now, processes) = (Instant::now(), Snapshot::default());
        all = all.into_iter().filter_map(|dying| dying.look(now, &processes)).collect();
        graves.retain(|grave| !cgroup::is_removed(&grave.group) && now < grave.until);
    }
}

/// A control group that is to be removed.
struct Grave {
    group: PathBuf,
    until: Instant,
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
