//! The text a person wrote, and places in it. Knows lines and columns, nothing of YAML.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Diagnostic, Diagnostics};

/// The largest file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 4 * 1024 * 1024;

/// Tells one [`SourceFile`] of this process from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

impl FileId {
    fn next() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A place in a file: bytes `start..end` of its text, on character boundaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The file the bytes belong to.
    pub file: FileId,
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

impl Span {
    /// The bytes as a range.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// A text with its name. Cheap to clone: clones share the text and the identity.
#[derive(Debug, Clone)]
pub struct SourceFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: FileId,
    path: String,
    text: String,
    /// Where each line begins, in bytes. Never empty.
    lines: Vec<usize>,
}

impl SourceFile {
    /// A text and the name to show for it, usually the path the user gave.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let mut text: String = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        let lines = line_starts(&text);
        Self(Arc::new(Inner { id: FileId::next(), path: path.into(), text, lines }))
    }

    /// The same for bytes just read. What is not UTF-8 text, or too large, becomes one diagnostic.
    pub fn from_bytes(path: impl Into<String>, bytes: Vec<u8>, diagnostics: &mut Diagnostics) -> Option<Self> {
        if bytes.len() > MAX_FILE_BYTES {
            let file = Self::new(path, "");
            diagnostics.add_source(&file);
            diagnostics.push(too_large(&file, bytes.len()));
            return None;
        }
        match String::from_utf8(bytes) {
            Ok(text) => Some(Self::new(path, text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                // Shown with the bad bytes replaced; what comes before them keeps its place.
                let shown = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let file = Self::new(path, shown);
                let at = at.min(file.text().len());
                diagnostics.add_source(&file);
                diagnostics.push(
                    Diagnostic::error(file.span(at, at + '\u{fffd}'.len_utf8()), "this file is not UTF-8 text")
                        .help("save the file as UTF-8"),
                );
                None
            }
        }
    }

    /// This file's identity, as found in a [`Span`].
    pub fn id(&self) -> FileId {
        self.0.id
    }

    /// The name shown to people.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The whole text, without a byte order mark.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The place of bytes `start..end`; what is outside the text or inside a character is moved inwards.
    pub fn span(&self, start: usize, end: usize) -> Span {
        let text = self.text();
        let start = text.floor_char_boundary(start);
        let end = text.floor_char_boundary(end).max(start);
        Span { file: self.id(), start, end }
    }

    /// Line and column of a byte, both from 1, the column in characters.
    pub fn line_column(&self, byte: usize) -> (usize, usize) {
        let byte = self.text().floor_char_boundary(byte);
        let line = self.0.lines.partition_point(|start| *start <= byte);
        let start = self.0.lines[line - 1];
        (line, self.text()[start..byte].chars().count() + 1)
    }

    /// The bytes of a line (from 1), without its line break; a line that does not exist is the last one.
    pub(crate) fn line_range(&self, line: usize) -> Range<usize> {
        let index = line.clamp(1, self.0.lines.len()) - 1;
        let start = self.0.lines[index];
        let end = self.0.lines.get(index + 1).copied();
        let end = end.unwrap_or(self.text().len());
        let line = self.text()[start..end].trim_end_matches(['\n', '\r']);
        start..start + line.len()
    }
}

pub(crate) fn too_large(file: &SourceFile, bytes: usize) -> Diagnostic {
    Diagnostic::error(
        file.span(0, 0),
        format!("this file is too large: {bytes} bytes, and at most {} MiB are read", MAX_FILE_BYTES / 1024 / 1024),
    )
}

fn line_starts(text: &str) -> Vec<usize> {
    let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect()
}
