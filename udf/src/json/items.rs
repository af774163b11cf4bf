//! `batchItemFailures`: which rows an answer says failed.
//!
//! As AWS does it, an answer that names a record that was not in the event, or in a way that cannot be read, fails the
//! whole batch: nobody knows then which records are done.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::invalid;
use super::event::{Event, Form};
use crate::contract::{CallError, FailedRow};

const CODE: &str = "Function.BatchItemFailed";
const MESSAGE: &str = "the function named this record in its `batchItemFailures`";

/// The rows of `event`, which has so many, that the value of `batchItemFailures` names. A record that several rows came
/// from names them all.
pub(super) fn failed(failures: &RawValue, event: &Event<'_>, rows: usize) -> Result<Vec<FailedRow>, CallError> {
    let items: Option<Vec<Item<'_>>> = serde_json::from_str(failures.get()).map_err(|_| {
        whole("its `batchItemFailures` is not a list of objects with an `itemIdentifier` each".to_owned())
    })?;
    let items = items.unwrap_or_default();
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Rows::new(event, rows);
    let mut found = vec![false; rows.count];
    let mut seen = HashSet::new();
    for (place, item) in items.iter().enumerate() {
        let problem = |what: &str| whole(format!("item {place} of its `batchItemFailures` {what}"));
        let id = Id::read(item.id.get()).ok_or_else(|| problem("has an `itemIdentifier` that is none"))?;
        // An answer may name one record a million times.
        if seen.contains(&id) {
            continue;
        }
        if !rows.find(&id, |row| found[row] = true) {
            return Err(problem("names a record that the event did not have"));
        }
        seen.insert(id);
    }
    let failed = found.iter().enumerate().filter(|(_, failed)| **failed);
    Ok(failed.map(|(row, _)| failed_row(row)).collect())
}

fn failed_row(row: usize) -> FailedRow {
    let row = u32::try_from(row).expect("a batch has fewer than 2^32 rows");
    FailedRow { row, code: CODE.to_owned(), message: MESSAGE.to_owned(), retryable: true }
}

/// The whole batch failed. Another try may name the failures well.
fn whole(problem: String) -> CallError {
    CallError { retryable: true, ..invalid(problem) }
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "itemIdentifier")]
    id: &'a RawValue,
}

/// An `itemIdentifier`.
#[derive(PartialEq, Eq, Hash)]
struct Id<'a> {
    /// The partition, where it was named.
    partition: Option<Cow<'a, str>>,
    /// The position in it, or the index in the event.
    position: u64,
}

#[derive(Deserialize)]
struct KafkaId<'a> {
    #[serde(borrow)]
    partition: Cow<'a, str>,
    offset: u64,
}

impl<'a> Id<'a> {
    /// `"15"`, `15`, or `{"partition": "topic-0", "offset": 15}`.
    fn read(text: &'a str) -> Option<Self> {
        match text.as_bytes().first()? {
            b'"' => {
                let position: Cow<'_, str> = serde_json::from_str::<Text<'_>>(text).ok()?.0;
                // `parse` would take a plus sign.
                let digits = position.bytes().all(|byte| byte.is_ascii_digit());
                Some(Self { partition: None, position: position.parse().ok().filter(|_| digits)? })
            }
            b'{' => {
                let KafkaId { partition, offset } = serde_json::from_str(text).ok()?;
                Some(Self { partition: Some(partition), position: offset })
            }
            _ => Some(Self { partition: None, position: serde_json::from_str(text).ok()? }),
        }
    }
}

/// A text that is borrowed unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The rows of an event by position.
struct Rows<'e> {
    count: usize,
    event: &'e Event<'e>,
    /// Position and row, ascending; empty where rows are named by their index.
    by_position: Vec<(u64, usize)>,
}

impl<'e> Rows<'e> {
    fn new(event: &'e Event<'e>, count: usize) -> Self {
        let positions = event.origins.iter().enumerate().map(|(row, origin)| (origin.position, row));
        let mut by_position: Vec<_> = positions.collect();
        by_position.sort_unstable();
        Self { count, event, by_position }
    }

    /// Calls `mark` with each row that `id` names; false if there is none.
    fn find(&self, id: &Id<'_>, mut mark: impl FnMut(usize)) -> bool {
        if self.by_position.is_empty() {
            let row = usize::try_from(id.position).ok().filter(|row| *row < self.count && id.partition.is_none());
            row.into_iter().for_each(&mut mark);
            return row.is_some();
        }
        if id.partition.is_some() && !matches!(self.event.form, Form::Kafka { .. }) {
            return false;
        }
        let first = self.by_position.partition_point(|(position, _)| *position < id.position);
        let same = self.by_position[first..].iter().take_while(|(position, _)| *position == id.position);
        let partition = id.partition.as_deref();
        let named = |row: &usize| partition.is_none_or(|partition| self.event.origins[*row].partition == partition);
        same.map(|(_, row)| *row).filter(named).inspect(|row| mark(*row)).count() > 0
    }
}
