//! Finds where a record ends. Sees bytes as they come and remembers what it has looked at; knows nothing of files.

use memchr::{memchr, memchr2};

use crate::format::{CsvSettings, Format};

/// Finds the ends of records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    framing: Framing,
    /// How many bytes of the record that has begun were looked at.
    seen: usize,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Lines,
    Csv { delimiter: u8, quote: u8, escape: Option<u8> },
}

/// Where in a CSV record the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the beginning of a field: only here a quote opens.
    Field,
    /// In a field without quotes, or behind the closing quote.
    Bare,
    Quoted,
    /// In quotes, behind the escape character.
    Escaped,
    /// Behind a quote in quotes: another one is a character of the field, anything else is outside.
    Closed,
}

impl Cut {
    /// For a format whose records are lines or CSV rows.
    pub(crate) fn new(format: &Format) -> Self {
        let framing = match format {
            Format::Csv(settings, _) => Self::csv(settings),
            _ => Framing::Lines,
        };
        Self { framing, seen: 0, state: State::Field }
    }

    fn csv(settings: &CsvSettings) -> Framing {
        let dialect = settings.dialect();
        Framing::Csv { delimiter: dialect.delimiter, quote: dialect.quote, escape: dialect.escape }
    }

    /// Where the record that begins `bytes` ends, its line end included, if that is in `bytes`. If not, the next call
    /// gets the same bytes and more, and goes on where this one stopped; see also [`Cut::forget`].
    pub(crate) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let end = match self.framing {
            Framing::Lines => memchr(b'\n', &bytes[self.seen..]).map(|at| self.seen + at + 1),
            Framing::Csv { delimiter, quote, escape } => self.csv_end(bytes, delimiter, quote, escape),
        };
        match end {
            Some(_) => *self = Self { seen: 0, state: State::Field, ..*self },
            None => self.seen = bytes.len(),
        }
        end
    }

    /// Says that the bytes looked at are gone: the next call's bytes are those behind them, of the same record.
    pub(crate) fn forget(&mut self) {
        self.seen = 0;
    }

    /// Says that a new record begins with the next bytes.
    pub(crate) fn restart(&mut self) {
        self.seen = 0;
        self.state = State::Field;
    }

    fn csv_end(&mut self, bytes: &[u8], delimiter: u8, quote: u8, escape: Option<u8>) -> Option<usize> {
        let mut at = self.seen;
        while at < bytes.len() {
            let rest = &bytes[at..];
            match self.state {
                State::Field if rest[0] == quote => {
                    self.state = State::Quoted;
                    at += 1;
                }
                State::Field | State::Bare => {
                    self.state = State::Bare;
                    at += memchr2(delimiter, b'\n', rest)? + 1;
                    if bytes[at - 1] == b'\n' {
                        return Some(at);
                    }
                    self.state = State::Field;
                }
                State::Quoted => {
                    at += memchr2(quote, escape.unwrap_or(quote), rest)? + 1;
                    let closes = bytes[at - 1] == quote;
                    self.state = if closes { State::Closed } else { State::Escaped };
                }
                State::Escaped => {
                    self.state = State::Quoted;
                    at += 1;
                }
                State::Closed if rest[0] == quote => {
                    self.state = State::Quoted;
                    at += 1;
                }
                State::Closed => self.state = State::Bare,
            }
        }
        None
    }
}
