//! The tree of a file: values with their places and field paths, not yet with meaning.

use std::fmt;
use std::sync::Arc;

use crate::diagnostics::quoted;
use crate::{Diagnostic, SourceFile, Span};

/// A value of the file.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub span: Span,
    /// Where its key stands; its own place if it has none.
    pub key_span: Span,
    /// The field path, such as `sources.clicks.topic`.
    pub path: Path,
    pub(crate) file: SourceFile,
    /// Whether the file has the text in quotes.
    pub(crate) quoted: bool,
}

/// What a [`Node`] is, by the rules of YAML 1.2: `yes` and `on` are text.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Nothing, `null` or `~`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number, wide enough that a field can say its own limits.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text as written in the file: `${…}` is not yet replaced.
    Str(Arc<str>),
    /// Values in order.
    List(Vec<Node>),
    /// Keys and values, in the file's order, each key once.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key's text.
    pub key: Arc<str>,
    /// Where the key stands.
    pub key_span: Span,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let entry = self.entries().iter().find(|entry| &*entry.key == key)?;
        Some(&entry.value)
    }

    /// The entries, if this is a map; nothing otherwise.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Whether there is nothing here: an empty value, `null` or `~`.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// An error about this value, with its place and path filled in.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.span, message).at(&self.path)
    }

    /// The place in the file of a place in this text, given as line and column (both from 1, the column in
    /// characters): of the word that begins there, else of one character. For a value that is not text, for a place
    /// outside it, and for one behind a `${…}`, whose value moves all that follows: the whole value.
    pub fn place_in_text(&self, line: usize, column: usize) -> Span {
        match &self.kind {
            Kind::Str(text) => crate::place::place_in_text(self, text, line, column),
            _ => self.span,
        }
    }

    /// How the file writes this value: for a number `007`, not 7.
    pub(crate) fn written(&self) -> &str {
        &self.file.text()[self.span.range()]
    }

    /// The number or truth value somebody put in quotes, where that is not wanted.
    pub(crate) fn meant(&self) -> Option<&str> {
        match &self.kind {
            Kind::Str(text) if self.quoted => {
                let bare = matches!(crate::parse::plain(text), Kind::Bool(_) | Kind::Int(_) | Kind::Float(_));
                bare.then_some(text)
            }
            _ => None,
        }
    }

    /// What this is, for a sentence that goes "cannot be …".
    pub(crate) fn found(&self) -> &'static str {
        match self.kind {
            Kind::Null => "empty",
            Kind::Bool(_) => "true or false",
            Kind::Int(_) => "a whole number",
            Kind::Float(_) => "a number",
            Kind::Str(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// The way from the root of a file to a field. Prints as `sinks.archive.columns[2]`; empty at the root.
#[derive(Clone, Default)]
pub struct Path(Option<Arc<Step>>);

/// Linked to its parent, so that a path costs the same however deep and long-named its parents are.
struct Step {
    parent: Path,
    name: Name,
}

enum Name {
    Key(Arc<str>),
    Index(usize),
}

impl Path {
    /// The path of the whole file.
    pub fn root() -> Self {
        Self::default()
    }

    /// The path of a key below this one.
    pub fn key(&self, key: impl Into<Arc<str>>) -> Self {
        self.step(Name::Key(key.into()))
    }

    /// The path of an item below this one, counted from 0.
    pub fn index(&self, index: usize) -> Self {
        self.step(Name::Index(index))
    }

    /// The last name of the path: the key, or the nearest key above an item.
    pub(crate) fn field(&self) -> Option<&str> {
        let step = self.0.as_deref()?;
        match &step.name {
            Name::Key(key) => Some(key),
            Name::Index(_) => step.parent.field(),
        }
    }

    fn step(&self, name: Name) -> Self {
        let parent = self.clone();
        Self(Some(Arc::new(Step { parent, name })))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(step) = &self.0 else { return Ok(()) };
        step.parent.fmt(f)?;
        match &step.name {
            Name::Index(index) => write!(f, "[{index}]"),
            Name::Key(key) => {
                if step.parent.0.is_some() {
                    f.write_str(".")?;
                }
                f.write_str(quoted(key).trim_matches('`'))
            }
        }
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({self})")
    }
}
