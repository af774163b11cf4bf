//! Starting a plan: opens its sinks and sources and gives every reader a task on a thread of its own.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use riverhook_connectors::{
    clock::Clock,
    sink::WriteContext,
    source::{Keeper, ReadContext, Reader},
    status::Status,
};

use super::{
    chain::Chain,
    control::{Control, Delivering, Opening, RunningTask},
    meter::SinkMeter,
    outlet::Outlet,
    source_stage::SourceStage,
    task::{Barriers, Task},
};
use crate::{
    checkpoint::Store,
    error::Error,
    plan::{Plan, SourceNode},
};

/// How to run.
pub struct Options {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The runtime for I/O and control; never for operators.
    pub io: tokio::runtime::Handle,
    /// End after this many records.
    pub limit: Option<u64>,
    /// Forget the positions that the manifest holds and begin anew.
    pub from_scratch: bool,
}

/// A pipeline that was started.
pub struct Running {
    /// The plan.
    pub plan: Arc<Plan>,
    /// The way to stop it and to see how it is.
    pub control: Arc<Control>,
    /// Whether the servers of its nodes answer.
    pub status: BTreeMap<Arc<str>, Status>,
    /// Whether an earlier run left positions from which this one went on.
    pub resumed: bool,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Starts a plan. Sources whose servers are down wait for them on threads of their own; see [`Running::status`].
pub fn start(plan: Plan, options: &Options) -> Result<Running, Error> {
    let plan = Arc::new(plan);
    let store = Store::open(plan.settings.store.clone(), &plan.name, options.io.clone(), Arc::clone(&options.clock))?;
    if options.from_scratch {
        store.reset()?;
    }
    let resumed = !store.manifest().positions.is_empty();
    let logs: Vec<_> = plan.logs.iter().map(|node| Arc::clone(&node.queue)).collect();
    logs.iter().for_each(|queue| queue.open(&options.clock));
    let shared = Arc::new(Shared {
        control: Control::new(Arc::clone(&options.clock), options.limit, logs),
        store: Arc::new(store),
        status: statuses(&plan),
        io: options.io.clone(),
        plan,
    });
    let mut threads = Vec::new();
    for source in 0..shared.plan.sources.len() {
        let (shared_here, name) = (Arc::clone(&shared), Arc::clone(&shared.plan.sources[source].name));
        let opening = shared.control.opening();
        threads.push(spawn(&name, move || shared_here.run_source(source, opening))?);
    }
    for log in 0..shared.plan.logs.len() {
        let (shared_here, name) = (Arc::clone(&shared), Arc::clone(&shared.plan.logs[log].source.name));
        let delivering = shared.control.delivering();
        threads.push(spawn(&name, move || shared_here.deliver_logs(log, delivering))?);
    }
    Ok(Running {
        plan: Arc::clone(&shared.plan),
        control: Arc::clone(&shared.control),
        status: shared.status.clone(),
        resumed,
        threads,
    })
}

impl Running {
    /// Waits for the threads, which must have been told to stop or be at their end. One that still waits for its
    /// source's server is left behind: it has read nothing.
    pub fn join(self) {
        if !self.control.all_opened() {
            return;
        }
        for thread in self.threads {
            // A panic was already told as the run's error by the thread's own guard.
            let _ = thread.join();
        }
    }

    /// The nodes that are not ready, and why.
    pub fn troubles(&self) -> Vec<(Arc<str>, String)> {
        self.status.iter().filter_map(|(node, status)| Some((Arc::clone(node), status.trouble()?))).collect()
    }
}

/// What the threads of a run share.
struct Shared {
    plan: Arc<Plan>,
    control: Arc<Control>,
    store: Arc<Store>,
    status: BTreeMap<Arc<str>, Status>,
    io: tokio::runtime::Handle,
}

fn statuses(plan: &Plan) -> BTreeMap<Arc<str>, Status> {
    let sources = plan.sources.iter().map(|source| &source.name);
    let logs = plan.logs.iter().map(|log| &log.source.name);
    let names = sources.chain(logs).chain(plan.sinks.iter().map(|sink| &sink.name));
    names.map(|name| (Arc::clone(name), Status::starting("starting"))).collect()
}

/// A thread whose panic ends the run as an error instead of leaving it hanging.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>, Error> {
    let name: String = format!("rh-{name}").chars().take(15).collect();
    thread::Builder::new()
        .name(name)
        .spawn(work)
        .map_err(|error| Error::failed(format!("cannot start a thread: {error}")))
}

/// Runs a task to its end. An error is told before the task is dropped, because closing a client may hang.
/// It counts as running until then.
fn run<C>(mut task: Task, control: &Control, counted: C) {
    if let Err(error) = task.run() {
        control.fail(error);
    }
    drop(task);
    drop(counted);
}

