//! Control groups of the kernel (version 2), where it lets us have them: one for each process of a function.
//!
//! A group holds all that a process starts, whatever that does to its parents, groups and sessions: it is counted and
//! killed whole. Where the controllers are ours to give too, the kernel itself holds memory and the number of
//! processes to their limits; elsewhere the [watchdog](super::watchdog) does.
//!
//! Groups are made under the engine's own, so whoever starts the engine decides: `Delegate=yes` in a unit of systemd,
//! or a container whose `/sys/fs/cgroup` may be written. What an engine that was killed leaves behind is removed by
//! the [watcher](super::watcher), or else by the next engine that starts here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Pid, Signal, getpid, kill_process};

use super::{burial, family};

/// What the names of all engines' groups begin with.
const PREFIX: &str = "riverhook.";
/// What groups are to be limited by.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

static HOME: OnceLock<Option<Home>> = OnceLock::new();
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Where this engine's groups are.
#[derive(Debug)]
struct Home {
    folder: PathBuf,
    /// What names of this engine's groups begin with: no other process's do, now or later.
    name: String,
}

/// The group of one process of a function. Dropping it kills what is left in it.
#[derive(Debug)]
pub(super) struct Cgroup {
    folder: PathBuf,
    limits_memory: bool,
    limits_processes: bool,
}

impl Cgroup {
    /// An empty group whose processes are held to these limits, as far as the kernel can. None where it gives none.
    pub(super) fn new(memory: usize, processes: usize) -> Option<Self> {
        let home = home()?;
        let folder = home.folder.join(format!("{}.{}", home.name, NUMBER.fetch_add(1, Ordering::Relaxed)));
        match Self::make(folder, memory, processes) {
            Ok(group) => Some(group),
            Err(error) => {
                tracing::debug!(%error, "no control group for a function's process");
                None
            }
        }
    }

    fn make(folder: PathBuf, memory: usize, processes: usize) -> io::Result<Self> {
        fs::create_dir(&folder)?;
        let write = |file: &str, value: &str| write(&folder.join(file), value).is_ok();
        let limits_memory = write("memory.max", &memory.to_string());
        if limits_memory {
            // Not every kernel has these: they make the limit stricter, and its breach one event for all processes.
            write("memory.swap.max", "0");
            write("memory.oom.group", "1");
        }
        let limits_processes = write("pids.max", &processes.to_string());
        Ok(Self { folder, limits_memory, limits_processes })
    }

    /// A file into which a process writes `0` to enter.
    pub(super) fn entrance(&self) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.folder.join("cgroup.procs"))
    }

    /// Whether the kernel holds its memory to the limit.
    pub(super) fn limits_memory(&self) -> bool {
        self.limits_memory
    }

    /// Whether the kernel holds its number of processes to the limit.
    pub(super) fn limits_processes(&self) -> bool {
        self.limits_processes
    }

    /// The processes in it.
    pub(super) fn members(&self) -> Vec<i32> {
        let members = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        members.lines().filter_map(|process| process.parse().ok()).collect()
    }

    /// The most memory that it has held, in bytes, if the kernel counts that.
    pub(super) fn peak(&self) -> Option<usize> {
        fs::read_to_string(self.folder.join("memory.peak")).ok()?.trim().parse().ok()
    }

    /// Whether the kernel has killed one of its processes because the memory was at its limit.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        let events = fs::read_to_string(self.folder.join("memory.events")).unwrap_or_default();
        let kills = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
        kills.is_some_and(|kills| kills.trim() != "0")
    }

    /// Kills all of its processes, and those that they are starting.
    pub(super) fn kill(&self) {
        kill(&self.folder);
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        kill(&self.folder);
        if !is_removed(&self.folder) {
            burial::remove(self.folder.clone());
        }
    }
}

/// What the paths of this engine's groups begin with, if it has any.
pub(super) fn prefix() -> Option<PathBuf> {
    let home = home()?;
    Some(home.folder.join(format!("{}.", home.name)))
}

/// Removes a group. False while processes are in it.
pub(super) fn is_removed(folder: &Path) -> bool {
    match fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn home() -> Option<&'static Home> {
    let find = || {
        Home::find().inspect_err(|error| tracing::debug!(%error, "functions' processes have no control groups")).ok()
    };
    HOME.get_or_init(find).as_ref()
}

