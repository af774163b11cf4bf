//! The records of one file of lines or CSV rows, in bounded memory: a buffer that grows to the largest record that is
//! allowed, whatever the file holds.

use std::{
    fs::File,
    io::{self, Read},
    sync::Arc,
};

use arrow_array::BinaryArray;
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use memchr::memchr_iter;

use super::{
    cut::Cut,
    input::{Input, Packing},
    large::Large,
};
use crate::{
    format::{Format, Framing},
    position::Position,
    source::{BatchLimits, Whole},
};

/// How much is read at a time.
const CHUNK: usize = 1 << 20;
/// The smallest buffer.
const SMALLEST: usize = 4 << 10;
/// The mark that some programs put before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What all files of a source have in common.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) format: Format,
    /// The largest record in bytes.
    pub(super) max_record: usize,
    /// Whether lines are counted.
    pub(super) count_lines: bool,
}

impl Rules {
    /// Whether a line of nothing but white space is a record.
    fn keeps_blank(&self) -> bool {
        matches!(self.format, Format::Text)
    }

    fn has_header(&self) -> bool {
        matches!(self.format.framing(), Framing::Csv { header: true, .. })
    }
}

/// Some records.
pub(super) struct Cutting {
    pub(super) values: BinaryArray,
    pub(super) positions: Vec<Position>,
    /// The line each begins at, from 1; 0 where lines are not counted.
    pub(super) lines: Vec<u64>,
}

/// What comes next in a file.
pub(super) enum Next {
    Records(Cutting),
    /// A record too large: its beginning, and what is known of all of it.
    TooLarge(Cutting, Whole),
    /// Nothing complete is left. There may be the beginning of a record.
    End,
    /// The file ends before the position where reading was to go on.
    Short,
}

/// A file that is being read.
pub(super) struct Records {
    rules: Rules,
    input: Input,
    buffer: Vec<u8>,
    /// What is unread in the buffer.
    start: usize,
    end: usize,
    cut: Cut,
    /// The position of `buffer[start]`.
    position: u64,
    /// Where records are to begin: behind the header, and where reading stopped the last time.
    from: u64,
    line: u64,
    header: Option<Arc<[u8]>>,
    large: Option<TooLarge>,
    /// Whether a last line without a line end is a record.
    last_counts: bool,
}

/// A record that is too large, of which the beginning was read.
struct TooLarge {
    large: Large,
    position: u64,
    line: u64,
}

impl Records {
    /// The records of a file from a position on.
    pub(super) fn new(file: File, packing: Packing, rules: &Rules, from: u64, last_counts: bool) -> io::Result<Self> {
        Ok(Self {
            input: Input::new(file, packing)?,
            cut: Cut::new(&rules.format),
            rules: rules.clone(),
            buffer: vec![0; rules.max_record.saturating_add(2).clamp(SMALLEST, CHUNK)],
            start: 0,
            end: 0,
            position: 0,
            from,
            line: 1,
            header: None,
            large: None,
            last_counts,
        })
    }

    /// The header, once it was read.
    pub(super) fn header(&self) -> Option<&Arc<[u8]>> {
        self.header.as_ref()
    }

    /// Where the next record begins.
    pub(super) fn position(&self) -> u64 {
        self.large.as_ref().map_or(self.position, |large| large.position).max(self.from)
    }

    /// The next records, within limits.
    pub(super) fn next(&mut self, limits: BatchLimits) -> io::Result<Next> {
        if !self.read_header()? {
            return Ok(Next::End);
        }
        if !self.go_to_start()? {
            return Ok(Next::Short);
        }
        loop {
            if let Some(next) = self.cut_buffer(limits) {
                return Ok(next);
            }
            self.make_room();
            if self.fill()? == 0 {
                return Ok(self.last());
            }
        }
    }

    /// Where the first record ends; nothing if there is none.
    pub(super) fn first_end(&mut self) -> io::Result<Option<u64>> {
        if !self.read_header()? || !self.go_to_start()? {
            return Ok(None);
        }
        self.whole_record()
    }

    /// Where the record that begins here ends; nothing if it is not complete.
    fn whole_record(&mut self) -> io::Result<Option<u64>> {
        loop {
            if let Some(end) = self.cut.end(&self.buffer[self.start..self.end]) {
                return Ok(Some(self.position + end as u64));
            }
            self.make_room();
            if self.fill()? == 0 {
                let end = self.position + (self.end - self.start) as u64;
                return Ok((self.last_counts && end > self.position).then_some(end));
            }
        }
    }

    /// Reads the header at the file's beginning, if there is to be one; false if it is not complete yet.
    fn read_header(&mut self) -> io::Result<bool> {
        if self.position == 0 && self.start == self.end {
            self.fill()?;
            if self.buffer[..self.end].starts_with(BYTE_ORDER_MARK) {
                self.advance(BYTE_ORDER_MARK.len());
            }
        }
        if !self.rules.has_header() || self.header.is_some() {
            return Ok(true);
        }
        let Some(end) = self.whole_record()? else { return Ok(false) };
        let length = usize::try_from(end - self.position).map_err(io::Error::other)?;
        if self.large.is_some() {
            return Err(io::Error::other("the header is larger than `max_record`"));
        }
        self.header = Some(without_line_end(&self.buffer[self.start..self.start + length]).into());
        self.advance(length);
        Ok(true)
    }

