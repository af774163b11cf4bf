//! What functions used, so that it is known after the process is gone: a ledger in the checkpoint store.
//!
//! Calls add to counters; twice a second what was added is appended to the day's file as one line for each function. A
//! process that is killed loses what was not appended yet: what ended within [`FLUSH`]. Lines of several processes stand
//! side by side in one file; those of past days are summed up when a run begins.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use riverhook_connectors::clock::Clock;
use riverhook_udf::Reply;
use serde::{Deserialize, Serialize};

use super::{meter::Billed, policy::code_of};

/// What a killed process loses at most: the calls that ended within so long.
pub const FLUSH: Duration = Duration::from_secs(1);
/// How often the ledger is written. Oftener than is promised, for a busy machine may be late.
pub const FLUSH_EVERY: Duration = Duration::from_millis(500);

/// What calls used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Calls, each try counted.
    pub invocations: u64,
    /// Calls that failed as a whole.
    pub errors: u64,
    /// Of those, how many were of each type, by the name as AWS Lambda spells it.
    #[serde(default)]
    pub errors_by_type: BTreeMap<String, u64>,
    /// Calls that waited for a copy.
    pub throttles: u64,
    /// Calls that started a copy.
    pub cold_starts: u64,
    /// Records given, each try counted.
    pub records: u64,
    /// Duration, in microseconds.
    pub duration_us: u64,
    /// Duration as billed in increments of 1 ms.
    pub billed_1ms: u64,
    /// Duration as billed in increments of 100 ms.
    pub billed_100ms: u64,
    /// Memory limit in MiB times `billed_1ms`.
    pub mib_ms_1ms: u64,
    /// Memory limit in MiB times `billed_100ms`.
    pub mib_ms_100ms: u64,
    /// Memory limit of a copy, in bytes: the greatest.
    #[serde(default)]
    pub memory: u64,
    /// The most memory that a copy has used, in bytes.
    #[serde(default)]
    pub peak_memory: u64,
}

impl Used {
    fn add(&mut self, other: &Self) {
        for (code, count) in &other.errors_by_type {
            *self.errors_by_type.entry(code.clone()).or_default() += count;
        }
        self.memory = self.memory.max(other.memory);
        self.peak_memory = self.peak_memory.max(other.peak_memory);
        let fields = [
            (&mut self.invocations, other.invocations),
            (&mut self.errors, other.errors),
            (&mut self.throttles, other.throttles),
            (&mut self.cold_starts, other.cold_starts),
            (&mut self.records, other.records),
            (&mut self.duration_us, other.duration_us),
            (&mut self.billed_1ms, other.billed_1ms),
            (&mut self.billed_100ms, other.billed_100ms),
            (&mut self.mib_ms_1ms, other.mib_ms_1ms),
            (&mut self.mib_ms_100ms, other.mib_ms_100ms),
        ];
        fields.into_iter().for_each(|(sum, value)| *sum = sum.saturating_add(value));
    }

    /// Of one call of a copy that may have `memory` bytes.
    fn of(rows: usize, reply: &Reply, memory: usize) -> Self {
        let Billed { by_1ms, by_100ms } = Billed::of(reply.usage.duration);
        let mib = (memory as u64).div_ceil(1 << 20);
        let error = reply.result.as_ref().err();
        Self {
            invocations: 1,
            errors: u64::from(error.is_some()),
            errors_by_type: error.map(|error| (code_of(&error.kind).to_owned(), 1)).into_iter().collect(),
            throttles: 0,
            cold_starts: u64::from(reply.usage.cold_start.is_some()),
            records: rows as u64,
            duration_us: u64::try_from(reply.usage.duration.as_micros()).unwrap_or(u64::MAX),
            billed_1ms: by_1ms,
            billed_100ms: by_100ms,
            mib_ms_1ms: mib.saturating_mul(by_1ms),
            mib_ms_100ms: mib.saturating_mul(by_100ms),
            memory: memory as u64,
            peak_memory: reply.usage.peak_memory as u64,
        }
    }

    /// Memory times time, in GB-seconds, by the increment of 1 ms and by that of 100 ms.
    pub fn gb_seconds(&self) -> (f64, f64) {
        let gb_seconds = |mib_ms: u64| mib_ms as f64 / 1024.0 / 1000.0;
        (gb_seconds(self.mib_ms_1ms), gb_seconds(self.mib_ms_100ms))
    }
}

/// One line of the ledger: what one version of a function used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// The function.
    pub function: String,
    /// The hash of its code.
    pub version: String,
    /// What was used.
    #[serde(flatten)]
    pub used: Used,
}

/// What one function's calls used since it was last written.
#[derive(Debug)]
pub struct Account {
    function: Arc<str>,
    version: String,
    memory: usize,
    since: Mutex<Used>,
    waited: AtomicU64,
}

