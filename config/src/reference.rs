//! Shapes as Markdown, for the reference page: a table of keys, then one for each set of keys within it.

use std::fmt::Write;

use crate::Shape;
use crate::shape::{Choice, Field, StructShape};

impl Shape {
    /// The keys as Markdown tables. Keys of inner maps follow in sections headed by their path.
    pub fn to_markdown(&self) -> String {
        let mut page = String::new();
        section(&mut page, "", self);
        page
    }
}

fn section(page: &mut String, path: &str, shape: &Shape) {
    match shape {
        Shape::Struct(keys) => table(page, path, keys),
        Shape::List(inner) | Shape::OneOrMany(inner) => section(page, path, inner),
        Shape::Map(inner) => section(page, &join(path, "‹name›"), inner),
        Shape::Either(shapes) => shapes.iter().for_each(|shape| section(page, path, shape)),
        Shape::Tagged { tag, variants } => {
            for (word, keys) in variants {
                let path = format!("{path} ({tag}: {word})");
                table(page, path.trim_start(), keys);
            }
        }
        _ => {}
    }
}

fn table(page: &mut String, path: &str, keys: &StructShape) {
    if !path.is_empty() {
        line(page, &format!("\n#### `{path}`\n"));
    }
    if !keys.doc.is_empty() {
        line(page, &format!("{}\n", keys.doc));
    }
    if keys.fields.is_empty() {
        return;
    }
    line(page, "| key | value | default | |");
    line(page, "| --- | --- | --- | --- |");
    for field in &keys.fields {
        row(page, field);
    }
    for field in &keys.fields {
        section(page, &join(path, field.name), &field.shape);
    }
}

fn row(page: &mut String, field: &Field) {
    let default = match &field.default {
        _ if field.required => "required".into(),
        Some(serde_json::Value::String(text)) => format!("`{text}`"),
        Some(value) => format!("`{value}`"),
        None => String::new(),
    };
    let mut doc = field.doc.clone();
    if let Shape::OneOf { choices, .. } = &field.shape {
        for choice in choices.iter().filter(|choice| !choice.doc.is_empty()) {
            doc.push_str(&format!("<br>`{}`: {}", choice.name, choice.doc));
        }
    }
    let cells = [format!("`{}`", field.name), value(&field.shape), default, doc];
    let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
    line(page, &format!("| {} |", cells.join(" | ")));
}

/// What a value may be, in a few words.
fn value(shape: &Shape) -> String {
    match shape {
        Shape::Any => "anything".into(),
        Shape::Bool => "`true` or `false`".into(),
        Shape::Int { .. } => "whole number".into(),
        Shape::Float => "number".into(),
        Shape::Str => "text".into(),
        Shape::Secret => "secret text".into(),
        Shape::Duration => "duration".into(),
        Shape::DurationRange => "range of durations".into(),
        Shape::Size => "size".into(),
        Shape::OneOf { choices, .. } => words(choices),
        Shape::List(item) => format!("list of: {}", value(item)),
        Shape::OneOrMany(item) => format!("{}, or a list", value(item)),
        Shape::Map(inner) => format!("by name: {}", value(inner)),
        Shape::Struct(_) | Shape::Tagged { .. } => "map".into(),
        Shape::Either(shapes) => shapes.iter().map(value).collect::<Vec<_>>().join(", or "),
    }
}

fn words(choices: &[Choice]) -> String {
    let words: Vec<String> = choices.iter().map(|choice| format!("`{}`", choice.name)).collect();
    words.join(", ")
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.into() } else { format!("{path}.{key}") }
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("a String takes all that is written to it");
}
