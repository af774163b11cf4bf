//! What a sink promises, one check each.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Check, Finding, SinkHarness,
    contexts::{PATIENCE, Place, batch, schema},
    ensure,
    sink::Row,
};
use crate::{
    batch::Epoch,
    sink::{Progress, Sink, Writer},
};

type SinkCheck = fn(&mut dyn SinkHarness) -> Finding;

/// All checks.
pub(super) const ALL: &[Check<SinkCheck>] = &[
    ("rows behind an answered barrier can be read", durable),
    ("barriers are answered in order, each with its rows", barriers),
    ("a barrier behind no rows is answered", nothing),
    ("closing makes everything durable", close),
    ("several writers lose nothing and keep their order", several),
    ("a refused row comes back once, and hurts no other", refused),
    ("a text may hold anything", contents),
    ("a long text passes whole", large),
    ("what the other side has not taken is not durable", not_early),
    ("writing waits when the other side does", backpressure),
];

/// A writer, and everything that must hold for every answer.
struct Opened {
    writer: Box<dyn Writer>,
    barrier: Epoch,
    durable: Epoch,
    /// Ids of the rows handed back.
    rejected: Vec<i64>,
}

impl Opened {
    fn new(place: &Place, sink: &dyn Sink, task: usize) -> Result<Self, String> {
        sink.check(&schema()).map_err(|problems| format!("it refuses the suite's columns: {}", problems.join("; ")))?;
        let writer = sink.open(place.write(task)).map_err(|error| format!("it does not open: {error}"))?;
        Ok(Self { writer, barrier: 0, durable: 0, rejected: Vec::new() })
    }

    fn write(&mut self, rows: &[Row]) -> Finding {
        self.writer.write(&batch(rows)).map_err(|error| format!("a write failed: {error}"))
    }

    fn barrier(&mut self) -> Finding {
        self.barrier += 1;
        self.writer.barrier(self.barrier).map_err(|error| format!("a barrier failed: {error}"))
    }

    fn poll(&mut self) -> Finding {
        let progress = self.writer.poll().map_err(|error| format!("a poll failed: {error}"))?;
        self.note(progress)
    }

    fn note(&mut self, progress: Progress) -> Finding {
        let durable = progress.durable;
        ensure!(durable <= self.barrier, "barrier {durable} was answered and {} was the last", self.barrier);
        ensure!(durable >= self.durable, "barrier {durable} was answered after {}", self.durable);
        self.durable = durable;
        for rejected in progress.rejected {
            let ids = rejected.batch.records.column(0);
            let ids: &arrow_array::Int64Array = arrow_array::cast::AsArray::as_primitive(ids);
            for failure in &rejected.failures {
                ensure!((failure.row as usize) < ids.len(), "a rejected row is not in the batch it came with");
                self.rejected.push(ids.values()[failure.row as usize]);
            }
        }
        Ok(())
    }

