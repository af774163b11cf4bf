//! From a place in a scalar's text to the place in the file it was written in.
//!
//! A block scalar loses its indentation, a folded one its line breaks. Instead of keeping a table for every scalar, the
//! text and the file are walked side by side when somebody asks: white space may differ, everything else must not.

use crate::{Node, Span};

/// White space as YAML sees it; other spaces of Unicode are text. All of one byte.
const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

/// See [`crate::Node::place_in_text`].
pub(crate) fn place_in_text(node: &Node, text: &str, line: usize, column: usize) -> Span {
    match offset(text, line, column) {
        Some(at) => place_of_offset(node, text, at),
        None => node.span,
    }
}

/// The place of the word that begins at byte `at` of the text.
pub(crate) fn place_of_offset(node: &Node, text: &str, at: usize) -> Span {
    if text.find("${").is_some_and(|moved| moved < at) {
        return node.span;
    }
    let Some(start) = walk(node, text, at) else {
        return node.span;
    };
    let rest = &node.file.text()[start..node.span.end];
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
    let length = length.max(rest.chars().next().map_or(0, char::len_utf8));
    node.file.span(start, start + length)
}

/// The place of the `${…}` at byte `at` of the text.
pub(crate) fn place_of_reference(node: &Node, text: &str, at: usize) -> Span {
    let first = text.find("${") == Some(at);
    let start = if first { walk(node, text, at) } else { None };
    let Some(start) = start else { return node.span };
    let rest = &node.file.text()[start..node.span.end];
    let line = rest.lines().next().unwrap_or_default();
    let length = line.find('}').map_or(line.len(), |end| end + 1);
    node.file.span(start, start + length)
}

/// The byte of a line and column, which may be one behind the end.
fn offset(text: &str, line: usize, column: usize) -> Option<usize> {
    let mut start = 0;
    for _ in 1..line {
        start += text[start..].find('\n')? + 1;
    }
    let line = text[start..].split('\n').next().unwrap_or_default();
    let ends = std::iter::once(line.len());
    let mut bytes = line.char_indices().map(|(at, _)| at).chain(ends);
    bytes.nth(column.checked_sub(1)?).map(|at| start + at)
}

/// The byte of the file where the character at byte `at` of the text stands; none if the two do not go together (an
/// escape in a quoted text).
fn walk(node: &Node, text: &str, at: usize) -> Option<usize> {
    let source = &node.file.text()[..node.span.end];
    let mut place = node.span.start + usize::from(node.quoted);
    // A block's place begins at its first word, though empty lines before it are part of its text.
    let word_first = !source[place..].starts_with(BLANK);
    let before = if word_first { text[..at].trim_start_matches(BLANK) } else { &text[..at] };
    for wanted in before.chars() {
        place = skip_to(source, place, wanted)?;
        let found = source[place..].chars().next()?;
        // A quote in single quotes is doubled.
        let twice = node.quoted && wanted == '\'' && source[place..].starts_with("''");
        place += found.len_utf8() * if twice { 2 } else { 1 };
    }
    match text[at..].chars().next() {
        Some(wanted) if !BLANK.contains(&wanted) => skip_to(source, place, wanted),
        _ => Some(place),
    }
}

/// Moves over white space that the text does not have.
fn skip_to(source: &str, at: usize, wanted: char) -> Option<usize> {
    let rest = &source[at..];
    let found = rest.chars().next()?;
    if found == wanted {
        return Some(at);
    }
    if !BLANK.contains(&found) {
        return None;
    }
    let next = rest.find(|c| !BLANK.contains(&c))?;
    if BLANK.contains(&wanted) {
        // A folded line break: stand on the last white space, so that one step leaves it behind.
        return Some(at + rest[..next].rfind(wanted).unwrap_or(next - 1));
    }
    rest[next..].starts_with(wanted).then_some(at + next)
}