impl Shared {
    /// Opens a source and runs its readers: the first on this thread, the others on threads of their own.
    fn run_source(self: Arc<Self>, source: usize, opening: Opening) {
        let tasks = match self.tasks(&self.plan.sources[source], &self.control) {
            Ok(tasks) => tasks,
            Err(error) => return self.control.fail(error),
        };
        let Some(counted) = self.control.running(tasks.len()) else { return };
        drop(opening);
        let mut tasks = tasks.into_iter().zip(counted);
        let first = tasks.next();
        let others: Vec<_> = tasks.filter_map(|(task, running)| self.beside(task, running)).collect();
        if let Some((task, running)) = first {
            run(task, &self.control, running);
        }
        for other in others {
            let _ = other.join();
        }
    }

    /// Delivers what functions log to one sink, on this thread, until nothing is left that may log.
    fn deliver_logs(&self, log: usize, delivering: Delivering) {
        match self.tasks(&self.plan.logs[log].source, &self.control.apart()) {
            Ok(tasks) => {
                for mut task in tasks {
                    // Its reader is woken by each line, so that it need not look often.
                    task.wait = Duration::MAX;
                    run(task, &self.control, &delivering);
                }
            }
            Err(error) => self.control.fail(error),
        }
    }

    fn beside(&self, task: Task, running: RunningTask) -> Option<thread::JoinHandle<()>> {
        let (name, control) = (Arc::clone(&task.source), Arc::clone(&self.control));
        spawn(&name, move || run(task, &control, running)).map_err(|error| self.control.fail(error)).ok()
    }

    fn tasks(&self, node: &SourceNode, control: &Arc<Control>) -> Result<Vec<Task>, Error> {
        let readers = node.source.open(self.read_context(node)).map_err(|error| Error::of_node(&node.name, error))?;
        let tasks = readers.into_iter().enumerate().map(|(task, reader)| self.task(node, task, reader, control));
        tasks.collect()
    }

    fn task(
        &self,
        node: &SourceNode,
        number: usize,
        reader: Box<dyn Reader>,
        control: &Arc<Control>,
    ) -> Result<Task, Error> {
        Ok(Task {
            source: Arc::clone(&node.name),
            number,
            reader,
            stage: SourceStage::new(&self.plan.name, node)?,
            chain: Chain::new(&self.plan, node, Arc::clone(control), |sink| self.outlet(node, sink, number))?,
            control: Arc::clone(control),
            store: Arc::clone(&self.store),
            keeper: node.source.keeper(),
            every: self.plan.settings.every,
            wait: self.plan.settings.batch.wait,
            barriers: Barriers::default(),
            calling: None,
        })
    }

    fn read_context(&self, node: &SourceNode) -> ReadContext {
        let settings = &self.plan.settings;
        ReadContext {
            source: Arc::clone(&node.name),
            pipeline: Arc::clone(&self.plan.name),
            parallelism: settings.parallelism,
            positions: if node.source.keeper() == Keeper::Manifest {
                self.store.positions(&node.name)
            } else {
                Default::default()
            },
            schema: Arc::clone(&node.decoded),
            limits: settings.batch,
            prefetch_bytes: settings.buffer_bytes,
            state_dir: settings.store.clone(),
            clock: Arc::clone(&self.control.clock),
            status: self.status[&node.name].clone(),
            io: self.io.clone(),
        }
    }

    fn outlet(&self, source: &SourceNode, sink: usize, task: usize) -> Result<Outlet, Error> {
        let (plan, settings) = (&self.plan, &self.plan.settings);
        let node = &plan.sinks[sink];
        // Writers of one sink are told apart by number, over the tasks of all sources.
        let mut sources = plan.sources.iter().chain(plan.logs.iter().map(|log| &log.source));
        let index = sources.position(|other| Arc::ptr_eq(&other.name, &source.name)).unwrap_or(0);
        let writer = node.sink.open(WriteContext {
            sink: Arc::clone(&node.name),
            pipeline: Arc::clone(&plan.name),
            schema: Arc::clone(&node.schema),
            task: index * settings.parallelism + task,
            inflight_bytes: settings.buffer_bytes,
            state_dir: settings.store.clone(),
            clock: Arc::clone(&self.control.clock),
            status: self.status[&node.name].clone(),
            io: self.io.clone(),
        });
        let writer = writer.map_err(|error| Error::of_node(&node.name, error))?;
        Ok(Outlet::new(Arc::clone(&node.name), node.on_error, SinkMeter::new(&plan.name, &node.name), writer))
    }
}
