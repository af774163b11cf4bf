//! What a person sees of a run: a status line on a terminal, log lines elsewhere, and a summary at the end.

use std::{
    io::{IsTerminal, Write},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::logging::is_json;
use crate::run::Running;

/// How often the status line changes.
const LINE: Duration = Duration::from_millis(500);
/// How often a log line is written instead, where there is no terminal.
const LOG: Duration = Duration::from_secs(30);

/// The display of one run.
pub(super) struct Progress {
    style: Style,
    started: Instant,
    shown: Instant,
    before: Counts,
    drawn: bool,
    troubles: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Line,
    Log,
    Quiet,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    read: u64,
    read_bytes: u64,
    written: u64,
    written_bytes: u64,
    failed: u64,
    letters: u64,
}

impl Progress {
    pub(super) fn new(running: &Running, quiet: bool) -> Self {
        let style = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Style::Quiet,
            (false, true) => Style::Line,
            (false, false) => Style::Log,
        };
        if style != Style::Quiet {
            tracing::info!(
                pipeline = &*running.plan.name,
                sources = running.plan.sources.len(),
                sinks = running.plan.sinks.len(),
                "started"
            );
        }
        let now = Instant::now();
        Self { style, started: now, shown: now, before: Counts::default(), drawn: false, troubles: Vec::new() }
    }

    /// Shows how the run is, if it is time.
    pub(super) fn tick(&mut self, running: &Running) {
        self.tell_troubles(running);
        let every = match self.style {
            Style::Line => LINE,
            Style::Log => LOG,
            Style::Quiet => return,
        };
        let passed = self.shown.elapsed();
        if passed < every {
            return;
        }
        let counts = Counts::of(running);
        let text = self.rates(&counts, passed, running);
        if self.style == Style::Line {
            eprint!("\r\x1b[2K{text}");
            let _ = std::io::stderr().flush();
            self.drawn = true;
        } else {
            tracing::info!("{text}");
        }
        (self.shown, self.before) = (Instant::now(), counts);
    }

    /// Removes the line and says what the run did.
    pub(super) fn finish(&mut self, running: &Running) {
        if self.drawn {
            eprint!("\r\x1b[2K");
        }
        if self.style == Style::Quiet || running.control.failed() {
            return;
        }
        let counts = Counts::of(running);
        let seconds = self.started.elapsed().as_secs_f64();
        if is_json() {
            let pipeline = &*running.plan.name;
            let Counts { read, read_bytes, written, written_bytes, failed, letters } = counts;
            tracing::info!(pipeline, read, read_bytes, written, written_bytes, failed, letters, seconds, "ended");
            return;
        }
        eprintln!(
            "{}: read {} ({}), wrote {} ({}), {} failed, {} in {:.1} s ({}/s)",
            running.plan.name,
            records(counts.read),
            bytes(counts.read_bytes),
            records(counts.written),
            bytes(counts.written_bytes),
            number(counts.failed),
            if counts.letters == 1 {
                "1 dead letter".to_owned()
            } else {
                format!("{} dead letters", number(counts.letters))
            },
            seconds,
            number((counts.read as f64 / seconds.max(0.001)) as u64),
        );
        if counts.read == 0 && running.plan.is_finite() && running.resumed {
            eprintln!("nothing new since an earlier run; to read everything again add --from-scratch");
        }
    }

    fn rates(&self, counts: &Counts, passed: Duration, running: &Running) -> String {
        let rate = |now: u64, before: u64| ((now - before) as f64 / passed.as_secs_f64()) as u64;
        let mut text = format!(
            "in {}/s {}/s  out {}/s {}/s  failed {}",
            number(rate(counts.read, self.before.read)),
            bytes(rate(counts.read_bytes, self.before.read_bytes)),
            number(rate(counts.written, self.before.written)),
            bytes(rate(counts.written_bytes, self.before.written_bytes)),
            number(counts.failed),
        );
        if let Some(lag) = running.control.lag() {
            text.push_str(&format!("  lag {}", number(lag)));
        }
        text
    }

    /// Says once that a server does not answer, and once that it does again.
    fn tell_troubles(&mut self, running: &Running) {
        let now: Vec<String> = running
            .troubles()
            .into_iter()
            .filter(|(_, why)| why != "starting")
            .map(|(node, why)| format!("`{node}`: {why}"))
            .collect();
        for trouble in now.iter().filter(|trouble| !self.troubles.contains(trouble)) {
            tracing::warn!("{trouble}");
        }
        for gone in self.troubles.iter().filter(|trouble| !now.contains(trouble)) {
            tracing::info!("over: {gone}");
        }
        self.troubles = now;
    }
}

impl Counts {
    fn of(running: &Running) -> Self {
        let totals = &running.control.totals;
        let get = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        Self {
            read: get(&totals.read.records),
            read_bytes: get(&totals.read.bytes),
            written: get(&totals.written.records),
            written_bytes: get(&totals.written.bytes),
            failed: get(&totals.failed),
            letters: get(&totals.letters),
        }
    }
}

fn records(count: u64) -> String {
    if count == 1 { "1 record".to_owned() } else { format!("{} records", number(count)) }
}

/// `1234567` as `1,234,567`.
pub(super) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn bytes(value: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if value < 1000 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1000.0;
    let mut unit = 0;
    while scaled >= 1000.0 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}
