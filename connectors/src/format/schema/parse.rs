//! Reads a type such as `list<struct<a: int64!, b: decimal(10,2)>>`.

use std::{collections::HashSet, ops::Range};

use arrow_array::timezone::Tz;
use arrow_schema::{DECIMAL128_MAX_PRECISION, DataType, Field, Fields, TimeUnit};

use super::{MAX_DEPTH, json_field, list_of, map_of};

/// What is wrong with a type, and where in its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeError {
    /// The bytes of the text that are wrong.
    pub at: Range<usize>,
    /// What is wrong and what was expected.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

/// The types without parameters.
const PLAIN: [(&str, DataType); 15] = [
    ("bool", DataType::Boolean),
    ("int8", DataType::Int8),
    ("int16", DataType::Int16),
    ("int32", DataType::Int32),
    ("int64", DataType::Int64),
    ("uint8", DataType::UInt8),
    ("uint16", DataType::UInt16),
    ("uint32", DataType::UInt32),
    ("uint64", DataType::UInt64),
    ("float32", DataType::Float32),
    ("float64", DataType::Float64),
    ("string", DataType::Utf8),
    ("bytes", DataType::Binary),
    ("date", DataType::Date32),
    ("json", DataType::Utf8),
];

/// How the types with parameters are written.
const WITH_PARAMETERS: [(&str, &str); 5] = [
    ("decimal", "decimal(10,2)"),
    ("timestamp", "timestamp(ms)"),
    ("list", "list<string>"),
    ("struct", "struct<a: int64, b: string>"),
    ("map", "map<string,int64>"),
];

/// What other systems call our types.
const OTHER_NAMES: [(&str, &str); 24] = [
    ("int", "int64"),
    ("integer", "int64"),
    ("long", "int64"),
    ("bigint", "int64"),
    ("smallint", "int16"),
    ("tinyint", "int8"),
    ("short", "int16"),
    ("byte", "int8"),
    ("uint", "uint64"),
    ("float", "float64"),
    ("double", "float64"),
    ("number", "float64"),
    ("real", "float32"),
    ("numeric", "decimal(10,2)"),
    ("boolean", "bool"),
    ("text", "string"),
    ("str", "string"),
    ("varchar", "string"),
    ("utf8", "string"),
    ("binary", "bytes"),
    ("blob", "bytes"),
    ("datetime", "timestamp(ms)"),
    ("array", "list<string>"),
    ("object", "struct<a: int64, b: string>"),
];

/// The column `name` of the type that `text` describes.
///
/// # Errors
/// If the text is no type.
pub fn parse_type(name: &str, text: &str) -> Result<Field, TypeError> {
    let mut parser = Parser { text, at: 0 };
    let field = parser.field(name, 1)?;
    parser.end("type")?;
    Ok(field)
}

/// How a function's signature is written.
const SIGNATURE: &str = "(ip: string) -> struct<country: string, lat: float64>";

