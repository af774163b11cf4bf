//! From an object's keys to columns, by guessing: records of one stream have the same keys in the same order, so for
//! each key we remember which one followed it last time, and compare before searching.

use std::collections::HashMap;

use arrow_schema::Fields;

use super::{fault::Read, scan::Cursor};

/// Keys without a column that are remembered, so that they too are guessed. Others are searched for every time.
const REMEMBERED: usize = 256;

/// Longer keys without a column are not remembered.
const REMEMBERED_LENGTH: usize = 128;

/// The keys of one kind of object.
pub(crate) struct Keys {
    known: Vec<Known>,
    index: HashMap<Box<[u8]>, u32>,
    /// The key that came first last time.
    first: u32,
    /// The key that was read last in this object.
    last: Option<u32>,
    scratch: Vec<u8>,
    limit: usize,
}

struct Known {
    /// As it stands in a message, with the quotes around it.
    quoted: Box<[u8]>,
    column: Option<usize>,
    /// The key that followed last time.
    next: u32,
}

impl Keys {
    /// The keys of these columns.
    pub(crate) fn new(fields: &Fields) -> Self {
        let mut keys = Self {
            known: Vec::new(),
            index: HashMap::new(),
            first: 0,
            last: None,
            scratch: Vec::new(),
            limit: REMEMBERED + fields.len(),
        };
        for (column, field) in fields.iter().enumerate() {
            keys.remember(field.name(), Some(column));
        }
        keys
    }

    /// A new object begins.
    #[inline(always)]
    pub(crate) fn begin(&mut self) {
        self.last = None;
    }

    /// Reads a key: its column, if it has one.
    #[inline(always)]
    pub(crate) fn read(&mut self, cursor: &mut Cursor<'_>) -> Read<Option<usize>> {
        let guess = match self.last {
            Some(last) => self.known[last as usize].next,
            None => self.first,
        };
        if let Some(known) = self.known.get(guess as usize)
            && cursor.skip_prefix(&known.quoted)
        {
            self.last = Some(guess);
            return Ok(known.column);
        }
        self.search(cursor)
    }

    fn search(&mut self, cursor: &mut Cursor<'_>) -> Read<Option<usize>> {
        let text = cursor.key()?;
        self.scratch.clear();
        let name = match text.plain() {
            Some(name) => name,
            None => {
                text.append_to(&mut self.scratch)?;
                &self.scratch
            }
        };
        let found = match self.index.get(name) {
            Some(found) => *found,
            None => match std::str::from_utf8(name) {
                Ok(name) if self.known.len() < self.limit && name.len() <= REMEMBERED_LENGTH => {
                    let name = name.to_owned();
                    self.remember(&name, None)
                }
                _ => return Ok(None),
            },
        };
        match self.last {
            Some(last) => self.known[last as usize].next = found,
            None => self.first = found,
        }
        self.last = Some(found);
        Ok(self.known[found as usize].column)
    }

    /// Adds a key; its successor is guessed to be the next one added.
    fn remember(&mut self, name: &str, column: Option<usize>) -> u32 {
        let place = u32::try_from(self.known.len()).expect("few keys are remembered");
        // As an encoder writes it. A key that is escaped otherwise is found by searching.
        let quoted = serde_json::Value::from(name).to_string().into_bytes().into();
        self.known.push(Known { quoted, column, next: place + 1 });
        self.index.insert(name.as_bytes().into(), place);
        place
    }
}
