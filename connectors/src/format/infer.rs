//! Guesses a schema from sample records, for people to start from. Every column may be null: a sample cannot tell what
//! never comes.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use serde_json::Value;

use super::{
    Format,
    csv::{CsvSettings, Fields as CsvFields},
    scalar,
    schema::json_field,
};
use crate::error::Error;

/// Objects and lists are looked into this deep; what lies deeper is `json`.
const MAX_DEPTH: usize = 8;

/// Columns at most of one object: one with more keys is a map of data, not of columns.
const MAX_COLUMNS: usize = 1_000;

/// What the values of one column have been so far.
#[derive(Clone, Debug, Default, PartialEq)]
enum Seen {
    /// Only nulls.
    #[default]
    Nothing,
    Bool,
    Int,
    /// A whole number beyond `int64`.
    Uint,
    Float,
    Date,
    Timestamp,
    Text,
    List(Box<Seen>),
    Struct(Vec<(String, Seen)>),
    /// Values that have no type in common, or are too deep or too wide.
    Mixed,
}

/// The schema that these records have in common. Records that cannot be read are passed over. For CSV with a header,
/// the first record is the header.
///
/// # Errors
/// If nothing can be told: no record could be read, or the format has no columns to guess.
pub fn infer<T: AsRef<[u8]>>(format: &Format, samples: &[T]) -> Result<Schema, Error> {
    let seen = match format {
        Format::Json(_) => infer_json(samples),
        Format::Csv(settings, _) => infer_csv(settings, samples),
        _ => {
            let fixed = format
                .fixed_schema()
                .ok_or_else(|| Error::config(format!("format {} says its schema itself", format.name())))?;
            return Ok(Schema::clone(&fixed));
        }
    };
    match seen {
        Seen::Struct(columns) if !columns.is_empty() => Ok(Schema::new(fields(columns))),
        _ => Err(Error::config(format!(
            "none of {} records could be read as {}: check `format`",
            samples.len(),
            format.name()
        ))),
    }
}

fn infer_json<T: AsRef<[u8]>>(samples: &[T]) -> Seen {
    let objects =
        samples.iter().filter_map(|sample| serde_json::from_slice(sample.as_ref()).ok()).filter(Value::is_object);
    objects.fold(Seen::Nothing, |seen, value| seen.join(Seen::of(&value, 0)))
}

fn infer_csv<T: AsRef<[u8]>>(settings: &CsvSettings, samples: &[T]) -> Seen {
    let mut cut = CsvFields::default();
    let mut samples = samples.iter().map(AsRef::as_ref);
    let mut columns: Vec<(String, Seen)> = Vec::new();
    if settings.header {
        let header = samples.next().unwrap_or_default();
        let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
        if cut.split(header, settings.dialect()).is_err() {
            return Seen::Nothing;
        }
        let name = |i| String::from_utf8_lossy(cut.get(i).text).trim().to_owned();
        columns = (0..cut.len()).map(|i| (name(i), Seen::Nothing)).collect();
    }
    for sample in samples {
        if std::str::from_utf8(sample).is_err() || cut.split(sample, settings.dialect()).is_err() {
            continue;
        }
        if !settings.header && columns.is_empty() {
            columns = (0..cut.len()).map(|i| (format!("column{}", i + 1), Seen::Nothing)).collect();
        }
        if cut.len() != columns.len() {
            continue;
        }
        for (i, (_, seen)) in columns.iter_mut().enumerate() {
            let field = cut.get(i);
            if field.quoted || field.text != settings.null.as_bytes() {
                *seen = std::mem::take(seen).join(Seen::of_csv(field.text));
            }
        }
    }
    Seen::Struct(columns)
}

impl Seen {
    fn of(value: &Value, depth: usize) -> Self {
        match value {
            Value::Null => Self::Nothing,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_i64() => Self::Int,
            Value::Number(number) if number.is_u64() => Self::Uint,
            Value::Number(_) => Self::Float,
            Value::String(text) => Self::of_text(text.as_bytes()),
            _ if depth >= MAX_DEPTH => Self::Mixed,
            Value::Array(values) => Self::List(Box::new(
                values.iter().fold(Self::Nothing, |seen, value| seen.join(Self::of(value, depth + 1))),
            )),
            Value::Object(values) if values.len() > MAX_COLUMNS || values.is_empty() => Self::Mixed,
            Value::Object(values) => {
                Self::Struct(values.iter().map(|(key, value)| (key.clone(), Self::of(value, depth + 1))).collect())
            }
        }
    }

    fn of_text(text: &[u8]) -> Self {
        if scalar::date(text).is_ok() {
            Self::Date
        } else if scalar::timestamp(text, TimeUnit::Millisecond, None).is_ok() {
            Self::Timestamp
        } else {
            Self::Text
        }
    }

    fn of_csv(text: &[u8]) -> Self {
        let trimmed = std::str::from_utf8(text).unwrap_or_default().trim();
        // `007` is a name for something, not the number 7.
        let is_code =
            trimmed.len() > 1 && trimmed.starts_with('0') && trimmed.bytes().all(|byte| byte.is_ascii_digit());
        if trimmed.eq_ignore_ascii_case("true") || trimmed.eq_ignore_ascii_case("false") {
            Self::Bool
        } else if is_code {
            Self::Text
        } else if trimmed.parse::<i64>().is_ok() {
            Self::Int
        } else if trimmed.parse::<u64>().is_ok() {
            Self::Uint
        } else if trimmed.bytes().any(|byte| byte.is_ascii_digit()) && trimmed.parse::<f64>().is_ok() {
            Self::Float
        } else {
            Self::of_text(trimmed.as_bytes())
        }
    }

