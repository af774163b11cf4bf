//! Answers that break the contract: every one is refused with a word on what is wrong, none becomes an Arrow array.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use riverhook_udf::{CallErrorKind, Caller, Function as _, Invocation, Limits, OpenError};
use support::guest::{SAME_BATCH, component, with_process};
use support::{failure, function, numbers_schema, open};

/// Answers the input's batch after `change` has been made to the answer at address 64, and expects a refusal.
fn check(change: &str, expected: &str) {
    let process = format!("{SAME_BATCH} (drop) {change} (i32.const 64)");
    let function = function(&with_process(&process), Limits::default());
    let (kind, message) = failure(open(&function).as_mut());
    assert_eq!(kind, CallErrorKind::InvalidResponse, "{message}");
    assert_eq!(kind.code(), "Function.InvalidResponse");
    assert!(message.contains(expected), "said: {message}");
}

#[test]
fn wrong_counts_are_refused() {
    check("(i32.store (i32.const 68) (i32.const 2))", "2 rows said to be the 3 rows of the input");
    check("(i32.store (i32.const 76) (i32.const 1))", "the buffer of its values is missing");
    check("(i32.store (i32.const 76) (i32.const 0))", "the buffer of its validity is missing");
    // The array of buffers and the buffers themselves lie one after the other, so a third entry can be read.
    check("(i32.store (i32.const 76) (i32.const 3))", "more buffers than the schema's columns have");
}

#[test]
fn rows_without_bytes_behind_them_are_refused() {
    // 2^32 - 1 rows, said to come from the whole batch.
    let change = "(i32.store (i32.const 68) (i32.const -1)) (i32.store8 (i32.const 80) (i32.const 2))";
    check(change, "4294967295 rows");
    let change = "(i32.store (i32.const 68) (i32.const 4)) (i32.store8 (i32.const 80) (i32.const 2))";
    check(change, "24 bytes of values where there must be 32");
}

#[test]
fn wrong_validity_is_refused() {
    // The first buffer, validity, gets 5 bytes.
    check("(i32.store (i32.add (local.get $ptr) (i32.const 4)) (i32.const 5))", "5 bytes of validity for 3 rows");
}

#[test]
fn pointers_out_of_memory_are_refused() {
    check("(i32.store (i32.const 72) (i32.const -8))", "");
    check("(i32.store (i32.add (local.get $ptr) (i32.const 8)) (i32.const -100))", "");
}

#[test]
fn wrong_origins_are_refused() {
    let rows = |length: u32, value: u32| {
        format!(
            "(i32.store8 (i32.const 80) (i32.const 1))
             (i32.store (i32.const 84) (i32.const 2048)) (i32.store (i32.const 88) (i32.const {length}))
             (i32.store (i32.const 2048) (i32.const {value}))"
        )
    };
    check(&rows(2, 0), "the origin of 2 rows for an output of 3");
    check(&rows(3, 3), "an origin beyond the batch's 3 rows");
    check("(i32.store8 (i32.const 80) (i32.const 9))", "");
}

#[test]
fn wrong_failed_rows_are_refused() {
    // Two failed rows at 2048, 24 bytes each, with empty texts.
    let failed = |first: u32, second: u32| {
        format!(
            "(i32.store (i32.const 92) (i32.const 2048)) (i32.store (i32.const 96) (i32.const 2))
             (i32.store (i32.const 2048) (i32.const {first})) (i32.store (i32.const 2072) (i32.const {second}))"
        )
    };
    check(&failed(1, 1), "failed row 1 is out of order");
    check(&failed(0, 3), "failed row 3 is out of order or beyond the batch's 3 rows");
    // A code that is not UTF-8.
    let bad_text = "(i32.store (i32.const 2052) (i32.const 3000)) (i32.store (i32.const 2056) (i32.const 1))
        (i32.store8 (i32.const 3000) (i32.const 255))";
    check(&format!("{} {bad_text}", failed(0, 1)), "");
}

/// The same for a batch with one column of text: buffers are validity, offsets and bytes.
fn check_text(change: &str, expected: &str) {
    let process = format!("{SAME_BATCH} (drop) {change} (i32.const 64)");
    let function = function(&with_process(&process), Limits::default());
    let schema = Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8, true)]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(StringArray::from(vec!["é", "b"]))]).unwrap();
    let error =
        function.instance(schema, &Caller::default()).unwrap().call(&batch, &Invocation::default()).result.unwrap_err();
    assert_eq!(error.kind, CallErrorKind::InvalidResponse, "{error}");
    assert!(error.message.contains("column `t`") && error.message.contains(expected), "said: {error}");
}

