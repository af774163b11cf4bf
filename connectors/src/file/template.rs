//! Where a row goes: a path with places for the row's values. No value can lead out of its folder.

use std::fmt::Write as _;

use arrow_array::{
    Array, RecordBatch, StringArray, TimestampMicrosecondArray, cast::AsArray, types::TimestampMicrosecondType,
};
use arrow_cast::cast;
use arrow_schema::{DataType, Schema, TimeUnit};
use chrono::{
    DateTime,
    format::{Fixed, Item, Numeric, StrftimeItems},
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

    /// A pattern that the paths of all files match, whatever the rows' values.
    pub(super) fn pattern(&self) -> String {
        let wild = |pieces: &[Piece]| -> String {
            let piece = |piece: &Piece| match piece {
                Piece::Text(text) => glob::Pattern::escape(text),
                Piece::Column { .. } | Piece::Now { .. } => "*".to_owned(),
            };
            pieces.iter().map(piece).collect()
        };
        let (folder, prefix) = (wild(&self.folder), wild(&self.prefix));
        match folder.as_str() {
            "" => format!("{prefix}-*"),
            "/" => format!("/{prefix}-*"),
            folder => format!("{folder}/{prefix}-*"),
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
            Piece::Now { time } => {
                let mut text = String::new();
                show(now, &StrftimeItems::new(time).collect::<Vec<_>>(), &mut text);
                Filled::Text(text)
            }
            Piece::Column { name, time } => {
                let cast_to = |data_type| rows.column_by_name(name).and_then(|values| cast(values, &data_type).ok());
                match time {
                    None => Filled::Value(cast_to(DataType::Utf8).map(|texts| texts.as_string().clone())),
                    Some(time) => {
                        let times = cast_to(DataType::Timestamp(TimeUnit::Microsecond, None));
                        let times = times.map(|times| times.as_primitive::<TimestampMicrosecondType>().clone());
                        let pattern: Vec<_> = StrftimeItems::new(time).collect();
                        Filled::Time { times, span: pattern.iter().map(span).min().unwrap_or(DAY), pattern }
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
    /// A column as text.
    Value(Option<StringArray>),
    /// A column of times, how they are shown, and for how many microseconds that is the same.
    Time {
        times: Option<TimestampMicrosecondArray>,
        pattern: Vec<Item<'a>>,
        span: i64,
    },
}

impl Places<'_> {
    /// Whether all rows have the same place.
    pub(super) fn is_one(&self) -> bool {
        self.is_one
    }

    /// Where a row goes, written into `place`, or why it cannot go anywhere.
    pub(super) fn of(&self, row: usize, place: &mut Place) -> Result<(), &'static str> {
        place.folder.clear();
        place.prefix.clear();
        self.folder.iter().try_for_each(|piece| piece.put(row, &mut place.folder))?;
        self.prefix.iter().try_for_each(|piece| piece.put(row, &mut place.prefix))
    }

    /// Whether two rows surely have the same place, or none for the same reason. Neighbours mostly do, and this is far
    /// cheaper to tell than their places are to make.
    pub(super) fn go_together(&self, row: usize, other: usize) -> bool {
        self.folder.iter().chain(&self.prefix).all(|piece| piece.is_same(row, other))
    }
}

impl Filled<'_> {
    fn put(&self, row: usize, path: &mut String) -> Result<(), &'static str> {
        let start = path.len();
        match self {
            Self::Text(text) => {
                path.push_str(text);
                return Ok(());
            }
            Self::Value(texts) => path.push_str(text_at(texts.as_ref(), row).ok_or("it is null")?),
            Self::Time { times, pattern, .. } => {
                show(time_at(times.as_ref(), row).ok_or("it is null")?, pattern, path);
            }
        }
        check(&path[start..])
    }

    fn is_same(&self, row: usize, other: usize) -> bool {
        match self {
            Self::Text(_) => true,
            Self::Value(texts) => text_at(texts.as_ref(), row) == text_at(texts.as_ref(), other),
            Self::Time { times, span, .. } => {
                let of = |row| time_at(times.as_ref(), row).map(|micros| micros.div_euclid(*span));
                of(row) == of(other)
            }
        }
    }
}

fn text_at(texts: Option<&StringArray>, row: usize) -> Option<&str> {
    texts.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row))
}

