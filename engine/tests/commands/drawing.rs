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
    check(
        &["graph", "pipeline.yaml"],
        expect![[r#"
        flowchart LR
          n_orders(["orders"])
          n_large["large"]
          n_huge{{"huge"}}
          n_archive[("archive")]
          n_console[("console")]
          n_orders --> n_large
          n_large --> n_huge
          n_large --> n_archive
          n_huge --> n_console
    "#]],
    );
}

#[test]
fn dot() {
    check(
        &["graph", "--format", "dot", "pipeline.yaml"],
        expect![[r#"
        digraph "shop" {
          rankdir=LR;
          "orders" [label="orders", shape=oval];
          "large" [label="large", shape=box];
          "huge" [label="huge", shape=hexagon];
          "archive" [label="archive", shape=cylinder];
          "console" [label="console", shape=cylinder];
          "orders" -> "large";
          "large" -> "huge";
          "large" -> "archive";
          "huge" -> "console";
        }
    "#]],
    );
}

#[test]
fn guarantees_and_columns() {
    check(
        &["validate", "--columns", "pipeline.yaml"],
        expect![[r#"
        pipeline.yaml: `shop` is fine: 1 source, 2 steps, 2 sinks

        Delivery:
          orders → archive: at least once (positions are stored behind durable writes; after a crash some rows are written again)
          orders → console: shown (the sink shows rows and stores nothing)

        Columns:
          orders:
            id: int64!
            amount: float64
          large:
            id: int64!
            amount: float64
          huge:
            time: timestamp(us,UTC)!
            alert: string!
            key: string
            message: string!
            row: json!
    "#]],
    );
}

#[test]
fn reached_servers() {
    check(
        &["validate", "--connect", "pipeline.yaml"],
        expect![[r#"
        pipeline.yaml: `shop` is fine: 1 source, 2 steps, 2 sinks

        Delivery:
          orders → archive: at least once (positions are stored behind durable writes; after a crash some rows are written again)
          orders → console: shown (the sink shows rows and stores nothing)

        Servers:
          orders: one file: orders.jsonl
          archive: . can be written to
          console: standard output
    "#]],
    );
}

const LOGGED: &str = r#"
name: shop
sources:
  orders: { type: file, path: orders.jsonl, schema: { id: int64! } }
functions:
  enrich: { http: "http://127.0.0.1:1/", logs: audit }
transforms:
  enriched: { from: orders, call: enrich }
sinks:
  archive: { from: enriched, type: file, path: out/ }
  audit: { type: file, path: audit/ }
"#;

#[test]
fn functions_logs_lead_to_their_sink() {
    let folder = Folder::with_pipeline(LOGGED);
    folder.write("orders.jsonl", "{\"id\":1}\n");
    let drawn = folder.run(&["graph", "pipeline.yaml"]).expect(0).stdout;
    assert!(drawn.contains("  n_enriched -. logs .-> n_audit\n"), "{drawn}");
    let said = folder.run(&["validate", "pipeline.yaml"]).expect(0).stdout;
    assert!(said.contains("  audit.logs → audit: best effort (functions never wait for their log"), "{said}");
}
