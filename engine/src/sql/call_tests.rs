//! Functions of the file in SQL: what is called, how often and with what, and where failures go.

use std::{cell::RefCell, sync::Arc};

use arrow_array::{ArrayRef, Int64Array, StructArray, cast::AsArray, types::Int64Type};
use arrow_schema::{DataType, Field, Fields, Schema};
use expect_test::{Expect, expect};
use riverhook_connectors::{
    batch::{Batch, Input, Rows},
    format::{Encoded, Format},
    position::Position,
};
use uuid::Uuid;

use super::{
    Calls, Planner, UserFunction,
    tests::{batch, schema, tables},
};
use crate::{
    error::Error,
    functions::{Delivered, GivenUp},
};

fn fields(columns: &[(&str, DataType, bool)]) -> Fields {
    columns.iter().map(|(name, data_type, nullable)| Field::new(*name, data_type.clone(), *nullable)).collect()
}

fn place() -> DataType {
    DataType::Struct(fields(&[("text", DataType::Utf8, true), ("length", DataType::Int64, true)]))
}

/// `about(s)` is a struct, `plus(a, b)` a sum that fails for an `a` of 3, `Strict(a)` takes no NULL, `many(n)` a list.
fn planner() -> Planner {
    let function = |name: &str, arguments: &[(&str, DataType, bool)], result: DataType| UserFunction {
        name: name.to_owned(),
        arguments: fields(arguments),
        result: Arc::new(Field::new("value", result, true)),
    };
    let list = DataType::List(Arc::new(Field::new("item", DataType::Int64, true)));
    Planner::new().unwrap().with_functions(vec![
        function("about", &[("s", DataType::Utf8, true)], place()),
        function("plus", &[("a", DataType::Int64, true), ("b", DataType::Int64, true)], DataType::Int64),
        function("Strict", &[("a", DataType::Int64, false)], DataType::Int64),
        function("many", &[("n", DataType::Int64, true)], list),
    ])
}

/// Answers as the policy does, and notes each call: the function, and what it was given.
#[derive(Default)]
struct Notes {
    functions: Vec<String>,
    called: RefCell<Vec<String>>,
    /// The record of each argument row: its position and its key.
    records: RefCell<Vec<(Position, String)>>,
}

impl Calls for Notes {
    fn call(&self, function: usize, arguments: &Batch) -> Result<Delivered, Error> {
        let name = &self.functions[function];
        let mut encoded = Encoded::default();
        Format::default().encoder(arguments.records.schema()).unwrap().encode(&arguments.records, &mut encoded);
        let texts: Vec<_> =
            (0..encoded.len()).map(|row| String::from_utf8_lossy(encoded.row(row)).into_owned()).collect();
        self.called.borrow_mut().push(format!("{name}{}", texts.join("")));
        let input = &arguments.input;
        let record = |row: usize| {
            let record = arguments.rows.record(row)?;
            let key = input.keys.as_ref().map(|keys| String::from_utf8_lossy(keys.value(record)).into_owned());
            Some((*input.positions.get(record)?, key.unwrap_or_default()))
        };
        self.records.borrow_mut().extend((0..arguments.records.num_rows()).filter_map(record));
        let column = |index: usize| arguments.records.column(index).as_primitive::<Int64Type>();
        let rows = 0..arguments.records.num_rows();
        let result: ArrayRef = match name.as_str() {
            "about" => {
                let text = arguments.records.column(0).as_string::<i32>();
                let lengths: Int64Array = text.iter().map(|text| text.map(|text| text.len() as i64)).collect();
                let DataType::Struct(fields) = place() else { unreachable!() };
                Arc::new(StructArray::new(fields, vec![Arc::new(text.clone()), Arc::new(lengths)], None))
            }
            "many" => Arc::new(arrow_array::ListArray::from_iter_primitive::<Int64Type, _, _>(
                rows.clone().map(|row| Some(vec![Some(column(0).value(row)); 2])),
            )),
            "plus" => Arc::new(
                rows.clone().map(|row| Some(column(0).value(row) + column(1).value(row))).collect::<Int64Array>(),
            ),
            _ => Arc::clone(arguments.records.column(0)),
        };
        let bad: Vec<u32> =
            rows.filter(|row| name == "plus" && column(0).value(*row) == 3).map(|row| row as u32).collect();
        let failed = bad.iter().map(|row| GivenUp {
            row: *row,
            code: "Function.RowFailed",
            message: "three".to_owned(),
            attempts: 2,
            invocation: Uuid::nil(),
        });
        let failed: Vec<_> = failed.collect();
        let schema = Arc::new(Schema::new(vec![Field::new("value", result.data_type().clone(), true)]));
        let records = arrow_array::RecordBatch::try_new(schema, vec![result]).unwrap();
        let all = Batch { records, rows: arguments.rows.clone(), input: Arc::clone(&arguments.input) };
        if failed.is_empty() {
            return Ok(Delivered { out: vec![all], failed });
        }
        // Answers come in pieces and out of order when some rows ran again.
        let kept: Vec<u32> = (0..all.records.num_rows() as u32).filter(|row| !bad.contains(row)).collect();
        let (first, second) = kept.split_at(kept.len() / 2);
        let out = [second, first].map(|rows| all.take(&rows.to_vec().into())).to_vec();
        Ok(Delivered { out, failed })
    }
}

