//! Rows as JSON texts and back, for kinds whose code sees records instead of columns.
//!
//! How a value is written as JSON is the same everywhere in a pipeline, and not this crate's to decide: whoever makes a
//! function hands in the codec.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

/// JSON texts one after the other, without separators: one a row.
#[derive(Debug, Clone, Default)]
pub struct JsonRows {
    /// All texts. Each is one whole JSON value in UTF-8.
    pub text: Vec<u8>,
    /// Where each text ends in `text`.
    pub ends: Vec<usize>,
}

impl JsonRows {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Appends one text.
    pub fn push(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
        self.ends.push(self.text.len());
    }

    /// The number of texts.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Text `i`.
    ///
    /// # Panics
    /// If there is no such text.
    pub fn get(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.text[start..self.ends[i]]
    }

    /// All texts, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|i| self.get(i))
    }
}

/// Writes rows of one schema as JSON, and reads JSON as rows of another. One copy of a function owns it.
pub trait Codec: Send {
    /// Appends each row as one JSON object.
    fn encode(&mut self, rows: &RecordBatch, out: &mut JsonRows);

    /// The texts as rows of the output's schema, and those that cannot be: by index, ascending, with what is wrong. The
    /// others are in the batch, in order. What is wrong is said without the text, which may hold what rows hold.
    fn decode(&mut self, texts: &JsonRows) -> (RecordBatch, Vec<(usize, String)>);
}

/// Makes codecs.
pub trait Codecs: Send + Sync {
    /// A codec from rows of `input` to rows of `output`, or which column cannot be JSON.
    fn codec(&self, input: &SchemaRef, output: &SchemaRef) -> Result<Box<dyn Codec>, String>;
}
