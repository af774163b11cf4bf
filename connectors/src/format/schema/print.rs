//! Writes types as the pipeline file has them.

use arrow_schema::{DataType, Field, Schema, TimeUnit};

use super::{is_json, map_fields};

/// A column's type in the language of `schema:`. A type that the language has no word for is written as Arrow names it.
pub fn type_text(field: &Field) -> String {
    let mut text = if is_json(field) { "json".to_owned() } else { data_type_text(field.data_type()) };
    if !field.is_nullable() {
        text.push('!');
    }
    text
}

fn data_type_text(data_type: &DataType) -> String {
    let plain = match data_type {
        DataType::Boolean => "bool",
        DataType::Int8 => "int8",
        DataType::Int16 => "int16",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::UInt8 => "uint8",
        DataType::UInt16 => "uint16",
        DataType::UInt32 => "uint32",
        DataType::UInt64 => "uint64",
        DataType::Float32 => "float32",
        DataType::Float64 => "float64",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytes",
        DataType::Date32 => "date",
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            return format!("decimal({precision},{scale})");
        }
        DataType::Timestamp(unit, zone) => {
            let unit = unit_text(*unit);
            return zone
                .as_ref()
                .map_or_else(|| format!("timestamp({unit})"), |zone| format!("timestamp({unit},{zone})"));
        }
        DataType::List(element) | DataType::LargeList(element) => return format!("list<{}>", type_text(element)),
        DataType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|field| format!("{}: {}", field.name(), type_text(field))).collect();
            return format!("struct<{}>", fields.join(", "));
        }
        DataType::Map(entries, _) => {
            return map_fields(entries)
                .map_or_else(|| data_type.to_string(), |(_, value)| format!("map<string,{}>", type_text(value)));
        }
        other => return other.to_string(),
    };
    plain.to_owned()
}

fn unit_text(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

/// A whole schema as it can stand after `schema:` in a pipeline file, on lines of their own with `indent` spaces.
pub fn schema_text(schema: &Schema, indent: usize) -> String {
    let mut text = String::new();
    for field in schema.fields() {
        let key = if is_plain_key(field.name()) { field.name().clone() } else { json_text(field.name()) };
        let value = type_text(field);
        let value = if value.chars().all(|character| character.is_ascii_alphanumeric() || character == '!') {
            value
        } else {
            json_text(&value)
        };
        text.push_str(&format!("{:indent$}{key}: {value}\n", ""));
    }
    text
}

/// Double-quoted YAML understands what JSON escapes.
fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether YAML reads the key as this text, not as a number, a boolean or syntax.
fn is_plain_key(key: &str) -> bool {
    let word = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && key.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    word && !matches!(key.to_lowercase().as_str(), "true" | "false" | "null")
}
