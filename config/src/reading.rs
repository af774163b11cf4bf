//! From nodes to values: what every setting needs to read itself, and the two ways it can go wrong.

use std::fmt::Display;

use serde_json::Value;

use crate::diagnostics::quoted;
use crate::node::Kind;
use crate::substitute::{self, Text};
use crate::{Diagnostic, Diagnostics, Environment, Node, Shape};

/// A value that can be read from a file.
///
/// Reading never stops at the first error: it says what is wrong in [`Reading`] and returns nothing, and its caller
/// goes on with the next value.
pub trait Setting: Sized {
    /// Reads the value. Nothing is returned only after an error was added.
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self>;

    /// What may be written, for the schema and the reference page.
    fn shape() -> Shape;

    /// The value of a key that is not there; nothing if the key is required.
    fn absent() -> Option<Self> {
        None
    }

    /// How this value would be written in a file, to show it as a default; nothing if it has no short form.
    fn written(&self) -> Option<Value> {
        None
    }
}

/// What reading needs at hand: where errors go and where `${…}` comes from.
pub struct Reading<'a> {
    diagnostics: &'a mut Diagnostics,
    environment: &'a dyn Environment,
}

/// A scalar after substitution.
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    /// All of it came from one `${…}`: text, or whatever else the field wants.
    Given(String),
}

impl<'a> Reading<'a> {
    /// Reads with this environment, and adds what is wrong to these diagnostics.
    pub fn new(environment: &'a dyn Environment, diagnostics: &'a mut Diagnostics) -> Self {
        Self { diagnostics, environment }
    }

    /// Adds an error or a warning.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// What was found so far.
    pub fn diagnostics(&self) -> &Diagnostics {
        self.diagnostics
    }

    /// The environment this reading uses.
    pub fn environment(&self) -> &'a dyn Environment {
        self.environment
    }

    /// Adds the error that this value is of the wrong kind. `expected` ends a sentence: "a duration such as 5s".
    pub fn wrong_kind(&mut self, node: &Node, expected: impl Display) {
        let subject = subject(node);
        let message = match &node.kind {
            Kind::Null => format!("{subject} has no value"),
            Kind::Str(text) if text.contains("${") => {
                format!("{subject} cannot be what the environment gives for it")
            }
            _ => format!("{subject} cannot be {}", node.found()),
        };
        let wrong = node.error(message).expected(expected.to_string());
        self.push(match node.meant() {
            Some(meant) => wrong.help(format!("did you mean {}, without quotes?", quoted(meant))),
            None => wrong,
        });
    }

    /// Adds the error that this value is of the right kind but not a right one.
    pub fn wrong_value(&mut self, node: &Node, expected: impl Display) {
        let subject = subject(node);
        let message = format!("{subject} cannot have this value");
        self.push(node.error(message).expected(expected.to_string()));
    }

    /// Text with every `${…}` replaced; an error if the value is not text or something in it is not set.
    pub fn text(&mut self, node: &Node, expected: &str) -> Option<String> {
        match self.scalar(node)? {
            Scalar::Text(text) | Scalar::Given(text) => Some(text),
            _ => {
                self.wrong_kind(node, expected);
                None
            }
        }
    }

    /// A scalar with every `${…}` replaced. Lists and maps come back as [`Scalar::Null`] would not: with an error.
    pub(crate) fn scalar(&mut self, node: &Node) -> Option<Scalar> {
        match &node.kind {
            Kind::Str(text) => {
                let replaced = substitute::replace(node, text, self.environment, self.diagnostics)?;
                Some(match replaced {
                    Text::Mixed(text) => Scalar::Text(text),
                    Text::Whole(text) => Scalar::Given(text),
                })
            }
            _ => Some(bare(&node.kind)),
        }
    }

    /// Like [`Reading::scalar`], for a field that is not text: what one `${…}` gave is read as if it stood there.
    pub(crate) fn typed_scalar(&mut self, node: &Node) -> Option<Scalar> {
        Some(match self.scalar(node)? {
            Scalar::Given(text) => match crate::parse::plain(text.trim()) {
                Kind::Str(text) => Scalar::Given((*text).into()),
                kind => bare(&kind),
            },
            other => other,
        })
    }

    /// Whether a value counts as absent: there is nothing, or its only `${…}` gives an empty text.
    pub(crate) fn is_absent(&mut self, node: &Node) -> Option<bool> {
        match &node.kind {
            Kind::Null => Some(true),
            Kind::Str(text) if text.contains("${") => {
                Some(matches!(self.scalar(node)?, Scalar::Given(text) if text.is_empty()))
            }
            _ => Some(false),
        }
    }
}

/// What is not text, as it is. A list or map is an unsuitable scalar like any other.
fn bare(kind: &Kind) -> Scalar {
    match kind {
        Kind::Bool(value) => Scalar::Bool(*value),
        Kind::Int(value) => Scalar::Int(*value),
        Kind::Float(value) => Scalar::Float(*value),
        _ => Scalar::Null,
    }
}

/// What an error about a value is about.
fn subject(node: &Node) -> String {
    match node.path.field() {
        Some(field) => quoted(field),
        None => "this file".into(),
    }
}
