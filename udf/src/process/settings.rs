//! How to run one program: what the pipeline file says, checked before anything starts.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::environment;
use crate::limits::Limits;

/// The most of one file of the command that counts towards the function's hash.
const MAX_HASHED: u64 = 256 << 20;
/// How many files' hashes are kept in mind: functions of one program need not read it each.
const MAX_KNOWN: usize = 64;

static KNOWN: Mutex<Vec<(FileState, Vec<u8>)>> = Mutex::new(Vec::new());

/// How to run one program.
#[derive(Clone, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The function's name.
    pub name: String,
    /// What the program sees as its version. Default `$LATEST`.
    pub version: String,
    /// The program and its arguments. A relative path with a slash starts at `working_dir`; a bare name is looked up
    /// in `PATH`.
    pub command: Vec<String>,
    /// Which handler in it to call, as runtime clients name it: `app.handler`.
    pub handler: Option<String>,
    /// Variables of its environment, besides those that Lambda's contract names.
    pub env: Vec<(String, String)>,
    /// The folder that it runs in: also its `LAMBDA_TASK_ROOT`.
    pub working_dir: PathBuf,
    /// Of these hold memory (default 128 MiB, the resident memory of all its processes), time (default 3 s) and logs;
    /// how large an answer may be is `max_response`.
    pub limits: Limits,
    /// The most processes that one copy may have at a time, with all that its process starts. Default 1024, as on
    /// Lambda.
    pub max_processes: usize,
    /// The longest that a process may take to ask for its first event. Default 10 s.
    pub init_timeout: Duration,
    /// The largest event, in bytes. Lambda's is 6 MiB.
    pub max_request: usize,
    /// The largest answer, in bytes. Lambda's is 6 MiB and 100 bytes.
    pub max_response: usize,
}

impl ProcessSettings {
    /// Settings with the defaults of Lambda.
    pub fn new(name: &str, command: Vec<String>, working_dir: &Path) -> Self {
        Self {
            name: name.to_owned(),
            version: "$LATEST".to_owned(),
            command,
            handler: None,
            env: Vec::new(),
            working_dir: working_dir.to_owned(),
            limits: Limits { memory: 128 << 20, timeout: Duration::from_secs(3), ..Limits::default() },
            max_processes: 1024,
            init_timeout: Duration::from_secs(10),
            max_request: 6 << 20,
            max_response: (6 << 20) + 100,
        }
    }

    /// What no process could be started with.
    pub(crate) fn check(&self) -> Result<(), SettingsError> {
        if self.command.first().is_none_or(String::is_empty) {
            return Err(SettingsError::NoCommand);
        }
        let texts = self.command.iter().chain(&self.handler).chain(self.env.iter().map(|(_, value)| value));
        if texts.chain([&self.name, &self.version]).any(|text| text.contains('\0')) {
            return Err(SettingsError::Nul);
        }
        for (name, _) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(SettingsError::NotAName(name.clone()));
            }
            if environment::is_reserved(name) {
                return Err(SettingsError::Reserved(name.clone()));
            }
        }
        Ok(())
    }

    /// The program's file, if the command names one by a path; else the name to look up.
    pub(crate) fn program(&self) -> PathBuf {
        // `check` has seen that there is a first word.
        let program = self.command.first().map(String::as_str).unwrap_or_default();
        if program.contains('/') { self.working_dir.join(program) } else { PathBuf::from(program) }
    }

    /// The hash of all that decides what runs, as far as the settings name it.
    pub(crate) fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for word in &self.command {
            part(word.as_bytes());
            // The program and its scripts. What they load in turn is not known here.
            part(&hash_file(&self.working_dir.join(word)).unwrap_or_default());
        }
        part(self.handler.as_deref().unwrap_or_default().as_bytes());
        part(self.version.as_bytes());
        for (name, value) in &self.env {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The values of variables may be secrets.
impl std::fmt::Debug for ProcessSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ProcessSettings")
            .field("name", &self.name)
            .field("command", &self.command)
            .field("handler", &self.handler)
            .field("working_dir", &self.working_dir)
            .finish_non_exhaustive()
    }
}

/// What a file was when it was hashed.
#[derive(PartialEq, Eq)]
struct FileState {
    device: u64,
    inode: u64,
    length: u64,
    /// In seconds and nanoseconds: of its content, and of all that is known of it.
    modified: [(i64, i64); 2],
}

impl FileState {
    fn of(file: &Metadata) -> Self {
        let modified = [(file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec())];
        Self { device: file.dev(), inode: file.ino(), length: file.len(), modified }
    }
}

fn hash_file(path: &Path) -> Option<Vec<u8>> {
    let metadata = path.metadata().ok()?;
    // Opening a pipe would wait for its other end.
    if !metadata.is_file() {
        return None;
    }
    let state = FileState::of(&metadata);
    if let Some((_, hash)) = KNOWN.lock().iter().find(|(known, _)| *known == state) {
        return Some(hash.clone());
    }
    let hash = read_and_hash(path)?;
    let mut known = KNOWN.lock();
    if known.len() >= MAX_KNOWN {
        known.remove(0);
    }
    known.push((state, hash.clone()));
    Some(hash)
}

fn read_and_hash(path: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok()?.take(MAX_HASHED);
    let (mut hash, mut buffer) = (Sha256::new(), [0; 16 << 10]);
    loop {
        match file.read(&mut buffer).ok()? {
            0 => return Some(hash.finalize().to_vec()),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Why settings cannot be a function.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// There is no program.
    #[error("the command is empty: it must name a program")]
    NoCommand,
    /// A text has a NUL character.
    #[error("the command, the name or a variable holds a NUL character, which no program can be given")]
    Nul,
    /// A variable has a name that no variable can have.
    #[error("`{0}` cannot be the name of an environment variable")]
    NotAName(String),
    /// A variable is one that Lambda's contract sets.
    #[error("the environment variable `{0}` is set by the runtime and cannot be chosen")]
    Reserved(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ProcessSettings {
        ProcessSettings::new("test", vec!["./handler.sh".to_owned()], Path::new("/srv/functions"))
    }

    #[test]
    fn what_cannot_run_is_refused() {
        let with = |name: &str| ProcessSettings { env: vec![(name.to_owned(), "x".to_owned())], ..settings() };
        assert_eq!(settings().check(), Ok(()));
        assert_eq!(with("AWS_REGION").check(), Ok(()));
        assert_eq!(with("A=B").check(), Err(SettingsError::NotAName("A=B".to_owned())));
        assert_eq!(with("_HANDLER").check(), Err(SettingsError::Reserved("_HANDLER".to_owned())));
        let none = ProcessSettings { command: vec![], ..settings() };
        assert_eq!(none.check(), Err(SettingsError::NoCommand));
    }

    #[test]
    fn the_hash_follows_command_variables_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let settings = ProcessSettings { working_dir: dir.path().to_owned(), ..settings() };
        let without_file = settings.hash();
        std::fs::write(dir.path().join("handler.sh"), "exit 1").unwrap();
        let with_file = settings.hash();
        assert_ne!(without_file, with_file);
        assert_eq!(with_file, settings.hash());
        let env = vec![("STAGE".to_owned(), "test".to_owned())];
        assert_ne!(with_file, ProcessSettings { env, ..settings }.hash());
    }

    #[test]
    fn secrets_in_variables_are_not_printed() {
        let env = vec![("TOKEN".to_owned(), "hunter2".to_owned())];
        assert!(!format!("{:?}", ProcessSettings { env, ..settings() }).contains("hunter2"));
    }
}
