//! `schema`: the JSON Schema, and the reference page in the repository.

use std::path::Path;

use serde_json::Value;

use crate::support::Folder;

fn schema() -> Value {
    let printed = Folder::new().run(&["schema"]).expect(0);
    serde_json::from_str(&printed.stdout).unwrap()
}

/// The variant of a list of alternatives that has this `type`.
fn of_type<'a>(alternatives: &'a Value, name: &str) -> &'a Value {
    let variants = alternatives["oneOf"].as_array().unwrap();
    variants.iter().find(|variant| variant["properties"]["type"]["const"] == name).unwrap()
}

#[test]
fn the_schema_has_every_part_of_the_language() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["required"], serde_json::json!(["name"]));
    let of = |section: &str| &schema["properties"][section]["additionalProperties"];
    let kafka = of_type(&of("sources")["anyOf"][0], "kafka");
    assert!(kafka["properties"]["topic"]["description"].as_str().unwrap().contains("topic"));
    assert!(kafka["properties"]["schema"].is_object() && kafka["properties"]["format"].is_object());
    let required = kafka["required"].as_array().unwrap();
    assert!(required.contains(&"brokers".into()) && required.contains(&"topic".into()), "{required:?}");
    let connected = &of("sources")["anyOf"][1];
    assert_eq!(connected["required"], serde_json::json!(["connection"]));
    assert!(connected["properties"]["topic"].is_object());
    of_type(&of("sinks")["anyOf"][0], "stdout");
    of_type(of("connections"), "kafka");
    let letters = of_type(&schema["properties"]["dead_letters"]["anyOf"][0], "file");
    assert!(letters["properties"].get("from").is_none() && letters["properties"].get("path").is_some());
    assert_eq!(of("transforms")["anyOf"].as_array().unwrap().len(), 2);
    for section in ["functions", "alerts"] {
        assert_eq!(of(section)["additionalProperties"], false, "{section}");
    }
}

#[test]
fn the_reference_page_is_up_to_date() {
    let printed = Folder::new().run(&["schema", "--markdown"]).expect(0).stdout;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference.md");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(page.parent().unwrap()).unwrap();
        std::fs::write(&page, &printed).unwrap();
    }
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == printed,
        "docs/reference.md is old: UPDATE_EXPECT=1 cargo test --release -p riverhook --test commands schema"
    );
}