fn time_at(times: Option<&TimestampMicrosecondArray>, row: usize) -> Option<i64> {
    times.filter(|times| times.is_valid(row)).map(|times| times.value(row))
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

/// Appends a time as a pattern that was checked says; nothing if the year is beyond reason.
fn show(micros: i64, pattern: &[Item<'_>], text: &mut String) {
    if let Some(time) = DateTime::from_timestamp_micros(micros) {
        write!(text, "{}", time.format_with_items(pattern.iter()))
            .expect("the pattern was checked when the template was read");
    }
}

/// A day in microseconds.
const DAY: i64 = 24 * HOUR;
/// An hour in microseconds.
const HOUR: i64 = 60 * MINUTE;
/// A minute in microseconds.
const MINUTE: i64 = 60 * 1_000_000;

/// For how many microseconds, from a multiple of them on, a part of a pattern shows the same.
fn span(item: &Item<'_>) -> i64 {
    match item {
        Item::Literal(_) | Item::OwnedLiteral(_) | Item::Space(_) | Item::OwnedSpace(_) => DAY,
        Item::Numeric(number, _) => match number {
            Numeric::Year
            | Numeric::YearDiv100
            | Numeric::YearMod100
            | Numeric::IsoYear
            | Numeric::Month
            | Numeric::Day
            | Numeric::IsoWeek
            | Numeric::NumDaysFromSun
            | Numeric::WeekdayFromMon
            | Numeric::Ordinal => DAY,
            Numeric::Hour | Numeric::Hour12 => HOUR,
            Numeric::Minute => MINUTE,
            _ => 1,
        },
        Item::Fixed(
            Fixed::ShortMonthName | Fixed::LongMonthName | Fixed::ShortWeekdayName | Fixed::LongWeekdayName,
        ) => DAY,
        Item::Fixed(Fixed::LowerAmPm | Fixed::UpperAmPm) => HOUR,
        _ => 1,
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array};

    use super::*;

    const START: i64 = 1_700_000_000_000_000;

    fn rows() -> RecordBatch {
        let steps = [0, 1, 999_999, 1_000_000, MINUTE, HOUR - 1, HOUR, DAY - 1, DAY, 31 * DAY, 400 * DAY, -START - 1];
        let times = steps.iter().map(|step| Some(START + step)).chain([None, Some(START), None]);
        let times = TimestampMicrosecondArray::from_iter(times);
        let count = times.len() as i64;
        let users = StringArray::from_iter(
            (0..count).map(|row| (row % 5 > 0).then_some(["a", "b", "..", ""][row as usize % 4])),
        );
        let columns: [(&str, ArrayRef); 3] = [
            ("ts", Arc::new(times)),
            ("user", Arc::new(users)),
            ("n", Arc::new(Int64Array::from_iter_values((0..count).map(|row| row / 4)))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn place(places: &Places<'_>, row: usize) -> Result<Place, &'static str> {
        let mut place = Place::default();
        places.of(row, &mut place).map(|()| place)
    }

    #[test]
    fn rows_that_go_together_have_one_place() {
        let rows = rows();
        for text in [
            "d={ts:%Y-%m-%d}/",
            "{ts:%F}/",
            "{ts:%F %H}/",
            "{ts:%F %I %p}/",
            "{ts:%R}/",
            "{ts:%T}/",
            "{ts:%s}/",
            "{ts:%S%.6f}/",
            "{ts:%Y}/",
            "{ts:%j-%G-%V-%U-%W-%u-%w}/",
            "{ts:%a %B %C %y}/",
            "{ts:%c}/",
            "{ts:%+}/",
            "{user}/",
            "{ts}/",
            "{n}/{user}-{ts:%m}.json",
        ] {
            let template = Template::parse(text).unwrap();
            let places = template.with(&rows, 0);
            for row in 0..rows.num_rows() {
                assert!(places.go_together(row, row), "{text}");
                for other in (0..rows.num_rows()).filter(|other| places.go_together(row, *other)) {
                    assert_eq!(place(&places, row), place(&places, other), "{text}: {row} and {other}");
                }
            }
        }
    }

    #[test]
    fn rows_of_a_day_go_together_where_only_the_day_counts() {
        let (rows, template) = (rows(), Template::parse("d={ts:%Y-%m-%d}/").unwrap());
        let places = template.with(&rows, 0);
        assert!((1..5).all(|row| places.go_together(0, row)));
        assert!(!places.go_together(0, 8), "the next day");
        assert_eq!(place(&places, 0).unwrap().folder, "d=2023-11-14");
        assert_eq!(place(&places, 12), Err("it is null"));
    }
}
