//! What the YAML parser complains about, in the words of somebody who has not read YAML's grammar.

use crate::{Diagnostic, SourceFile};

/// One diagnostic for text that is not YAML, at a byte.
pub(crate) fn explain(file: &SourceFile, at: usize, complaint: &str) -> Diagnostic {
    let known = KNOWN.iter().find(|known| complaint.contains(known.complaint));
    let width = file.text()[at.min(file.text().len())..].chars().next().map_or(0, char::len_utf8);
    let span = file.span(at, at + width);
    match known {
        Some(known) => Diagnostic::error(span, known.message).help(known.help),
        None => Diagnostic::error(span, format!("this is not YAML: {complaint}")),
    }
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
        complaint: "while scanning a quoted scalar",
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
    Known {
        complaint: "could not find expected ':'",
        message: "a `:` is missing after this key",
        help: "write `name: value`",
    },
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
        message: "values lie too deep within values",
        help: "use fewer levels of `[` and `{`",
    },
];
