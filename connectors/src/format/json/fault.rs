//! Why a message could not be decoded: code, place and path, but never the message's values.

use std::{borrow::Cow, fmt::Write};

use crate::batch::RowFailure;

/// The result of reading a part of a message. Boxed, because it is rare and the good way must stay small.
pub(crate) type Read<T> = Result<T, Box<Fault>>;

/// What is wrong with a message.
#[derive(Debug)]
pub(crate) struct Fault {
    code: &'static str,
    what: Cow<'static, str>,
    at: Option<usize>,
    /// From the inside out.
    path: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Field(Box<str>),
    Element(usize),
    /// A map's key is data, so it is not shown.
    Entry,
}

impl Fault {
    /// The bytes are not JSON.
    pub(crate) fn syntax(at: usize, what: impl Into<Cow<'static, str>>) -> Box<Self> {
        Self::new("decode.json.syntax", Some(at), what)
    }

    /// The value is not of the column's type.
    pub(crate) fn wrong_type(at: usize, what: impl Into<Cow<'static, str>>) -> Box<Self> {
        Self::new("decode.json.type", Some(at), what)
    }

    /// The value is of the right kind but does not fit the column.
    pub(crate) fn range(at: usize, what: impl Into<Cow<'static, str>>) -> Box<Self> {
        Self::new("decode.json.range", Some(at), what)
    }

    /// A required column has no value.
    pub(crate) fn missing(what: impl Into<Cow<'static, str>>) -> Box<Self> {
        Self::new("decode.json.missing", None, what)
    }

    /// The message is not UTF-8 from byte `at` on.
    pub(crate) fn utf8(at: usize) -> Box<Self> {
        Self::new("decode.utf8", Some(at), "the bytes are not UTF-8")
    }

    /// There is no message.
    pub(crate) fn empty(what: &'static str) -> Box<Self> {
        Self::new("decode.empty", None, what)
    }

    /// A fault of any other code.
    pub(crate) fn new(code: &'static str, at: Option<usize>, what: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self { code, what: what.into(), at, path: Vec::new() })
    }

    /// The same fault, seen from the object around it.
    pub(crate) fn in_field(mut self: Box<Self>, name: &str) -> Box<Self> {
        self.path.push(Step::Field(name.into()));
        self
    }

    /// The same fault, seen from the list around it.
    pub(crate) fn in_element(mut self: Box<Self>, index: usize) -> Box<Self> {
        self.path.push(Step::Element(index));
        self
    }

    /// The same fault, seen from the map around it.
    pub(crate) fn in_entry(mut self: Box<Self>) -> Box<Self> {
        self.path.push(Step::Entry);
        self
    }

    /// The failure of row `row` for this reason. `skipped` bytes stood before what was decoded.
    pub(crate) fn of_row(&self, row: u32, skipped: usize) -> RowFailure {
        RowFailure { row, code: self.code, message: self.message(skipped) }
    }

    /// `field geo.lat, byte 34: expected float64, found a string`.
    fn message(&self, skipped: usize) -> String {
        let mut text = String::new();
        for (depth, step) in self.path.iter().rev().enumerate() {
            let _ = match step {
                Step::Field(name) if depth == 0 => write!(text, "field {name}"),
                Step::Field(name) => write!(text, ".{name}"),
                Step::Element(index) => write!(text, "[{index}]"),
                Step::Entry => write!(text, ".*"),
            };
        }
        if let Some(at) = self.at {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(text, "{comma}byte {}", at + skipped);
        }
        let colon = if text.is_empty() { "" } else { ": " };
        let _ = write!(text, "{colon}{}", self.what);
        text
    }
}
