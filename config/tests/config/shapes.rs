//! The JSON Schema and the reference page of the declarations in `main.rs`.

use expect_test::expect;
use riverhook_config::{Field, Setting, Shape, StructShape};

use crate::{Batch, Pipeline, Source};

#[test]
fn the_reference_page_says_what_the_declarations_say() {
    expect![[r#"
        A pipeline, as far as these tests need one.

        | key | value | default | |
        | --- | --- | --- | --- |
        | `name` | text |  | What it is called. |
        | `sources` | by name: map | required | Where records come from, by name. |

        #### `sources.‹name›`

        A Kafka topic read as a consumer group.

        One member reads each partition.

        | key | value | default | |
        | --- | --- | --- | --- |
        | `topic` | text, or a list | required | The topic, or a list of topics. |
        | `group` | text |  | Consumer group; the pipeline's name unless set. |
        | `start` | `earliest`, `latest` | `earliest` | Where reading begins.<br>`earliest`: At the first record there is.<br>`latest`: Behind the last one. |
        | `port` | whole number | `9092` | The broker's port. |
        | `share` | number | `1.0` | The share of records that is read. |
        | `counted` | `true` or `false` | `true` | Whether records are counted. |
        | `connect_timeout` | duration | `30s` | How long to wait for brokers. |
        | `backoff` | range of durations |  | Between the attempts to reach one. |
        | `password` | secret text |  | Who is let in. |
        | `ahead` | size | `4MiB` | How much is read ahead. |
        | `batch` | map |  | How records are gathered. |
        | `options` | anything |  | Handed to the client as it is. |

        #### `sources.‹name›.batch`

        When a batch ends.

        | key | value | default | |
        | --- | --- | --- | --- |
        | `rows` | whole number | `8192` | After so many rows. |
        | `for` | duration | `5ms` | After so long. |
    "#]].assert_eq(&Pipeline::shape().to_markdown());
}

#[test]
fn the_schema_says_what_the_declarations_say() {
    let schema = serde_json::to_string_pretty(&Source::shape().to_json_schema()).unwrap();
    expect![[r#"
        {
          "type": "object",
          "properties": {
            "topic": {
              "anyOf": [
                {
                  "type": "string"
                },
                {
                  "type": "array",
                  "items": {
                    "type": "string"
                  },
                  "minItems": 1
                }
              ],
              "description": "The topic, or a list of topics."
            },
            "group": {
              "type": "string",
              "description": "Consumer group; the pipeline's name unless set."
            },
            "start": {
              "anyOf": [
                {
                  "const": "earliest",
                  "description": "At the first record there is."
                },
                {
                  "const": "latest",
                  "description": "Behind the last one."
                },
                {
                  "type": "string",
                  "pattern": "\\$\\{"
                }
              ],
              "description": "Where reading begins.",
              "default": "earliest"
            },
            "port": {
              "anyOf": [
                {
                  "type": "integer",
                  "minimum": 0,
                  "maximum": 65535
                },
                {
                  "type": "string",
                  "pattern": "^\\$\\{[^}]*\\}$"
                }
              ],
              "description": "The broker's port.",
              "default": 9092
            },
            "share": {
              "anyOf": [
                {
                  "type": "number"
                },
                {
                  "type": "string",
                  "pattern": "^\\$\\{[^}]*\\}$"
                }
              ],
              "description": "The share of records that is read.",
              "default": 1.0
            },
            "counted": {
              "anyOf": [
                {
                  "type": "boolean"
                },
                {
                  "type": "string",
                  "pattern": "^\\$\\{[^}]*\\}$"
                }
              ],
              "description": "Whether records are counted.",
              "default": true
            },
            "connect_timeout": {
              "type": "string",
              "pattern": "^[0-9]+(ms|s|m|h|d)$|\\$\\{",
              "description": "How long to wait for brokers.",
              "default": "30s"
            },
            "backoff": {
              "type": "string",
              "pattern": "^[0-9]+(ms|s|m|h|d)\\.\\.[0-9]+(ms|s|m|h|d)$|\\$\\{",
              "description": "Between the attempts to reach one."
            },
            "password": {
              "type": [
                "string",
                "number"
              ],
              "description": "Who is let in."
            },
            "ahead": {
              "type": "string",
              "pattern": "^[0-9]+(B|kB|KB|KiB|MB|MiB|GB|GiB|TB|TiB)$|\\$\\{",
              "description": "How much is read ahead.",
              "default": "4MiB"
            },
            "batch": {
              "type": "object",
              "properties": {
                "rows": {
                  "anyOf": [
                    {
                      "type": "integer",
                      "minimum": 0
                    },
                    {
                      "type": "string",
                      "pattern": "^\\$\\{[^}]*\\}$"
                    }
                  ],
                  "description": "After so many rows.",
                  "default": 8192
                },
                "for": {
                  "type": "string",
                  "pattern": "^[0-9]+(ms|s|m|h|d)$|\\$\\{",
                  "description": "After so long.",
                  "default": "5ms"
                }
              },
              "additionalProperties": false,
              "description": "How records are gathered."
            },
            "options": {
              "description": "Handed to the client as it is."
            }
          },
          "additionalProperties": false,
          "required": [
            "topic"
          ],
          "description": "A Kafka topic read as a consumer group.\n\nOne member reads each partition.",
          "$schema": "https://json-schema.org/draft/2020-12/schema"
        }"#]]
    .assert_eq(&schema);
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
