//! From a template's text to its parts.

use std::fmt::Write;

use chrono::{
    DateTime, Utc,
    format::{Item, StrftimeItems},
};

use super::{Part, Value};

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What is wrong.
    pub message: String,
    /// The byte where it is.
    pub at: usize,
}

impl TemplateError {
    /// Line and column, both from 1, the column in characters.
    pub(super) fn place_in(&self, text: &str) -> (usize, usize) {
        let before = &text[..self.at];
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parser = Parser::default();
    let mut at = 0;
    while let Some(next) = text[at..].find(['{', '}']) {
        parser.text(&text[at..at + next]);
        at += next;
        at += parser.brace(text, at)?;
    }
    parser.text(&text[at..]);
    parser.end_text();
    Ok(parser.parts)
}

#[derive(Default)]
struct Parser {
    parts: Vec<Part>,
    text: String,
    /// How many `{{` wait for their `}}`. Only for those is `}}` one brace: in JSON it is the end of two objects.
    doubled: usize,
    /// Whether the text so far ends within double quotes.
    quoted: bool,
}

impl Parser {
    fn text(&mut self, text: &str) {
        let mut escaped = false;
        for byte in text.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = self.quoted,
                b'"' => self.quoted = !self.quoted,
                _ => {}
            }
        }
        self.text.push_str(text);
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        }
    }

    /// Takes the brace at `at` and what belongs to it: how many bytes that was.
    fn brace(&mut self, text: &str, at: usize) -> Result<usize, TemplateError> {
        let rest = &text[at..];
        if rest.starts_with("{{") {
            self.doubled += 1;
            self.text.push('{');
            return Ok(2);
        }
        if rest.starts_with("}}") && self.doubled > 0 {
            self.doubled -= 1;
            self.text.push('}');
            return Ok(2);
        }
        if rest.starts_with('{') && rest[1..].starts_with(|c: char| c.is_alphabetic() || c == '_') {
            return self.value(rest, at);
        }
        self.text.push_str(&rest[..1]);
        Ok(1)
    }

    fn value(&mut self, rest: &str, at: usize) -> Result<usize, TemplateError> {
        let error = |message: String, at| Err(TemplateError { message, at });
        let end = match rest[1..].find(['{', '}', '"', '\n']) {
            Some(end) if rest[1 + end..].starts_with('}') => end + 1,
            _ => return error("a `{` begins the name of a column here, and no `}` ends it".into(), at),
        };
        let (column, pattern) = match rest[1..end].split_once(':') {
            Some((column, pattern)) => (column, Some(pattern)),
            None => (&rest[1..end], None),
        };
        let pattern = match pattern.map(items) {
            Some(None) => {
                let message = "this is no pattern for a time: expected one such as %Y-%m-%d or %H:%M".into();
                return error(message, at + column.len() + 2);
            }
            Some(items) => items,
            None => None,
        };
        self.end_text();
        self.parts.push(Part::Value(Value { column: column.into(), pattern, quoted: self.quoted }));
        Ok(end + 1)
    }
}

/// The parts of a pattern, if it is one that can write every time.
fn items(pattern: &str) -> Option<Vec<Item<'static>>> {
    let items: Vec<Item<'static>> = StrftimeItems::new(pattern).parse_to_owned().ok()?;
    let any_time = DateTime::<Utc>::UNIX_EPOCH;
    let written = write!(String::new(), "{}", any_time.format_with_items(items.iter()));
    (!pattern.is_empty() && written.is_ok()).then_some(items)
}
