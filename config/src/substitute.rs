//! `${NAME}`, `${NAME:-default}` and `${file:PATH}` in text, and `$${` for a `${` that is meant.
//!
//! This runs on texts of a tree that is already parsed, so that what comes in from outside is never read as YAML. What
//! comes in may be secret: it appears in no message.

use std::io;

use crate::diagnostics::quoted;
use crate::{Diagnostic, Diagnostics, Environment, Node};

/// A text after substitution.
pub(crate) enum Text {
    /// Written in the file, at least in part.
    Mixed(String),
    /// The whole text was one `${…}`.
    Whole(String),
}

/// Replaces everything in the text of `node`; says everything that cannot be, and is nothing then.
pub(crate) fn replace(
    node: &Node,
    text: &str,
    environment: &dyn Environment,
    diagnostics: &mut Diagnostics,
) -> Option<Text> {
    let mut replaced = String::with_capacity(text.len());
    let mut complete = true;
    let mut at = 0;
    while let Some(sign) = text[at..].find("${").map(|found| at + found) {
        if text[at..sign].ends_with('$') {
            replaced.push_str(&text[at..sign - 1]);
            replaced.push_str("${");
            at = sign + 2;
            continue;
        }
        replaced.push_str(&text[at..sign]);
        let Some(length) = text[sign..].find('}') else {
            diagnostics
                .push(error(node, text, sign, "this `${` has no `}`".into()).help("write `$${` if `${` is meant"));
            return None;
        };
        let end = sign + length + 1;
        match look_up(&text[sign + 2..end - 1], environment) {
            Ok(value) if sign == 0 && end == text.len() => return Some(Text::Whole(value)),
            Ok(value) => replaced.push_str(&value),
            Err(reason) => {
                diagnostics.push(reason.explain(node, text, sign));
                complete = false;
            }
        }
        at = end;
    }
    replaced.push_str(&text[at..]);
    complete.then_some(Text::Mixed(replaced))
}

enum Reason<'t> {
    NotAName,
    Unset(&'t str),
    Unreadable(&'t str, io::Error),
}

fn look_up<'t>(inside: &'t str, environment: &dyn Environment) -> Result<String, Reason<'t>> {
    if let Some(path) = inside.strip_prefix("file:") {
        let content = environment.file(path);
        let mut content = content.map_err(|error| Reason::Unreadable(path, error))?;
        if content.ends_with('\n') {
            content.pop();
            if content.ends_with('\r') {
                content.pop();
            }
        }
        return Ok(content);
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(Reason::NotAName);
    }
    // As in a shell, `:-` also stands in for a variable that is set to nothing.
    let value = environment.var(name).filter(|value| default.is_none() || !value.is_empty());
    value.or(default.map(Into::into)).ok_or(Reason::Unset(name))
}

impl Reason<'_> {
    fn explain(self, node: &Node, text: &str, sign: usize) -> Diagnostic {
        match self {
            Self::NotAName => error(node, text, sign, "this is no name of a variable".into())
                .expected("${NAME}, ${NAME:-default} or ${file:PATH}")
                .help("write `$${` if `${` is meant"),
            Self::Unset(name) => {
                let message = format!("the environment variable {} is not set", quoted(name));
                error(node, text, sign, message).help(format!("set it, or give a default: `${{{name}:-…}}`"))
            }
            Self::Unreadable(path, reason) => {
                let message = format!("the file {} {}", quoted(path), why(&reason));
                error(node, text, sign, message)
            }
        }
    }
}

fn error(node: &Node, text: &str, sign: usize, message: String) -> Diagnostic {
    Diagnostic::error(crate::place::place_of_reference(node, text, sign), message).at(&node.path)
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".into(),
        io::ErrorKind::PermissionDenied => "may not be read by this user".into(),
        io::ErrorKind::InvalidData => "is not UTF-8 text".into(),
        io::ErrorKind::FileTooLarge => "is larger than 1 MiB".into(),
        io::ErrorKind::IsADirectory => "is a folder".into(),
        _ => format!("cannot be read: {error}"),
    }
}
