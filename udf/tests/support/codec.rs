//! A codec for the tests: columns of int64, float64 and utf8 as members of a JSON object. The real one is the engine's.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow_schema::{DataType, Field, SchemaRef};
use riverhook_udf::{Codec, Codecs, JsonRows};
use serde_json::{Map, Value};

pub(crate) struct PlainCodecs;

impl Codecs for PlainCodecs {
    fn codec(&self, input: &SchemaRef, output: &SchemaRef) -> Result<Box<dyn Codec>, String> {
        match input.fields().iter().find(|field| !is_plain(field.data_type())) {
            Some(field) => Err(format!("column `{}` cannot be JSON", field.name())),
            None => Ok(Box::new(Plain { output: Arc::clone(output) })),
        }
    }
}

fn is_plain(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::Float64 | DataType::Utf8)
}

struct Plain {
    output: SchemaRef,
}

impl Codec for Plain {
    fn encode(&mut self, rows: &RecordBatch, out: &mut JsonRows) {
        for row in 0..rows.num_rows() {
            let member = |(field, column): (&Arc<Field>, &ArrayRef)| (field.name().clone(), value(column, row));
            let object: Map<_, _> = rows.schema().fields().iter().zip(rows.columns()).map(member).collect();
            out.push(Value::Object(object).to_string().as_bytes());
        }
    }

    fn decode(&mut self, texts: &JsonRows) -> (RecordBatch, Vec<(usize, String)>) {
        let mut rows = Vec::new();
        let mut unfit = Vec::new();
        for (i, text) in texts.iter().enumerate() {
            match self.fit(text) {
                Ok(row) => rows.push(row),
                Err(problem) => unfit.push((i, problem)),
            }
        }
        let columns = self.output.fields().iter().map(|field| column(field, &rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        (RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options).unwrap(), unfit)
    }
}

impl Plain {
    fn fit(&self, text: &[u8]) -> Result<Map<String, Value>, String> {
        let Ok(Value::Object(row)) = serde_json::from_slice(text) else { return Err("not an object".to_owned()) };
        for field in self.output.fields() {
            let value = row.get(field.name()).unwrap_or(&Value::Null);
            let fits = match field.data_type() {
                _ if value.is_null() => field.is_nullable(),
                DataType::Int64 => value.is_i64(),
                DataType::Float64 => value.is_number(),
                _ => value.is_string(),
            };
            if !fits {
                return Err(format!("`{}` does not fit", field.name()));
            }
        }
        Ok(row)
    }
}

fn value(column: &ArrayRef, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        _ => column.as_string::<i32>().value(row).into(),
    }
}

fn column(field: &Field, rows: &[Map<String, Value>]) -> ArrayRef {
    let values = rows.iter().map(|row| row.get(field.name()));
    match field.data_type() {
        DataType::Int64 => Arc::new(values.map(|value| value?.as_i64()).collect::<Int64Array>()),
        DataType::Float64 => Arc::new(values.map(|value| value?.as_f64()).collect::<Float64Array>()),
        _ => Arc::new(values.map(|value| value?.as_str()).collect::<StringArray>()),
    }
}
