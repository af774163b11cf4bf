//! SQL: what comes out, what is refused and where, and that one bad row never hurts its neighbours.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray, types::Int64Type};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use expect_test::{Expect, expect};
use riverhook_connectors::{
    batch::{Batch, Input, RowFailure, Rows},
    format::{Encoded, Format},
    position::{Partition, Position},
};

use super::{Calls, Planner, Query, set_batch_time};
use crate::{error::Error, functions::Delivered};

pub(super) fn schema() -> SchemaRef {
    let place = DataType::Struct(
        vec![Field::new("lat", DataType::Int64, true), Field::new("lon", DataType::Int64, true)].into(),
    );
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("userName", DataType::Utf8, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("tags", DataType::List(Arc::new(Field::new("item", DataType::Int64, true))), true),
        Field::new("place", place, true),
    ]))
}

pub(super) fn batch() -> Batch {
    let place: StructArray = vec![
        (
            Arc::new(Field::new("lat", DataType::Int64, true)),
            Arc::new(Int64Array::from(vec![10, 20, 30, 40])) as ArrayRef,
        ),
        (Arc::new(Field::new("lon", DataType::Int64, true)), Arc::new(Int64Array::from(vec![1, 2, 3, 4])) as ArrayRef),
    ]
    .into();
    let tags = vec![Some(vec![Some(1), Some(2)]), Some(vec![]), None, Some(vec![Some(7)])];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3, 4])),
        Arc::new(StringArray::from(vec![Some("Ann"), Some("Bob"), None, Some("Dan")])),
        Arc::new(StringArray::from(vec![Some("5"), Some("x"), Some("7"), Some("{\"a\":{\"b\":3}}")])),
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(tags)),
        Arc::new(place),
    ];
    let input = Input {
        source: "s".into(),
        partition: Partition::new("p"),
        positions: (0..4).map(Position::Offset).collect(),
        keys: None,
        headers: None,
        times: None,
        read_at: 0,
    };
    Batch { records: RecordBatch::try_new(schema(), columns).unwrap(), rows: Rows::Same, input: Arc::new(input) }
}

pub(super) fn tables() -> BTreeMap<String, SchemaRef> {
    BTreeMap::from([("clicks".to_owned(), schema()), ("views".to_owned(), schema())])
}

/// For SQL that calls no function.
pub(super) struct NoCalls;

impl Calls for NoCalls {
    fn call(&self, _function: usize, _arguments: &Batch) -> Result<Delivered, Error> {
        unreachable!("this SQL calls no function")
    }
}

fn run(query: &Query) -> (Vec<Batch>, Vec<RowFailure>) {
    let (mut out, mut failed) = (Vec::new(), Vec::new());
    for branch in &query.branches {
        let ran = branch.bind(&schema()).unwrap().run(&batch(), &NoCalls).unwrap();
        out.extend(ran.out);
        failed.extend(ran.failed);
    }
    (out, failed)
}

/// Runs a SELECT over the four rows: each row as JSON with the record it came from, then the failures.
fn check(sql: &str, expected: Expect) {
    let query = Planner::new().unwrap().plan(sql, &tables()).unwrap_or_else(|error| panic!("{error:?}"));
    let (out, failed) = run(&query);
    let mut text = String::new();
    for batch in &out {
        assert_eq!(batch.records.schema(), query.schema);
        let mut encoded = Encoded::default();
        Format::default().encoder(Arc::clone(&query.schema)).unwrap().encode(&batch.records, &mut encoded);
        for row in 0..encoded.len() {
            let record = batch.rows.record(row).map_or("?".to_owned(), |record| record.to_string());
            text += &format!("{record}: {}\n", String::from_utf8_lossy(encoded.row(row)));
        }
    }
    for failed in failed {
        text += &format!("failed {}: {} {}\n", failed.row, failed.code, failed.message);
    }
    expected.assert_eq(&text);
}

fn refused(sql: &str, expected: Expect) {
    let error = Planner::new().unwrap().plan(sql, &tables()).expect_err(sql);
    let help = error.help.as_ref().map_or(String::new(), |help| format!(" ({help})"));
    expected.assert_eq(&format!("{}:{} {}{help}", error.line, error.column, error.message));
}