/// Runs a SELECT over the four rows: the calls that were made, then each row with the record it came from, then failures.
fn check(sql: &str, expected: Expect) {
    checked(batch(), sql, expected);
}

fn checked(batch: Batch, sql: &str, expected: Expect) {
    let query = planner().plan(sql, &tables()).unwrap_or_else(|error| panic!("{error:?}"));
    let notes = Notes { functions: query.functions.clone(), ..Notes::default() };
    let (mut text, mut failures) = (String::new(), String::new());
    for branch in &query.branches {
        let ran = branch.bind(&schema()).unwrap().run(&batch, &notes).unwrap();
        for batch in &ran.out {
            assert_eq!(batch.records.schema(), query.schema);
            let mut encoded = Encoded::default();
            Format::default().encoder(Arc::clone(&query.schema)).unwrap().encode(&batch.records, &mut encoded);
            for row in 0..encoded.len() {
                let record = batch.rows.record(row).map_or("?".to_owned(), |record| record.to_string());
                text += &format!("{record}: {}\n", String::from_utf8_lossy(encoded.row(row)));
            }
        }
        for failed in ran.failed {
            failures += &format!("failed {}: {} {}\n", failed.row, failed.code, failed.message);
        }
        for (function, failed) in ran.given_up {
            let (name, GivenUp { row, message, attempts, .. }) = (&query.functions[function], failed);
            failures += &format!("given up {row}: {name} {message}, {attempts} tries\n");
        }
    }
    let called: String = notes.called.borrow().iter().map(|call| format!("{call}\n")).collect();
    expected.assert_eq(&format!("{called}{text}{failures}"));
}

fn refused(sql: &str, expected: Expect) {
    let error = planner().plan(sql, &tables()).expect_err(sql);
    let help = error.help.as_ref().map_or(String::new(), |help| format!(" ({help})"));
    expected.assert_eq(&format!("{}:{} {}{help}", error.line, error.column, error.message));
}

