//! The thread that starts all children of this process.
//!
//! The kernel's "die with your parent" means the *thread* that forked, so children are started by one that never ends.

use std::io;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use parking_lot::Mutex;

use super::cgroup::Cgroup;
use super::child::Child;
use super::watcher;

static SPAWNER: Mutex<Option<Sender<Order>>> = Mutex::new(None);

/// A command, the control group that its child enters, and where the child goes.
type Order = (Box<Command>, Option<Cgroup>, SyncSender<io::Result<Child>>);

/// Starts a child, which enters the control group by itself. It dies with the engine.
pub(super) fn start(command: Command, cgroup: Option<Cgroup>) -> io::Result<Child> {
    let (reply, started) = mpsc::sync_channel(1);
    send((Box::new(command), cgroup, reply))?;
    started.recv().map_err(io::Error::other)?
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
    orders.send(order).map_err(|_| io::Error::other("the thread that starts functions has ended"))
}

fn run(orders: &Receiver<Order>) {
    // The sender is static: this ends with the process.
    for (mut command, cgroup, reply) in orders {
        let child = Child::spawn(&mut command, cgroup);
        if let Ok(child) = &child {
            watcher::add(child.group.id());
        }
        // Whoever asked waits for it.
        let _ = reply.send(child);
    }
}
