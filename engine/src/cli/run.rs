//! `riverhook run`: starts the pipeline, watches it, ends it.
//!
//! The main thread only watches: it waits for the tasks, for signals, and for the run's own end conditions. A consumer
//! whose close hangs, or a sink that never answers, cannot keep the process: after `shutdown_timeout` it leaves.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use parking_lot::{Condvar, Mutex};
use riverhook_connectors::clock::SystemClock;

use super::{FAILED, load::load, progress::Progress, report};
use crate::{
    error::Error,
    functions::{FLUSH_EVERY, FunctionLog, Ledger},
    plan::StepNode,
    run::{Options, Running, start},
    server,
};

#[derive(Args)]
#[command(after_help = "\
Examples:
  riverhook run pipeline.yaml                     until its input ends, or Ctrl-C, which finishes what was read
  riverhook run --until-idle 5s pipeline.yaml     until nothing has come for five seconds
  riverhook run --limit 100 pipeline.yaml         the first hundred records; the next run goes on behind them
  riverhook run --log debug pipeline.yaml         with more to read when something is wrong")]
pub(super) struct RunArguments {
    /// The pipeline file
    file: PathBuf,
    /// End when no record has come for so long, such as 5s (for sources that never end)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    until_idle: Option<Duration>,
    /// End after so many records
    #[arg(long, value_name = "RECORDS")]
    limit: Option<u64>,
    /// Forget how far earlier runs read (files and other sources whose positions we keep)
    #[arg(long)]
    from_scratch: bool,
    /// Print neither a status line nor a summary
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    riverhook_config::parse_duration(text).ok_or_else(|| "expected a duration such as 5s, 500ms or 2m".to_owned())
}

