//! Where a row goes: a path with places for the row's values. No value can lead out of its folder.

use std::fmt::Write as _;

use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, cast::AsArray, types::TimestampMicrosecondType};
use arrow_cast::{
    cast,
    display::{ArrayFormatter, FormatOptions},
};
use arrow_schema::{DataType, Schema, TimeUnit};
use chrono::{
    DateTime,
    format::{Item, StrftimeItems},
};

/// The longest value in a path, in bytes: a file system takes 255 for a whole name.
const LONGEST: usize = 150;

/// A path with places for values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    /// The folder, without a slash at its end.
    folder: Vec<Piece>,
    /// What the files' names begin with.
    prefix: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Column { name: String, time: Option<String> },
    Now { time: String },
}

/// A path that values were put in.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) folder: String,
    pub(super) prefix: String,
}

impl Template {
    /// Reads a template, or says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.contains('\0') {
            return Err("the path cannot be empty or hold a NUL".into());
        }
        let (folder, name) = text.rsplit_once('/').unwrap_or(("", text));
        let stem = name.rsplit_once('.').filter(|(stem, ending)| !stem.is_empty() && !ending.contains('}'));
        let (folder, prefix) = match stem {
            Some((stem, _)) => (if text.starts_with('/') && folder.is_empty() { "/" } else { folder }, stem),
            None => (text.trim_end_matches('/'), "part"),
        };
        Ok(Self { folder: pieces(folder)?, prefix: pieces(prefix)? })
    }

    /// The part of the folder that is the same for all rows.
    pub(super) fn root(&self) -> &str {
        match self.folder.as_slice() {
            [Piece::Text(text)] => text,
            [Piece::Text(text), ..] => text.rsplit_once('/').map_or("", |(root, _)| root),
            _ => "",
        }
    }

    /// How many folders may lie between the root and a file.
    pub(super) fn depth(&self) -> usize {
        let slashes = |piece: &Piece| match piece {
            Piece::Text(text) => text.matches('/').count(),
            _ => 0,
        };
        1 + self.folder.iter().map(slashes).sum::<usize>()
    }

    /// What columns the template needs that are not there, or not of a type that can be in a path.
    pub(super) fn check(&self, schema: &Schema) -> Vec<String> {
        let problem = |piece: &Piece| {
            let Piece::Column { name, time } = piece else { return None };
            let Ok(field) = schema.field_with_name(name) else {
                return Some(format!("`path` names the column `{name}`, which is not there"));
            };
            let data_type = field.data_type();
            let is_time = matches!(data_type, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64);
            let is_plain = data_type.is_integer() || matches!(data_type, DataType::Utf8 | DataType::Boolean);
            match time {
                Some(_) if !is_time => Some(format!("`path` wants a time of the column `{name}`, which has none")),
                None if !is_time && !is_plain => Some(format!(
                    "`path` names the column `{name}`: only strings, whole numbers, booleans, dates and times can be in a path"
                )),
                _ => None,
            }
        };
        self.folder.iter().chain(&self.prefix).filter_map(problem).collect()
    }

    /// Makes ready to put the values of these rows in. `now` is in microseconds since 1970-01-01 UTC.
    pub(super) fn with<'a>(&'a self, rows: &RecordBatch, now: i64) -> Places<'a> {
        let column = |piece: &'a Piece| match piece {
            Piece::Text(text) => Filled::Text(text.clone()),
            Piece::Now { time } => Filled::Text(show(now, time)),
            Piece::Column { name, time } => {
                let values = rows.column_by_name(name).cloned();
                let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
                match time {
                    None => Filled::Value(values),
                    Some(time) => {
                        let times = values.and_then(|values| cast(&values, &micros).ok());
                        Filled::Time(times.map(|times| times.as_primitive::<TimestampMicrosecondType>().clone()), time)
                    }
                }
            }
        };
        Places {
            folder: self.folder.iter().map(column).collect(),
            prefix: self.prefix.iter().map(column).collect(),
            is_one: !self.folder.iter().chain(&self.prefix).any(|piece| matches!(piece, Piece::Column { .. })),
        }
    }
}

