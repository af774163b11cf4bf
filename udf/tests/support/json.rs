//! A codec for tests, on arrow-json.

use std::io::Cursor;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, FieldRef, SchemaRef};
use riverhook_udf::{Codec, Codecs, JsonRows};

/// Makes the test's codecs.
pub(crate) struct ArrowJson;

struct ArrowJsonCodec {
    output: SchemaRef,
}

impl Codecs for ArrowJson {
    fn codec(&self, input: &SchemaRef, output: &SchemaRef) -> Result<Box<dyn Codec>, String> {
        let odd = input.fields().iter().find(|field| matches!(field.data_type(), DataType::Union(..)));
        odd.map_or(Ok(()), |field| Err(format!("column `{}` cannot be JSON", field.name())))?;
        Ok(Box::new(ArrowJsonCodec { output: Arc::clone(output) }))
    }
}

impl ArrowJsonCodec {
    fn read(&self, text: &[u8], rows: usize) -> Option<RecordBatch> {
        let builder = arrow_json::ReaderBuilder::new(Arc::clone(&self.output)).with_batch_size(rows.max(2));
        let mut batches = builder.build(Cursor::new(text)).ok()?;
        let batch = batches.next().unwrap_or_else(|| Ok(RecordBatch::new_empty(Arc::clone(&self.output))));
        batch.ok().filter(|batch| batch.num_rows() == rows)
    }
}

impl Codec for ArrowJsonCodec {
    fn encode(&mut self, rows: &RecordBatch, out: &mut JsonRows) {
        let mut writer = arrow_json::LineDelimitedWriter::new(Vec::new());
        writer.write(rows).unwrap();
        writer.finish().unwrap();
        // Within a text, a line's end is written as an escape.
        writer
            .into_inner()
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .for_each(|line| out.push(line));
    }

    fn decode(&mut self, texts: &JsonRows) -> (RecordBatch, Vec<(usize, String)>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            match self.read(text, 1) {
                Some(_) => good.push(text),
                None => bad.push((index, "it does not fit".to_owned())),
            }
        }
        let rows = self.read(&good.join(&b'\n'), good.len()).unwrap();
        (rows, bad)
    }
}

/// The column that JSON is passed on in.
pub(crate) fn passthrough() -> FieldRef {
    let metadata = [("ARROW:extension:name".to_owned(), "arrow.json".to_owned())].into();
    Arc::new(Field::new("value", DataType::Utf8, true).with_metadata(metadata))
}
