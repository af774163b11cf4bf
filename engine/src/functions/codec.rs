//! Rows as JSON for functions that see records: the same JSON that sources read and sinks write.

use std::sync::Arc;

use arrow_array::{BinaryArray, RecordBatch};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::SchemaRef;
use riverhook_connectors::{
    batch::{Input, Payloads},
    format::{Decoder, Encoded, Encoder, Format},
    position::Partition,
};
use riverhook_udf::{Codec, Codecs, JsonRows};

/// The JSON of pipelines.
pub struct PipelineJson;

impl Codecs for PipelineJson {
    fn codec(&self, input: &SchemaRef, output: &SchemaRef) -> Result<Box<dyn Codec>, String> {
        let format = Format::default();
        format.check_write(input).map_err(|problems| problems.join("; "))?;
        let encoder = format.encoder(Arc::clone(input)).map_err(|error| error.to_string())?;
        let passthrough = passes_on(output);
        let decoder = format.decoder(Arc::clone(output)).map_err(|error| error.to_string())?;
        Ok(Box::new(JsonCodec { encoder, decoder, output: Arc::clone(output), passthrough }))
    }
}

/// Whether answers are passed on as they are: one column of JSON.
fn passes_on(output: &SchemaRef) -> bool {
    match output.fields().as_ref() {
        [field] => field.name() == super::PASSTHROUGH && riverhook_connectors::format::schema::is_json(field),
        _ => false,
    }
}

struct JsonCodec {
    encoder: Box<dyn Encoder>,
    decoder: Box<dyn Decoder>,
    output: SchemaRef,
    passthrough: bool,
}

impl Codec for JsonCodec {
    fn encode(&mut self, rows: &RecordBatch, out: &mut JsonRows) {
        let mut encoded = Encoded { bytes: std::mem::take(&mut out.text), ends: std::mem::take(&mut out.ends) };
        self.encoder.encode(rows, &mut encoded);
        *out = JsonRows { text: encoded.bytes, ends: encoded.ends };
    }

    fn decode(&mut self, texts: &JsonRows) -> (RecordBatch, Vec<(usize, String)>) {
        if self.passthrough {
            return self.pass_on(texts);
        }
        let input = Input {
            source: "function".into(),
            partition: Partition::new("function"),
            positions: Vec::new(),
            keys: None,
            headers: None,
            times: None,
            read_at: 0,
        };
        let decoded =
            self.decoder.decode(&Payloads { values: values(texts), metadata: Vec::new(), input: Arc::new(input) });
        let failed = decoded.failed.into_iter().map(|failed| (failed.row as usize, failed.message));
        (decoded.records, failed.collect())
    }
}

impl JsonCodec {
    fn pass_on(&self, texts: &JsonRows) -> (RecordBatch, Vec<(usize, String)>) {
        let (mut kept, mut failed) = (arrow_array::builder::StringBuilder::new(), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            // Whoever made the texts found them to be JSON; a column of text must be UTF-8 besides.
            match std::str::from_utf8(text) {
                Ok(text) => kept.append_value(text),
                Err(_) => failed.push((index, "it is not UTF-8".to_owned())),
            }
        }
        let column = Arc::new(kept.finish());
        let rows = RecordBatch::try_new(Arc::clone(&self.output), vec![column]).expect("one column of text");
        (rows, failed)
    }
}

fn values(texts: &JsonRows) -> BinaryArray {
    let end = |end: &usize| i32::try_from(*end).expect("an answer has fewer than 2^31 bytes");
    let offsets: Vec<i32> = std::iter::once(0).chain(texts.ends.iter().map(end)).collect();
    BinaryArray::new(OffsetBuffer::new(ScalarBuffer::from(offsets)), texts.text.clone().into(), None)
}
