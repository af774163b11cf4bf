//! The JSON Schema and the reference page of the declarations in `main.rs`.

use expect_test::expect;
use riverhook_config::{Field, Setting, Shape, StructShape};

use crate::{Batch, Pipeline, Source};

#[test]
fn the_reference_page_says_what_the_declarations_say() {
    expect![[r#""#]].assert_eq(&Pipeline::shape().to_markdown());
}

#[test]
fn the_schema_says_what_the_declarations_say() {
    let schema = serde_json::to_string_pretty(&Source::shape().to_json_schema()).unwrap();
    expect![[r#""#]].assert_eq(&schema);
}

#[test]
fn shapes_of_one_map_are_merged() {
    let merged = Batch::shape().merge(Source::shape());
    let names: Vec<&str> = merged.fields().iter().map(|field| field.name).collect();
    assert_eq!(names[..3], ["rows", "for", "topic"]);
    assert_eq!(names.len(), Batch::keys().len() + Source::keys().len());
    let again = merged.clone().merge(Batch::shape());
    assert_eq!(again.fields().len(), merged.fields().len());
}

#[test]
fn kinds_of_nodes_are_told_apart_by_a_word() {
    let field = Field { name: "type", doc: "The kind.".into(), required: true, default: None, shape: Shape::Str };
    let file = StructShape { name: "File".into(), doc: String::new(), fields: vec![field] };
    let shape = Shape::Map(Box::new(Shape::Tagged { tag: "type", variants: vec![("file", file)] }));
    let schema = shape.to_json_schema();
    let file = &schema["additionalProperties"]["oneOf"][0];
    assert_eq!(file["properties"]["type"]["const"], "file");
    assert_eq!(file["required"], serde_json::json!(["type"]));
    assert!(shape.to_markdown().contains("`‹name› (type: file)`"));
}
