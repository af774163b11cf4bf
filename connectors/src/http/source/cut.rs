//! Cuts a request's body into records, and says where it cannot be cut. Knows nothing of HTTP.

use std::{ops::Range, sync::Arc};

use serde_json::{Value, json};

use crate::{
    file::Cut,
    format::{Cursor, Format, Framing},
};

/// Where the records are in a body.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) ranges: Vec<Range<usize>>,
    /// The line that names the columns, where the format has one.
    pub(super) header: Option<Arc<[u8]>>,
}

/// Why nothing of a body was taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadBody {
    /// What is wrong.
    pub(super) message: String,
    /// Which record, from 0.
    pub(super) record: Option<usize>,
    /// The line of the body, from 1.
    pub(super) line: usize,
}

impl BadBody {
    /// With the line of byte `at`.
    pub(super) fn at(body: &[u8], at: usize, record: Option<usize>, message: impl Into<String>) -> Self {
        let line = memchr::memchr_iter(b'\n', &body[..at.min(body.len())]).count() + 1;
        Self { message: message.into(), record, line }
    }

    /// For the answer.
    pub(super) fn to_json(&self) -> Value {
        json!({ "error": self.message, "record": self.record, "line": self.line })
    }
}

/// Cuts `body` as its format says. Blank lines are no records.
pub(super) fn cut(format: &Format, body: &[u8], content_type: Option<&str>) -> Result<Records, BadBody> {
    let records = match (format, format.framing()) {
        (Format::Json(_), _) if is_lines(content_type) => lines(format, body, false),
        (Format::Json(_), _) => json_values(body)?,
        (_, Framing::Lines) => lines(format, body, false),
        (_, Framing::Csv { header, .. }) => lines(format, body, header),
        (_, Framing::Whole | Framing::Container) => {
            Records { ranges: std::iter::once(0..body.len()).collect(), header: None }
        }
    };
    Ok(records)
}

/// Whether the sender says that each line is a record.
fn is_lines(content_type: Option<&str>) -> bool {
    let media_type = content_type.and_then(|text| text.split(';').next()).unwrap_or_default().trim();
    [
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
    ]
    .iter()
    .any(|lines| media_type.eq_ignore_ascii_case(lines))
}

fn lines(format: &Format, body: &[u8], mut has_header: bool) -> Records {
    let mut cut = Cut::new(format);
    let mut records = Records::default();
    let mut start = 0;
    while start < body.len() {
        let length = cut.end(&body[start..]).unwrap_or(body.len() - start);
        let line = trimmed(&body[start..start + length]);
        if has_header {
            records.header = Some(line.into());
            has_header = false;
        } else if !line.is_empty() {
            records.ranges.push(start..start + line.len());
        }
        start += length;
    }
    records
}

/// Without the line's end.
fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The elements of an array, or values one behind the other: a single one, or one a line.
fn json_values(body: &[u8]) -> Result<Records, BadBody> {
    if let Err(error) = std::str::from_utf8(body) {
        let at = error.valid_up_to();
        return Err(BadBody::at(body, at, None, format!("byte {at}: the bytes are not UTF-8")));
    }
    let mut cursor = Cursor::new(body);
    let mut ranges = Vec::new();
    cursor.space();
    let ends = match cursor.peek() {
        b'[' => array(&mut cursor, &mut ranges),
        b'{' => sequence(&mut cursor, &mut ranges),
        _ => {
            let message = "expected an object, an array of objects, or one object a line";
            return Err(BadBody::at(body, cursor.at(), None, message));
        }
    };
    match ends {
        Ok(()) => Ok(Records { ranges, header: None }),
        Err(message) => Err(BadBody::at(body, cursor.at(), Some(ranges.len()), message)),
    }
}

fn array(cursor: &mut Cursor<'_>, ranges: &mut Vec<Range<usize>>) -> Result<(), String> {
    let mut more = cursor.open(b']');
    while more {
        value(cursor, ranges)?;
        more = cursor.more(b']').map_err(|fault| fault.of_row(0, 0).message)?;
    }
    cursor.space();
    if cursor.is_done() { Ok(()) } else { Err(format!("byte {}: something follows the array", cursor.at())) }
}

fn sequence(cursor: &mut Cursor<'_>, ranges: &mut Vec<Range<usize>>) -> Result<(), String> {
    while !cursor.is_done() {
        value(cursor, ranges)?;
        cursor.space();
    }
    Ok(())
}

fn value(cursor: &mut Cursor<'_>, ranges: &mut Vec<Range<usize>>) -> Result<(), String> {
    let start = cursor.at();
    cursor.skip(0).map_err(|fault| fault.of_row(0, 0).message)?;
    ranges.push(start..cursor.at());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::CsvSettings;

    #[track_caller]
    fn check(
        format: &Format,
        content_type: Option<&str>,
        body: &str,
        expected: Result<&[&str], (Option<usize>, usize)>,
    ) {
        match (cut(format, body.as_bytes(), content_type), expected) {
            (Ok(records), Ok(expected)) => {
                let found: Vec<&str> = records.ranges.into_iter().map(|range| &body[range]).collect();
                assert_eq!(found, expected);
            }
            (Err(bad), Err(place)) => assert_eq!((bad.record, bad.line), place, "{}", bad.message),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn json_by_its_first_byte() {
        let json = Format::default();
        check(&json, None, " {\"a\": [1,\n2]} \n", Ok(&["{\"a\": [1,\n2]}"]));
        check(&json, None, "[ {\"a\":1} , {\"b\":\"]\"}\n]", Ok(&["{\"a\":1}", "{\"b\":\"]\"}"]));
        check(&json, None, "[]", Ok(&[]));
        check(&json, None, "{\"a\":1}\n{\"b\":2}\r\n\n{\"c\":3}", Ok(&["{\"a\":1}", "{\"b\":2}", "{\"c\":3}"]));
        check(
            &json,
            Some("application/x-ndjson; charset=utf-8"),
            "{\"a\":\n{\"b\":2}\n",
            Ok(&["{\"a\":", "{\"b\":2}"]),
        );
    }

    #[test]
    fn where_a_body_cannot_be_cut() {
        let json = Format::default();
        check(&json, None, "", Err((None, 1)));
        check(&json, None, "\n\n 17", Err((None, 3)));
        check(&json, None, "[{\"a\":1},\n{\"b\":}]", Err((Some(1), 2)));
        check(&json, None, "[{\"a\":1}", Err((Some(1), 1)));
        check(&json, None, "[{\"a\":1}] {}", Err((Some(1), 1)));
        check(&json, None, "{\"a\":1}\n{\"b\":2", Err((Some(1), 2)));
        assert!(cut(&json, b"[{\"a\":\"\xff\"}]", None).unwrap_err().message.starts_with("byte 7"));
    }

    #[test]
    fn other_formats_as_in_files() {
        check(&Format::Text, None, "one\r\n\ntwo", Ok(&["one", "two"]));
        check(&Format::Bytes, None, "a\nb", Ok(&["a\nb"]));
        let csv = Format::Csv(CsvSettings { header: true, ..CsvSettings::default() }, None);
        check(&csv, None, "a,b\n1,\"x\ny\"\n2,z", Ok(&["1,\"x\ny\"", "2,z"]));
        assert_eq!(cut(&csv, b"a,b\r\n1,2", None).unwrap().header.as_deref(), Some(&b"a,b"[..]));
    }
}
