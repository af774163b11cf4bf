//! Watches files that were read to their end: whether they grow, or another file takes their name.

use std::{fs::File, io, time::Duration};

use super::{input::Identity, names::Found};

/// Replaced files are read to their end from the handle that is still open; of more files than this the end is lost.
const MOST_HANDLES: usize = 256;

/// What happened to a file.
pub(super) enum Change {
    /// It can be read (again) from where reading stopped: from the handle, if there is one, as its name may be another
    /// file's by now.
    Ready(Found, Option<File>),
    /// Another file has its name; the old one, if it is still open, may have more.
    Replaced(Found, Option<File>),
}

/// Files under watch.
#[derive(Default)]
pub(super) struct Watch {
    files: Vec<Watched>,
    handles: usize,
    /// When they were last looked at: monotonic.
    looked: Option<Duration>,
}

struct Watched {
    found: Found,
    identity: Option<Identity>,
    handle: Option<File>,
    /// Whether it is read only when it has stopped changing: files that are of use only whole.
    settling: bool,
}

impl Watch {
    /// Watches a file that was read to its end, of which this is the handle.
    pub(super) fn add(&mut self, found: Found, identity: Identity, handle: File) {
        let kept = self.handles < MOST_HANDLES;
        self.handles += usize::from(kept);
        self.files.push(Watched { found, identity: Some(identity), handle: kept.then_some(handle), settling: false });
    }

    /// Waits for a file to stop changing.
    pub(super) fn settle(&mut self, found: Found) {
        self.files.push(Watched { found, identity: None, handle: None, settling: true });
    }

    /// Whether it is time to look again.
    pub(super) fn is_due(&mut self, now: Duration, every: Duration) -> bool {
        let due = self.looked.is_none_or(|looked| now.saturating_sub(looked) >= every);
        if due {
            self.looked = Some(now);
        }
        due
    }

    /// What happened since the last look. Files that something happened to are no longer watched.
    pub(super) fn look(&mut self) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        let mut rest = Vec::with_capacity(self.files.len());
        for mut file in std::mem::take(&mut self.files) {
            let now = match std::fs::metadata(&file.found.path) {
                Ok(metadata) => Some(Identity::of(&metadata)),
                // Gone, perhaps to come back as another one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            let (before, Some(now)) = (file.identity, now) else {
                rest.push(file);
                continue;
            };
            match before {
                Some(before) if before == now && file.settling => changes.push(Change::Ready(file.found, None)),
                Some(before) if before == now => rest.push(file),
                Some(before) if !before.same_file(&now) && !file.settling => {
                    self.handles -= usize::from(file.handle.is_some());
                    changes.push(Change::Replaced(file.found, file.handle));
                }
                Some(_) if !file.settling => {
                    self.handles -= usize::from(file.handle.is_some());
                    changes.push(Change::Ready(file.found, file.handle));
                }
                _ => {
                    file.identity = Some(now);
                    rest.push(file);
                }
            }
        }
        self.files = rest;
        Ok(changes)
    }
}
