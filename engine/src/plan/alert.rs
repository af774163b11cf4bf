//! Alerts, first form: rows that meet a condition become messages, not more often than `repeat` for each key.

use std::{collections::HashMap, sync::Arc};

use arrow_array::{Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parking_lot::Mutex;
use riverhook_connectors::{
    batch::Batch,
    format::{Encoded, Encoder},
    template::{Escape, Template},
};

use crate::sql::Branch;

/// The most keys whose last message is remembered; beyond it the oldest are forgotten and may repeat early.
const MAX_KEYS: usize = 100_000;

/// A condition on the rows of a node, and what to say when it holds.
pub struct Alert {
    /// Its name.
    pub name: Arc<str>,
    /// Keeps the rows that meet the condition.
    pub when: Branch,
    /// The columns that tell one subject from another; none: all rows are of one subject.
    pub key: Vec<String>,
    /// How long a key is silent after a message, in microseconds; `None`: every row gives a message.
    pub repeat: Option<i64>,
    /// What to say.
    pub message: Template,
    /// The column that tells when a row happened; else the moment it is handled counts.
    pub time: Option<String>,
    /// Each key's last message. Shared by all tasks.
    pub last: Mutex<HashMap<String, Told>>,
}

/// What an alert's messages look like to sinks.
pub(super) fn message_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("time", DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))), false),
        Field::new("alert", DataType::Utf8, false),
        Field::new("key", DataType::Utf8, true),
        Field::new("message", DataType::Utf8, false),
        riverhook_connectors::format::schema::json_field("row", false),
    ]))
}

/// When a key last gave a message.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The row's time: microseconds since 1970-01-01 UTC.
    time: i64,
    /// The clock's, then.
    at: i64,
}

impl Alert {
    /// The messages for rows that meet the condition. `now` is microseconds since 1970-01-01 UTC.
    pub fn messages(&self, matching: &Batch, row_json: &mut dyn Encoder, now: i64) -> Option<Batch> {
        let times = self.times(&matching.records, now);
        let keys = self.keys(&matching.records);
        let due = self.due(&keys, &times, now);
        if due.is_empty() {
            return None;
        }
        let selected = matching.take(&due);
        let mut rendering = self.message.bind(&selected.records).expect("the template was checked with the plan");
        let rows = 0..selected.records.num_rows();
        let messages: StringArray = rows.map(|row| Some(rendering.text(row, Escape::None))).collect();
        let mut json = Encoded::default();
        row_json.encode(&selected.records, &mut json);
        let rows: StringArray =
            (0..json.len()).map(|row| Some(String::from_utf8_lossy(json.row(row)).into_owned())).collect();
        let of_due = |i: &u32| *i as usize;
        let columns: Vec<Arc<dyn Array>> = vec![
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(due.values().iter().map(|i| times[of_due(i)]))
                    .with_timezone("UTC"),
            ),
            Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&*self.name, due.len()))),
            Arc::new(
                due.values()
                    .iter()
                    .map(|i| keys.as_ref().map(|keys| keys[of_due(i)].as_str()))
                    .collect::<StringArray>(),
            ),
            Arc::new(messages),
            Arc::new(rows),
        ];
        let records = RecordBatch::try_new(message_schema(), columns)
            .expect("the columns are made in the schema's order and types");
        Some(Batch { records, rows: selected.rows, input: selected.input })
    }

    fn times(&self, records: &RecordBatch, now: i64) -> Vec<i64> {
        let column = self.time.as_ref().and_then(|name| records.column_by_name(name));
        let micros =
            column.and_then(|column| arrow_cast::cast(column, &DataType::Timestamp(TimeUnit::Microsecond, None)).ok());
        let micros = micros.as_ref().and_then(|column| column.as_any().downcast_ref::<TimestampMicrosecondArray>());
        match micros {
            Some(column) => {
                (0..column.len()).map(|row| if column.is_null(row) { now } else { column.value(row) }).collect()
            }
            None => vec![now; records.num_rows()],
        }
    }

    fn keys(&self, records: &RecordBatch) -> Option<Vec<String>> {
        if self.key.is_empty() {
            return None;
        }
        let options = FormatOptions::default().with_null("null");
        let columns: Vec<_> = self.key.iter().filter_map(|name| records.column_by_name(name)).collect();
        let texts: Vec<_> =
            columns.iter().filter_map(|column| ArrayFormatter::try_new(column.as_ref(), &options).ok()).collect();
        let key = |row: usize| match &texts[..] {
            [text] => text.value(row).to_string(),
            texts => texts.iter().map(|text| part(text.value(row).to_string())).collect::<Vec<_>>().join(", "),
        };
        Some((0..records.num_rows()).map(key).collect())
    }

    /// Which rows give a message, keeping count. A subject is silent until `repeat` has passed in the rows' time or on the
    /// clock: one row dated far ahead must not silence it for ever.
    fn due(&self, keys: &Option<Vec<String>>, times: &[i64], now: i64) -> UInt32Array {
        let Some(repeat) = self.repeat else { return (0..times.len() as u32).collect() };
        let mut last = self.last.lock();
        let mut due = Vec::new();
        for (row, &time) in times.iter().enumerate() {
            let key = keys.as_ref().map_or("", |keys| keys[row].as_str());
            match last.get_mut(key) {
                Some(told) if time < told.time.saturating_add(repeat) && now < told.at.saturating_add(repeat) => {}
                Some(told) => {
                    *told = Told { time, at: now };
                    due.push(row as u32);
                }
                None => {
                    forget_oldest(&mut last);
                    last.insert(key.to_owned(), Told { time, at: now });
                    due.push(row as u32);
                }
            }
        }
        due.into()
    }
}