impl Account {
    pub(super) fn called(&self, rows: usize, reply: &Reply) {
        self.since.lock().add(&Used::of(rows, reply, self.memory));
    }

    pub(super) fn throttled(&self) {
        self.waited.fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self) -> Option<Line> {
        let mut used = std::mem::take(&mut *self.since.lock());
        used.throttles += self.waited.swap(0, Ordering::Relaxed);
        // Most functions rest most of the time.
        if used == Used::default() {
            return None;
        }
        Some(Line { function: self.function.to_string(), version: self.version.clone(), used })
    }

    /// Writing failed: it is written with what comes next.
    fn give_back(&self, used: &Used) {
        self.since.lock().add(used);
    }
}

/// The accounts of a run.
#[derive(Debug, Default)]
pub struct Accounts(Mutex<Vec<Arc<Account>>>);

impl Accounts {
    /// A new account, for calls of one function at one node.
    pub fn open(&self, function: &Arc<str>, version: &str, memory: usize) -> Arc<Account> {
        let account = Arc::new(Account {
            function: Arc::clone(function),
            version: version.to_owned(),
            memory,
            since: Mutex::default(),
            waited: AtomicU64::new(0),
        });
        self.0.lock().push(Arc::clone(&account));
        account
    }
}

/// The ledger in a checkpoint store.
pub struct Ledger {
    folder: PathBuf,
}

/// What is read of a ledger: by day, function and version.
pub type Summary = BTreeMap<(String, String, String), Used>;

impl Ledger {
    /// The ledger of a pipeline whose store is this folder.
    pub fn of(store: &Path) -> Self {
        Self { folder: store.join("usage") }
    }

    /// Appends what the accounts gathered. What could not be written is kept for the next time.
    pub fn flush(&self, accounts: &Accounts, clock: &dyn Clock) -> io::Result<()> {
        let accounts = accounts.0.lock();
        let taken: Vec<(&Account, Line)> =
            accounts.iter().filter_map(|account| Some((&**account, account.take()?))).collect();
        let lines: Vec<Line> = taken.iter().map(|(_, line)| line.clone()).collect();
        let appended = if lines.is_empty() { Ok(()) } else { self.append(&day(clock.now_micros()), lines) };
        if appended.is_err() {
            taken.iter().for_each(|(account, line)| account.give_back(&line.used));
        }
        appended
    }

    fn append(&self, day: &str, lines: Vec<Line>) -> io::Result<()> {
        self.write(day, lines).map_err(|error| self.at(error))
    }

    /// The error, with the folder.
    fn at(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.folder.display()))
    }

    fn write(&self, day: &str, lines: Vec<Line>) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let file = self.locked(day)?;
        let before = file.metadata()?.len();
        let mut text = if is_cut(&file, before)? { vec![b'\n'] } else { Vec::new() };
        text.extend(written(lines));
        (&file).write_all(&text).inspect_err(|_| {
            // On a full disk a part may be there, and all of it is written again later.
            let _ = file.set_len(before);
        })
    }

    /// The day's file, for this process alone.
    fn locked(&self, day: &str) -> io::Result<File> {
        loop {
            let file = OpenOptions::new().create(true).read(true).append(true).open(self.path(day))?;
            file.lock()?;
            // Another process may have put a summed up file in its place meanwhile.
            if file.metadata()?.nlink() > 0 {
                return Ok(file);
            }
        }
    }

    /// Sums up the files of past days, a line for each version of a function.
    pub fn compact(&self, clock: &dyn Clock) -> io::Result<()> {
        self.sum_up(clock).map_err(|error| self.at(error))
    }

    fn sum_up(&self, clock: &dyn Clock) -> io::Result<()> {
        let today = day(clock.now_micros());
        for (day, path) in self.files()?.into_iter().filter(|(day, _)| *day < today) {
            let file = self.locked(&day)?;
            let mut sums = Summary::new();
            let lines = read(&day, &file, &mut sums)?;
            if lines > sums.len() {
                let lines = sums.into_iter().map(|((_, function, version), used)| Line { function, version, used });
                let whole = path.with_extension("new");
                let mut new = File::create(&whole)?;
                new.write_all(&written(lines))?;
                new.sync_all()?;
                fs::rename(&whole, &path)?;
            }
        }
        Ok(())
    }

    /// Everything that was written.
    pub fn summary(&self) -> io::Result<Summary> {
        let mut sums = Summary::new();
        for (day, path) in self.files()? {
            read(&day, &File::open(path)?, &mut sums)?;
        }
        Ok(sums)
    }

    fn path(&self, day: &str) -> PathBuf {
        self.folder.join(format!("{day}.jsonl"))
    }

    fn files(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let day = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jsonl")).map(str::to_owned);
            files.extend(day.map(|day| (day, path)));
        }
        files.sort();
        Ok(files)
    }
}

