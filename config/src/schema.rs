//! Shapes as JSON Schema (draft 2020-12), for editors that complete and check a file while it is written.

use serde_json::{Map, Value, json};

use crate::Shape;
use crate::quantities::{DURATION_PATTERN, DURATION_RANGE_PATTERN, SIZE_PATTERN};
use crate::shape::{Choice, Field, StructShape};

impl Shape {
    /// A whole schema document.
    pub fn to_json_schema(&self) -> Value {
        let mut schema = schema(self);
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        schema
    }
}

fn schema(shape: &Shape) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Bool => or_substituted(json!({ "type": "boolean" })),
        Shape::Int { min, max } => or_substituted(integer(*min, *max)),
        Shape::Float => or_substituted(json!({ "type": "number" })),
        Shape::Str => json!({ "type": "string" }),
        Shape::Secret => json!({ "type": ["string", "number"] }),
        Shape::Duration => pattern(DURATION_PATTERN, "A duration such as 5s, 100ms, 2m, 1h or 7d."),
        Shape::DurationRange => pattern(DURATION_RANGE_PATTERN, "Two durations such as 100ms..5s."),
        Shape::Size => pattern(SIZE_PATTERN, "A size such as 64MiB, 10MB or 512KiB."),
        Shape::OneOf { doc, choices } => one_of(doc, choices),
        Shape::List(item) => json!({ "type": "array", "items": schema(item) }),
        Shape::OneOrMany(item) => {
            let item = schema(item);
            json!({ "anyOf": [item, { "type": "array", "items": item, "minItems": 1 }] })
        }
        Shape::Map(value) => json!({ "type": "object", "additionalProperties": schema(value) }),
        Shape::Struct(shape) => object(shape),
        Shape::Either(shapes) => json!({ "anyOf": shapes.iter().map(schema).collect::<Vec<_>>() }),
        Shape::Tagged { tag, variants } => {
            let variants = variants.iter().map(|(word, keys)| tagged(tag, word, keys));
            json!({ "oneOf": variants.collect::<Vec<_>>() })
        }
    }
}

/// `${NAME}` may stand wherever a scalar does.
fn or_substituted(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "string", "pattern": r"^\$\{[^}]*\}$" }] })
}

fn integer(min: i128, max: i128) -> Value {
    let mut schema = json!({ "type": "integer" });
    // Limits of 64 bits are not exact in the numbers most validators use.
    let exact = |limit: i128| i64::try_from(limit).ok().filter(|limit| limit.unsigned_abs() < 1 << 53);
    if let Some(min) = exact(min) {
        schema["minimum"] = min.into();
    }
    if let Some(max) = exact(max) {
        schema["maximum"] = max.into();
    }
    schema
}

fn pattern(pattern: &str, description: &str) -> Value {
    json!({
        "type": "string",
        "pattern": format!(r"{pattern}|\$\{{"),
        "description": description,
    })
}

fn one_of(doc: &str, choices: &[Choice]) -> Value {
    let words = choices.iter().map(|choice| {
        let mut word = json!({ "const": choice.name });
        describe(&mut word, &choice.doc);
        word
    });
    let substituted = json!({ "type": "string", "pattern": r"\$\{" });
    let mut schema = json!({ "anyOf": words.chain([substituted]).collect::<Vec<_>>() });
    describe(&mut schema, doc);
    schema
}

fn object(shape: &StructShape) -> Value {
    let properties: Map<String, Value> =
        shape.fields.iter().map(|field| (field.name.into(), property(field))).collect();
    let required: Vec<&str> = shape.fields.iter().filter(|field| field.required).map(|field| field.name).collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    describe(&mut schema, &shape.doc);
    schema
}

fn property(field: &Field) -> Value {
    let mut schema = schema(&field.shape);
    describe(&mut schema, &field.doc);
    if let Some(default) = &field.default {
        schema["default"] = default.clone();
    }
    schema
}

fn tagged(tag: &str, word: &str, keys: &StructShape) -> Value {
    let mut schema = object(keys);
    schema["properties"][tag] = json!({ "const": word });
    let mut required = vec![Value::from(tag)];
    if let Some(Value::Array(others)) = schema.get("required") {
        required.extend(others.iter().filter(|other| *other != tag).cloned());
    }
    schema["required"] = required.into();
    schema
}

fn describe(schema: &mut Value, doc: &str) {
    if !doc.is_empty() {
        schema["description"] = doc.into();
    }
}
