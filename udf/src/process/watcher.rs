//! What kills the children's groups when the engine is gone, also after kill -9: a shell that holds a pipe from us.
//!
//! The kernel kills a child whose parent dies (`PR_SET_PDEATHSIG`), but not the child's own children. The shell knows
//! the groups that live, and when the pipe closes, whatever the reason, it kills them, and the control groups with all
//! that is in them. It sits in a group of its own, so that signals for the engine's group leave it alone. Without
//! control groups a process that makes itself a daemon escapes it: that one has left its group.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use parking_lot::Mutex;

use super::cgroup;

/// Reads `+ GROUP` and `- GROUP`, and at the end kills the groups that are left, and the control groups whose paths
/// begin with the first argument, if that is not empty.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
groups=' '
while read -r verb group; do
  case $verb in
    +) groups="$groups$group " ;;
    -) groups="${groups%% $group *} ${groups#* $group }" ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group"; done
if [ -n "$1" ]; then
  for file in "$1"*/cgroup.kill; do if [ -e "$file" ]; then echo 1 > "$file"; fi; done
  for try in 1 2 3 4 5 6 7 8 9; do rmdir -- "$1"* && break; sleep 0.1; done
fi
"#;

static WATCHER: Mutex<Watcher> = Mutex::new(Watcher { shell: None, groups: BTreeSet::new(), warned: false });

/// From now on this group dies with the engine.
pub(super) fn add(group: i32) {
    let mut watcher = WATCHER.lock();
    if watcher.groups.insert(group) {
        watcher.tell('+', group);
    }
}

/// This group is gone.
pub(super) fn remove(group: i32) {
    let mut watcher = WATCHER.lock();
    if watcher.groups.remove(&group) {
        watcher.tell('-', group);
    }
}

/// The shell, and the groups that it was told of.
struct Watcher {
    shell: Option<(Child, ChildStdin)>,
    groups: BTreeSet<i32>,
    warned: bool,
}

impl Watcher {
    fn tell(&mut self, verb: char, group: i32) {
        if let Some((_, pipe)) = &mut self.shell
            && pipe.write_all(format!("{verb} {group}\n").as_bytes()).is_ok()
        {
            return;
        }
        // There is none yet, or somebody killed it. A new one is told of every group.
        if let Err(error) = self.start()
            && !std::mem::replace(&mut self.warned, true)
        {
            tracing::warn!(%error, "no shell to watch over functions: what their processes start may outlive kill -9");
        }
    }

    fn start(&mut self) -> io::Result<()> {
        if let Some((mut shell, pipe)) = self.shell.take() {
            drop(pipe);
            // Its end of the pipe is closed: it has ended, or is about to.
            shell.kill()?;
            shell.wait()?;
        }
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "watcher"])
            .arg(cgroup::prefix().unwrap_or_default())
            .env_clear()
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // SAFETY: between fork and exec only a system call is made: no allocation, no lock.
        unsafe { command.pre_exec(super::child::close_on_exec) };
        let mut shell = command.spawn()?;
        let Some(mut pipe) = shell.stdin.take() else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let groups: String = self.groups.iter().map(|group| format!("+ {group}\n")).collect();
        pipe.write_all(groups.as_bytes())?;
        self.shell = Some((shell, pipe));
        Ok(())
    }
}