/// An i32.store to the offset with this index.
fn offset(index: u32, value: i32) -> String {
    format!(
        "(i32.store (i32.add (i32.load (i32.add (local.get $ptr) (i32.const 8))) (i32.const {})) (i32.const {value}))",
        index * 4
    )
}

#[test]
fn wrong_offsets_are_refused() {
    check_text(&offset(0, 1), "offsets do not ascend from 0");
    check_text(&offset(1, 4), "offsets do not ascend from 0");
    check_text(&offset(1, -1), "offsets do not ascend from 0");
    check_text(&offset(2, 1_000_000), "3 bytes of values where there must be 1000000");
    check_text(&offset(2, i32::MIN), "offsets do not ascend from 0");
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    // Between the two bytes of é.
    check_text(&offset(1, 1), "");
    let bytes = "(i32.store8 (i32.load (i32.add (local.get $ptr) (i32.const 16))) (i32.const 255))";
    check_text(bytes, "");
}

#[test]
fn an_output_schema_that_is_none_is_refused() {
    // One field at 2048: name, format, nullable, children, metadata; the format is at 3000.
    let schema = |format: &str, children: u32| {
        let items = format!(r#"(data (i32.const 3000) "{format}")"#);
        let open = format!(
            "(i32.store (i32.const 2056) (i32.const 3000)) (i32.store (i32.const 2060) (i32.const {}))
             (i32.store (i32.const 2068) (i32.const {children}))
             (i32.store (i32.const 4) (i32.const 2048)) (i32.store (i32.const 8) (i32.const 1)) (i32.const 0)",
            format.len()
        );
        let function = function(&component("", &open, SAME_BATCH, &items), Limits::default());
        function.describe(&numbers_schema())
    };
    assert!(schema("l", 0).is_ok());
    for (format, children, expected) in [
        ("int64", 0, "is not a known type"),
        ("l", 1, "lacks children"),
        ("+l", 0, "must have one child"),
        ("+s", 4_000_000_000, "lacks children"),
        ("d:99,2", 0, "is not a known type"),
        ("w:-1", 0, "is not a known type"),
    ] {
        let error = schema(format, children).unwrap_err();
        assert!(matches!(&error, OpenError::InvalidOutput(_)), "{error}");
        assert!(error.to_string().contains(expected), "{format}: {error}");
    }
}

#[test]
fn a_function_that_does_not_take_the_input_says_so() {
    let items = r#"(data (i32.const 1024) "needs the column `x`")"#;
    let open = "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 1024))
        (i32.store (i32.const 8) (i32.const 20)) (i32.const 0)";
    let function = function(&component("", open, SAME_BATCH, items), Limits::default());
    let error = function.describe(&numbers_schema()).unwrap_err();
    assert_eq!(error.to_string(), "the function does not take this input: needs the column `x`");
}

#[test]
fn a_type_that_cannot_cross_is_refused_by_name() {
    let function = function(&with_process(SAME_BATCH), Limits::default());
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let error = function.describe(&Schema::new(vec![Field::new("d", dictionary, true)])).unwrap_err();
    assert!(error.to_string().contains("column `d`"), "{error}");
}

#[test]
fn garbage_at_random_never_gets_through_as_a_panic() {
    // Every byte of the answer's 36, and of the two entries of the array of buffers, in turn becomes 0xff or 0x01.
    for address in 64..100 {
        for value in [255, 1] {
            let process =
                format!("{SAME_BATCH} (drop) (i32.store8 (i32.const {address}) (i32.const {value})) (i32.const 64)");
            let function = function(&with_process(&process), Limits::default());
            let _ = open(&function).call(&support::numbers([1, 2, 3]), &Invocation::default());
        }
    }
}

#[test]
fn a_decimal_with_too_many_digits_is_refused() {
    let function = function(
        &with_process(&format!(
            "{SAME_BATCH} (drop) (i64.store (i32.load (i32.add (local.get $ptr) (i32.const 8))) (i64.const 1000)) (i32.const 64)"
        )),
        Limits::default(),
    );
    let decimals = Decimal128Array::from(vec![5]).with_precision_and_scale(3, -2).unwrap();
    let batch = RecordBatch::try_from_iter([("d", Arc::new(decimals) as ArrayRef)]).unwrap();
    let error = function
        .instance(batch.schema(), &Caller::default())
        .unwrap()
        .call(&batch, &Invocation::default())
        .result
        .unwrap_err();
    assert_eq!(error.message, "column `d`: a decimal has more digits than its type");
}
