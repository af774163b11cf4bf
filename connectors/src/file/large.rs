//! A record that is too large: its beginning is kept, all of it is measured and hashed, and the rest is let go.

use sha2::{Digest, Sha256};

use crate::source::Whole;

/// How much is kept of a record that is too large.
pub(super) const KEPT: usize = 512 << 10;

/// What has been read of such a record so far.
#[derive(Default)]
pub(super) struct Large {
    kept: Vec<u8>,
    bytes: u64,
    hash: Sha256,
    /// Whether the last byte was a `\r`, which is of the record unless its line end begins there.
    held: bool,
}

impl Large {
    /// More of the record, but not the `\n` behind it.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.held) {
            self.add(b"\r");
        }
        let without = bytes.strip_suffix(b"\r");
        self.held = without.is_some();
        self.add(without.unwrap_or(bytes));
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = KEPT - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// The record's beginning, and what is known of all of it, without its line end.
    pub(super) fn finish(self) -> (Vec<u8>, Whole) {
        (self.kept, Whole { bytes: self.bytes, sha256: self.hash.finalize().into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_the_same_however_it_comes_in_pieces() {
        for (text, record) in [("a\rbc\r", "a\rbc"), ("ab\r\r", "ab\r"), ("abc", "abc"), ("\r", ""), ("", "")] {
            for cut in 0..=text.len() {
                let mut large = Large::default();
                [&text[..cut], "", &text[cut..]].iter().for_each(|part| large.push(part.as_bytes()));
                let sha256 = Sha256::digest(record).into();
                let whole = Whole { bytes: record.len() as u64, sha256 };
                assert_eq!(large.finish(), (record.as_bytes().to_vec(), whole), "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn only_the_beginning_is_kept() {
        let mut large = Large::default();
        (0..3).for_each(|_| large.push(&[b'x'; KEPT - 1]));
        let (kept, whole) = large.finish();
        assert_eq!((kept.len(), whole.bytes), (KEPT, 3 * (KEPT as u64 - 1)));
    }
}
