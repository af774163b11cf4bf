//! What functions used, so that it is known after the process is gone: a ledger in the checkpoint store.
//!
//! Calls add to counters; once a second what was added is appended to the day's file as one line for each function. A
//! process that is killed loses what was not appended yet: [`FLUSH`] at most. Lines of several processes stand side by
//! side in one file; those of past days are summed up when a run begins.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
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

use super::meter::Billed;

/// How often the ledger is written: what a killed process loses at most.
pub const FLUSH: Duration = Duration::from_secs(1);

/// What calls used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Calls, each try counted.
    pub invocations: u64,
    /// Calls that failed as a whole.
    pub errors: u64,
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
}

impl Used {
    fn add(&mut self, other: &Self) {
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
        Self {
            invocations: 1,
            errors: u64::from(reply.result.is_err()),
            throttles: 0,
            cold_starts: u64::from(reply.usage.cold_start.is_some()),
            records: rows as u64,
            duration_us: u64::try_from(reply.usage.duration.as_micros()).unwrap_or(u64::MAX),
            billed_1ms: by_1ms,
            billed_100ms: by_100ms,
            mib_ms_1ms: mib.saturating_mul(by_1ms),
            mib_ms_100ms: mib.saturating_mul(by_100ms),
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
        let (function, version) = (self.function.to_string(), self.version.clone());
        (used != Used::default()).then_some(Line { function, version, used })
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
        for account in &*accounts.0.lock() {
            let Some(line) = account.take() else { continue };
            if let Err(error) = self.append(&day(clock.now_micros()), &line) {
                account.give_back(&line.used);
                return Err(error);
            }
        }
        Ok(())
    }

    fn append(&self, day: &str, line: &Line) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        // Held while a past day is summed up; one write, so that lines of other processes do not come between.
        let file = OpenOptions::new().create(true).append(true).open(self.path(day))?;
        file.lock_shared()?;
        (&file).write_all(&text)
    }

    /// Sums up the files of past days, a line for each version of a function.
    pub fn compact(&self, clock: &dyn Clock) -> io::Result<()> {
        let today = day(clock.now_micros());
        for (day, path) in self.files()?.into_iter().filter(|(day, _)| *day < today) {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            file.lock()?;
            let mut sums = Summary::new();
            let lines = read(&day, &file, &mut sums)?;
            if lines > sums.len() {
                let text: Vec<u8> = sums
                    .into_iter()
                    .flat_map(|((_, function, version), used)| {
                        let mut line = serde_json::to_vec(&Line { function, version, used }).unwrap_or_default();
                        line.push(b'\n');
                        line
                    })
                    .collect();
                let whole = path.with_extension("new");
                fs::write(&whole, text)?;
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
        let usage = Usage { duration: Duration::from_millis(millis), ..Usage::default() };
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
        }
        // Cut while it was written.
        let path = ledger.path("1970-01-01");
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"function\":\"f\",\"ver").unwrap();
        let check = || {
            let summary = ledger.summary().unwrap();
            let used = summary[&("1970-01-01".to_owned(), "f".to_owned(), "v1".to_owned())];
            assert_eq!((used.invocations, used.errors, used.throttles, used.records), (6, 3, 3, 45));
            assert_eq!((used.billed_1ms, used.billed_100ms), (3 * 104, 3 * 300));
            assert_eq!(used.gb_seconds(), (3.0 * 104.0 / 8.0 / 1000.0, 3.0 * 300.0 / 8.0 / 1000.0));
        };
        check();
        clock.advance(Duration::from_secs(86_400));
        ledger.compact(&*clock).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
        check();
    }
}
