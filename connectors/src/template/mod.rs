//! Text with values of the row in it: `out/dt={ts:%Y-%m-%d}/`, `{user} clicked {n} times`.
//!
//! `{column}` is the value; `{column:%H}` formats a timestamp or date, in UTC, as `strftime` does. A brace begins a
//! name only where a letter or `_` follows, so that JSON can be written as it is: `{"user": {user}}`. `{{` and `}}` are
//! braces as text. What is around a value decides how it is written: see [`Escape`].

mod parse;
mod render;

#[cfg(test)]
mod tests;

use std::fmt;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use chrono::format::Item;
use riverhook_config::{Node, Reading, Setting, Shape, nearest};

use crate::{
    error::Error,
    format::{unwritable, writable},
};

pub use self::{
    parse::TemplateError,
    render::{Escape, Rendering},
};

/// A parsed template. Which columns there are is not known until [`Template::check`].
#[derive(Clone)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone)]
enum Part {
    Text(String),
    Value(Value),
}

#[derive(Clone)]
struct Value {
    column: String,
    /// How a time is written; otherwise as text formats write it.
    pattern: Option<Vec<Item<'static>>>,
    /// Whether it stands within double quotes, for [`Escape::Json`].
    quoted: bool,
}

impl Template {
    /// Parses the text.
    ///
    /// # Errors
    /// If a name is not closed or empty, or a pattern is not one of `strftime`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::parse(text).map(|parts| Self { parts })
    }

    /// The columns it names, in order, each as often as it comes.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.values().map(|value| value.column.as_str())
    }

    /// Whether it is the same text for every row, and that text.
    pub fn constant(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text before the first value.
    pub fn beginning(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether rows of this schema have all it names: sentences that name the column and say what to do.
    ///
    /// # Errors
    /// If not.
    pub fn check(&self, schema: &Schema) -> Result<(), Vec<String>> {
        let problems: Vec<String> = self.values().filter_map(|value| problem(value, schema)).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Ready to write the rows of a batch.
    ///
    /// # Errors
    /// If [`check`](Self::check) would have found a problem with the batch's schema.
    pub fn bind(&self, records: &RecordBatch) -> Result<Rendering<'_>, Error> {
        self.check(&records.schema()).map_err(|problems| Error::config(problems.join("; ")))?;
        Ok(Rendering::new(self, records))
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(value) => Some(value),
            Part::Text(_) => None,
        })
    }
}

/// Only the names: a URL may be a secret.
impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Template").field("columns", &self.columns().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Setting for Template {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        let text = cx.text(node, "text in which {column} is a value of the row")?;
        match Self::parse(&text) {
            Ok(template) => Some(template),
            Err(error) => {
                let (line, column) = error.place_in(&text);
                let mut wrong = node.error(error.message);
                wrong.span = node.place_in_text(line, column);
                cx.push(wrong.help("write {{ for a brace that is text"));
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Str
    }
}

fn problem(value: &Value, schema: &Schema) -> Option<String> {
    let name = &value.column;
    let Ok(field) = schema.field_with_name(name) else {
        let names = || schema.fields().iter().map(|field| field.name().as_str());
        return Some(match nearest(name, names()) {
            Some(near) => format!("`{{{name}}}` names no column: did you mean `{{{near}}}`?"),
            None => {
                let known = names().collect::<Vec<_>>().join(", ");
                format!("`{{{name}}}` names no column: there are {known}; write `{{{{{name}}}}}` for the text itself")
            }
        });
    };
    let is_time = matches!(field.data_type(), DataType::Timestamp(..) | DataType::Date32);
    if value.pattern.is_some() && !is_time {
        return Some(format!("`{{{name}:…}}`: only timestamps and dates take a pattern, and `{name}` is neither"));
    }
    writable(field.data_type()).is_none().then(|| unwritable(field))
}