    /// Goes forward to where records are to begin; false if the file ends before.
    fn go_to_start(&mut self) -> io::Result<bool> {
        while self.position < self.from {
            let left = self.from - self.position;
            let buffered = self.end - self.start;
            if buffered == 0 && !self.rules.count_lines && self.input.jump(left)? {
                self.position = self.from;
                break;
            }
            self.advance(usize::try_from(left).unwrap_or(usize::MAX).min(buffered));
            if self.position < self.from {
                self.make_room();
                if self.fill()? == 0 {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The records that are complete in the buffer.
    fn cut_buffer(&mut self, limits: BatchLimits) -> Option<Next> {
        let mut gathered = Gathered::default();
        while gathered.positions.len() < limits.rows.max(1) {
            let Some(length) = self.cut.end(&self.buffer[self.start..self.end]) else { break };
            if self.large.is_some() || self.is_too_large(length) {
                if gathered.positions.is_empty() {
                    return Some(self.too_large(length));
                }
                break;
            }
            if !gathered.values.is_empty() && gathered.values.len() + length > limits.bytes {
                break;
            }
            self.take(length, &mut gathered);
        }
        (!gathered.positions.is_empty()).then(|| Next::Records(gathered.finish()))
    }

    /// Moves one record out of the buffer.
    fn take(&mut self, length: usize, gathered: &mut Gathered) {
        let value = without_line_end(&self.buffer[self.start..self.start + length]);
        if self.rules.keeps_blank() || !value.trim_ascii().is_empty() {
            gathered.push(value, self.position, if self.rules.count_lines { self.line } else { 0 });
        }
        self.advance(length);
    }

    /// Moves a record out of the buffer that is too large, or its end, if most of it has gone already.
    fn too_large(&mut self, length: usize) -> Next {
        let TooLarge { mut large, position, line } = self.take_large();
        let rest = &self.buffer[self.start..self.start + length];
        large.push(rest.strip_suffix(b"\n").unwrap_or(rest));
        self.advance(length);
        let (kept, whole) = large.finish();
        let mut gathered = Gathered::default();
        gathered.push(&kept, position, if self.rules.count_lines { line } else { 0 });
        Next::TooLarge(gathered.finish(), whole)
    }

    /// The record that is too large: the one of which most has gone, or one that begins here.
    fn take_large(&mut self) -> TooLarge {
        let begun = || TooLarge { large: Large::default(), position: self.position, line: self.line };
        self.large.take().unwrap_or_else(begun)
    }

    /// Whether a record of this length in the buffer, with its line end, is too large without it.
    fn is_too_large(&self, length: usize) -> bool {
        without_line_end(&self.buffer[self.start..self.start + length]).len() > self.rules.max_record
    }

    /// What is left at the end of the file.
    fn last(&mut self) -> Next {
        let left = self.end - self.start;
        if !self.last_counts || (left == 0 && self.large.is_none()) {
            return Next::End;
        }
        if self.large.is_some() || self.is_too_large(left) {
            return self.too_large(left);
        }
        let mut gathered = Gathered::default();
        self.take(left, &mut gathered);
        if gathered.positions.is_empty() { Next::End } else { Next::Records(gathered.finish()) }
    }

    /// Makes room behind what is unread: by moving it to the front, by a larger buffer, and if it is as large as a
    /// record may be, by letting go of all but the record's beginning.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end < self.buffer.len() {
            return;
        }
        // With the line end a record may be two bytes longer.
        let most = self.rules.max_record.saturating_add(2).max(SMALLEST);
        if self.buffer.len() < most {
            let size = (self.buffer.len() * 2).min(most);
            self.buffer.resize(size, 0);
            return;
        }
        let mut large = self.take_large();
        large.large.push(&self.buffer[..self.end]);
        self.large = Some(large);
        self.skip(self.end);
        (self.start, self.end) = (0, 0);
        self.cut.forget();
    }

    /// Reads until the buffer is full or the file's end; how much came.
    fn fill(&mut self) -> io::Result<usize> {
        let before = self.end;
        while self.end < self.buffer.len() {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What came before the damage is good: it is said when that has been handed over.
                Err(_) if self.end > before => break,
                Err(error) => return Err(error),
            }
        }
        Ok(self.end - before)
    }

    /// Moves to the beginning of another record.
    fn advance(&mut self, bytes: usize) {
        self.skip(bytes);
        self.cut.restart();
    }

    fn skip(&mut self, bytes: usize) {
        if self.rules.count_lines {
            self.line += memchr_iter(b'\n', &self.buffer[self.start..self.start + bytes]).count() as u64;
        }
        self.start += bytes;
        self.position += bytes as u64;
    }
}

/// Records on their way into a [`Cutting`].
#[derive(Default)]
struct Gathered {
    values: Vec<u8>,
    ends: Vec<i32>,
    positions: Vec<Position>,
    lines: Vec<u64>,
}

impl Gathered {
    fn push(&mut self, value: &[u8], position: u64, line: u64) {
        if self.ends.is_empty() {
            self.ends.push(0);
        }
        self.values.extend_from_slice(value);
        self.ends.push(i32::try_from(self.values.len()).expect("a batch is smaller than 2 GiB"));
        self.positions.push(Position::Offset(position));
        self.lines.push(line);
    }

    fn finish(self) -> Cutting {
        let ends = OffsetBuffer::new(ScalarBuffer::from(self.ends));
        let values = BinaryArray::new(ends, Buffer::from_vec(self.values), None);
        Cutting { values, positions: self.positions, lines: self.lines }
    }
}

fn without_line_end(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}