impl Home {
    fn find() -> io::Result<Self> {
        let (own, mounts) = (fs::read_to_string("/proc/self/cgroup")?, fs::read_to_string("/proc/self/mountinfo")?);
        let folder = own_folder(&own, &mounts).ok_or(io::ErrorKind::Unsupported)?;
        let space = pid_space()?;
        let process = getpid().as_raw_nonzero().get();
        let started = family::started(process).ok_or(io::ErrorKind::Unsupported)?;
        let name = format!("{PREFIX}{space}.{process}.{started}");
        // Whether groups may be made here at all.
        let probe = folder.join(format!("{name}.0"));
        fs::create_dir(&probe)?;
        fs::remove_dir(&probe)?;
        remove_leftovers(&folder, space);
        // Not with a dot, which is for groups that are killed with this engine: this one holds the watcher as well.
        let engine = folder.join(format!("{name}-engine"));
        if let Err(error) = enable(&folder, &engine, &CONTROLLERS) {
            tracing::debug!(%error, folder = %folder.display(), "the kernel does not limit functions' processes itself");
        }
        Ok(Self { folder, name })
    }
}

/// The folder of the group that this process is in.
fn own_folder(own: &str, mounts: &str) -> Option<PathBuf> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let (root, point) = before.split(' ').nth(3).zip(before.split(' ').nth(4))?;
        let below = Path::new(own).strip_prefix(root).ok()?;
        let inside = after.starts_with("cgroup2 ") && !own.contains("/..");
        inside.then(|| Path::new(point).join(below))
    })
}

/// Which numbers of processes this process's is one of: in a container 7 is another process than outside.
fn pid_space() -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

/// Kills and removes the groups of engines that are no more.
fn remove_leftovers(folder: &Path, space: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some((process, started)) = name.to_str().and_then(|name| owner(name, space)) else { continue };
        if family::started(process) != Some(started) {
            kill(&entry.path());
            if !is_removed(&entry.path()) {
                burial::remove(entry.path());
            }
        }
    }
}

/// The engine that made the group of this name, and when that was started.
fn owner(name: &str, space: u64) -> Option<(i32, u64)> {
    let mut numbers = name.strip_prefix(PREFIX)?.split(['.', '-']);
    let made_here = numbers.next()?.parse() == Ok(space);
    let engine = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    made_here.then_some(engine)
}

