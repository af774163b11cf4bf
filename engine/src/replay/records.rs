//! From letters back to what their node was given: payloads or rows, with the keys, headers and places of the records.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray,
    builder::{BinaryBuilder, ListBuilder, StringBuilder, StructBuilder},
};
use arrow_schema::{DataType, Field, FieldRef, Fields};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use riverhook_connectors::{
    batch::{Input, Payloads, Rows},
    position::{Partition, Position},
};
use serde_json::Value;

use super::letter::Letter;
use crate::run::metadata_rows;

/// Letters that can be one batch: of one partition, in its order, decoded with one header.
pub(super) fn runs(letters: Vec<Letter>) -> Vec<Vec<Letter>> {
    let mut runs: Vec<Vec<Letter>> = Vec::new();
    for letter in letters {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| go_together(last, &letter)) => run.push(letter),
            _ => runs.push(vec![letter]),
        }
    }
    runs
}

fn go_together(last: &Letter, next: &Letter) -> bool {
    (&last.source, &last.partition, &last.header) == (&next.source, &next.partition, &next.header)
        && last.position.is_some() == next.position.is_some()
        && last.position <= next.position
}

/// The records that a run of letters is of.
pub(super) fn input(run: &[Letter], read_at: i64) -> Arc<Input> {
    let keys = run.iter().any(|letter| letter.key.is_some());
    let headers = run.iter().any(|letter| letter.headers.is_some());
    Arc::new(Input {
        source: run[0].source.as_str().into(),
        partition: Partition::new(run[0].partition.as_str()),
        positions: run.iter().filter_map(|letter| letter.position).collect(),
        keys: keys.then(|| run.iter().map(|letter| letter.key.as_deref()).collect()),
        headers: headers.then(|| self::headers(run)),
        times: None,
        read_at,
    })
}

/// The way from each letter to its record. Rows whose record was not known stay so.
pub(super) fn rows(run: &[Letter]) -> Rows {
    if run.iter().all(|letter| letter.position.is_some()) { Rows::Same } else { Rows::All }
}

/// What the letters' node was given, as it was read.
pub(super) fn values(run: &[Letter]) -> BinaryArray {
    run.iter().map(|letter| letter.payload.as_deref()).collect()
}

/// The letters as the records they were made of, to be decoded again; an error if one has other metadata.
pub(super) fn payloads(run: &[Letter], metadata: &[FieldRef], read_at: i64) -> Result<Payloads, String> {
    let rows: Vec<Value> = run
        .iter()
        .map(|letter| letter.metadata.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
        .collect();
    let metadata = metadata_rows(&run[0].source, metadata.to_vec(), &rows).map_err(|error| error.to_string())?;
    let mut input = Arc::unwrap_or_clone(input(run, read_at));
    // What is decoded is of a record; one whose place is not known is at none in particular.
    input.positions = run.iter().map(|letter| letter.position.unwrap_or(Position::Offset(0))).collect();
    Ok(Payloads { values: values(run), metadata, input: Arc::new(input) })
}

/// `list<struct<key: utf8, value: binary>>`, as sources have it.
fn headers(run: &[Letter]) -> ArrayRef {
    let fields =
        Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
    let entry = StructBuilder::new(
        fields.clone(),
        vec![Box::new(StringBuilder::new()) as _, Box::new(BinaryBuilder::new()) as _],
    );
    let mut lists = ListBuilder::new(entry).with_field(Field::new("item", DataType::Struct(fields), false));
    for letter in run {
        let parsed = letter.headers.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let Some(Value::Array(entries)) = parsed else {
            lists.append(letter.headers.is_some());
            continue;
        };
        for entry in &entries {
            let text = entry["value"].as_str();
            let value = match entry["encoding"].as_str() {
                Some("base64") => text.and_then(|text| BASE64.decode(text).ok()),
                _ => text.map(|text| text.as_bytes().to_vec()),
            };
            let out = lists.values();
            let key = out.field_builder::<StringBuilder>(0).expect("an entry begins with a key");
            key.append_value(entry["key"].as_str().unwrap_or_default());
            let values = out.field_builder::<BinaryBuilder>(1).expect("an entry ends with a value");
            values.append_option(value);
            out.append(true);
        }
        lists.append(true);
    }
    let lists = lists.finish();
    debug_assert_eq!(lists.len(), run.len());
    Arc::new(lists)
}
