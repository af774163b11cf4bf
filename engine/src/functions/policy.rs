//! What is done when a call of a function fails: try again, halve, wait, or give rows up.
//!
//! - A failure of a whole batch gets `attempts` tries where another try can help. Then the batch is halved, each half has
//!   one try, and so on until the row that is to blame is alone: at most `2·log2(rows) + attempts` calls for one. A
//!   second half has none when the first half was fine, but its own halves: it must be the one with the row.
//! - Rows that failed singly get up to `attempts` tries: with `ordered`, all rows from the first failed one on run again,
//!   else the failed ones alone.
//! - What cannot be reached, or has no room, says nothing about the rows: they wait, up to `max_age`.
//!
//! It knows no kind of function, and no clock but what it is handed.

use std::time::Duration;

use arrow_array::{BooleanArray, RecordBatch, UInt32Array, cast::AsArray, types::UInt32Type};
use riverhook_config::DurationRange;
use riverhook_connectors::batch::{Batch, Rows};
use riverhook_udf::{CallError, CallErrorKind, FailedRow, Origin, Outcome, Reply};
use uuid::Uuid;

/// What a function's settings say about failures.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Tries of a whole batch, at least one.
    pub attempts: u32,
    /// How long to wait between tries: the first time, and at most.
    pub backoff: DurationRange,
    /// Whether a batch that fails is halved.
    pub bisect: bool,
    /// Whether rows keep their order when some of them are tried again.
    pub ordered: bool,
    /// How old a record may become while the function is unavailable; without it, any age.
    pub max_age: Option<Duration>,
}

/// One call, with its name.
pub(crate) struct Called {
    /// The invocation.
    pub id: Uuid,
    /// What came of it.
    pub reply: Reply,
}

/// What the policy needs of the world.
pub(crate) trait World {
    /// Calls the function.
    fn call(&mut self, rows: &RecordBatch, batch: &Batch) -> Called;

    /// Waits.
    fn pause(&mut self, duration: Duration);

    /// How long ago the oldest record of the batch was read.
    fn age(&mut self, batch: &Batch) -> Duration;
}

/// A row that is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// Its index in the batch that was to be delivered.
    pub row: u32,
    /// The error's stable name.
    pub code: &'static str,
    /// What is wrong, for a person.
    pub message: String,
    /// How often it was tried.
    pub attempts: u32,
    /// The last invocation that it was part of.
    pub invocation: Uuid,
}

/// What came of a batch.
#[derive(Debug, Default)]
pub struct Delivered {
    /// The rows that go on, in order, in as many batches as answers were taken.
    pub out: Vec<Batch>,
    /// The rows that are given up, ascending.
    pub failed: Vec<GivenUp>,
}

/// Calls the function until every row of the batch is answered or given up.
///
/// # Errors
/// If the function cannot be started at all, which no row is to blame for.
pub(crate) fn deliver(batch: &Batch, policy: &Policy, world: &mut dyn World) -> Result<Delivered, CallError> {
    let mut delivery = Delivery { policy, world, delivered: Delivered::default() };
    let rows = u32::try_from(batch.records.num_rows()).expect("a batch has fewer than 2^32 rows");
    delivery.whole(Part { batch: batch.clone(), rows: (0..rows).collect() })?;
    delivery.delivered.failed.sort_by_key(|failed| failed.row);
    Ok(delivery.delivered)
}

/// Some rows of the batch, and which those are.
struct Part {
    batch: Batch,
    rows: Vec<u32>,
}

impl Part {
    fn slice(&self, from: usize, count: usize) -> Self {
        Self { batch: self.batch.slice(from, count), rows: self.rows[from..from + count].to_vec() }
    }

    fn take(&self, picked: &UInt32Array) -> Self {
        Self {
            batch: self.batch.take(picked),
            rows: picked.values().iter().map(|row| self.rows[*row as usize]).collect(),
        }
    }
}

struct Delivery<'a> {
    policy: &'a Policy,
    world: &'a mut dyn World,
    delivered: Delivered,
}

