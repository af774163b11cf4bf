//! The thread that starts and buries all children of this process.
//!
//! The kernel's "die with your parent" means the *thread* that forked, so children are started by one that never ends.
//! It also gives children that are no longer needed the time to end by themselves, so that nobody else waits for it.

use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::child::Child;
use super::watcher::Watcher;

/// How long a child may take to end after it was asked to.
const GRACE: Duration = Duration::from_millis(500);
/// How often children that are to end are looked at.
const LOOK: Duration = Duration::from_millis(5);

static SPAWNER: Mutex<Option<Sender<Order>>> = Mutex::new(None);

enum Order {
    Start(Box<Command>, SyncSender<io::Result<Child>>),
    Bury(Child, Duration),
}

/// Starts a child.
pub(super) fn start(command: Command) -> io::Result<Child> {
    let (reply, started) = mpsc::sync_channel(1);
    send(Order::Start(Box::new(command), reply))?;
    started.recv().map_err(io::Error::other)?
}

/// Asks a child to end, and sees to it that it does, without waiting.
pub(super) fn retire(child: Child) {
    bury(child, GRACE);
}

/// Kills a child and what it started, without waiting until they are gone.
pub(super) fn kill(child: Child) {
    child.group.kill();
    bury(child, Duration::ZERO);
}

fn bury(child: Child, grace: Duration) {
    let group = Arc::clone(&child.group);
    if send(Order::Bury(child, grace)).is_err() {
        group.kill();
    }
}

fn send(order: Order) -> io::Result<()> {
    let mut spawner = SPAWNER.lock();
    let orders = match &*spawner {
        Some(orders) => orders,
        None => {
            let (orders, received) = mpsc::channel();
            thread::Builder::new().name("function-spawner".to_owned()).spawn(move || run(&received))?;
            spawner.insert(orders)
        }
    };
    orders.send(order).map_err(|_| io::Error::other("the thread that starts functions is gone"))
}

fn run(orders: &Receiver<Order>) {
    let mut watcher = Watcher::default();
    let mut dying: Vec<Dying> = Vec::new();
    loop {
        let order = if dying.is_empty() {
            orders.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            orders.recv_timeout(LOOK)
        };
        match order {
            Ok(Order::Start(mut command, reply)) => {
                let child = Child::spawn(&mut command);
                if let Ok(child) = &child {
                    watcher.add(child.group.id());
                }
                // Whoever asked waits for it.
                let _ = reply.send(child);
            }
            Ok(Order::Bury(child, grace)) => {
                if !grace.is_zero() {
                    child.group.terminate();
                }
                dying.push(Dying { child, kill_at: Some(Instant::now() + grace) });
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The sender is static: this does not happen while the process lives.
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        dying = dying.into_iter().filter_map(|dying| dying.look(now, &mut watcher)).collect();
    }
}

/// A child that is to end.
struct Dying {
    child: Child,
    /// When it is killed; None once it was.
    kill_at: Option<Instant>,
}

impl Dying {
    /// Itself, if it has not ended.
    fn look(mut self, now: Instant, watcher: &mut Watcher) -> Option<Self> {
        if self.child.has_ended() {
            let group = self.child.group.id();
            if let Err(error) = self.child.reap() {
                tracing::warn!(%error, "a function's process could not be reaped");
            }
            watcher.remove(group);
            return None;
        }
        if self.kill_at.is_some_and(|kill_at| kill_at <= now) {
            self.kill_at = None;
            self.child.group.kill();
        }
        Some(self)
    }
}
