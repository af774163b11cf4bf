//! The whole language of the pipeline file as one shape, put together from the settings that read it, and the reference
//! page made of the same settings.
//!
//! Which keys there are is not said here again: it comes from [`crate::config`] and from the connectors.

use riverhook_config::{Field, Setting, Shape, StructShape};
use riverhook_connectors::{
    format::{Format, FormatName},
    registry::{Connector, connectors},
};

use crate::config::{AlertSettings, FunctionSettings, PipelineFile, SinkSettings, SourceSettings, TransformSettings};

/// What may stand in a pipeline file.
pub fn pipeline_file() -> Shape {
    let mut file = keys(PipelineFile::shape());
    for field in &mut file.fields {
        let named = |shape: Shape| Shape::Map(Box::new(shape));
        field.shape = match field.name {
            "connections" => named(connection()),
            "sources" => named(node(&keys(SourceSettings::shape()), source_of)),
            "functions" => named(FunctionSettings::shape()),
            "transforms" => named(transform()),
            "alerts" => named(AlertSettings::shape()),
            "sinks" => named(node(&keys(SinkSettings::shape()), sink_of)),
            "dead_letters" => node(&without(keys(SinkSettings::shape()), &["from", "on_error"]), sink_of),
            _ => continue,
        };
    }
    Shape::Struct(file)
}

/// The keys that a connection of this connector may have: those of its source and its sink.
pub(crate) fn connection_keys(connector: &Connector) -> Vec<&'static str> {
    let shapes = [source_of(connector), sink_of(connector)].into_iter().flatten().map(keys);
    shapes.flat_map(|shape| shape.fields).map(|field| field.name).collect()
}

fn source_of(connector: &Connector) -> Option<Shape> {
    connector.source.as_ref().map(|entry| (entry.shape)())
}

fn sink_of(connector: &Connector) -> Option<Shape> {
    connector.sink.as_ref().map(|entry| (entry.shape)())
}

fn keys(shape: Shape) -> StructShape {
    match shape {
        Shape::Struct(keys) => keys,
        _ => StructShape::default(),
    }
}

fn without(mut keys: StructShape, names: &[&str]) -> StructShape {
    keys.fields.retain(|field| !names.contains(&field.name));
    keys
}

fn optional(mut keys: StructShape) -> StructShape {
    keys.fields.iter_mut().for_each(|field| field.required = false);
    keys
}