/// Has groups below `folder` limited by these controllers, of those that there are. If this process must not be in
/// `folder` for that, it moves into `engine`.
fn enable(folder: &Path, engine: &Path, controllers: &[&str]) -> io::Result<()> {
    let given = folder.join("cgroup.subtree_control");
    let (there, already) = (fs::read_to_string(folder.join("cgroup.controllers"))?, fs::read_to_string(&given)?);
    let named = |list: &str, name: &str| list.split_whitespace().any(|listed| listed == name);
    let missing = controllers.iter().filter(|name| named(&there, name) && !named(&already, name));
    let missing: Vec<_> = missing.map(|name| format!("+{name}")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let give = || write(&given, &missing.join(" "));
    match give() {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
        done => return done,
    }
    fs::create_dir(engine)?;
    write(&engine.join("cgroup.procs"), "0")?;
    // It fails again if other processes are there too. Those are not ours to move.
    give().inspect_err(|_| {
        let _ = write(&folder.join("cgroup.procs"), "0");
        let _ = fs::remove_dir(engine);
    })
}

fn kill(folder: &Path) {
    if write(&folder.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    // A kernel before 5.14: what is frozen starts nothing more, and can be killed.
    let _ = write(&folder.join("cgroup.freeze"), "1");
    let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for process in members.lines().filter_map(|process| Pid::from_raw(process.parse().ok()?)) {
        let _ = kill_process(process, Signal::KILL);
    }
}

/// As the kernel wants it: at once, and only into a file that is there.
fn write(file: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(file)?.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::mem::ManuallyDrop;
    use std::os::unix::process::CommandExt as _;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    const MOUNTS: &str = "\
        25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n\
        32 25 0:28 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n\
        33 25 0:29 / /sys/fs/cgroup/memory rw,relatime shared:10 - cgroup cgroup rw,memory\n";

    #[test]
    fn the_own_group_is_found_below_where_the_hierarchy_is_mounted() {
        let found = |own: &str, mounts: &str| own_folder(own, mounts);
        assert_eq!(found("4:memory:/a\n0::/\n", MOUNTS), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(found("0::/system.slice/x.service\n", MOUNTS).unwrap(), {
            Path::new("/sys/fs/cgroup/unified/system.slice/x.service")
        });
        let below = MOUNTS.replace("0:28 / /sys/fs/cgroup/unified", "0:28 /docker/7 /sys/fs/cgroup");
        assert_eq!(found("0::/docker/7/inner\n", &below), Some("/sys/fs/cgroup/inner".into()));
        // Outside of what is mounted, or no such hierarchy.
        assert_eq!(found("0::/docker/8\n", &below), None);
        assert_eq!(found("0::/../x\n", MOUNTS), None);
        assert_eq!(found("4:memory:/a\n", MOUNTS), None);
        assert_eq!(found("0::/\n", "33 25 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw\n"), None);
    }

    #[test]
    fn a_groups_name_tells_whose_it_is() {
        assert_eq!(owner("riverhook.40.12.999.3", 40), Some((12, 999)));
        assert_eq!(owner("riverhook.40.12.999-engine", 40), Some((12, 999)));
        assert_eq!(owner("riverhook.41.12.999.3", 40), None, "of another container");
        assert_eq!(owner("system.slice", 40), None);
    }

    /// A folder that has a group's files, as the kernel makes them in one with its controllers.
    fn like_a_group(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (file, text) in files {
            fs::write(dir.path().join(file), text).unwrap();
        }
        dir
    }

    #[test]
    fn what_the_kernel_counts_is_read() {
        let group = |files: &[(&str, &str)]| {
            let dir = like_a_group(files);
            let group = Cgroup { folder: dir.path().to_owned(), limits_memory: true, limits_processes: true };
            // Not dropped: the numbers are other processes'.
            (dir, ManuallyDrop::new(group))
        };
        let events = "low 0\nhigh 0\nmax 31\noom 1\noom_kill 2\noom_group_kill 1\n";
        let (_dir, full) =
            group(&[("memory.peak", "1048576\n"), ("memory.events", events), ("cgroup.procs", "7\n8\n")]);
        assert_eq!((full.peak(), full.ran_out_of_memory(), full.members()), (Some(1 << 20), true, vec![7, 8]));
        let (_dir, fine) = group(&[("memory.events", "max 31\noom 0\noom_kill 0\n")]);
        assert_eq!((fine.peak(), fine.ran_out_of_memory(), fine.members()), (None, false, vec![]));
    }

    #[test]
    fn controllers_that_are_there_and_not_given_yet_are_asked_for() {
        let dir = like_a_group(&[("cgroup.controllers", "cpu memory pids\n"), ("cgroup.subtree_control", "")]);
        let given = || fs::read_to_string(dir.path().join("cgroup.subtree_control")).unwrap();
        enable(dir.path(), &dir.path().join("engine"), &CONTROLLERS).unwrap();
        assert_eq!(given(), "+memory +pids");
        fs::write(dir.path().join("cgroup.subtree_control"), "memory pids").unwrap();
        enable(dir.path(), &dir.path().join("engine"), &CONTROLLERS).unwrap();
        assert_eq!(given(), "memory pids");
    }

    /// The folder of this process's own group, or that the test is left out.
    fn writable() -> Option<&'static Home> {
        let home = home();
        if home.is_none() {
            // Not eprintln!, which the test harness swallows.
            let _ =
                writeln!(io::stderr(), "LEFT OUT: a test of control groups needs a cgroup of version 2 to write in");
        }
        home
    }

    /// A shell in the group that starts another in a session of its own, and the number of that one.
    fn with_a_daemon(group: &Cgroup) -> (std::process::Child, i32) {
        let mut command = Command::new("sh");
        command.args(["-c", "setsid sh -c 'echo $$; exec sleep 1000' & exec sleep 1000"]).stdout(Stdio::piped());
        let entrance = group.entrance().unwrap();
        // SAFETY: only a system call is made.
        unsafe { command.pre_exec(move || rustix::io::write(&entrance, b"0").map(drop).map_err(io::Error::from)) };
        let mut shell = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (shell, line.trim().parse().unwrap())
    }

    fn within_seconds(what: &str, done: impl Fn() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(begun.elapsed() < Duration::from_secs(5), "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn a_group_holds_what_left_every_other_and_takes_it_along() {
        if writable().is_none() {
            return;
        }
        let group = Cgroup::new(64 << 20, 100).unwrap();
        let folder = group.folder.clone();
        let (mut shell, daemon) = with_a_daemon(&group);
        let members = group.members();
        assert!(members.contains(&daemon) && members.len() == 2, "{members:?}");
        drop(group);
        shell.wait().unwrap();
        within_seconds("the daemon lives", || !Path::new(&format!("/proc/{daemon}/cmdline")).exists());
        within_seconds("the group is still there", || !folder.exists());
    }

    #[test]
    fn what_an_engine_left_behind_is_removed_by_the_next_one() {
        let Some(home) = writable() else { return };
        let space = pid_space().unwrap();
        // Of an engine whose number another process has now, and of this one.
        let folder = |started: &str| home.folder.join(format!("{PREFIX}{space}.1.{started}.7"));
        let (old, own) = (folder("0"), Cgroup::new(64 << 20, 100).unwrap());
        let left = ManuallyDrop::new(Cgroup::make(old.clone(), 64 << 20, 100).unwrap());
        let (mut shell, _) = with_a_daemon(&left);
        remove_leftovers(&home.folder, space);
        shell.wait().unwrap();
        within_seconds("the group is still there", || !old.exists());
        assert!(own.folder.exists());
    }
}