/// Lines as text.
fn written(lines: impl IntoIterator<Item = Line>) -> Vec<u8> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, &line).expect("numbers and names have a JSON form");
        text.push(b'\n');
    }
    text
}

/// Whether the file ends within a line: its process was killed while it wrote.
fn is_cut(file: &File, length: u64) -> io::Result<bool> {
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    Ok(last != [b'\n'])
}

/// Adds a file's lines; gives their number. The last line of a process that was killed while it wrote may be cut.
fn read(day: &str, file: &File, sums: &mut Summary) -> io::Result<usize> {
    let mut lines = 0;
    for line in BufReader::new(file).lines() {
        let Ok(Line { function, version, used }) = serde_json::from_str(&line?) else { continue };
        sums.entry((day.to_owned(), function, version)).or_default().add(&used);
        lines += 1;
    }
    Ok(lines)
}

/// A time's day in UTC, as `2026-01-31`.
pub(crate) fn day(micros: i64) -> String {
    let day = micros.div_euclid(86_400_000_000);
    let day = i32::try_from(day).ok().and_then(arrow_array::types::Date32Type::to_naive_date_opt);
    day.map_or_else(|| "unknown".to_owned(), |day| day.to_string())
}

#[cfg(test)]
mod tests {
    use riverhook_connectors::clock::ManualClock;
    use riverhook_udf::{CallError, CallErrorKind, Usage};

    use super::*;

    fn reply(millis: u64, good: bool) -> Reply {
        let error = CallError { kind: CallErrorKind::Crash, message: String::new(), retryable: true };
        let outcome = riverhook_udf::Outcome {
            output: arrow_array::RecordBatch::new_empty(Arc::new(arrow_schema::Schema::empty())),
            origin: riverhook_udf::Origin::Same,
            failed: Vec::new(),
        };
        let usage = Usage { duration: Duration::from_millis(millis), peak_memory: 5 << 20, ..Usage::default() };
        Reply { result: if good { Ok(outcome) } else { Err(error) }, usage }
    }

    #[test]
    fn what_was_used_is_there_after_the_process_and_summed_up_the_day_after() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, clock) = (Ledger::of(folder.path()), ManualClock::at(0));
        for _ in 0..3 {
            let accounts = Accounts::default();
            let account = accounts.open(&"f".into(), "v1", 128 << 20);
            account.called(10, &reply(3, true));
            account.called(5, &reply(101, false));
            account.throttled();
            ledger.flush(&accounts, &*clock).unwrap();
            ledger.flush(&accounts, &*clock).unwrap();
            // Cut while it was written: what follows it is whole.
            let path = ledger.path("1970-01-01");
            OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"function\":\"f\",\"ver").unwrap();
        }
        let path = ledger.path("1970-01-01");
        let check = || {
            let summary = ledger.summary().unwrap();
            let used = &summary[&("1970-01-01".to_owned(), "f".to_owned(), "v1".to_owned())];
            assert_eq!((used.invocations, used.errors, used.throttles, used.records), (6, 3, 3, 45));
            assert_eq!(used.errors_by_type, BTreeMap::from([("Runtime.ExitError".to_owned(), 3)]));
            assert_eq!((used.memory, used.peak_memory), (128 << 20, 5 << 20));
            assert_eq!((used.billed_1ms, used.billed_100ms), (3 * 104, 3 * 300));
            assert_eq!(used.gb_seconds(), (3.0 * 104.0 / 8.0 / 1000.0, 3.0 * 300.0 / 8.0 / 1000.0));
        };
        check();
        clock.advance(Duration::from_secs(86_400));
        ledger.compact(&*clock).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        check();
    }

    #[test]
    fn what_cannot_be_written_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, clock, accounts) = (Ledger::of(folder.path()), ManualClock::at(0), Accounts::default());
        fs::write(folder.path().join("usage"), "in the way").unwrap();
        let account = accounts.open(&"f".into(), "v1", 1 << 20);
        account.called(1, &reply(3, false));
        assert!(ledger.flush(&accounts, &*clock).is_err());
        account.called(1, &reply(3, true));
        fs::remove_file(folder.path().join("usage")).unwrap();
        ledger.flush(&accounts, &*clock).unwrap();
        let used = ledger.summary().unwrap().into_values().next().unwrap();
        assert_eq!((used.invocations, used.errors), (2, 1));
    }

    #[test]
    fn lines_of_older_versions_are_read() {
        let line = r#"{"function":"f","version":"v","invocations":1,"errors":0,"throttles":0,"cold_starts":0,"records":1,
            "duration_us":1,"billed_1ms":1,"billed_100ms":100,"mib_ms_1ms":1,"mib_ms_100ms":1}"#;
        let Line { used, .. } = serde_json::from_str(line).unwrap();
        assert_eq!((used.invocations, used.memory), (1, 0));
    }
}