/// A source or sink: with a `type`, which says what its keys are, or with a `connection`, which may have any of them.
fn node(general: &StructShape, of: fn(&Connector) -> Option<Shape>) -> Shape {
    let kinds: Vec<(&'static str, StructShape)> =
        connectors().iter().filter_map(|connector| Some((connector.name, keys(of(connector)?)))).collect();
    let by_type = |(name, own): &(&'static str, StructShape)| {
        let mut merged = without(general.clone(), &["connection"]).merge(own.clone());
        merged.doc = own.doc.clone();
        (*name, merged)
    };
    let by_connection = kinds.iter().fold(general.clone(), |all, (_, own)| all_of(all, own.clone()));
    let mut by_connection = optional(by_connection);
    by_connection.doc = String::new();
    for field in by_connection.fields.iter_mut().filter(|field| field.name == "connection") {
        field.required = true;
    }
    let variants = kinds.iter().map(by_type).collect();
    Shape::Either(vec![Shape::Tagged { tag: "type", variants }, Shape::Struct(by_connection)])
}

/// The keys of both; of a key that means different things, either.
fn all_of(mut one: StructShape, other: StructShape) -> StructShape {
    for field in other.fields {
        match one.fields.iter_mut().find(|own| own.name == field.name) {
            None => one.fields.push(field),
            Some(own) if own.shape == field.shape => {}
            Some(own) => *own = either(own, field),
        }
    }
    one
}

fn either(one: &Field, other: Field) -> Field {
    let shape = match &one.shape {
        Shape::Either(shapes) if shapes.contains(&other.shape) => one.shape.clone(),
        shape => Shape::Either(vec![shape.clone(), other.shape]),
    };
    Field { shape, default: None, ..one.clone() }
}

/// What sources and sinks of one server have in common: any of their keys.
fn connection() -> Shape {
    let variants = connectors().iter().map(|connector| {
        let shapes = [source_of(connector), sink_of(connector)].into_iter().flatten().map(keys);
        let mut all = optional(shapes.fold(StructShape::default(), all_of));
        all.doc = String::new();
        (connector.name, all)
    });
    Shape::Tagged { tag: "type", variants: variants.collect() }
}

/// Either SQL, or a function.
fn transform() -> Shape {
    let all = keys(TransformSettings::shape());
    let with_required = |left_out: &[&str]| {
        let mut keys = without(all.clone(), left_out);
        keys.fields.iter_mut().for_each(|field| field.required |= ["sql", "from", "call"].contains(&field.name));
        Shape::Struct(keys)
    };
    Shape::Either(vec![with_required(&["from", "call"]), with_required(&["sql"])])
}

/// The reference page, in Markdown.
pub fn page() -> String {
    let mut page = String::from(include_str!("reference/opening.md"));
    let mut section = |heading: &str, text: &str| page.push_str(&format!("\n{heading}\n\n{}\n", text.trim()));
    section("## The file", &with_maps(keys(PipelineFile::shape())).to_markdown());
    section("## `connections`", include_str!("reference/connections.md"));
    section("## `sources`", &plain_format(SourceSettings::shape()));
    for connector in connectors() {
        if let Some(shape) = source_of(connector) {
            section(&format!("### A source of type `{}`", connector.name), &shape.to_markdown());
        }
    }
    section("### `schema`", include_str!("reference/types.md"));
    section("## `format`", &format!("{}\n{}", words(&FormatName::shape()), formats().to_markdown().trim()));
    section("## `transforms`", &TransformSettings::shape().to_markdown());
    section("## `functions`", &FunctionSettings::shape().to_markdown());
    section("## `alerts`", &AlertSettings::shape().to_markdown());
    section("## `sinks`", &plain_format(SinkSettings::shape()));
    for connector in connectors() {
        if let Some(shape) = sink_of(connector) {
            section(&format!("### A sink of type `{}`", connector.name), &shape.to_markdown());
        }
    }
    section("## `dead_letters`", include_str!("reference/letters.md"));
    page
}

/// The file's own keys; what is in a part of it is left to the part's section.
fn with_maps(mut file: StructShape) -> Shape {
    let part = || Shape::Tagged { tag: "type", variants: Vec::new() };
    for field in &mut file.fields {
        match &field.shape {
            Shape::Map(_) => field.shape = Shape::Map(Box::new(part())),
            Shape::Any => field.shape = part(),
            _ => {}
        }
    }
    Shape::Struct(file)
}

/// The formats that have keys of their own.
fn formats() -> Shape {
    let Shape::Either(ways) = Format::shape() else { return Format::shape() };
    let with_keys = ways.into_iter().map(|way| match way {
        Shape::Tagged { tag, variants } => {
            Shape::Tagged { tag, variants: variants.into_iter().filter(|(_, keys)| !keys.fields.is_empty()).collect() }
        }
        other => other,
    });
    Shape::Either(with_keys.collect())
}

/// The keys of a node, with the formats' own keys left to their section.
fn plain_format(shape: Shape) -> String {
    let mut keys = keys(shape);
    for field in keys.fields.iter_mut() {
        match field.name {
            "format" => field.shape = FormatName::shape(),
            "schema" => field.shape = Shape::Map(Box::new(Shape::Str)),
            _ => {}
        }
    }
    Shape::Struct(keys).to_markdown()
}

/// The words that may be chosen, each with what it means.
fn words(shape: &Shape) -> String {
    let Shape::OneOf { doc, choices } = shape else { return String::new() };
    let mut text = format!("{doc} A word, or a map with the word under `type` and keys of its own.\n\n");
    for choice in choices {
        text.push_str(&format!("- `{}`: {}\n", choice.name, choice.doc));
    }
    text
}