/// A template with a batch's columns.
pub(super) struct Places<'a> {
    folder: Vec<Filled<'a>>,
    prefix: Vec<Filled<'a>>,
    is_one: bool,
}

enum Filled<'a> {
    Text(String),
    Value(Option<ArrayRef>),
    Time(Option<TimestampMicrosecondArray>, &'a str),
}

impl Places<'_> {
    /// Whether all rows have the same place.
    pub(super) fn is_one(&self) -> bool {
        self.is_one
    }

    /// Where a row goes, or why it cannot go anywhere.
    pub(super) fn of(&self, row: usize) -> Result<Place, &'static str> {
        let mut place = Place::default();
        self.folder.iter().try_for_each(|piece| piece.put(row, &mut place.folder))?;
        self.prefix.iter().try_for_each(|piece| piece.put(row, &mut place.prefix))?;
        Ok(place)
    }
}

impl Filled<'_> {
    fn put(&self, row: usize, path: &mut String) -> Result<(), &'static str> {
        let text = match self {
            Self::Text(text) => {
                path.push_str(text);
                return Ok(());
            }
            Self::Value(values) => values.as_ref().and_then(|values| value(values, row)),
            Self::Time(times, time) => {
                let times = times.as_ref().filter(|times| arrow_array::Array::is_valid(times, row));
                times.map(|times| show(times.value(row), time))
            }
        };
        let text = text.ok_or("it is null")?;
        check(&text)?;
        path.push_str(&text);
        Ok(())
    }
}

fn value(values: &ArrayRef, row: usize) -> Option<String> {
    let shown = ArrayFormatter::try_new(values, &FormatOptions::default()).ok()?;
    values.is_valid(row).then(|| shown.value(row).to_string())
}

/// Why a value cannot be in a path.
fn check(value: &str) -> Result<(), &'static str> {
    match value {
        "" => Err("it is empty"),
        "." => Err("it is `.`"),
        _ if value.contains("..") => Err("it holds `..`"),
        _ if value.contains(['/', '\\']) => Err("it holds a slash"),
        _ if value.contains(char::is_control) => Err("it holds a control character"),
        _ if value.len() > LONGEST => Err("it is too long"),
        _ => Ok(()),
    }
}

/// A time as a pattern that was checked says; empty if the year is beyond reason.
fn show(micros: i64, pattern: &str) -> String {
    let mut text = String::new();
    if let Some(time) = DateTime::from_timestamp_micros(micros) {
        write!(text, "{}", time.format(pattern)).expect("the pattern was checked when the template was read");
    }
    text
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, behind) = (&rest[..open], &rest[open + 1..]);
        let close = behind.find('}').ok_or_else(|| format!("`{{` in `{text}` is not closed"))?;
        if !before.is_empty() {
            pieces.push(Piece::Text(before.into()));
        }
        pieces.push(place(&behind[..close])?);
        rest = &behind[close + 1..];
    }
    if rest.contains('}') {
        return Err(format!("`}}` in `{text}` has no `{{` before it"));
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    Ok(pieces)
}

fn place(text: &str) -> Result<Piece, String> {
    let (name, time) = match text.split_once(':') {
        Some((name, time)) => (name, Some(time)),
        None => (text, None),
    };
    if name.is_empty() {
        return Err("`{}` names no column".into());
    }
    if let Some(time) = time {
        if time.is_empty() || StrftimeItems::new(time).any(|item| matches!(item, Item::Error)) {
            return Err(format!("`{time}` in `{{{text}}}` is not a pattern for a time such as %Y-%m-%d"));
        }
        if time.contains('/') {
            return Err(format!("`{{{text}}}` cannot hold a slash: write one place for each folder"));
        }
    }
    Ok(match (name, time) {
        ("now", Some(time)) => Piece::Now { time: time.into() },
        _ => Piece::Column { name: name.into(), time: time.map(Into::into) },
    })
}
