//! The one place that writes to the terminal for all writers of a sink.

use std::{
    io::{ErrorKind, Write},
    time::Duration,
};

use arrow_array::RecordBatch;

use super::table;
use crate::error::Error;

/// A terminal, and the rows gathered for its next table.
pub(super) struct Screen {
    out: Box<dyn Write + Send>,
    name: String,
    /// Rows a table shows at most.
    most: usize,
    gathered: Vec<RecordBatch>,
    shown: usize,
    hidden: usize,
    /// When the first row was gathered: monotonic.
    since: Option<Duration>,
    /// Which table the gathered rows will be, counted from 0.
    number: u64,
}

impl Screen {
    pub(super) fn new(name: &str, most: usize, out: Box<dyn Write + Send>) -> Self {
        let gathered = Vec::new();
        Self { out, name: name.into(), most, gathered, shown: 0, hidden: 0, since: None, number: 0 }
    }

    /// Which table rows gathered now will be in. Those of earlier ones are on the screen.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Gathers rows; keeps only those that will be shown.
    pub(super) fn gather(&mut self, records: &RecordBatch, now: Duration) {
        if records.num_rows() == 0 {
            return;
        }
        self.since.get_or_insert(now);
        let shown = records.num_rows().min(self.most - self.shown);
        // The first batch also without rows: it has the names of the columns.
        if shown > 0 || self.gathered.is_empty() {
            self.gathered.push(records.slice(0, shown));
        }
        self.shown += shown;
        self.hidden += records.num_rows() - shown;
    }

    /// Shows what was gathered, if it was long enough ago.
    pub(super) fn show_due(&mut self, now: Duration, every: Duration) -> Result<(), Error> {
        match self.since {
            Some(since) if now.saturating_sub(since) >= every => self.show(),
            _ => Ok(()),
        }
    }

    /// Shows what was gathered.
    pub(super) fn show(&mut self) -> Result<(), Error> {
        if self.since.take().is_none() {
            return Ok(());
        }
        let text = table::draw(&self.name, &self.gathered, self.hidden);
        self.gathered.clear();
        (self.shown, self.hidden) = (0, 0);
        self.number += 1;
        self.print(text.as_bytes())
    }

    /// Writes bytes at once and whole.
    pub(super) fn print(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).and_then(|()| self.out.flush()).map_err(|error| {
            let what = match error.kind() {
                ErrorKind::BrokenPipe => "whoever read standard output has closed it",
                _ => "standard output cannot be written to",
            };
            Error::fatal(format!("sink `{}`: {what}", self.name)).caused_by(error)
        })
    }
}
