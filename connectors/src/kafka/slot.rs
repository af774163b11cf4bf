//! The name of this process in its consumer group, the same after a restart: static membership.
//!
//! Kafka takes a member that comes back under its name for the old one, so a restart moves no partition and reads on
//! within a fraction of a second instead of after the session's time-out. Two processes must never have the same name,
//! so each claims a numbered slot by locking a file, which the operating system unlocks however the process ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
};

use crate::error::Error;

/// Processes of one pipeline that may run on one host with one state folder.
const MOST: usize = 256;

/// A claimed slot, as long as it lives.
pub(super) struct Slot {
    /// The member's name.
    pub(super) name: String,
    _lock: File,
}

impl Slot {
    /// Claims the first free slot of `pipeline`'s `source` in `folder`.
    pub(super) fn claim(folder: &Path, pipeline: &str, source: &str) -> Result<Self, Error> {
        let refused = |error| {
            Error::config(format!(
                "cannot lock a file in the state folder `{}`; make the folder writable, or set `checkpoint: {{ store: … }}`",
                folder.display()
            ))
            .caused_by(error)
        };
        std::fs::create_dir_all(folder).map_err(refused)?;
        for slot in 0..MOST {
            let path = folder.join(format!("kafka-{source}-{slot}.lock"));
            let file = OpenOptions::new().create(true).append(true).open(path).map_err(refused)?;
            match file.try_lock() {
                Ok(()) => return Ok(Self { name: format!("{pipeline}-{source}-{}-{slot}", host()), _lock: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(refused(error)),
            }
        }
        Err(Error::config(format!(
            "{MOST} processes of this pipeline run with the state folder `{}` already",
            folder.display()
        )))
    }
}

/// This machine's name; a process that moves to another one is another member.
fn host() -> String {
    let mut name = [0_u8; 256];
    // SAFETY: the buffer is as long as we say.
    let result = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let name = String::from_utf8_lossy(&name[..end]).into_owned();
    if result != 0 || name.is_empty() { "localhost".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_claimed_once_and_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let first = Slot::claim(folder.path(), "p", "clicks").unwrap();
        let second = Slot::claim(folder.path(), "p", "clicks").unwrap();
        assert!(first.name.starts_with("p-clicks-") && first.name.ends_with("-0"), "{}", first.name);
        assert!(second.name.ends_with("-1"), "{}", second.name);
        drop(first);
        assert!(Slot::claim(folder.path(), "p", "clicks").unwrap().name.ends_with("-0"));
    }
}