pub(super) fn run(arguments: &RunArguments) -> ExitCode {
    let plan = match load(&arguments.file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    match run_plan(plan, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn run_plan(plan: crate::plan::Plan, arguments: &RunArguments) -> Result<(), Error> {
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("rh-io")
        .enable_all()
        .build()
        .map_err(|error| Error::failed(format!("cannot start: {error}")))?;
    let ended = run_on(&io, plan, arguments);
    // Dropped, it would wait for I/O that may never end, such as a write to a full disk.
    io.shutdown_timeout(Duration::from_secs(1));
    ended
}

fn run_on(io: &tokio::runtime::Runtime, plan: crate::plan::Plan, arguments: &RunArguments) -> Result<(), Error> {
    let signals = Signals::watch(io)?;
    let metrics = server::Metrics::install(io)?;
    let shutdown_timeout = plan.settings.shutdown_timeout;
    // Before anything is read: a process that cannot be watched must not have done half of its work.
    let listener = plan.settings.listen.map(|address| server::listen(io, address)).transpose()?;
    let options = Options {
        clock: SystemClock::shared(),
        io: io.handle().clone(),
        limit: arguments.limit,
        from_scratch: arguments.from_scratch,
    };
    let running = start(plan, &options)?;
    if let Some(listener) = listener {
        server::serve(io, listener, metrics, server::Health::of(&running));
    }
    let progress = Progress::new(&running, arguments.quiet);
    let ledger = Bookkeeping::begin(&running);
    let ended = watch(&running, &signals, arguments.until_idle, shutdown_timeout, progress);
    ledger.end();
    let error = running.control.take_error();
    match (ended, error) {
        (Ended::Done, None) => {
            running.join();
            Ok(())
        }
        (Ended::Done, Some(error)) => Err(error),
        // Threads that hang are left behind: the process ends under them, and what they held was not committed.
        (Ended::Hung, error) => leave(error, shutdown_timeout),
        (Ended::Abandoned, _) => std::process::exit(i32::from(FAILED)),
    }
}

/// Writes what functions use, and says what they logged too much, on a thread of its own.
struct Bookkeeping {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Every how manieth time the ledger is written the dropped log lines are told: once a second.
const TELL: u32 = 2;

impl Bookkeeping {
    fn begin(running: &Running) -> Self {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let calls = running.plan.steps.iter().flat_map(StepNode::calls);
        let logs: Vec<Arc<FunctionLog>> = calls.map(|call| Arc::clone(&call.log)).collect();
        if logs.is_empty() {
            return Self { stop, thread: None };
        }
        let (ledger, control) = (Ledger::of(&running.plan.settings.store), Arc::clone(&running.control));
        let stopping = Arc::clone(&stop);
        let work = move || {
            let mut trouble = Trouble::default();
            trouble.told(ledger.compact(&*control.clock));
            let mut stopped = stopping.0.lock();
            for turn in 1u32.. {
                if !*stopped {
                    stopping.1.wait_for(&mut stopped, FLUSH_EVERY);
                }
                trouble.told(ledger.flush(&control.accounts, &*control.clock));
                if *stopped || turn.is_multiple_of(TELL) {
                    logs.iter().for_each(|log| log.tell_dropped());
                }
                if *stopped {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("rh-usage".to_owned()).spawn(work).ok();
        Self { stop, thread }
    }

    /// Writes the rest.
    fn end(self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread {
            // A panic was printed; the run itself is not to blame.
            let _ = thread.join();
        }
    }
}

/// Why the ledger could not be written the last time: said once, and not twice a second.
#[derive(Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn told(&mut self, written: std::io::Result<()>) {
        match written.err().map(|error| error.to_string()) {
            Some(why) if self.0.as_ref() != Some(&why) => {
                tracing::warn!("what functions use cannot be written down, and is kept until it can: {why}");
                self.0 = Some(why);
            }
            Some(_) => {}
            None if self.0.take().is_some() => tracing::info!("what functions use is written down again"),
            None => {}
        }
    }
}

enum Ended {
    Done,
    Hung,
    Abandoned,
}

/// How often the main thread looks.
const LOOK: Duration = Duration::from_millis(20);

fn watch(
    running: &Running,
    signals: &Signals,
    until_idle: Option<Duration>,
    shutdown_timeout: Duration,
    mut progress: Progress,
) -> Ended {
    let control = &running.control;
    let mut stopping_since: Option<Instant> = None;
    while !control.wait(LOOK) {
        progress.tick(running);
        match signals.count() {
            0 => {}
            1 => control.stop(),
            _ => return Ended::Abandoned,
        }
        if let Some(idle) = until_idle {
            // While a server does not answer nothing is known of what it holds, and a batch that takes its time (a slow
            // sink, a slow function) is no idleness.
            if !running.troubles().is_empty() || control.busy() {
                control.not_idle();
            } else if u128::from(control.idle_millis()) >= idle.as_millis() {
                control.stop();
            }
        }
        if control.stopping() {
            let since = *stopping_since.get_or_insert_with(Instant::now);
            if since.elapsed() > shutdown_timeout {
                return Ended::Hung;
            }
        }
    }
    progress.finish(running);
    Ended::Done
}

fn leave(error: Option<Error>, shutdown_timeout: Duration) -> ! {
    let error = error.unwrap_or_else(|| {
        Error::failed(format!(
            "stopping took longer than shutdown_timeout ({shutdown_timeout:?}): what was not durable is read again by the next run"
        ))
    });
    report(&error);
    std::process::exit(i32::from(FAILED))
}

/// How often the user asked the process to stop.
struct Signals(Arc<AtomicUsize>);

impl Signals {
    fn watch(io: &tokio::runtime::Runtime) -> Result<Self, Error> {
        use tokio::signal::unix::{SignalKind, signal};
        let count = Arc::new(AtomicUsize::new(0));
        let _entered = io.enter();
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let mut signal =
                signal(kind).map_err(|error| Error::failed(format!("cannot watch for signals: {error}")))?;
            let count = Arc::clone(&count);
            io.spawn(async move {
                while signal.recv().await.is_some() {
                    let before = count.fetch_add(1, Ordering::SeqCst);
                    if before == 0 {
                        tracing::info!("stopping: finishing what was read (again to leave at once)");
                    }
                }
            });
        }
        Ok(Self(count))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}