/// How a part ended that was called once, unavailability aside.
enum Ended {
    Answered(Uuid, Outcome),
    Failed(Uuid, CallError),
    /// It was unavailable for too long.
    TooOld(Uuid, CallError),
}

impl Delivery<'_> {
    /// A part that was not tried yet.
    fn whole(&mut self, mut part: Part) -> Result<(), CallError> {
        let mut attempt = 1;
        loop {
            match self.call(&part)? {
                Ended::TooOld(id, error) => {
                    self.give_up(&part, id, &error, attempt);
                    return Ok(());
                }
                Ended::Failed(id, error) => {
                    if error.retryable && attempt < self.policy.attempts {
                        self.world.pause(self.backoff(attempt, &error, id));
                        attempt += 1;
                        continue;
                    }
                    return self.halve(&part, id, &error, attempt, true);
                }
                Ended::Answered(id, outcome) => {
                    match self.take_answer(&part, id, outcome, attempt) {
                        None => return Ok(()),
                        Some(rest) => part = rest,
                    }
                    self.world.pause(self.pause_before(attempt));
                    attempt += 1;
                }
            }
        }
    }

    /// A part that failed as a whole, or unless it `was_tried` is what is left of one: each half has one try.
    fn halve(
        &mut self,
        part: &Part,
        id: Uuid,
        error: &CallError,
        tried: u32,
        was_tried: bool,
    ) -> Result<(), CallError> {
        let count = part.rows.len();
        if count <= 1 || !self.policy.bisect {
            self.give_up(part, id, error, tried);
            return Ok(());
        }
        let half = count / 2;
        let mut first_is_fine = false;
        for part in [part.slice(0, half), part.slice(half, count - half)] {
            // Most likely a row of the second half is to blame, then: its halves say which. Not twice in a row: a batch
            // that failed for its size is soon small enough.
            if first_is_fine && was_tried && part.rows.len() > 1 {
                self.halve(&part, id, error, tried, false)?;
                continue;
            }
            match self.call(&part)? {
                Ended::TooOld(id, error) => self.give_up(&part, id, &error, tried + 1),
                Ended::Failed(id, error) => self.halve(&part, id, &error, tried + 1, true)?,
                Ended::Answered(id, outcome) => {
                    // Rows that failed singly have had their tries with the whole.
                    self.take_answer(&part, id, outcome, self.policy.attempts.max(tried + 1));
                    first_is_fine = true;
                }
            }
        }
        Ok(())
    }

    /// Calls until the function is there.
    fn call(&mut self, part: &Part) -> Result<Ended, CallError> {
        let mut waits = 0;
        loop {
            let Called { id, reply } = self.world.call(&part.batch.records, &part.batch);
            match reply.result {
                Ok(outcome) => return Ok(Ended::Answered(id, outcome)),
                Err(error) if error.kind == CallErrorKind::InvalidEntrypoint => return Err(error),
                Err(error) if error.is_unavailable() => {
                    if self.policy.max_age.is_some_and(|most| self.world.age(&part.batch) >= most) {
                        return Ok(Ended::TooOld(id, error));
                    }
                    waits += 1;
                    self.world.pause(self.backoff(waits, &error, id));
                }
                Err(error) => return Ok(Ended::Failed(id, error)),
            }
        }
    }

    /// Takes what was answered; gives the rows that are to run again.
    fn take_answer(&mut self, part: &Part, id: Uuid, outcome: Outcome, attempt: u32) -> Option<Part> {
        let Outcome { output, origin, failed } = outcome;
        let again = |failed: &FailedRow| failed.retryable && attempt < self.policy.attempts;
        let first_again = failed.iter().find(|failed| again(failed)).map(|failed| failed.row);
        // Rows that may depend on any of the batch's cannot be told from those that run again; they are taken once.
        let splits = self.policy.ordered && !matches!(origin, Origin::WholeBatch);
        let (until, rest) = match first_again {
            None => (u32::MAX, None),
            Some(first) if splits => {
                let count = part.rows.len() - first as usize;
                (first, Some(part.slice(first as usize, count)))
            }
            Some(_) => {
                let picked = failed.iter().filter(|failed| again(failed)).map(|failed| Some(failed.row)).collect();
                (u32::MAX, Some(part.take(&picked)))
            }
        };
        let (output, rows) = answered(&part.batch, output, origin, until);
        if output.num_rows() > 0 {
            self.delivered.out.push(Batch { records: output, rows, input: part.batch.input.clone() });
        }
        for failed in failed.iter().filter(|failed| failed.row < until && !again(failed)) {
            self.delivered.failed.push(GivenUp {
                row: part.rows[failed.row as usize],
                code: "Function.RowFailed",
                message: format!("{}: {}", failed.code, failed.message),
                attempts: attempt,
                invocation: id,
            });
        }
        rest
    }

    fn give_up(&mut self, part: &Part, id: Uuid, error: &CallError, attempts: u32) {
        let code = code_of(&error.kind);
        let message = match &error.kind {
            CallErrorKind::Failed(own) => format!("{own}: {}", error.message),
            _ => error.message.clone(),
        };
        let given_up = |row: &u32| GivenUp { row: *row, code, message: message.clone(), attempts, invocation: id };
        self.delivered.failed.extend(part.rows.iter().map(given_up));
    }

    /// The wait behind the try number `attempt`, longer each time, never the same for all who wait for one server, and
    /// at least as long as that asked for.
    fn backoff(&self, attempt: u32, error: &CallError, id: Uuid) -> Duration {
        let base = self.pause_before(attempt);
        // A quarter more at most, by the invocation's random name.
        let spread = base.mul_f64(f64::from(id.as_bytes()[15]) / 1024.0);
        (base + spread).max(error.retry_after().unwrap_or_default())
    }

    fn pause_before(&self, attempt: u32) -> Duration {
        let DurationRange { min, max } = self.policy.backoff;
        min.saturating_mul(1 << (attempt - 1).min(20)).min(max)
    }
}