    /// The narrowest kind that both are of.
    fn join(self, other: Self) -> Self {
        use Seen as S;
        match (self, other) {
            (one, other) if one == other => one,
            (S::Nothing, other) | (other, S::Nothing) => other,
            (S::Int, S::Uint) | (S::Uint, S::Int) => S::Float,
            (S::Int | S::Uint | S::Float, S::Int | S::Uint | S::Float) => S::Float,
            (S::List(one), S::List(other)) => S::List(Box::new(one.join(*other))),
            (S::Struct(one), S::Struct(other)) => join_columns(one, other),
            (S::Date | S::Timestamp | S::Text, S::Date | S::Timestamp | S::Text) => S::Text,
            _ => S::Mixed,
        }
    }

    fn field(self, name: &str) -> Field {
        let data_type = match self {
            // What is only ever null could become anything.
            Self::Nothing | Self::Mixed => return json_field(name, true),
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Uint => DataType::UInt64,
            Self::Float => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::Text => DataType::Utf8,
            Self::List(element) => DataType::List(Arc::new(element.field(Field::LIST_FIELD_DEFAULT_NAME))),
            // In the text of a type such a name could not be told from its syntax.
            Self::Struct(columns) if columns.iter().any(|(name, _)| !is_name(name)) => return json_field(name, true),
            Self::Struct(columns) => DataType::Struct(fields(columns)),
        };
        Field::new(name, data_type, true)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.trim() == name && !name.contains([':', ',', '<', '>'])
}

fn fields(columns: Vec<(String, Seen)>) -> Fields {
    columns.into_iter().map(|(name, seen)| seen.field(&name)).collect()
}

/// The columns of both, in the order in which they were first seen.
fn join_columns(mut columns: Vec<(String, Seen)>, others: Vec<(String, Seen)>) -> Seen {
    for (place, (name, seen)) in others.into_iter().enumerate() {
        // Records mostly have their keys in one order, so the place is tried first.
        let found = match columns.get(place) {
            Some((at_place, _)) if *at_place == name => Some(place),
            _ => columns.iter().position(|(column, _)| *column == name),
        };
        match found {
            Some(found) => columns[found].1 = std::mem::take(&mut columns[found].1).join(seen),
            None => columns.push((name, seen)),
        }
    }
    if columns.len() > MAX_COLUMNS { Seen::Mixed } else { Seen::Struct(columns) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        Decoder,
        schema::schema_text,
        test_support::{payloads, results},
    };

    #[track_caller]
    fn check(format: &Format, samples: &[&str], expected: &str) {
        assert_eq!(schema_text(&infer(format, samples).unwrap(), 0), expected);
    }

    #[test]
    fn json_widens_to_what_all_records_have_in_common() {
        check(
            &Format::default(),
            &[
                r#"{"id":1,"n":1,"big":18446744073709551615,"t":"2024-05-01T12:00:00Z","d":"2024-05-01","geo":{"lat":1},"tags":["a"],"x":null,"odd":1,"e":{}}"#,
                "not JSON, and not an object:",
                "[1]",
                r#"{"id":2,"n":1.5,"t":"2024-05-01 12:00:00.5+02:00","d":"soon","geo":{"lon":2.5,"lat":3},"tags":[null],"odd":"a","late":true}"#,
            ],
            "id: int64\nn: float64\nbig: uint64\nt: \"timestamp(ms)\"\nd: string\ngeo: \"struct<lat: int64, lon: float64>\"\n\
             tags: \"list<string>\"\nx: json\nodd: json\ne: json\nlate: bool\n",
        );
        check(&Format::default(), &[r#"{"true":1,"a b":{"c:d":1}}"#], "\"true\": int64\n\"a b\": json\n");
    }

    #[test]
    fn csv_by_header_or_by_number() {
        let csv = Format::Csv(CsvSettings::default(), None);
        let samples = [
            "timestamp,value,code,flag,none\r\n",
            "2014-02-14 14:30:00,0.132,007,true,",
            "2014-02-14 14:35:00,1,010,FALSE,",
            "short",
        ];
        check(&csv, &samples, "timestamp: \"timestamp(ms)\"\nvalue: float64\ncode: string\nflag: bool\nnone: json\n");
        let headerless = Format::Csv(CsvSettings { header: false, ..CsvSettings::default() }, None);
        check(&headerless, &["1,x", "2,y"], "column1: int64\ncolumn2: string\n");
    }

    #[test]
    fn what_was_inferred_decodes_the_samples() {
        let samples =
            [r#"{"a":1,"b":{"c":[{"d":"2024-05-01"}]}}"#, r#"{"a":2.5,"b":{"c":[null,{"e":false}]},"f":[[1],[2]]}"#];
        let schema = infer(&Format::default(), &samples).unwrap();
        let mut decoder = Format::default().decoder(Arc::new(schema)).unwrap();
        let decoder: &mut dyn Decoder = decoder.as_mut();
        assert_eq!(
            results(decoder, &payloads(&samples)),
            [
                r#"{"a":1.0,"b":{"c":[{"d":"2024-05-01","e":null}]},"f":null}"#,
                r#"{"a":2.5,"b":{"c":[null,{"d":null,"e":false}]},"f":[[1],[2]]}"#,
            ]
        );
    }

    #[test]
    fn nothing_to_go_by_is_an_error() {
        let error = infer(&Format::default(), &["5", ""]).unwrap_err().to_string();
        assert_eq!(error, "none of 2 records could be read as json: check `format`");
        assert!(infer(&Format::Parquet, &["x"]).is_err());
        assert_eq!(infer(&Format::Text, &["x"]).unwrap().field(0).name(), "value");
    }
}
