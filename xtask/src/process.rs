//! Child processes that never outlive this one.
//!
//! Each child leads a process group of its own, so that a Ctrl-C on the terminal reaches only this process, which then
//! stops the groups in order: first the tests, then the servers they talk to.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

const POLL: Duration = Duration::from_millis(20);

/// How long a child may take to end after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Whether somebody asked this process to stop.
#[derive(Clone)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on Ctrl-C and SIGTERM ask to stop instead of ending the process; a second one ends it at once.
    pub(crate) fn install() -> Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))
                .and_then(|_| flag::register(signal, Arc::clone(&asked)))
                .context("cannot listen for signals")?;
        }
        Ok(Self(asked))
    }

    /// Fails if somebody asked to stop, so that long work can end with `?`.
    pub(crate) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }
}

/// A running child, with all the children it has itself; they are stopped when this is dropped.
pub(crate) struct Group {
    child: Child,
    name: String,
    ended: bool,
}

impl Group {
    /// Starts `command` without standard input (a group in the background may not read the terminal).
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child =
            command.process_group(0).stdin(Stdio::null()).spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, name, ended: false })
    }

    /// The process id of the child, which is its group's id too.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child's status if it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))?;
        self.ended |= status.is_some();
        Ok(status)
    }

    /// Waits until the child ends, or fails when somebody asks to stop.
    pub(crate) fn wait(&mut self, interrupt: &Interrupt) -> Result<ExitStatus> {
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            interrupt.check()?;
            thread::sleep(POLL);
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // An error means that nobody is left in the group, which is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Group {
    /// Asks the group to end, waits for the child, and kills whoever is left of the group.
    fn drop(&mut self) {
        if !self.ended {
            self.signal(Signal::TERM);
            let deadline = Instant::now() + GRACE;
            while Instant::now() < deadline && matches!(self.ended(), Ok(None)) {
                thread::sleep(POLL);
            }
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Runs `command` to its end with its output on ours; fails if it does, or when somebody asks to stop.
pub(crate) fn run(command: &mut Command, interrupt: &Interrupt) -> Result<()> {
    let status = Group::spawn(command)?.wait(interrupt)?;
    if !status.success() {
        bail!("`{}` failed: {status}", line(command));
    }
    Ok(())
}

/// Runs `command` quietly; its output becomes part of the error if it fails.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        bail!(
            "`{}` failed: {}\n{}{}",
            line(command),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// The command as one would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Interrupt {
        Interrupt(Arc::new(AtomicBool::new(false)))
    }

    fn alive(pid: &str) -> bool {
        Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status().unwrap().success()
    }

    #[test]
    fn a_dropped_group_leaves_no_grandchild() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("pid");
        let script = format!("sleep 100 & echo $! > {0}.new; mv {0}.new {0}; wait", note.display());
        let group = Group::spawn(Command::new("sh").arg("-c").arg(script)).unwrap();
        while !note.exists() {
            thread::sleep(POLL);
        }
        let grandchild = std::fs::read_to_string(&note).unwrap();
        assert!(alive(grandchild.trim()));
        drop(group);
        let deadline = Instant::now() + GRACE;
        while alive(grandchild.trim()) {
            assert!(Instant::now() < deadline, "process {grandchild} outlived its group");
            thread::sleep(POLL);
        }
    }

    #[test]
    fn an_interrupt_ends_the_wait() {
        let interrupt = quiet();
        interrupt.0.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        let error = run(Command::new("sleep").arg("100"), &interrupt).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
        assert!(begun.elapsed() < GRACE);
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = run(Command::new("sh").args(["-c", "exit 3"]), &quiet()).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 3` failed: exit status: 3");
    }
}
