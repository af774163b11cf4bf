//! What is wrong with a file, all of it at once. Knows places and sentences; how they are drawn is in `draw`.

use serde_json::{Value, json};

use crate::node::Path;
use crate::{FileId, SourceFile, Span};

/// How many diagnostics are kept; of the rest only the number is told.
pub const MAX_DIAGNOSTICS: usize = 100;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not mean what was wanted.
    Warning,
}

/// One thing that is wrong: what, where, what was expected, and what to do.
///
/// Texts never hold values that came from the environment, as these may be secrets.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub message: String,
    /// Where.
    pub span: Span,
    /// The field, such as `sources.clicks.topic`; empty when it is about the file itself.
    pub path: String,
    /// What would have been right, as the end of a sentence: "a duration such as 5s".
    pub expected: Option<String>,
    /// What to do.
    pub help: Option<String>,
    /// Other places that matter, each with what it is.
    pub also: Vec<(Span, String)>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            span,
            path: String::new(),
            expected: None,
            help: None,
            also: Vec::new(),
        }
    }

    /// A warning at a place.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// Names the field it is about.
    pub fn at(mut self, path: &Path) -> Self {
        self.path = path.to_string();
        self
    }

    /// Says what would have been right.
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Suggests a name, if there is one to suggest.
    pub fn did_you_mean(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// Points at another place that matters.
    pub fn also(mut self, span: Span, what: impl Into<String>) -> Self {
        self.also.push((span, what.into()));
        self
    }
}

/// All that was found wrong so far, with the files needed to show it.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    sources: Vec<SourceFile>,
    found: Vec<Diagnostic>,
    /// Found after the list was full: errors and warnings.
    more: usize,
    has_errors: bool,
}

impl Diagnostics {
    /// Nothing found yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a file's text known, so that places in it can be shown. [`crate::parse`] does this.
    pub fn add_source(&mut self, file: &SourceFile) {
        if self.source(file.id()).is_none() {
            self.sources.push(file.clone());
        }
    }

    /// Adds one. Beyond [`MAX_DIAGNOSTICS`] they are only counted.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.has_errors |= diagnostic.severity == Severity::Error;
        if self.found.len() < MAX_DIAGNOSTICS {
            self.found.push(diagnostic);
        } else {
            self.more += 1;
        }
    }

    /// Adds all of another collection, with its files.
    pub fn append(&mut self, other: Diagnostics) {
        for source in &other.sources {
            self.add_source(source);
        }
        self.has_errors |= other.has_errors;
        self.more += other.more;
        other.found.into_iter().for_each(|one| self.push(one));
    }

    /// Whether an error, not only warnings, was found.
    pub fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// Whether nothing was found, not even a warning.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// How many were found, including those that were not kept.
    pub fn len(&self) -> usize {
        self.found.len() + self.more
    }

    /// How many were found but not kept.
    pub fn more(&self) -> usize {
        self.more
    }

    /// Those kept, in the order of their places: files as they were added, then from top to bottom.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        let order = |id: FileId| self.sources.iter().position(|file| file.id() == id);
        let mut sorted: Vec<&Diagnostic> = self.found.iter().collect();
        sorted.sort_by_key(|one| (order(one.span.file), one.span.start));
        sorted.into_iter()
    }

    /// Drawn for people: the place, the line with a marker, the field, what was expected. Ends with a line break.
    pub fn render(&self, color: bool) -> String {
        crate::draw::render(self, color)
    }

    /// For programs: `{"diagnostics": [{severity, message, file, line, column, end_line, end_column, path, expected,
    /// help, also}], "more": 0}`, lines and columns from 1, the end exclusive.
    pub fn to_json(&self) -> Value {
        let found: Vec<Value> = self.iter().map(|one| self.one_to_json(one)).collect();
        json!({ "diagnostics": found, "more": self.more })
    }

    /// The file a span belongs to, if it was added.
    pub fn source(&self, id: FileId) -> Option<&SourceFile> {
        self.sources.iter().find(|file| file.id() == id)
    }

    fn one_to_json(&self, one: &Diagnostic) -> Value {
        let mut value = self.place_to_json(one.span);
        value["severity"] = match one.severity {
            Severity::Error => "error".into(),
            Severity::Warning => "warning".into(),
        };
        value["message"] = one.message.as_str().into();
        value["path"] = one.path.as_str().into();
        value["expected"] = one.expected.as_deref().into();
        value["help"] = one.help.as_deref().into();
        let also = one.also.iter().map(|(span, what)| {
            let mut place = self.place_to_json(*span);
            place["message"] = what.as_str().into();
            place
        });
        value["also"] = also.collect();
        value
    }

    fn place_to_json(&self, span: Span) -> Value {
        let Some(file) = self.source(span.file) else {
            return json!({});
        };
        let (line, column) = file.line_column(span.start);
        let (end_line, end_column) = file.line_column(span.end);
        json!({
            "file": file.path(),
            "line": line,
            "column": column,
            "end_line": end_line,
            "end_column": end_column,
        })
    }
}

/// A name from the file as it may stand in a sentence: short, and without control characters that would
/// reach the terminal.
pub(crate) fn quoted(name: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = name.chars().take(SHOWN).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// "`a`, `b` or `c`".
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    match names.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