#[test]
fn a_call_is_a_value() {
    check(
        "SELECT id, plus(id, 10) AS n FROM clicks WHERE id <> 3",
        expect![[r#"
        plus{"a":1,"b":10}{"a":2,"b":10}{"a":4,"b":10}
        0: {"id":1,"n":11}
        1: {"id":2,"n":12}
        3: {"id":4,"n":14}
    "#]],
    );
    check(
        "SELECT plus(b => 100, a => id) AS n FROM clicks WHERE id = 1",
        expect![[r#"
        plus{"a":1,"b":100}
        0: {"n":101}
    "#]],
    );
}

#[test]
fn what_is_the_same_is_called_once() {
    check(
        "SELECT about(text)['length'] AS l, about(text)['text'] AS t FROM clicks WHERE about(text)['length'] = 1",
        expect![[r#"
            about{"s":"5"}{"s":"x"}{"s":"7"}{"s":"{\"a\":{\"b\":3}}"}
            0: {"l":1,"t":"5"}
            1: {"l":1,"t":"x"}
            2: {"l":1,"t":"7"}
        "#]],
    );
    check(
        "SELECT c['length'] AS l, c['text'] AS t FROM (SELECT about(text) AS c FROM clicks WHERE id < 3) s",
        expect![[r#"
            about{"s":"5"}{"s":"x"}
            0: {"l":1,"t":"5"}
            1: {"l":1,"t":"x"}
        "#]],
    );
    check(
        "SELECT plus(id, 1) + plus(id, 2) + plus(id, 1) AS n FROM clicks WHERE id = 1",
        expect![[r#"
        plus{"a":1,"b":1}
        plus{"a":1,"b":2}
        0: {"n":7}
    "#]],
    );
    // Also where a part of its arguments stands elsewhere as well.
    check(
        "SELECT about(upper(text))['text'] AS t FROM clicks WHERE about(upper(text))['length'] = 1 AND upper(text) <> 'X' AND upper(text) <> 'Y'",
        expect![[r#"
            about{"s":"5"}{"s":"7"}{"s":"{\"A\":{\"B\":3}}"}
            0: {"t":"5"}
            2: {"t":"7"}
        "#]],
    );
    // With arguments that differ each time it is not the same.
    let sql = "SELECT about(CAST(uuid() AS VARCHAR))['length'] AS a, about(CAST(uuid() AS VARCHAR))['length'] AS b FROM clicks WHERE id = 1";
    let query = planner().plan(sql, &tables()).unwrap();
    let notes = Notes { functions: query.functions.clone(), ..Notes::default() };
    query.branches[0].bind(&schema()).unwrap().run(&batch(), &notes).unwrap();
    assert_eq!(notes.called.borrow().len(), 2);
}

#[test]
fn constants_are_not_folded_and_no_call_is_dropped() {
    check(
        "SELECT id, plus(1, 2) AS n FROM clicks WHERE id < 3",
        expect![[r#"
        plus{"a":1,"b":2}{"a":1,"b":2}
        0: {"id":1,"n":3}
        1: {"id":2,"n":3}
    "#]],
    );
    check(
        "SELECT id FROM clicks WHERE plus(1, 2) = plus(1, 2) AND id = 1",
        expect![[r#"
        plus{"a":1,"b":2}
        0: {"id":1}
    "#]],
    );
    check(
        "SELECT id FROM clicks WHERE id IN (plus(0, 1), plus(1, 1))",
        expect![[r#"
        plus{"a":0,"b":1}{"a":0,"b":1}{"a":0,"b":1}{"a":0,"b":1}
        plus{"a":1,"b":1}{"a":1,"b":1}{"a":1,"b":1}{"a":1,"b":1}
        0: {"id":1}
        1: {"id":2}
    "#]],
    );
}

#[test]
fn calls_within_calls_come_first() {
    check(
        "SELECT plus(plus(id, 1), plus(id, 5)) AS n FROM clicks WHERE id = 1",
        expect![[r#"
        plus{"a":1,"b":1}
        plus{"a":1,"b":5}
        plus{"a":2,"b":6}
        0: {"n":8}
    "#]],
    );
}

#[test]
fn conditions_without_calls_filter_first_and_those_with_calls_one_by_one() {
    check(
        "SELECT id FROM clicks WHERE plus(id, 1) > 2 AND id <> 3 AND about(text)['length'] > 1",
        expect![[r#"
        plus{"a":1,"b":1}{"a":2,"b":1}{"a":4,"b":1}
        about{"s":"x"}{"s":"{\"a\":{\"b\":3}}"}
        3: {"id":4}
    "#]],
    );
}

#[test]
fn case_calls_for_every_row() {
    check(
        "SELECT CASE WHEN id = 1 THEN plus(id, 1) ELSE 0 END AS n FROM clicks WHERE id < 3",
        expect![[r#"
        plus{"a":1,"b":1}{"a":2,"b":1}
        0: {"n":2}
        1: {"n":0}
    "#]],
    );
}

#[test]
fn a_row_that_fails_leaves_before_the_next_operator_and_its_neighbours_go_on() {
    check(
        "SELECT id, plus(id, 1) AS n, about(text)['text'] AS t FROM clicks",
        expect![[r#"
        plus{"a":1,"b":1}{"a":2,"b":1}{"a":3,"b":1}{"a":4,"b":1}
        about{"s":"5"}{"s":"x"}{"s":"{\"a\":{\"b\":3}}"}
        0: {"id":1,"n":2,"t":"5"}
        1: {"id":2,"n":3,"t":"x"}
        3: {"id":4,"n":5,"t":"{\"a\":{\"b\":3}}"}
        given up 2: plus three, 2 tries
    "#]],
    );
    // A bad cast before the call: its row is not among the arguments, and there is one call for the others.
    check(
        "SELECT id, plus(CAST(text AS BIGINT), 1) AS n FROM clicks WHERE id < 4",
        expect![[r#"
        plus{"a":5,"b":1}{"a":7,"b":1}
        0: {"id":1,"n":6}
        2: {"id":3,"n":8}
        failed 1: sql.evaluate a value cannot be cast to int64
    "#]],
    );
    // And behind the call: nothing is called again.
    check(
        "SELECT CAST(about(text)['text'] AS BIGINT) AS n FROM clicks",
        expect![[r#"
        about{"s":"5"}{"s":"x"}{"s":"7"}{"s":"{\"a\":{\"b\":3}}"}
        0: {"n":5}
        2: {"n":7}
        failed 1: sql.evaluate a value cannot be cast to int64
        failed 3: sql.evaluate a value cannot be cast to int64
    "#]],
    );
}

#[test]
fn an_argument_that_must_not_be_null_fails_its_row() {
    check(
        "SELECT strict(CASE WHEN id <> 2 THEN id END) AS n FROM clicks",
        expect![[r#"
        Strict{"a":1}{"a":3}{"a":4}
        0: {"n":1}
        2: {"n":3}
        3: {"n":4}
        failed 1: sql.evaluate an argument that must not be null is null
    "#]],
    );
}

#[test]
fn lists_are_taken_apart_before_and_behind_calls() {
    check(
        "SELECT id, unnest(many(id)) AS n FROM clicks WHERE id < 3",
        expect![[r#"
        many{"n":1}{"n":2}
        0: {"id":1,"n":1}
        0: {"id":1,"n":1}
        1: {"id":2,"n":2}
        1: {"id":2,"n":2}
    "#]],
    );
    check(
        "SELECT plus(t, 1) AS n FROM (SELECT unnest(tags) AS t FROM clicks) s",
        expect![[r#"
        plus{"a":1,"b":1}{"a":2,"b":1}{"a":7,"b":1}
        0: {"n":2}
        0: {"n":3}
        3: {"n":8}
    "#]],
    );
    // A row fails as a whole: of one whose second element fails nothing goes on.
    check(
        "SELECT plus(t + 1, 0) AS n FROM (SELECT unnest(tags) AS t FROM clicks) s",
        expect![[r#"
        plus{"a":2,"b":0}{"a":3,"b":0}{"a":8,"b":0}
        3: {"n":8}
        given up 0: plus three, 2 tries
    "#]],
    );
}

#[test]
fn rows_whose_records_are_not_known_are_told_apart_all_the_same() {
    let batch = Batch { rows: Rows::All, ..batch() };
    checked(
        batch,
        "SELECT id, plus(id, 1) AS n FROM clicks",
        expect![[r#"
        plus{"a":1,"b":1}{"a":2,"b":1}{"a":3,"b":1}{"a":4,"b":1}
        ?: {"id":1,"n":2}
        ?: {"id":2,"n":3}
        ?: {"id":4,"n":5}
        given up 2: plus three, 2 tries
    "#]],
    );
}

#[test]
fn functions_are_told_which_record_a_row_came_from() {
    let batch = batch();
    let keys = arrow_array::BinaryArray::from_vec(vec![b"a", b"b", b"c", b"d"]);
    let batch = Batch { input: Arc::new(Input { keys: Some(keys), ..(*batch.input).clone() }), ..batch };
    let told = |sql: &str| {
        let query = planner().plan(sql, &tables()).unwrap();
        let notes = Notes { functions: query.functions.clone(), ..Notes::default() };
        query.branches[0].bind(&schema()).unwrap().run(&batch, &notes).unwrap();
        let records = notes.records.into_inner();
        records.into_iter().map(|(position, key)| format!("{position} {key}")).collect::<Vec<_>>()
    };
    assert_eq!(told("SELECT plus(id, 1) AS n FROM clicks WHERE id > 2"), ["2 c", "3 d"]);
    let sql = "SELECT plus(t, 1) AS n FROM (SELECT unnest(tags) AS t FROM clicks) s";
    assert_eq!(told(sql), ["0 a", "0 a", "3 d"]);
}

#[test]
fn each_branch_of_a_union_calls_for_itself() {
    check(
        "SELECT plus(id, 1) AS n FROM clicks WHERE id = 1 UNION ALL SELECT plus(id, 1) AS n FROM clicks WHERE id = 2",
        expect![[r#"
            plus{"a":1,"b":1}
            plus{"a":2,"b":1}
            0: {"n":2}
            1: {"n":3}
        "#]],
    );
}

#[test]
fn wrong_calls_are_refused_by_name_and_place() {
    refused("SELECT plus(id) AS n FROM clicks", expect!["1:8 `plus` takes 2 arguments (`a`, `b`), and is given 1"]);
    refused(
        "SELECT id,\n  about(id) AS n FROM clicks",
        expect!["2:3 `about` takes string as `s`, and is given int64: CAST it"],
    );
    refused(
        "SELECT plus(id, 1.5) AS n FROM clicks",
        expect!["1:8 `plus` takes int64 as `b`, and is given float64: CAST it"],
    );
    refused("SELECT plus(id, c => 2) AS n FROM clicks", expect!["1:17 `plus` has no argument `c` (did you mean `a`?)"]);
    refused(
        "SELECT plus(DISTINCT id, 2) AS n FROM clicks",
        expect!["1:8 DISTINCT or ALL in a call of `plus` is not supported"],
    );
    refused(
        "SELECT plus(id, 2) FILTER (WHERE id > 1) AS n FROM clicks",
        expect!["1:8 FILTER in a call of `plus` is not supported"],
    );
    refused(
        "SELECT plus(id, 2) OVER () AS n FROM clicks",
        expect![
            "1:8 the window function plus(…) OVER needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT id FROM clicks GROUP BY plus(id, 2)",
        expect![
            "1:32 GROUP BY needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT id FROM clicks ORDER BY plus(id, 2)",
        expect![
            "1:32 ORDER BY needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused(
        "SELECT id FROM clicks LIMIT plus(1, 2)",
        expect![
            "1:29 LIMIT needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused("SELECT id FROM plus(1, 2)", expect!["1:16 the table function plus(…) is not supported"]);
    refused(
        "SELECT sum(plus(id, 2)) AS n FROM clicks",
        expect![
            "1:8 the aggregate sum(…) needs state, which is not there yet: this version runs stateless SQL (stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL)"
        ],
    );
    refused("SELECT pluss(id, 2) AS n FROM clicks", expect!["1:8 there is no function `pluss` (did you mean `plus`?)"]);
}

#[test]
fn names_that_sql_uses_are_no_functions() {
    let planner = Planner::new().unwrap();
    for name in ["upper", "Upper", "count", "row_number", "tumble", "cast", "unnest", "left", "now"] {
        assert!(planner.name_problem(name).is_some(), "{name}");
    }
    for name in ["geo", "Geo", "is_bot", "lookup2"] {
        assert_eq!(planner.name_problem(name), None);
    }
}

#[test]
fn conditions_call_functions_too() {
    let query = planner().condition("plus(id, 1) > 3", "clicks", &schema()).unwrap();
    let notes = Notes { functions: query.functions.clone(), ..Notes::default() };
    let ran = query.branches[0].bind(&schema()).unwrap().run(&batch(), &notes).unwrap();
    assert_eq!((ran.out.len(), ran.out[0].records.num_rows(), ran.given_up.len()), (1, 1, 1));
    assert_eq!(ran.out[0].records.schema(), schema());
}

#[test]
fn there_is_a_bound_on_calls() {
    let sums: Vec<String> = (0..200).map(|n| format!("plus(id, {n})")).collect();
    let sql = format!("SELECT coalesce({}) AS n FROM clicks", sums.join(", "));
    refused(&sql, expect!["0:0 this SQL calls functions more than 100 times: cut it into several transforms"]);
}

#[test]
fn results_have_the_type_of_the_signature() {
    let query = planner().plan("SELECT about(text) AS a FROM clicks", &tables()).unwrap();
    assert_eq!(query.schema.field(0).data_type(), &place());
}
