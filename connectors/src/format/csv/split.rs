//! Cuts one CSV record into its fields. Strict where leniency would hide a damaged row: a quote must be closed, and
//! nothing but the delimiter may follow it.

use memchr::{memchr, memchr2};

/// The characters that structure a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    pub(crate) quote: u8,
    /// What stands before a quote inside quotes; two quotes unless set.
    pub(crate) escape: Option<u8>,
}

/// The fields of one record, unquoted. Keeps its memory from record to record.
#[derive(Default)]
pub(crate) struct Fields {
    text: Vec<u8>,
    fields: Vec<FieldEnd>,
}

struct FieldEnd {
    end: usize,
    quoted: bool,
    /// Where the field began in the record.
    at: usize,
}

/// One field.
#[derive(Clone, Copy)]
pub(crate) struct FieldText<'a> {
    /// The text without quotes and escapes.
    pub(crate) text: &'a [u8],
    /// Whether it stood in quotes.
    pub(crate) quoted: bool,
    /// Where it began in the record.
    pub(crate) at: usize,
}

impl Fields {
    /// The number of fields.
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Field `i`.
    pub(crate) fn get(&self, i: usize) -> FieldText<'_> {
        let start = if i == 0 { 0 } else { self.fields[i - 1].end };
        let FieldEnd { end, quoted, at } = self.fields[i];
        FieldText { text: &self.text[start..end], quoted, at }
    }

    /// Cuts `record`, which may have a line end behind it, or says at which byte it is damaged and how.
    pub(crate) fn split(&mut self, record: &[u8], dialect: Dialect) -> Result<(), (usize, &'static str)> {
        self.text.clear();
        self.fields.clear();
        let record = record.strip_suffix(b"\n").unwrap_or(record);
        let record = record.strip_suffix(b"\r").unwrap_or(record);
        let mut at = 0;
        loop {
            let start = at;
            let quoted = record.get(at) == Some(&dialect.quote);
            at = if quoted { self.quoted(record, at, dialect)? } else { self.bare(record, at, dialect)? };
            self.fields.push(FieldEnd { end: self.text.len(), quoted, at: start });
            match record.get(at) {
                None => return Ok(()),
                Some(byte) if *byte == dialect.delimiter => at += 1,
                Some(_) => return Err((at, "a delimiter must follow the closing quote")),
            }
        }
    }

    fn bare(&mut self, record: &[u8], at: usize, dialect: Dialect) -> Result<usize, (usize, &'static str)> {
        let end = memchr(dialect.delimiter, &record[at..]).map_or(record.len(), |length| at + length);
        let text = &record[at..end];
        if let Some(line_end) = memchr2(b'\n', b'\r', text) {
            return Err((at + line_end, "the record goes on behind a line end that is not in quotes"));
        }
        self.text.extend_from_slice(text);
        Ok(end)
    }

    fn quoted(&mut self, record: &[u8], start: usize, dialect: Dialect) -> Result<usize, (usize, &'static str)> {
        let mut at = start + 1;
        loop {
            let rest = &record[at..];
            let found = match dialect.escape {
                Some(escape) => memchr2(dialect.quote, escape, rest),
                None => memchr(dialect.quote, rest),
            };
            let Some(length) = found else { return Err((start, "the quote is never closed")) };
            self.text.extend_from_slice(&rest[..length]);
            at += length;
            let next = record.get(at + 1).copied();
            let kept = match dialect.escape {
                Some(escape) if record[at] == escape => next,
                Some(_) => None,
                None => next.filter(|next| *next == dialect.quote),
            };
            match kept {
                Some(byte) => {
                    self.text.push(byte);
                    at += 2;
                }
                None => return Ok(at + 1),
            }
        }
    }
}
