//! What the kernel says about a child and all that it started: who they are, and the memory they hold.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::fs;

use rustix::param::page_size;

/// When the process was started, in the kernel's own unit. None if there is none of this number.
pub(super) fn started(process: i32) -> Option<u64> {
    Some(look_up(process)?.started)
}

/// How many processes and threads the machine has.
pub(super) fn machine_total() -> Option<usize> {
    // `0.20 0.18 0.12 1/80 11206`
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').nth(3)?.split_once('/')?.1.parse().ok()
}

/// The processes in the group `leader`, and those descended from them, as far as their parents live.
pub(super) fn members(leader: i32) -> Vec<i32> {
    family(leader, &processes()).into_iter().map(|process| process.id).collect()
}

/// All processes at one moment, looked at when first asked: for those who ask about many groups at once.
#[derive(Default)]
pub(super) struct Snapshot(OnceCell<Vec<Process>>);

impl Snapshot {
    /// The descendants of a group's processes that have left it.
    pub(super) fn strays(&self, leader: i32) -> Vec<Process> {
        let all = self.0.get_or_init(processes);
        family(leader, all).into_iter().filter(|process| process.group != leader).collect()
    }
}

/// The resident memory of a process in bytes; what it shares with others counts whole. None once it has ended.
pub(super) fn resident(process: i32) -> Option<usize> {
    let text = fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let pages: usize = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size())
}

/// Whether processes hold more than `limit` bytes together, and how much, as far as that had to be counted.
pub(super) fn hold_more_than(limit: usize, processes: &[i32]) -> (bool, usize) {
    let mut held = 0;
    for process in processes {
        held += proportional(*process).unwrap_or(0);
        if held > limit {
            return (true, held);
        }
    }
    (false, held)
}

/// The resident memory of a process in bytes; what n processes share counts as the n-th part. Slow: the kernel walks
/// its page tables.
fn proportional(process: i32) -> Option<usize> {
    kibibytes(&fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?, "Pss:")
}

/// The most memory that a process has held so far, in bytes.
pub(super) fn peak(process: i32) -> Option<usize> {
    kibibytes(&fs::read_to_string(format!("/proc/{process}/status")).ok()?, "VmHWM:")
}

fn kibibytes(text: &str, name: &str) -> Option<usize> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: usize = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: i32,
    parent: i32,
    group: i32,
    /// When it was started, in the kernel's own unit: numbers of processes are used again.
    started: u64,
}

impl Process {
    /// Whether it is still the same one that has its number.
    pub(super) fn is_there(&self) -> bool {
        look_up(self.id).is_some_and(|now| now.started == self.started)
    }
}

/// Every process that can be seen.
fn processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
            // Processes end while one looks.
            look_up(id)
        })
        .collect()
}

fn look_up(id: i32) -> Option<Process> {
    parse(id, &fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
}

/// `ID (NAME) STATE PARENT GROUP …`, where the name may hold anything; the 17th after the group is the time.
fn parse(id: i32, stat: &str) -> Option<Process> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(1);
    let (parent, group) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Process { id, parent, group, started: fields.nth(16)?.parse().ok()? })
}

fn family(leader: i32, all: &[Process]) -> Vec<Process> {
    let mut members = Vec::new();
    let mut known = HashSet::from([leader]);
    let mut rest = all.to_vec();
    loop {
        let before = known.len();
        rest.retain(|process| {
            let belongs = process.group == leader || known.contains(&process.id) || known.contains(&process.parent);
            if belongs {
                known.insert(process.id);
                members.push(*process);
            }
            !belongs
        });
        if known.len() == before {
            return members;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_is_no_field() {
        let stat = "7 (a) b) S 5 6 6 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 100";
        let process = parse(7, stat).unwrap();
        assert_eq!(process, Process { id: 7, parent: 5, group: 6, started: 12345 });
        assert_eq!(parse(7, "7 (cut"), None);
    }

    #[test]
    fn a_family_is_the_group_and_all_descendants() {
        let process = |id, parent, group| Process { id, parent, group, started: 0 };
        let all = [
            process(14, 13, 14), // a descendant in a session of its own
            process(13, 12, 13), // which another one started
            process(12, 10, 10),
            process(11, 1, 10), // of the group, without a parent
            process(10, 2, 10),
            process(2, 1, 2),
        ];
        let mut ids: Vec<_> = family(10, &all).iter().map(|process| process.id).collect();
        ids.sort_unstable();
        assert_eq!(ids, [10, 11, 12, 13, 14]);
    }

    #[test]
    fn this_process_holds_memory() {
        let id = i32::try_from(std::process::id()).unwrap();
        assert!(resident(id).unwrap() > 100_000);
        assert!(proportional(id).unwrap() > 100_000);
        assert!(peak(id).unwrap() >= resident(id).unwrap() / 2);
        assert!(look_up(id).unwrap().is_there());
    }
}