/// The rows of an answer that came from input rows before `until`, and which records they are of.
fn answered(batch: &Batch, output: RecordBatch, origin: Origin, until: u32) -> (RecordBatch, Rows) {
    let index: UInt32Array = match origin {
        Origin::WholeBatch => return (output, Rows::All),
        Origin::Same if until == u32::MAX => return (output, batch.rows.clone()),
        Origin::Same => {
            let rows = until as usize;
            return (output.slice(0, rows), batch.rows.slice(0, rows));
        }
        Origin::Rows(index) => index.into(),
    };
    if until == u32::MAX {
        return (output, batch.rows.take(&index));
    }
    let before: BooleanArray = index.values().iter().map(|row| Some(*row < until)).collect();
    let kept = arrow_select::filter::filter_record_batch(&output, &before).expect("a mask has a bit for each row");
    let index = arrow_select::filter::filter(&index, &before).expect("a mask has a bit for each row");
    (kept, batch.rows.take(index.as_primitive::<UInt32Type>()))
}

/// The error's name as AWS Lambda spells it. A name of the function's own is part of the message instead: metrics have
/// one series a code, and a function must not be able to make any number of them.
pub(crate) fn code_of(kind: &CallErrorKind) -> &'static str {
    match kind {
        CallErrorKind::Timeout => "Sandbox.Timedout",
        CallErrorKind::Crash => "Runtime.ExitError",
        CallErrorKind::OutOfMemory => "Runtime.OutOfMemory",
        CallErrorKind::OutputTooLarge => "Function.ResponseSizeTooLarge",
        CallErrorKind::InvalidResponse => "Function.InvalidResponse",
        CallErrorKind::Unavailable | CallErrorKind::Throttled { .. } => "Function.Unavailable",
        CallErrorKind::RequestTooLarge => "Function.RequestTooLarge",
        CallErrorKind::InvalidEntrypoint => "Runtime.InvalidEntrypoint",
        _ => "Function.Failed",
    }
}
