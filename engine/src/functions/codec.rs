//! Rows as JSON for functions that see records: the same JSON that sources read and sinks write.

use std::sync::Arc;

use arrow_array::{BinaryArray, RecordBatch};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, SchemaRef};
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
        Ok(Box::new(JsonCodec { passthrough: passes_on(output), ..JsonCodec::new(input, output)? }))
    }
}

/// The JSON of functions that SQL calls: each text is the value of the only column, of whatever type that is.
pub struct ValueJson;

impl Codecs for ValueJson {
    fn codec(&self, input: &SchemaRef, output: &SchemaRef) -> Result<Box<dyn Codec>, String> {
        let [field] = output.fields().as_ref() else { return Err("a value is one column".to_owned()) };
        let own_objects = matches!(field.data_type(), DataType::Struct(_) | DataType::Map(..))
            || riverhook_connectors::format::schema::is_json(field);
        let before = format!("{{{}:", serde_json::Value::from(field.name().as_str())).into_bytes();
        let rows = JsonCodec::new(input, output)?;
        Ok(Box::new(ValueCodec { rows, before, own_objects, texts: JsonRows::default() }))
    }
}

struct ValueCodec {
    rows: JsonCodec,
    /// What stands before a value to make it an object with the column.
    before: Vec<u8>,
    /// Whether objects are values themselves. Else one is taken to be the object with the column.
    own_objects: bool,
    texts: JsonRows,
}

impl Codec for ValueCodec {
    fn encode(&mut self, rows: &RecordBatch, out: &mut JsonRows) {
        self.rows.encode(rows, out);
    }

    fn decode(&mut self, texts: &JsonRows) -> (RecordBatch, Vec<(usize, String)>) {
        self.texts.clear();
        for text in texts.iter() {
            let JsonRows { text: all, ends } = &mut self.texts;
            let is_whole = !self.own_objects && text.trim_ascii_start().starts_with(b"{");
            if is_whole {
                all.extend_from_slice(text);
            } else {
                all.extend_from_slice(&self.before);
                all.extend_from_slice(text);
                all.push(b'}');
            }
            ends.push(all.len());
        }
        self.rows.decode(&self.texts)
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

impl JsonCodec {
    fn new(input: &SchemaRef, output: &SchemaRef) -> Result<Self, String> {
        let format = Format::default();
        format.check_write(input).map_err(|problems| problems.join("; "))?;
        let encoder = format.encoder(Arc::clone(input)).map_err(|error| error.to_string())?;
        let decoder = format.decoder(Arc::clone(output)).map_err(|error| error.to_string())?;
        Ok(Self { encoder, decoder, output: Arc::clone(output), passthrough: false })
    }
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

#[cfg(test)]
mod tests {
    use arrow_array::{Array, Float64Array, StringArray, StructArray};
    use arrow_schema::Schema;
    use riverhook_connectors::format::schema::parse_type;

    use super::*;

    /// What becomes of answers as values of a type, and those that are none.
    fn values(data_type: &str, answers: &[&str]) -> (RecordBatch, Vec<usize>) {
        let input = Arc::new(Schema::new(vec![parse_type("ip", "string").unwrap()]));
        let output = Arc::new(Schema::new(vec![parse_type("value", data_type).unwrap()]));
        let mut codec = ValueJson.codec(&input, &output).unwrap();
        let mut texts = JsonRows::default();
        answers.iter().for_each(|answer| texts.push(answer.as_bytes()));
        let (rows, wrong) = codec.decode(&texts);
        (rows, wrong.into_iter().map(|(index, _)| index).collect())
    }

    #[test]
    fn an_answer_is_a_value_or_an_object_with_it() {
        let (rows, wrong) = values("float64", &["1.5", "null", "{\"value\":2}", "\"no\"", "[1]", "1}{\"value\":2"]);
        let numbers: &Float64Array = rows.column(0).as_any().downcast_ref().unwrap();
        assert_eq!((numbers.iter().collect::<Vec<_>>(), wrong), (vec![Some(1.5), None, Some(2.)], vec![3, 4, 5]));
    }

    #[test]
    fn structs_and_json_are_objects_themselves() {
        let (rows, wrong) = values("struct<value: int64>", &["{\"value\":7}", "null", "3"]);
        let structs: &StructArray = rows.column(0).as_any().downcast_ref().unwrap();
        assert_eq!((structs.len(), structs.is_null(0), structs.is_null(1), wrong), (2, false, true, vec![2]));
        let (rows, wrong) = values("json", &["{\"value\":7}", "null", "[1,2]"]);
        let texts: &StringArray = rows.column(0).as_any().downcast_ref().unwrap();
        assert_eq!(texts.iter().collect::<Vec<_>>(), [Some("{\"value\":7}"), None, Some("[1,2]")]);
        assert!(wrong.is_empty());
    }
}
