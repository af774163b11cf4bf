//! What the YAML parser complains about, in the words of somebody who has not read YAML's grammar.

use crate::{Diagnostic, SourceFile};

/// One diagnostic for text that is not YAML, at a byte.
pub(crate) fn explain(file: &SourceFile, at: usize, complaint: &str) -> Diagnostic {
    let at = last_word_before(file.text(), at);
    let width = file.text()[at..].chars().next().map_or(0, char::len_utf8);
    let span = file.span(at, at + width);
    let known = KNOWN.iter().find(|known| complaint.contains(known.complaint));
    let diagnostic = match known {
        Some(known) => Diagnostic::error(span, known.message).help(known.help),
        None => Diagnostic::error(span, format!("this is not YAML: {complaint}")),
    };
    if known.is_some_and(|known| known.complaint.contains("flow")) && follows_bare_reference(file.text(), at) {
        return diagnostic.help("put `${…}` in quotes where it stands within `{…}` or `[…]`");
    }
    diagnostic
}

/// The parser notices at the end of the text, or at a line's end, what went wrong before.
fn last_word_before(text: &str, at: usize) -> usize {
    let at = text.floor_char_boundary(at);
    if text[at..].starts_with(|c| c != '\n' && c != '\r') {
        return at;
    }
    let before = text[..at].trim_end();
    before.char_indices().next_back().map_or(0, |(last, _)| last)
}

/// Whether the line has a `${` before this byte whose brace YAML took for its own.
fn follows_bare_reference(text: &str, at: usize) -> bool {
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let bare = |sign: usize| !text[..line + sign].ends_with(['"', '\'']);
    text[line..].match_indices("${").take_while(|(sign, _)| line + sign <= at).any(|(sign, _)| bare(sign))
}

struct Known {
    complaint: &'static str,
    message: &'static str,
    help: &'static str,
}

/// The first that matches counts.
const KNOWN: &[Known] = &[
    Known { complaint: "tab", message: "a tab cannot indent", help: "indent with spaces" },
    Known {
        complaint: "while parsing a quoted scalar",
        message: "this quoted text has an escape that means nothing",
        help: "write `\\\\` for a backslash, or use single quotes",
    },
    Known {
        complaint: "quoted scalar",
        message: "this quoted text does not end",
        help: "close the quote; a quote within it is written `\\\"` in double quotes and `''` in single ones",
    },
    Known {
        complaint: "mapping values are not allowed",
        message: "a second `:` makes no sense here",
        help: "put the text in quotes if the `:` belongs to it, or begin a new line",
    },
    Known {
        complaint: "while parsing a flow mapping",
        message: "this `{…}` is not complete",
        help: "separate entries by `,` and close it with `}`",
    },
    Known {
        complaint: "while parsing a flow sequence",
        message: "this `[…]` is not complete",
        help: "separate items by `,` and close it with `]`",
    },
    Known { complaint: "expect ':'", message: "a `:` is missing after this key", help: "write `name: value`" },
    Known {
        complaint: "did not find expected key",
        message: "a key is expected here",
        help: "check the indentation: the keys of a map begin at the same column",
    },
    Known {
        complaint: "unknown anchor",
        message: "this alias names nothing",
        help: "an anchor (`&name`) must come before its alias (`*name`)",
    },
    Known {
        complaint: "recursion limit exceeded",
        message: "values lie more than 64 levels deep",
        help: "use fewer levels of `[` and `{`",
    },
    Known {
        complaint: "did not find expected '-' indicator",
        message: "an item of a list is expected here",
        help: "check the indentation: the `-` of all items stand at the same column",
    },
    Known {
        complaint: "block sequence entries are not allowed",
        message: "a list cannot begin here",
        help: "begin it on a line of its own",
    },
    Known {
        complaint: "did not find expected node content",
        message: "a value is expected here",
        help: "write a value, or put text in quotes that begins with a sign such as `,` or `]`",
    },
    Known {
        complaint: "indentation",
        message: "the indentation of this line fits nothing above it",
        help: "begin what belongs together at the same column",
    },
];
