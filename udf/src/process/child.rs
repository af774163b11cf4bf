//! One child process and the group that it leads: how it is started, signalled and reaped.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getpid, getppid, kill_process,
    kill_process_group, pidfd_open, set_parent_process_death_signal, setrlimit, waitid,
};

use super::cgroup::Cgroup;
use super::environment;
use super::family::{self, Process, Snapshot};
use super::settings::ProcessSettings;
use crate::contract::{CallError, CallErrorKind};

/// Descendants outside of the group that are kept in mind.
const MAX_STRAYS: usize = 4096;
/// How often they are looked for anew while they become more.
const MAX_STOPS: usize = 20;

/// A child that has not been reaped.
pub(super) struct Child {
    process: std::process::Child,
    pub(super) group: Arc<Group>,
    /// Becomes readable when the child ends.
    exit: OwnedFd,
}

impl Child {
    /// Must be called on the thread whose death is to be the child's.
    pub(super) fn spawn(command: &mut Command, cgroup: Option<Cgroup>) -> io::Result<Self> {
        let mut process = command.spawn()?;
        let leader = Pid::from_child(&process);
        match pidfd_open(leader, PidfdFlags::empty()) {
            Ok(exit) => {
                let cgroup = cgroup.filter(|cgroup| cgroup.members().contains(&leader.as_raw_nonzero().get()));
                let group = Group { leader, cgroup, alive: Mutex::new(true), strays: Mutex::default() };
                Ok(Self { process, group: Arc::new(group), exit })
            }
            Err(error) => {
                process.kill()?;
                process.wait()?;
                Err(error.into())
            }
        }
    }

    /// Something that becomes readable when the child ends.
    pub(super) fn exit(&self) -> io::Result<OwnedFd> {
        self.exit.try_clone()
    }

    /// The pipes from its standard output and error; only once.
    pub(super) fn take_pipes(&mut self) -> Option<(OwnedFd, OwnedFd)> {
        Some((self.process.stdout.take()?.into(), self.process.stderr.take()?.into()))
    }

    /// Whether it has ended. It is not reaped by this.
    pub(super) fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error means that there is no such child any more.
        waitid(WaitId::PidFd(self.exit.as_fd()), options).map_or(true, |ended| ended.is_some())
    }

    /// How it ended, if it has. It is not reaped by this.
    pub(super) fn ended_how(&self) -> Option<ExitStatus> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::PidFd(self.exit.as_fd()), options).ok()??;
        // As `wait` encodes it: a signal in the low bits, a status above them.
        let signal = ended.terminating_signal();
        let raw = signal.or_else(|| ended.exit_status().map(|status| (status & 0xff) << 8))?;
        Some(ExitStatus::from_raw(raw | if ended.dumped() { 0x80 } else { 0 }))
    }

    /// Kills what is left of the group and waits for the child itself, which is quick if it has ended.
    pub(super) fn reap(mut self, now: &Snapshot) -> io::Result<ExitStatus> {
        // In this order: once the child is reaped, its number may become somebody else's.
        self.group.kill(now);
        *self.group.alive.lock() = false;
        self.process.wait()
    }
}

/// The group of a child and of all that it starts, for those who signal it.
#[derive(Debug)]
pub(super) struct Group {
    leader: Pid,
    /// The control group that holds them, if the kernel gives one.
    cgroup: Option<Cgroup>,
    /// False once the leader is reaped: then the number may be another group's.
    alive: Mutex<bool>,
    /// Descendants that were seen to have left the group.
    strays: Mutex<Vec<Process>>,
}

impl Group {
    /// The number of the group, which is its leader's.
    pub(super) fn id(&self) -> i32 {
        self.leader.as_raw_nonzero().get()
    }

    /// The control group that holds them, if the kernel gives one.
    pub(super) fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    /// All that run, as far as they can be found.
    pub(super) fn members(&self) -> Vec<i32> {
        self.cgroup.as_ref().map_or_else(|| family::members(self.id()), Cgroup::members)
    }

    /// Asks the group to end.
    pub(super) fn terminate(&self, now: &Snapshot) {
        let Some(cgroup) = &self.cgroup else { return self.signal(Signal::TERM, now) };
        for member in cgroup.members().into_iter().filter_map(Pid::from_raw) {
            // It may have ended since.
            let _ = kill_process(member, Signal::TERM);
        }
    }

    /// Kills the group, and descendants that have left it.
    pub(super) fn kill(&self, now: &Snapshot) {
        match &self.cgroup {
            // It needs no search, and nobody escapes from it.
            Some(cgroup) => cgroup.kill(),
            None => {
                if !now.strays(self.id()).is_empty() {
                    self.stop();
                }
                self.signal(Signal::KILL, now);
            }
        }
    }

