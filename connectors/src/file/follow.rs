//! Watches files that were read to their end: whether they grow, another file takes their name, or they are gone.

use std::{fs::File, io, time::Duration};

use super::{input::Identity, names::Found};

/// Replaced files are read to their end from the handle that is still open; of more files than this the end is lost.
const MOST_HANDLES: usize = 256;
/// For how long a name must be without a file: between the two steps of a rotation it is too, and who writes the old file
/// may go on for a while.
pub(super) const GONE_FOR: Duration = Duration::from_secs(300);

/// What happened to a file.
pub(super) enum Change {
    /// It can be read (again) from where reading stopped: from the handle, if there is one, as its name may be another
    /// file's by now.
    Ready(Found, Option<File>),
    /// Another file has its name; the old one, if it is still open, may have more.
    Replaced(Found, Option<File>),
    /// No file has its name any more; the old one, if it is still open, may have more.
    Gone(Found, Option<File>),
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
    /// Since when no file has had its name: monotonic.
    gone_since: Option<Duration>,
}

impl Watched {
    /// What became of it, if anything did, by what is now found under its name.
    fn change(&mut self, now: Option<Identity>, time: Duration) -> Seen {
        let Some(now) = now else {
            let since = *self.gone_since.get_or_insert(time);
            return if time.saturating_sub(since) >= GONE_FOR { Seen::Gone } else { Seen::Same };
        };
        self.gone_since = None;
        match self.identity {
            Some(before) if before == now && self.settling => Seen::Ready,
            Some(before) if before == now => Seen::Same,
            Some(before) if !before.same_file(&now) && !self.settling => Seen::Replaced,
            Some(_) if !self.settling => Seen::Ready,
            None if !self.settling => Seen::Back,
            _ => {
                self.identity = Some(now);
                Seen::Same
            }
        }
    }
}

/// What a look at a file shows.
enum Seen {
    Same,
    Ready,
    Replaced,
    Gone,
    /// It was gone before it was watched, and is there again: as one that has just been found.
    Back,
}

impl Watch {
    /// Watches a file that was read to its end, of which this is the handle.
    pub(super) fn add(&mut self, found: Found, identity: Identity, handle: File) {
        let kept = self.handles < MOST_HANDLES;
        self.handles += usize::from(kept);
        let handle = kept.then_some(handle);
        self.files.push(Watched { found, identity: Some(identity), handle, settling: false, gone_since: None });
    }

    /// Waits for a file to stop changing.
    pub(super) fn settle(&mut self, found: Found) {
        self.files.push(Watched { found, identity: None, handle: None, settling: true, gone_since: None });
    }

    /// Waits for a file that is not there to come back or to be gone for good.
    pub(super) fn miss(&mut self, found: Found, now: Duration) {
        self.files.push(Watched { found, identity: None, handle: None, settling: false, gone_since: Some(now) });
    }

    /// Whether it is time to look again.
    pub(super) fn is_due(&mut self, now: Duration, every: Duration) -> bool {
        let due = self.looked.is_none_or(|looked| now.saturating_sub(looked) >= every);
        if due {
            self.looked = Some(now);
        }
        due
    }

    /// What happened until `time` since the last look. Files that something happened to are no longer watched.
    pub(super) fn look(&mut self, time: Duration) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        let mut rest = Vec::with_capacity(self.files.len());
        for mut file in std::mem::take(&mut self.files) {
            let now = match std::fs::metadata(&file.found.path) {
                Ok(metadata) => Some(Identity::of(&metadata)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            let seen = file.change(now, time);
            if matches!(seen, Seen::Same) {
                rest.push(file);
                continue;
            }
            self.handles -= usize::from(file.handle.is_some());
            match seen {
                Seen::Ready => changes.push(Change::Ready(file.found, file.handle)),
                Seen::Replaced => changes.push(Change::Replaced(file.found, file.handle)),
                Seen::Gone => changes.push(Change::Gone(file.found, file.handle)),
                Seen::Same | Seen::Back => {}
            }
        }
        self.files = rest;
        Ok(changes)
    }
}
