//! What is wrong with a SQL text, and where in it.

use datafusion::{
    common::DataFusionError,
    sql::sqlparser::{parser::ParserError, tokenizer::Location},
};

use super::words::plainly;

/// A problem with a SQL text. Lines and columns count from 1; 0 means the whole text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// What is wrong, as a sentence.
    pub message: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
    /// The line in the text, from 1.
    pub line: u64,
    /// The column in the line, from 1, in characters.
    pub column: u64,
}

impl SqlError {
    pub(super) fn whole(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None, line: 0, column: 0 }
    }

    pub(super) fn at(message: impl Into<String>, place: Location) -> Self {
        Self { message: message.into(), help: None, line: place.line, column: place.column }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn parsing(error: ParserError) -> Self {
        let text = match error {
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
            ParserError::RecursionLimitExceeded => return Self::whole("the expression is nested too deeply"),
        };
        let (message, line, column) = place_in(&text).unwrap_or((&text, 0, 0));
        let message = message.replace("Expected: ", "expected ").replace(", found: ", ", found ");
        let message = match message.strip_suffix(", found EOF") {
            Some(start) => format!("{start}, but here it ends"),
            None => lower_first(&message),
        };
        Self { message, help: None, line, column }
    }

    pub(super) fn planning(error: &DataFusionError) -> Self {
        if let Some(diagnostic) = error.diagnostic() {
            let help = diagnostic.helps.first().map(|help| help.message.clone());
            let help = help.or_else(|| diagnostic.notes.first().map(|note| note.message.clone()));
            let (line, column) = diagnostic.span.map_or((0, 0), |span| (span.start.line, span.start.column));
            let (message, help) = plainly(&diagnostic.message, help.as_deref());
            return Self { message: lower_first(&message), help, line, column };
        }
        let root = error.find_root().strip_backtrace();
        if root.contains("non-boolean predicate") {
            return Self::whole("the condition is not true or false").help("compare something, such as `price > 100`");
        }
        let (message, help) = plainly(first_sentence(&root), None);
        Self { help, ..Self::whole(lower_first(&message)) }
    }

    /// The same at the place of the call that it is about: where a message begins with a function's name, and one call of
    /// it is all there is among `calls`.
    pub(super) fn of_the_only(self, calls: &[(String, Location)]) -> Self {
        let named = self.message.strip_prefix('`').and_then(|text| text.split_once('`')).map(|(name, _)| name);
        let mut of_it = calls.iter().filter(|(name, _)| named.is_some_and(|named| named.eq_ignore_ascii_case(name)));
        match (self.line, of_it.next(), of_it.next()) {
            (0, Some((_, place)), None) => Self { line: place.line, column: place.column, ..self },
            _ => self,
        }
    }

    /// The same place when the text was put one line down in a longer one.
    pub(super) fn up_one_line(mut self) -> Self {
        self.line = self.line.saturating_sub(1);
        self
    }
}

/// Splits `… at Line: 3, Column: 14` off a parser's message.
fn place_in(text: &str) -> Option<(&str, u64, u64)> {
    let (message, place) = text.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    Some((message, line.trim().parse().ok()?, column.trim().parse().ok()?))
}

/// DataFusion prefixes the kind of error and appends candidates over many lines: people need the sentence.
fn first_sentence(text: &str) -> &str {
    let text = text.lines().next().unwrap_or(text);
    const KINDS: [&str; 6] = [
        "Error during planning: ",
        "Schema error: ",
        "This feature is not implemented: ",
        "SQL error: ",
        "Invalid or Unsupported Configuration: ",
        "Internal error: ",
    ];
    KINDS.iter().find_map(|kind| text.strip_prefix(kind)).unwrap_or(text)
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}