/// The arguments of the function that `text`, such as `(a: int64, b: string!) -> float64`, describes, and its result, a
/// column of the name `result`.
///
/// # Errors
/// If the text is no signature.
pub(super) fn parse_signature(text: &str, result: &str) -> Result<(Vec<Field>, Field), TypeError> {
    let mut parser = Parser { text, at: 0 };
    parser.symbol("(")?;
    let mut arguments: Vec<Field> = Vec::new();
    loop {
        parser.space();
        let start = parser.at;
        let name = parser.word();
        if name.is_empty() {
            let end = parser.end_of_character();
            return Err(parser.error(start..end, format!("expected the name of an argument, as in {SIGNATURE}")));
        }
        if arguments.iter().any(|argument| argument.name() == name) {
            return Err(parser.error(start..parser.at, format!("the argument `{name}` is there twice")));
        }
        parser.symbol(":")?;
        arguments.push(parser.field(name, 1)?);
        parser.space();
        if !parser.eat(',') {
            break;
        }
    }
    parser.symbol(")")?;
    parser.symbol("->")?;
    let result = parser.field(result, 1)?;
    parser.end("signature")?;
    Ok((arguments, result))
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    /// A type and its `!`.
    fn field(&mut self, name: &str, depth: usize) -> Result<Field, TypeError> {
        self.space();
        if depth > MAX_DEPTH {
            return Err(
                self.error(self.at..self.text.len(), format!("types are nested deeper than {MAX_DEPTH} levels"))
            );
        }
        let start = self.at;
        let word = self.word();
        let data_type = match word {
            "decimal" => self.decimal(start)?,
            "timestamp" => self.timestamp(start)?,
            "list" => {
                self.expect('<', start, word)?;
                let element = self.field("item", depth + 1)?;
                self.expect('>', start, word)?;
                list_of(element)
            }
            "map" => self.map(start, depth)?,
            "struct" => self.structure(start, depth)?,
            _ => PLAIN.iter().find(|(name, _)| *name == word).ok_or_else(|| self.unknown(start, word))?.1.clone(),
        };
        self.space();
        let required = self.eat('!');
        if word == "json" {
            return Ok(json_field(name, !required));
        }
        Ok(Field::new(name, data_type, !required))
    }

    fn decimal(&mut self, start: usize) -> Result<DataType, TypeError> {
        self.expect('(', start, "decimal")?;
        let arguments = self.arguments(start, "decimal")?;
        let (precision, scale) = arguments.split_once(',').unwrap_or((arguments, "0"));
        let parsed = precision.trim().parse::<u8>().ok().zip(scale.trim().parse::<i8>().ok());
        match parsed {
            Some((precision, scale)) if (1..=DECIMAL128_MAX_PRECISION).contains(&precision) && scale >= 0 && scale.unsigned_abs() <= precision => {
                Ok(DataType::Decimal128(precision, scale))
            }
            _ => Err(self.error(
                start..self.at,
                format!("expected decimal(precision, scale) with a precision of 1 to {DECIMAL128_MAX_PRECISION} and a scale up to it"),
            )),
        }
    }

    fn timestamp(&mut self, start: usize) -> Result<DataType, TypeError> {
        self.expect('(', start, "timestamp")?;
        let arguments = self.arguments(start, "timestamp")?;
        let (unit, zone) = match arguments.split_once(',') {
            Some((unit, zone)) => (unit.trim(), Some(zone.trim())),
            None => (arguments.trim(), None),
        };
        let unit = match unit {
            "s" => TimeUnit::Second,
            "ms" => TimeUnit::Millisecond,
            "us" => TimeUnit::Microsecond,
            "ns" => TimeUnit::Nanosecond,
            _ => {
                return Err(
                    self.error(start..self.at, "a timestamp's unit is one of s, ms, us and ns: timestamp(ms)".into())
                );
            }
        };
        if let Some(zone) = zone
            && zone.parse::<Tz>().is_err()
        {
            let message = format!(
                "`{zone}` is not a time zone: expected a name such as UTC or Europe/Berlin, or an offset such as +02:00"
            );
            return Err(self.error(start..self.at, message));
        }
        Ok(DataType::Timestamp(unit, zone.map(Into::into)))
    }

    fn map(&mut self, start: usize, depth: usize) -> Result<DataType, TypeError> {
        self.expect('<', start, "map")?;
        let key = self.field("key", depth + 1)?;
        if key.data_type() != &DataType::Utf8 || super::is_json(&key) {
            return Err(self.error(start..self.at, "a map's keys are strings: map<string,int64>".into()));
        }
        self.expect(',', start, "map")?;
        let value = self.field("value", depth + 1)?;
        self.expect('>', start, "map")?;
        Ok(map_of(value))
    }

    fn structure(&mut self, start: usize, depth: usize) -> Result<DataType, TypeError> {
        self.expect('<', start, "struct")?;
        let mut fields = Vec::new();
        let mut names = HashSet::new();
        loop {
            self.space();
            let at = self.at;
            let name = self.name(start)?;
            if !names.insert(name) {
                return Err(self.error(at..self.at, format!("the field `{name}` is there twice")));
            }
            self.expect(':', start, "struct")?;
            fields.push(self.field(name, depth + 1)?);
            self.space();
            if !self.eat(',') {
                break;
            }
        }
        self.expect('>', start, "struct")?;
        Ok(DataType::Struct(Fields::from(fields)))
    }

    /// A struct's field name: all up to its colon.
    fn name(&mut self, start: usize) -> Result<&'a str, TypeError> {
        let rest = &self.text[self.at..];
        let name = rest[..rest.find([':', ',', '<', '>']).unwrap_or(rest.len())].trim_end();
        if name.is_empty() {
            return Err(
                self.error(start..self.text.len(), "expected the name of a field: struct<a: int64, b: string>".into())
            );
        }
        self.at += name.len();
        Ok(name)
    }

    /// All up to the closing parenthesis.
    fn arguments(&mut self, start: usize, word: &str) -> Result<&'a str, TypeError> {
        let rest = &self.text[self.at..];
        let Some(end) = rest.find(')') else { return Err(self.incomplete(start, ')', word)) };
        self.at += end + 1;
        Ok(&rest[..end])
    }

    fn word(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.text[self.at..].starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char, start: usize, word: &str) -> Result<(), TypeError> {
        self.space();
        if self.eat(wanted) { Ok(()) } else { Err(self.incomplete(start, wanted, word)) }
    }

    /// Takes a symbol of a signature.
    fn symbol(&mut self, wanted: &str) -> Result<(), TypeError> {
        self.space();
        if self.text[self.at..].starts_with(wanted) {
            self.at += wanted.len();
            return Ok(());
        }
        let message = format!("`{wanted}` is missing: a signature is written like {SIGNATURE}");
        Err(self.error(self.at..self.end_of_character(), message))
    }

    /// Where the next character ends; the end of the text if there is none.
    fn end_of_character(&self) -> usize {
        self.at + self.text[self.at..].chars().next().map_or(0, char::len_utf8)
    }

    /// Nothing may follow.
    fn end(&mut self, what: &str) -> Result<(), TypeError> {
        self.space();
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return Ok(());
        }
        Err(self.error(self.at..self.text.len(), format!("`{rest}` does not belong to the {what}")))
    }

    fn incomplete(&self, start: usize, wanted: char, word: &str) -> TypeError {
        let form = WITH_PARAMETERS.iter().find(|(name, _)| *name == word).map_or(word, |(_, form)| form);
        let end = self.text.len().min(self.at + 1).max(start + 1);
        let end = (end..=self.text.len()).find(|end| self.text.is_char_boundary(*end)).unwrap_or(self.text.len());
        self.error(start..end, format!("`{wanted}` is missing: a {word} is written like {form}"))
    }

    fn unknown(&self, start: usize, word: &str) -> TypeError {
        let lower = word.to_lowercase();
        let names = PLAIN.iter().map(|(name, _)| *name).chain(WITH_PARAMETERS.iter().map(|(name, _)| *name));
        let suggestion = OTHER_NAMES
            .iter()
            .find(|(name, _)| *name == lower)
            .map(|(_, ours)| (*ours).to_owned())
            .or_else(|| riverhook_config::nearest(&lower, names).map(ToOwned::to_owned));
        let message = if word.is_empty() { "expected a type".to_owned() } else { format!("there is no type `{word}`") };
        TypeError { at: start..self.at.max(start), message, suggestion }
    }

    fn error(&self, at: Range<usize>, message: String) -> TypeError {
        TypeError { at, message, suggestion: None }
    }
}