/// A part of a key, in quotes where it could be taken for several.
fn part(text: String) -> String {
    if text.contains([',', '"']) { format!("{text:?}") } else { text }
}

/// Makes room for a key. A tenth goes at once, so that looking through all of them is seldom.
fn forget_oldest(last: &mut HashMap<String, Told>) {
    if last.len() < MAX_KEYS {
        return;
    }
    let mut times: Vec<i64> = last.values().map(|told| told.at).collect();
    let (_, newest_to_go, _) = times.select_nth_unstable(MAX_KEYS / 10);
    let newest_to_go = *newest_to_go;
    let mut room = MAX_KEYS / 10;
    last.retain(|_, told| {
        let goes = told.at <= newest_to_go && room > 0;
        room -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_keys_are_not_taken_for_others() {
        let joined = |parts: [&str; 2]| parts.map(|text| part(text.to_owned())).join(", ");
        assert_eq!(joined(["a", "b"]), "a, b");
        assert_ne!(joined(["a, b", "c"]), joined(["a", "b, c"]));
        assert_ne!(joined(["\"a", "b\""]), joined(["a, b", ""]));
    }

    #[test]
    fn one_row_dated_far_ahead_does_not_silence_its_subject() {
        let hour = 3_600_000_000;
        let alert = Alert {
            name: "a".into(),
            when: crate::sql::Planner::new()
                .unwrap()
                .condition("true", "t", &message_schema())
                .unwrap()
                .branches
                .remove(0),
            key: Vec::new(),
            repeat: Some(hour),
            message: Template::parse("m").unwrap(),
            time: None,
            last: Mutex::default(),
        };
        let told = |time, now| !alert.due(&None, &[time], now).is_empty();
        assert!(told(i64::MAX - 1, 0), "the year 9999");
        assert!(!told(hour, hour - 1));
        assert!(told(hour, hour), "an hour later on the clock");
        assert!(!told(hour + 1, hour + 1));
        assert!(told(2 * hour, hour + 1), "an hour later in the rows' time");
    }

    #[test]
    fn keys_are_bounded_and_the_oldest_go() {
        let told = |at| Told { time: 0, at };
        let mut last: HashMap<String, Told> = (0..MAX_KEYS as i64).map(|at| (at.to_string(), told(at))).collect();
        forget_oldest(&mut last);
        assert_eq!(last.len(), MAX_KEYS - MAX_KEYS / 10);
        assert!(!last.contains_key("0") && last.contains_key(&(MAX_KEYS - 1).to_string()));
        let mut same: HashMap<String, Told> = (0..MAX_KEYS).map(|key| (key.to_string(), told(7))).collect();
        forget_oldest(&mut same);
        assert_eq!(same.len(), MAX_KEYS - MAX_KEYS / 10);
    }
}
