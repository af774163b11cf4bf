//! `riverhook graph`, and what `validate` says of a file that is fine.

use expect_test::{Expect, expect};

use crate::support::Folder;

const PIPELINE: &str = r#"
name: shop
sources:
  orders: { type: file, path: orders.jsonl, schema: { id: int64!, amount: float64 } }
transforms:
  large: { sql: "SELECT id, amount FROM orders WHERE amount > 100" }
alerts:
  huge: { from: large, when: amount > 10000, notify: [console] }
sinks:
  archive: { from: large, type: file, path: out/ }
  console: { type: stdout }
"#;

fn check(arguments: &[&str], expected: Expect) {
    let folder = Folder::with_pipeline(PIPELINE);
    folder.write("orders.jsonl", "{\"id\":1}\n");
    expected.assert_eq(&folder.run(arguments).expect(0).stdout);
}

#[test]
fn mermaid() {
    check(&["graph", "pipeline.yaml"], expect![""]);
}

#[test]
fn dot() {
    check(&["graph", "--format", "dot", "pipeline.yaml"], expect![""]);
}

#[test]
fn guarantees_and_columns() {
    check(&["validate", "--columns", "pipeline.yaml"], expect![""]);
}

#[test]
fn reached_servers() {
    check(&["validate", "--connect", "pipeline.yaml"], expect![""]);
}
