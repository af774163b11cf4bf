//! `schema:` as a setting: a map from column names to types, or to maps for structs.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use riverhook_config::{Diagnostic, Kind, Node, Reading, Setting, Shape};

use super::{MAX_DEPTH, TypeError, WEIGHT, parse_type};

/// The columns of a stream, as the pipeline file declares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaSetting(pub SchemaRef);

impl Setting for SchemaSetting {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        let fields = read_fields(node, cx, 1)?;
        if let Some(entry) = node.entries().iter().find(|entry| &*entry.key == WEIGHT) {
            let message = format!("`{WEIGHT}` is what changelogs call their own column");
            cx.push(
                Diagnostic::error(entry.key_span, message).at(&entry.value.path).help("give the column another name"),
            );
            return None;
        }
        Some(Self(Arc::new(Schema::new(fields))))
    }

    fn shape() -> Shape {
        // A column's type is text, or a map of columns without end, which a shape cannot say.
        Shape::Map(Box::new(Shape::Either(vec![Shape::Str, Shape::Map(Box::new(Shape::Any))])))
    }
}

/// All columns are read, so that all their errors are said.
fn read_fields(node: &Node, cx: &mut Reading<'_>, depth: usize) -> Option<Fields> {
    let Kind::Map(entries) = &node.kind else {
        cx.wrong_kind(node, "a map of column names and types, such as { id: int64, name: string }");
        return None;
    };
    if entries.is_empty() {
        cx.wrong_value(node, "at least one column, such as { id: int64 }");
        return None;
    }
    let fields: Vec<_> = entries.iter().map(|entry| read_field(&entry.key, &entry.value, cx, depth)).collect();
    fields.into_iter().collect()
}

fn read_field(name: &str, node: &Node, cx: &mut Reading<'_>, depth: usize) -> Option<Field> {
    if depth > MAX_DEPTH {
        cx.push(node.error(format!("columns are nested deeper than {MAX_DEPTH} levels")));
        return None;
    }
    if matches!(node.kind, Kind::Map(_)) {
        let fields = read_fields(node, cx, depth + 1)?;
        return Some(Field::new(name, DataType::Struct(fields), true));
    }
    let text = cx.text(node, "a type such as int64, \"timestamp(ms)\" or \"list<string>\"")?;
    match parse_type(name, &text) {
        Ok(field) => Some(field),
        Err(error) => {
            cx.push(diagnostic(node, &text, &error));
            None
        }
    }
}

fn diagnostic(node: &Node, text: &str, error: &TypeError) -> Diagnostic {
    let column = text[..error.at.start].chars().count() + 1;
    let diagnostic = Diagnostic::error(node.place_in_text(1, column), &error.message).at(&node.path);
    match &error.suggestion {
        Some(suggestion) => diagnostic.did_you_mean(Some(suggestion)),
        None => diagnostic.expected("a type: bool, int8 to int64, uint8 to uint64, float32, float64, decimal(p,s), string, bytes, date, timestamp(unit), json, list<…>, struct<…> or map<string,…>"),
    }
}