#[test]
fn rows_pass_and_keep_their_origin() {
    check(
        "SELECT id, upper(\"userName\") AS n FROM clicks WHERE id <> 2",
        expect![[r#"
        0: {"id":1,"n":"ANN"}
        2: {"id":3,"n":null}
        3: {"id":4,"n":"DAN"}
    "#]],
    );
    check(
        "SELECT userName FROM clicks WHERE userName = 'Bob'",
        expect![[r#"
        1: {"userName":"Bob"}
    "#]],
    );
}

#[test]
fn one_bad_cast_fails_alone() {
    check(
        "SELECT id, CAST(text AS BIGINT) AS n FROM clicks WHERE id < 4",
        expect![[r#"
        0: {"id":1,"n":5}
        2: {"id":3,"n":7}
        failed 1: sql.evaluate a value cannot be cast to int64
    "#]],
    );
}

#[test]
fn union_all_and_subqueries() {
    check(
        "WITH a AS (SELECT id FROM clicks) SELECT id * 10 AS id FROM a WHERE id = 1 UNION ALL SELECT id FROM views WHERE id > 3",
        expect![[r#"
            0: {"id":10}
            3: {"id":4}
        "#]],
    );
}

#[test]
fn unnest_lists_and_read_structs() {
    check(
        "SELECT id, unnest(tags) AS tag FROM clicks",
        expect![[r#"
        0: {"id":1,"tag":1}
        0: {"id":1,"tag":2}
        3: {"id":4,"tag":7}
    "#]],
    );
    check(
        "SELECT place['lat'] AS lat, tags[1] AS first FROM clicks WHERE id IN (1, 2)",
        expect![[r#"
        0: {"lat":10,"first":1}
        1: {"lat":20,"first":null}
    "#]],
    );
}

#[test]
fn json_regular_expressions_and_case() {
    check(
        "SELECT json_get_int(text, 'a', 'b') AS b, regexp_like(userName, '^D') AS d, CASE WHEN id > 3 THEN 'big' ELSE 'small' END AS size FROM clicks WHERE id = 4",
        expect![[r#"
            3: {"b":3,"d":true,"size":"big"}
        "#]],
    );
}

#[test]
fn now_is_the_batchs_time() {
    let query = Planner::new()
        .unwrap()
        .plan("SELECT now() AS t, current_date() AS d FROM clicks WHERE id = 1", &tables())
        .unwrap();
    for (micros, expected) in [(0, "1970-01-01"), (86_400_000_000 * 365, "1971-01-01")] {
        set_batch_time(micros);
        let (out, _) = run(&query);
        let mut encoded = Encoded::default();
        Format::default().encoder(Arc::clone(&query.schema)).unwrap().encode(&out[0].records, &mut encoded);
        let text = String::from_utf8_lossy(&encoded.bytes).into_owned();
        assert_eq!(text.matches(expected).count(), 2, "{text}");
    }
}

#[test]
fn only_the_columns_read_are_asked_for() {
    let query = Planner::new().unwrap().plan("SELECT id FROM clicks WHERE text = 'x'", &tables()).unwrap();
    assert_eq!(query.branches[0].columns, ["id", "text"]);
}

#[test]
fn what_needs_state_is_refused_by_name_and_place() {
    refused(
        "SELECT count(*) FROM clicks",
        expect![
            "1:8 the aggregate count(…) needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT id\nFROM clicks\nGROUP BY id",
        expect![
            "3:10 GROUP BY needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT DISTINCT id FROM clicks",
        expect![
            "1:1 DISTINCT needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT a.id FROM clicks a JOIN views b ON a.id = b.id",
        expect![
            "1:32 JOIN needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT a.id FROM clicks a, views b",
        expect![
            "1:28 reading two tables in one FROM (a join) needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT id FROM clicks ORDER BY id",
        expect![
            "1:32 ORDER BY needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT id FROM clicks LIMIT 5",
        expect![
            "1:29 LIMIT needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT id FROM clicks UNION SELECT id FROM views",
        expect![
            "1:29 UNION (which compares all rows) needs state, which is not there yet: this version runs stateless SQL (UNION ALL needs no state)"
        ],
    );
    refused(
        "SELECT row_number() OVER (ORDER BY id) AS n FROM clicks",
        expect![
            "1:8 the window function row_number(…) OVER needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT id FROM tumble(clicks, ts, INTERVAL '1 minute')",
        expect![
            "1:16 the window tumble(…) needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT id FROM clicks WHERE id IN (SELECT id FROM views)",
        expect![
            "1:29 a subquery in an expression needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT id FROM clicks FOR SYSTEM_TIME AS OF '2020-01-01'",
        expect!["1:27 expected one of UPDATE or SHARE, found SYSTEM_TIME"],
    );
}

#[test]
fn mistakes_have_a_place() {
    refused("SELECT id FROM clics", expect!["1:16 there is no node named `clics` (did you mean `clicks`?)"]);
    refused("SELECT\n  idd FROM clicks", expect!["2:3 there is no column `idd` (did you mean `id`?)"]);
    refused("SELECT uper(text) FROM clicks", expect!["1:8 there is no function `uper` (did you mean `upper`?)"]);
    refused("SELECT id FROM clicks WHERE", expect!["0:0 expected an expression, but here it ends"]);
    refused(
        "SELECT id + tags AS x FROM clicks",
        expect![
            "1:8 the two sides have types that do not go together (look at both sides' types with `riverhook validate --columns`, and CAST one of them)"
        ],
    );
    refused(
        "INSERT INTO clicks VALUES (1)",
        expect!["0:0 expected a SELECT, found INSERT (a transform's SQL is one SELECT; sinks write its rows)"],
    );
    refused(
        "SELECT id FROM clicks; SELECT id FROM views",
        expect!["0:0 expected one SELECT, found several statements"],
    );
    refused("SELECT 1 AS one", expect!["0:0 this SELECT reads no node (name a source or transform in FROM)"]);
    refused(
        "SELECT NULL AS nothing FROM clicks",
        expect!["0:0 the column `nothing` is always NULL and has no type (give it one: CAST(NULL AS VARCHAR))"],
    );
    refused(
        "SELECT id, text AS id FROM clicks",
        expect!["0:0 two columns are named `id` (give one of them another name with AS)"],
    );
    refused(
        "SELECT json_get(text, 'a') AS a FROM clicks",
        expect![
            "0:0 the column `a` has no single type (use json_get_str, json_get_int, json_get_float, json_get_bool or json_get_json)"
        ],
    );
}

#[test]
fn conditions_stay_conditions() {
    let planner = Planner::new().unwrap();
    assert!(planner.condition("id > 3", "clicks", &schema()).is_ok());
    assert!(planner.condition("id > 3) OR (true", "clicks", &schema()).is_err());
    assert!(planner.condition("id", "clicks", &schema()).is_err());
    let error = planner.condition("idd > 3", "clicks", &schema()).unwrap_err();
    assert_eq!((error.line, error.column), (1, 1));
}
