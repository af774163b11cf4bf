//! Running a program on a core of its own, and what it used: processor time, memory, wall time.

use std::{
    fs,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail, ensure};

/// The kernel's unit of processor time in `/proc`: 100 a second on every Linux that Rust's standard library supports
/// here (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// How often a running program is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// How long a run may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(600);

/// Which cores do what: what is measured has one to itself.
#[derive(Clone, Copy)]
pub(crate) struct Cores {
    count: usize,
}

impl Cores {
    pub(crate) fn of_this_machine() -> Result<Self> {
        let count = thread::available_parallelism().context("cannot tell the number of cores")?.get();
        ensure!(count >= 2, "the benchmarks need two cores: one for what is measured, one for Kafka");
        Ok(Self { count })
    }

    /// The core of what is measured, as `taskset` wants it.
    pub(crate) fn measured(self) -> String {
        (self.count - 1).to_string()
    }

    /// The cores of Kafka and of the benchmark itself.
    pub(crate) fn others(self) -> String {
        format!("0-{}", self.count - 2)
    }

    /// Moves this program off the measured core, and with it what it starts from now on.
    pub(crate) fn step_aside(self) -> Result<()> {
        move_to(&self.others())
    }

    /// Lets this program, and what it starts from now on, run on all cores until the result is dropped.
    pub(crate) fn everywhere(self) -> Result<Moved> {
        move_to(&self.all())?;
        Ok(Moved(self))
    }

    /// Moves this program, and what it starts from now on, to the measured core until the result is dropped.
    pub(crate) fn to_measured(self) -> Result<Moved> {
        move_to(&self.measured())?;
        Ok(Moved(self))
    }

    fn all(self) -> String {
        format!("0-{}", self.count - 1)
    }

    /// A command that runs `program` on the measured core.
    pub(crate) fn pinned(self, program: &Path) -> Command {
        on(&self.measured(), program)
    }

    /// A command that runs `program` on all cores.
    pub(crate) fn anywhere(self, program: &Path) -> Command {
        on(&self.all(), program)
    }
}

/// While this program runs on other cores than those that are not measured.
pub(crate) struct Moved(Cores);

impl Drop for Moved {
    fn drop(&mut self) {
        if let Err(error) = self.0.step_aside() {
            eprintln!("  {error:#}: what comes now is measured beside this program");
        }
    }
}

/// Moves this program to these cores.
fn move_to(cores: &str) -> Result<()> {
    let this = std::process::id().to_string();
    let mut command = Command::new("taskset");
    command.args(["--all-tasks", "--cpu-list", "--pid", cores, &this]).stdout(Stdio::null());
    let moved = command.status().context("cannot run `taskset` (of util-linux)")?;
    ensure!(moved.success(), "taskset cannot move this program to the cores {cores}");
    Ok(())
}

/// `taskset` becomes the program: the process is the same.
fn on(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", cores]).arg(program);
    command
}

/// A program that was started.
pub(crate) struct Started {
    child: Child,
    log: tempfile::NamedTempFile,
    /// When, by the wall clock.
    pub(crate) at: SystemTime,
    clock: Instant,
    used: Used,
}

/// What a program used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// Processor time of all its threads, in the program and in the kernel, in seconds.
    pub(crate) cpu: f64,
    /// From its start to its end, in seconds.
    pub(crate) wall: f64,
    /// The most memory it had resident, in bytes.
    pub(crate) peak: u64,
}

impl Started {
    /// Starts a program; what it prints is kept for the case that it fails.
    pub(crate) fn new(command: &mut Command) -> Result<Self> {
        let log = tempfile::NamedTempFile::new()?;
        let output = fs::OpenOptions::new().append(true).open(log.path())?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let (at, clock) = (SystemTime::now(), Instant::now());
        let child = command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
        Ok(Self { child, log, at, clock, used: Used::default() })
    }

    /// Waits for the program's end, which must be a success.
    pub(crate) fn wait(mut self) -> Result<Used> {
        while !self.look()? {
            if self.clock.elapsed() > PATIENCE {
                bail!("a run took longer than {} s; it printed:\n{}", PATIENCE.as_secs(), self.printed());
            }
            thread::sleep(LOOK);
        }
        self.used.wall = self.clock.elapsed().as_secs_f64();
        let status = self.child.wait()?;
        self.succeeded(status)?;
        Ok(self.used)
    }

    /// Asks the program to end, and waits for that.
    pub(crate) fn stop(self) -> Result<Used> {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().context("cannot run `kill`")?;
        ensure!(asked.success(), "process {id} cannot be stopped");
        self.wait()
    }

    /// The program's process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `is`, for half a minute at most, while the program runs.
    pub(crate) fn until(&mut self, what: &str, mut is: impl FnMut() -> bool) -> Result<()> {
        let begun = Instant::now();
        while !is() {
            self.must_run()?;
            ensure!(begun.elapsed() < Duration::from_secs(30), "never: {what}; it printed:\n{}", self.printed());
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Fails if the program has ended.
    pub(crate) fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("a program ended too early ({status}); it printed:\n{}", self.printed()),
        }
    }

    /// Notes what was used so far. Whether the program has ended: its processor time is then complete, and the kernel
    /// keeps it until somebody waits for the process.
    fn look(&mut self) -> Result<bool> {
        let folder = format!("/proc/{}", self.child.id());
        let stat = fs::read_to_string(format!("{folder}/stat")).context("cannot read what a process used")?;
        // The program's name comes in parentheses before the numbers, and may itself contain anything.
        let numbers = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = numbers.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse().ok()).unwrap_or(0.0);
        self.used.cpu = (ticks(11) + ticks(12)) / TICKS_PER_SECOND;
        let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
        if let Some(peak) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) {
            let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap_or(0);
            self.used.peak = self.used.peak.max(kib * 1024);
        }
        Ok(fields.first() == Some(&"Z"))
    }

    fn succeeded(&self, status: ExitStatus) -> Result<()> {
        ensure!(status.success(), "a run failed ({status}); it printed:\n{}", self.printed());
        Ok(())
    }

    /// What the program has printed so far.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap_or_default()
    }
}

/// The bytes that a process has resident.
pub(crate) fn resident(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).context("cannot read what a process holds")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.unwrap_or_default().trim().trim_end_matches(" kB").parse().context("a number of KiB")?;
    Ok(kib * 1024)
}

/// The processor time that a process's threads have used, in seconds: to the nanosecond, of those that run still.
pub(crate) fn used_by_threads(process: u32) -> Result<f64> {
    let mut nanos = 0.0;
    for thread in fs::read_dir(format!("/proc/{process}/task")).context("cannot read what a process used")? {
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        nanos += text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0.0);
    }
    Ok(nanos / 1e9)
}

/// How many processes of this name a process has started that have not ended.
pub(crate) fn children(process: u32, name: &str) -> usize {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let stats = all.filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    let is_child = |stat: &String| {
        // `number (name) state parent …`
        let Some((before, after)) = stat.rsplit_once(") ") else { return false };
        let mut fields = after.split(' ');
        let (state, parent) = (fields.next(), fields.next().and_then(|parent| parent.parse().ok()));
        before.ends_with(&format!("({name}")) && parent == Some(process) && state != Some("Z")
    };
    stats.filter(is_child).count()
}

impl Drop for Started {
    fn drop(&mut self) {
        // Does nothing if it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