    /// Polls until the last barrier is answered; `seen` looks at each new answer.
    fn settle(&mut self, within: Duration, mut seen: impl FnMut(Epoch) -> Finding) -> Finding {
        let started = Instant::now();
        while self.durable < self.barrier {
            let waited = started.elapsed();
            ensure!(waited < within, "barrier {} was not answered within {within:?}", self.barrier);
            let before = self.durable;
            self.poll()?;
            if self.durable > before {
                seen(self.durable)?;
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    fn close(mut self) -> Result<Self, String> {
        let progress = self.writer.close().map_err(|error| format!("closing failed: {error}"))?;
        self.note(progress)?;
        ensure!(self.durable == self.barrier, "closed at barrier {} of {}", self.durable, self.barrier);
        Ok(self)
    }
}

fn rows(ids: impl IntoIterator<Item = i64>) -> Vec<Row> {
    ids.into_iter().map(|id| Row { id, text: format!("row {id}") }).collect()
}

/// All of these rows can be read, each once; with `only`, and no others.
fn readable(harness: &mut dyn SinkHarness, expected: &[Row], only: bool) -> Finding {
    let mut found: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for row in harness.read().into_iter().flatten() {
        found.entry(row.id).or_default().push(row.text);
    }
    for row in expected {
        match found.remove(&row.id).as_deref() {
            None => return Err(format!("row {} cannot be read", row.id)),
            Some([text]) => ensure!(*text == row.text, "row {} has another text than was written", row.id),
            Some(more) => return Err(format!("row {} is there {} times", row.id, more.len())),
        }
    }
    ensure!(
        !only || found.is_empty(),
        "rows are there that should not be: {:?}",
        found.keys().take(5).collect::<Vec<_>>()
    );
    Ok(())
}

fn durable(harness: &mut dyn SinkHarness) -> Finding {
    let (place, sink) = (Place::new()?, harness.create());
    let mut opened = Opened::new(&place, &*sink, 0)?;
    let all = rows(0..30);
    all.chunks(10).try_for_each(|rows| opened.write(rows))?;
    opened.barrier()?;
    opened.settle(harness.abilities().answers_within, |_| Ok(()))?;
    readable(harness, &all, true)?;
    opened.close().map(drop)
}

fn barriers(harness: &mut dyn SinkHarness) -> Finding {
    let (place, sink) = (Place::new()?, harness.create());
    let mut opened = Opened::new(&place, &*sink, 0)?;
    for epoch in 0..20 {
        opened.write(&rows(epoch * 5..epoch * 5 + 5))?;
        opened.barrier()?;
    }
    let within = harness.abilities().answers_within;
    opened.settle(within, |epoch| {
        let behind = i64::try_from(epoch).map_err(|error| error.to_string())? * 5;
        readable(harness, &rows(0..behind), false).map_err(|wrong| format!("barrier {epoch} was answered, and {wrong}"))
    })?;
    opened.close()?;
    readable(harness, &rows(0..100), true)
}

fn nothing(harness: &mut dyn SinkHarness) -> Finding {
    let (place, sink) = (Place::new()?, harness.create());
    let mut opened = Opened::new(&place, &*sink, 0)?;
    opened.barrier()?;
    opened.settle(harness.abilities().answers_within, |_| Ok(()))?;
    opened.write(&[])?;
    opened.barrier()?;
    opened.settle(harness.abilities().answers_within, |_| Ok(()))?;
    opened.close()?;
    readable(harness, &[], true)
}

fn close(harness: &mut dyn SinkHarness) -> Finding {
    let (place, sink) = (Place::new()?, harness.create());
    let mut opened = Opened::new(&place, &*sink, 0)?;
    opened.write(&rows(0..10))?;
    opened.barrier()?;
    opened.write(&rows(10..20))?;
    opened.close()?;
    readable(harness, &rows(0..20), true)
}

fn several(harness: &mut dyn SinkHarness) -> Finding {
    const EACH: i64 = 1_000_000;
    let (place, sink) = (Place::new()?, harness.create());
    let mut writers = (0..3).map(|task| Opened::new(&place, &*sink, task)).collect::<Result<Vec<_>, _>>()?;
    let mut all = Vec::new();
    for round in 0..10 {
        for (writer, first) in writers.iter_mut().zip([0, EACH, 2 * EACH]) {
            let rows = rows(first + round * 10..first + round * 10 + 10);
            writer.write(&rows)?;
            writer.barrier()?;
            writer.poll()?;
            all.extend(rows);
        }
    }
    for writer in writers {
        writer.close()?;
    }
    readable(harness, &all, true)?;
    for part in harness.read() {
        for writer in 0..3 {
            let own: Vec<i64> = part.iter().map(|row| row.id).filter(|id| id / EACH == writer).collect();
            ensure!(own.is_sorted(), "the rows of writer {writer} are not in their order");
        }
    }
    Ok(())
}

fn refused(harness: &mut dyn SinkHarness) -> Finding {
    let Some(text) = harness.refused() else { return Ok(()) };
    let (place, sink) = (Place::new()?, harness.create());
    let mut opened = Opened::new(&place, &*sink, 0)?;
    let mut written = rows(0..5);
    written[2].text = text;
    opened.write(&written)?;
    opened.barrier()?;
    opened.settle(harness.abilities().answers_within, |_| Ok(()))?;
    opened.poll()?;
    let opened = opened.close()?;
    ensure!(opened.rejected == [2], "row 2 was to be rejected once; rejected were {:?}", opened.rejected);
    written.remove(2);
    readable(harness, &written, true)
}

fn contents(harness: &mut dyn SinkHarness) -> Finding {
    let abilities = harness.abilities();
    let mut texts = vec!["καλημέρα", "\u{1f980}", "\"quoted\", 'too'"];
    if abilities.awkward_text {
        texts.extend(["a\tb", " spaces ", "\\n"]);
    }
    if abilities.any_text {
        texts.extend(["line\nend\r\n", "nul\0inside", "", "\u{7f}\u{1b}[31m"]);
    }
    texts_pass(harness, texts.into_iter().map(Into::into).collect())
}

fn large(harness: &mut dyn SinkHarness) -> Finding {
    let long = "x".repeat(harness.abilities().largest);
    texts_pass(harness, vec!["before".into(), long, "after".into()])
}

fn texts_pass(harness: &mut dyn SinkHarness, texts: Vec<String>) -> Finding {
    let (place, sink) = (Place::new()?, harness.create());
    let mut opened = Opened::new(&place, &*sink, 0)?;
    let rows: Vec<Row> = (0..).zip(texts).map(|(id, text)| Row { id, text }).collect();
    opened.write(&rows)?;
    opened.close()?;
    readable(harness, &rows, true)
}

fn not_early(harness: &mut dyn SinkHarness) -> Finding {
    let (place, sink) = (Place::new()?, harness.create());
    let mut opened = Opened::new(&place, &*sink, 0)?;
    if !harness.stall(true) {
        return opened.close().map(drop);
    }
    opened.write(&rows(0..10))?;
    opened.barrier()?;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(300) {
        opened.poll()?;
        ensure!(opened.durable == 0, "barrier {} was answered while the other side stood still", opened.durable);
        thread::sleep(Duration::from_millis(5));
    }
    harness.stall(false);
    opened.settle(harness.abilities().answers_within, |_| Ok(()))?;
    readable(harness, &rows(0..10), true)?;
    opened.close().map(drop)
}

fn backpressure(harness: &mut dyn SinkHarness) -> Finding {
    let (place, sink) = (Place::new()?, harness.create());
    let mut opened = Opened::new(&place, &*sink, 0)?;
    if !harness.stall(true) {
        return opened.close().map(drop);
    }
    let row = |id| vec![Row { id, text: "x".repeat(64 << 10) }];
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let writing = thread::spawn(move || {
        for id in 0..100 {
            opened.write(&row(id))?;
            count.fetch_add(1, Ordering::SeqCst);
        }
        opened.close().map(drop)
    });
    thread::sleep(Duration::from_millis(500));
    let taken = written.load(Ordering::SeqCst);
    harness.stall(false);
    let started = Instant::now();
    while !writing.is_finished() {
        ensure!(started.elapsed() < PATIENCE, "writing did not go on within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
    writing.join().map_err(|_| "writing panicked".to_owned())??;
    // One mebibyte may be in flight: 16 rows, and as many again for what lies between (buffers of the system).
    ensure!(taken <= 32, "{taken} rows of 64 KiB were accepted where 1 MiB may be in flight");
    readable(harness, &(0..100).flat_map(row).collect::<Vec<_>>(), true)
}
