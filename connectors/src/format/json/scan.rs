//! Walks over the bytes of one JSON message: white space, literals, strings, numbers, and values nobody wants.
//!
//! Knows nothing of columns. What it accepts is RFC 8259, with nesting bounded by [`MAX_DEPTH`].

use super::{
    fault::{Fault, Read},
    number::Number,
};

/// Arrays and objects may be nested this deep.
pub(crate) const MAX_DEPTH: usize = 64;

/// A place in a message.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The inside of a string's quotes.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    raw: &'a [u8],
    /// Where `raw` begins in the message.
    at: usize,
    escaped: bool,
}

impl<'a> Cursor<'a> {
    /// At the first byte.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The place, counted from the first byte.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The bytes from `start` to here.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// The byte here; 0, which is never part of JSON's structure, at the end.
    #[inline(always)]
    pub(crate) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Goes one byte on. Only after [`peek`](Self::peek) gave a byte.
    #[inline(always)]
    pub(crate) fn step(&mut self) {
        self.at += 1;
    }

    /// Whether all bytes were read.
    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Goes over white space.
    #[inline(always)]
    pub(crate) fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Goes over `prefix` if it is here.
    #[inline(always)]
    pub(crate) fn skip_prefix(&mut self, prefix: &[u8]) -> bool {
        let found = self.bytes[self.at.min(self.bytes.len())..].starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    /// A syntax error here.
    #[cold]
    pub(crate) fn unexpected(&self, expected: &'static str) -> Box<Fault> {
        if self.is_done() {
            Fault::syntax(self.at, format!("the message ends where {expected} was expected"))
        } else {
            Fault::syntax(self.at, format!("expected {expected}"))
        }
    }

    /// `word`, whose first byte is here.
    pub(crate) fn literal(&mut self, word: &'static str) -> Read<()> {
        if self.skip_prefix(word.as_bytes()) {
            Ok(())
        } else {
            Err(self.unexpected("`true`, `false`, `null` or another value"))
        }
    }

    /// The colon after a key, and the space around it.
    #[inline(always)]
    pub(crate) fn colon(&mut self) -> Read<()> {
        self.space();
        if self.peek() != b':' {
            return Err(self.unexpected("`:` after the key"));
        }
        self.step();
        self.space();
        Ok(())
    }

    /// What follows a member or element: `true` if there is another one, `false` after `close`. The cursor ends before
    /// the next value, or behind `close`.
    #[inline(always)]
    pub(crate) fn more(&mut self, close: u8) -> Read<bool> {
        self.space();
        let here = self.peek();
        if here == b',' {
            self.step();
            self.space();
            Ok(true)
        } else if here == close {
            self.step();
            Ok(false)
        } else {
            Err(self.unexpected(if close == b'}' { "`,` or `}`" } else { "`,` or `]`" }))
        }
    }

    /// Behind the opening bracket, which is here: whether a first member or element follows.
    #[inline(always)]
    pub(crate) fn open(&mut self, close: u8) -> bool {
        self.step();
        self.space();
        if self.peek() == close {
            self.step();
            return false;
        }
        true
    }

    /// The string whose opening quote is here.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Read<Text<'a>> {
        let start = self.at + 1;
        let end = special(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Text { raw: &self.bytes[start..end], at: start, escaped: false });
        }
        self.long_string(start, end)
    }

    /// The rest of a string in which something other than the closing quote stands at `at`.
    #[cold]
    fn long_string(&mut self, start: usize, mut at: usize) -> Read<Text<'a>> {
        let mut escaped = false;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += self.escape(at)?;
                }
                Some(_) => return Err(Fault::syntax(at, "a control character in a string must be escaped")),
                None => return Err(Fault::syntax(at, "the message ends inside a string")),
            }
            at = special(self.bytes, at);
        }
        self.at = at + 1;
        Ok(Text { raw: &self.bytes[start..at], at: start, escaped })
    }

    /// The length of the escape at `at`.
    fn escape(&self, at: usize) -> Read<usize> {
        match self.bytes.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
            Some(b'u') => {
                let digits = self.bytes.get(at + 2..at + 6);
                if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    Ok(6)
                } else {
                    Err(Fault::syntax(at, "expected four hexadecimal digits after `\\u`"))
                }
            }
            _ => Err(Fault::syntax(at, "unknown escape: expected one of `\\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u`")),
        }
    }

    /// The number that begins here.
    #[inline(always)]
    pub(crate) fn number(&mut self) -> Read<Number<'a>> {
        let (number, length) =
            Number::read(&self.bytes[self.at..]).map_err(|(offset, what)| Fault::syntax(self.at + offset, what))?;
        self.at += length;
        Ok(number)
    }

    /// Goes over the value here, of whatever kind, checking its form. `depth` brackets are open around it.
    #[inline]
    pub(crate) fn skip(&mut self, depth: usize) -> Read<()> {
        match self.peek() {
            b'"' => self.string().map(drop),
            b'-' | b'0'..=b'9' => self.number().map(drop),
            b'{' => self.skip_object(depth + 1),
            b'[' => self.skip_array(depth + 1),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn skip_object(&mut self, depth: usize) -> Read<()> {
        self.check_depth(depth)?;
        if !self.open(b'}') {
            return Ok(());
        }
        loop {
            self.key()?;
            self.colon()?;
            self.skip(depth)?;
            if !self.more(b'}')? {
                return Ok(());
            }
        }
    }

    fn skip_array(&mut self, depth: usize) -> Read<()> {
        self.check_depth(depth)?;
        if !self.open(b']') {
            return Ok(());
        }
        loop {
            self.skip(depth)?;
            if !self.more(b']')? {
                return Ok(());
            }
        }
    }

    /// The key that must be here.
    #[inline(always)]
    pub(crate) fn key(&mut self) -> Read<Text<'a>> {
        if self.peek() == b'"' { self.string() } else { Err(self.unexpected("a key in quotes")) }
    }

    /// Refuses to go deeper than [`MAX_DEPTH`].
    #[inline(always)]
    pub(crate) fn check_depth(&self, depth: usize) -> Read<()> {
        if depth > MAX_DEPTH {
            return Err(Fault::syntax(self.at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        Ok(())
    }
}

impl<'a> Text<'a> {
    /// The text as it stands, if nothing in it is escaped.
    #[inline(always)]
    pub(crate) fn plain(&self) -> Option<&'a [u8]> {
        (!self.escaped).then_some(self.raw)
    }

    /// Where the text begins in the message.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Appends the text with its escapes resolved.
    #[inline(always)]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) -> Read<()> {
        if self.escaped {
            return self.unescape(out);
        }
        out.extend_from_slice(self.raw);
        Ok(())
    }

    fn unescape(&self, out: &mut Vec<u8>) -> Read<()> {
        let mut at = 0;
        while let Some(next) = memchr::memchr(b'\\', &self.raw[at..]) {
            out.extend_from_slice(&self.raw[at..at + next]);
            at += next;
            let simple = match self.raw[at + 1] {
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'u' => {
                    let (character, length) = self.unicode(at)?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    at += length;
                    continue;
                }
                other => other,
            };
            out.push(simple);
            at += 2;
        }
        out.extend_from_slice(&self.raw[at..]);
        Ok(())
    }

    /// The character of the `\u` at `at`, which is two of them beyond the basic plane, and the length of it all.
    fn unicode(&self, at: usize) -> Read<(char, usize)> {
        let unpaired = || Fault::syntax(self.at + at, "`\\u` is half of a surrogate pair");
        let first = self.hex(at + 2);
        if !(0xd800..0xe000).contains(&first) {
            return Ok((char::from_u32(first).ok_or_else(unpaired)?, 6));
        }
        if first >= 0xdc00 || self.raw.get(at + 6..at + 8) != Some(b"\\u") {
            return Err(unpaired());
        }
        let second = self.hex(at + 8);
        if !(0xdc00..0xe000).contains(&second) {
            return Err(unpaired());
        }
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        Ok((char::from_u32(code).ok_or_else(unpaired)?, 12))
    }

    /// Four digits that [`Cursor::escape`] has checked.
    fn hex(&self, at: usize) -> u32 {
        self.raw[at..at + 4].iter().fold(0, |code, digit| code << 4 | char::from(*digit).to_digit(16).unwrap_or(0))
    }
}

/// The first quote, backslash or control character at or after `at`; the end if there is none.
#[inline(always)]
pub(crate) fn special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let hits = special_bytes(u64::from_le_bytes(*chunk));
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        at += 1;
    }
    at
}

/// The top bit of each byte that is a quote, a backslash or a control character, exact up to the first such byte
/// (a borrow can only mark bytes after it).
#[inline(always)]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let zero = (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero | control) & TOPS
}
