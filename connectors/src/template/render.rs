//! Rows into a template's places.

use std::{io::Write, sync::Arc};

use arrow_array::{
    Array, ArrayRef, RecordBatch,
    cast::AsArray,
    types::{Date32Type, Int64Type},
};
use arrow_schema::{DataType, TimeUnit};
use chrono::{DateTime, Utc, format::Item};

use super::{Part, Template};
use crate::format::{ValueWriter, write_string};

/// How values are written, so that a value never changes the meaning of the text around it. Null is `null` unless said
/// otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// As they are: for people.
    None,
    /// Within double quotes as the inside of a JSON string; elsewhere as whole JSON values, strings with their quotes.
    Json,
    /// For a URL's path and query: all but letters, digits and `-._~` percent-encoded. Null is nothing.
    Url,
    /// For an HTTP header: control characters are spaces. Null is nothing.
    Header,
}

/// A template bound to the columns of a batch.
pub struct Rendering<'t> {
    places: Vec<Place<'t>>,
    value: Vec<u8>,
}

enum Place<'t> {
    Text(&'t str),
    Value { writer: Box<ValueWriter>, quoted: bool },
    Time { times: Times, items: &'t [Item<'static>], quoted: bool },
}

impl<'t> Rendering<'t> {
    /// Binds a template that was checked with the batch's schema.
    pub(super) fn new(template: &'t Template, records: &RecordBatch) -> Self {
        let schema = records.schema();
        let places = template.parts.iter().map(|part| match part {
            Part::Text(text) => Place::Text(text),
            Part::Value(value) => {
                let (index, field) = schema.column_with_name(&value.column).expect("the template was checked");
                let (column, quoted) = (records.column(index), value.quoted);
                match &value.pattern {
                    Some(items) => Place::Time { times: Times::new(column), items, quoted },
                    None => Place::Value { writer: Box::new(ValueWriter::new(field, column)), quoted },
                }
            }
        });
        Self { places: places.collect(), value: Vec::new() }
    }

    /// Appends the text for a row.
    pub fn render(&mut self, row: usize, escape: Escape, out: &mut Vec<u8>) {
        for place in &self.places {
            let value = &mut self.value;
            value.clear();
            let (there, quoted) = match place {
                Place::Text(text) => {
                    out.extend_from_slice(text.as_bytes());
                    continue;
                }
                Place::Value { writer, quoted: false } if escape == Escape::Json => {
                    writer.write(row, out);
                    continue;
                }
                Place::Value { writer, quoted } => (writer.write_plain(row, value), *quoted),
                Place::Time { times, items, quoted } => (times.write(row, items, value), *quoted),
            };
            let value = there.then_some(value.as_slice());
            write_escaped(value, escape, quoted, out);
        }
    }

    /// The text for a row. Values are valid UTF-8, and no escape breaks that.
    pub fn text(&mut self, row: usize, escape: Escape) -> String {
        let mut out = Vec::new();
        self.render(row, escape, &mut out);
        String::from_utf8(out).expect("text columns, numbers and escapes are UTF-8")
    }
}

fn write_escaped(value: Option<&[u8]>, escape: Escape, quoted: bool, out: &mut Vec<u8>) {
    match (escape, value) {
        (Escape::None | Escape::Json, None) => out.extend_from_slice(b"null"),
        (Escape::None, Some(value)) => out.extend_from_slice(value),
        (Escape::Json, Some(value)) => {
            let start = out.len();
            write_string(value, out);
            if quoted {
                out.pop();
                out.remove(start);
            }
        }
        (Escape::Url | Escape::Header, None) => {}
        (Escape::Url, Some(value)) => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            percent(value, plain, out);
        }
        (Escape::Header, Some(value)) => {
            out.extend(value.iter().map(|byte| if byte.is_ascii_control() { b' ' } else { *byte }));
        }
    }
}

fn percent(value: &[u8], plain: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    for byte in value {
        if plain(*byte) {
            out.push(*byte);
        } else {
            write!(out, "%{byte:02X}").expect("a vector takes all bytes");
        }
    }
}

/// A column of timestamps or dates.
struct Times {
    values: ArrayRef,
    unit: Option<TimeUnit>,
}

impl Times {
    fn new(column: &ArrayRef) -> Self {
        match column.data_type() {
            DataType::Timestamp(unit, _) => {
                let values = arrow_cast::cast(column, &DataType::Int64).expect("timestamps are whole numbers");
                Self { values, unit: Some(*unit) }
            }
            _ => Self { values: Arc::clone(column), unit: None },
        }
    }

    /// `false` for null, and for times so far away that no calendar has them.
    fn write(&self, row: usize, items: &[Item<'static>], out: &mut Vec<u8>) -> bool {
        if self.values.is_null(row) {
            return false;
        }
        let time = match self.unit {
            Some(unit) => time(self.values.as_primitive::<Int64Type>().value(row), unit),
            None => {
                let days = self.values.as_primitive::<Date32Type>();
                DateTime::from_timestamp(i64::from(days.value(row)) * 86_400, 0)
            }
        };
        time.is_some_and(|time| write!(out, "{}", time.format_with_items(items.iter())).is_ok())
    }
}

fn time(value: i64, unit: TimeUnit) -> Option<DateTime<Utc>> {
    match unit {
        TimeUnit::Second => DateTime::from_timestamp(value, 0),
        TimeUnit::Millisecond => DateTime::from_timestamp_millis(value),
        TimeUnit::Microsecond => DateTime::from_timestamp_micros(value),
        TimeUnit::Nanosecond => Some(DateTime::from_timestamp_nanos(value)),
    }
}
