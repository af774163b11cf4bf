//! The `schema:` of the pipeline file: the names and types of a stream's columns, read from the file and written back.
//!
//! `{ user: string!, ts: "timestamp(ms)", tags: "list<string>", geo: { lat: float64, lon: float64 } }`. Every column
//! may be null unless its type ends in `!`.

mod parse;
mod print;
mod setting;
mod signature;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use arrow_schema::{DataType, Field, FieldRef, Fields};

pub use parse::{TypeError, parse_type};
pub use print::{schema_text, type_text};
pub use setting::SchemaSetting;
pub use signature::FunctionSignature;

/// Schemas may be nested this deep, types within types and maps within maps together.
pub const MAX_DEPTH: usize = 32;

/// The column by which changelogs tell additions from removals; no source may have it.
const WEIGHT: &str = "_weight";

/// The metadata by which Arrow's canonical JSON type is known: text that is JSON.
const EXTENSION: &str = "ARROW:extension:name";
const JSON: &str = "arrow.json";

/// Whether a column's text is JSON, to be written as it stands.
pub fn is_json(field: &Field) -> bool {
    field.data_type() == &DataType::Utf8 && field.metadata().get(EXTENSION).is_some_and(|name| name == JSON)
}

/// A column whose text is JSON.
pub fn json_field(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable).with_metadata(HashMap::from([(EXTENSION.into(), JSON.into())]))
}

/// A map's type from the field of its values.
fn map_of(value: Field) -> DataType {
    let key = Field::new("key", DataType::Utf8, false);
    let entries = Fields::from(vec![key, value.with_name("value")]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
}

/// A list's type from the field of its elements.
fn list_of(element: Field) -> DataType {
    DataType::List(Arc::new(element.with_name(Field::LIST_FIELD_DEFAULT_NAME)))
}

/// The key and value fields of a map's entries.
fn map_fields(entries: &Field) -> Option<(&FieldRef, &FieldRef)> {
    match entries.data_type() {
        DataType::Struct(fields) => match fields.as_ref() {
            [key, value] => Some((key, value)),
            _ => None,
        },
        _ => None,
    }
}