    /// Stops descendants that have left the group until there are no more of them: those that fork would outrun whoever
    /// kills them one by one. (A signal for a group reaches all that are in it at once.)
    fn stop(&self) {
        if !*self.alive.lock() {
            return;
        }
        let _ = kill_process_group(self.leader, Signal::STOP);
        let mut strays = self.strays.lock();
        for _ in 0..MAX_STOPS {
            let seen = Snapshot::default().strays(self.id());
            let new: Vec<_> = seen.into_iter().filter(|stray| !strays.contains(stray)).collect();
            if new.is_empty() || strays.len() >= MAX_STRAYS {
                return;
            }
            for stray in &new {
                let _ = Pid::from_raw(stray.id).map(|stray| kill_process(stray, Signal::STOP));
            }
            strays.extend(new);
        }
    }

    fn signal(&self, signal: Signal, now: &Snapshot) {
        if !*self.alive.lock() {
            return;
        }
        // Seen before the parents die, since afterwards nothing leads to them; and kept, for the next signal.
        let mut strays = self.strays.lock();
        for stray in now.strays(self.id()) {
            if !strays.contains(&stray) && strays.len() < MAX_STRAYS {
                strays.push(stray);
            }
        }
        // It fails if all have ended, which is what is wanted.
        let _ = kill_process_group(self.leader, signal);
        for stray in strays.iter().filter(|stray| stray.is_there()) {
            let _ = Pid::from_raw(stray.id).map(|stray| kill_process(stray, signal));
        }
    }
}

/// The command that starts a child which is to talk to `api`, and to be held by `cgroup`.
pub(super) fn command(settings: &ProcessSettings, api: SocketAddr, cgroup: Option<&Cgroup>) -> Command {
    let mut command = Command::new(settings.program());
    command
        .args(settings.command.iter().skip(1))
        .env_clear()
        .envs(environment::variables(settings, api))
        .current_dir(&settings.working_dir)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let engine = getpid();
    // Whether it is in is looked at afterwards: a function must not fail for this.
    let entrance = cgroup.and_then(|cgroup| cgroup.entrance().ok());
    // SAFETY: between fork and exec only system calls are made: no allocation, no lock.
    unsafe { command.pre_exec(move || before_exec(engine, entrance.as_ref())) };
    command
}

/// The last steps in the child before it becomes the program.
fn before_exec(engine: Pid, entrance: Option<&File>) -> io::Result<()> {
    if let Some(entrance) = entrance {
        let _ = rustix::io::write(entrance, b"0");
    }
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The engine may have died before that, and then no signal comes.
    if getppid() != Some(engine) {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // A crash must not fill the folder with images of memory.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    // When the machine runs out of memory, functions go before the engine. Some sandboxes do not let this be said.
    if let Ok(score) = rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY, Mode::empty()) {
        let _ = rustix::io::write(&score, b"1000");
    }
    close_on_exec()
}

/// Closes, at exec, every file but the three standard ones: libraries in C open theirs without asking for that.
pub(super) fn close_on_exec() -> io::Result<()> {
    // SAFETY: the call has no pointers, and no file is closed before the exec.
    // Kernels before 5.11 do not know it; there the files that Rust opened still close themselves.
    let _ = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Ok(())
}

/// What to tell a person whose program could not be started.
pub(super) fn cannot_start(settings: &ProcessSettings, error: &io::Error) -> CallError {
    let program = settings.program();
    let program = program.display();
    let folder = settings.working_dir.display();
    let looked_up = settings.command.first().is_some_and(|program| !program.contains('/'));
    let message = match error.kind() {
        _ if !settings.working_dir.is_dir() => format!("cannot start `{program}`: its folder {folder} does not exist"),
        io::ErrorKind::NotFound if looked_up => {
            format!("cannot start `{program}`: no such program in PATH; for one in {folder} write `./{program}`")
        }
        io::ErrorKind::NotFound => {
            format!("cannot start `{program}`: there is no such file, or not the interpreter that its first line names")
        }
        io::ErrorKind::PermissionDenied => {
            format!("cannot start `{program}`: it must be a file that may be executed (`chmod +x`)")
        }
        // Too many processes or files, or no memory: not the program's fault.
        io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => {
            return CallError::new(CallErrorKind::Unavailable, format!("cannot start `{program}` now: {error}"));
        }
        _ if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
            return CallError::new(CallErrorKind::Unavailable, format!("cannot start `{program}` now: {error}"));
        }
        _ => format!("cannot start `{program}`: {error}"),
    };
    CallError::new(CallErrorKind::InvalidEntrypoint, message)
}
