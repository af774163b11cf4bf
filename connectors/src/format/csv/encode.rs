//! Rows to CSV: quoted where it must be, null as the text that stands for it.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::{settings::CsvSettings, split::Dialect};
use crate::{
    error::Error,
    format::{
        Encoded, Encoder,
        json::{ValueWriter, unwritable, writable},
    },
};

/// Encodes CSV.
pub(crate) struct CsvEncoder {
    schema: SchemaRef,
    dialect: Dialect,
    header: bool,
    null: Vec<u8>,
    cell: Vec<u8>,
}

impl CsvEncoder {
    /// An encoder of batches of `schema`.
    pub(crate) fn new(schema: SchemaRef, settings: &CsvSettings) -> Result<Self, Error> {
        for field in schema.fields() {
            writable(field.data_type()).ok_or_else(|| Error::config(unwritable(field)))?;
        }
        let null = settings.null.clone().into_bytes();
        Ok(Self { schema, dialect: settings.dialect(), header: settings.header, null, cell: Vec::new() })
    }
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, records: &RecordBatch, out: &mut Encoded) {
        let fields = self.schema.fields().iter().zip(records.columns());
        let writers: Vec<_> = fields.map(|(field, column)| ValueWriter::new(field, column)).collect();
        for row in 0..records.num_rows() {
            for (i, writer) in writers.iter().enumerate() {
                if i > 0 {
                    out.bytes.push(self.dialect.delimiter);
                }
                self.cell.clear();
                if writer.write_plain(row, &mut self.cell) {
                    write_cell(&self.cell, self.dialect, &self.null, &mut out.bytes);
                } else {
                    out.bytes.extend_from_slice(&self.null);
                }
            }
            out.ends.push(out.bytes.len());
        }
    }

    fn header(&self) -> Option<Vec<u8>> {
        if !self.header {
            return None;
        }
        let mut line = Vec::new();
        for (i, field) in self.schema.fields().iter().enumerate() {
            if i > 0 {
                line.push(self.dialect.delimiter);
            }
            write_cell(field.name().as_bytes(), self.dialect, b"", &mut line);
        }
        Some(line)
    }
}

fn write_cell(text: &[u8], dialect: Dialect, null: &[u8], out: &mut Vec<u8>) {
    let special = |byte: &u8| *byte == dialect.delimiter || *byte == dialect.quote || *byte == b'\n' || *byte == b'\r';
    if text != null && !text.is_empty() && !text.iter().any(special) {
        out.extend_from_slice(text);
        return;
    }
    out.push(dialect.quote);
    for byte in text {
        match dialect.escape {
            Some(escape) if *byte == dialect.quote || *byte == escape => out.push(escape),
            None if *byte == dialect.quote => out.push(dialect.quote),
            _ => {}
        }
        out.push(*byte);
    }
    out.push(dialect.quote);
}
