//! Batches of every type through a real guest that gives back what it gets.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use arrow_array::{Array as _, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema};
use riverhook_udf::{Caller, Function as _, Instance, Invocation, Limits, OpenError, Origin};
use support::batches::random;
use support::{function, numbers, numbers_schema, open, prebuilt};

/// Sends the batch through the guest and expects it back.
fn check(instance: &mut dyn Instance, batch: &RecordBatch) {
    let outcome = instance.call(batch, &Invocation::default()).result.unwrap();
    assert_eq!(outcome.origin, Origin::Same);
    assert!(outcome.failed.is_empty());
    for (sent, received) in batch.columns().iter().zip(outcome.output.columns()) {
        received.to_data().validate_full().unwrap();
        assert_eq!(sent, received);
    }
    assert_eq!(&outcome.output, batch);
}

#[test]
fn every_type_survives_whole_sliced_and_empty() {
    let echo = function(&prebuilt("echo"), Limits::default());
    let mut instance = echo.instance(random(0, 0).schema(), &Caller::default()).unwrap();
    assert_eq!(instance.output(), &random(0, 0).schema());
    for seed in 0..40 {
        let rows = [0, 1, 7, 8, 9, 64, 300][seed as usize % 7];
        let batch = random(seed, rows);
        check(instance.as_mut(), &batch);
        for (offset, length) in [(0, rows / 2), (rows / 3, rows / 2), (rows / 2, rows - rows / 2), (rows, 0)] {
            check(instance.as_mut(), &batch.slice(offset, length));
        }
    }
}

#[test]
fn a_batch_of_rows_without_columns_survives() {
    let echo = function(&prebuilt("echo"), Limits::default());
    let schema = Arc::new(Schema::empty());
    let options = RecordBatchOptions::new().with_row_count(Some(5));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &options).unwrap();
    check(echo.instance(schema, &Caller::default()).unwrap().as_mut(), &batch);
}

#[test]
fn field_metadata_and_nullability_survive() {
    let echo = function(&prebuilt("echo"), Limits::default());
    let metadata = [("ARROW:extension:name".to_owned(), "arrow.json".to_owned())].into();
    let schema = Schema::new(vec![Field::new("j", DataType::Utf8, false).with_metadata(metadata)]);
    assert_eq!(echo.describe(&schema).unwrap().as_ref(), &schema);
}

#[test]
fn one_instance_serves_many_calls_without_growing() {
    let echo = function(&prebuilt("echo"), Limits::default());
    let mut instance = open(&echo);
    let batch = numbers(0..8192);
    let mut peaks = (0..2_000).map(|_| instance.call(&batch, &Invocation::default()).usage.peak_memory);
    let early = peaks.nth(10).unwrap();
    assert_eq!(peaks.last().unwrap(), early);
}

#[test]
fn the_version_is_the_hash_of_the_code() {
    let echo = function(&prebuilt("echo"), Limits::default());
    let map = function(&prebuilt("bid_map"), Limits::default());
    assert_eq!(echo.version().len(), 64);
    assert_ne!(echo.version(), map.version());
}

#[test]
fn the_map_of_the_benchmarks_filters_and_computes() {
    let instant = DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, None);
    let columns: Vec<(&str, Arc<dyn arrow_array::Array>)> = vec![
        ("auction", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
        ("bidder", Arc::new(Int64Array::from(vec![Some(10), Some(20), None, Some(40)]))),
        ("price", Arc::new(Int64Array::from(vec![Some(5_000), Some(5_001), Some(10_000), None]))),
        ("channel", Arc::new(arrow_array::StringArray::from(vec!["a", "b", "c", "d"]))),
        ("date_time", Arc::new(TimestampMillisecondArray::from(vec![100, 200, 300, 400]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let map = function(&prebuilt("bid_map"), Limits::default());
    let mut instance = map.instance(batch.schema(), &Caller::default()).unwrap();
    assert_eq!(
        instance.output().as_ref(),
        &Schema::new(vec![
            Field::new("auction", DataType::Int64, true),
            Field::new("bidder", DataType::Int64, true),
            Field::new("price", DataType::Float64, true),
            Field::new("date_time", instant, true),
        ])
    );
    let outcome = instance.call(&batch, &Invocation::default()).result.unwrap();
    assert_eq!(outcome.origin, Origin::Rows(vec![1, 2]));
    let expected: [Arc<dyn arrow_array::Array>; 4] = [
        Arc::new(Int64Array::from(vec![2, 3])),
        Arc::new(Int64Array::from(vec![Some(20), None])),
        Arc::new(Float64Array::from(vec![5_001.0 * 0.908, 10_000.0 * 0.908])),
        Arc::new(TimestampMillisecondArray::from(vec![200, 300])),
    ];
    assert_eq!(outcome.output.columns(), expected);
}

#[test]
fn a_guest_that_lacks_a_column_says_which() {
    let map = function(&prebuilt("bid_map"), Limits::default());
    let error = map.describe(&numbers_schema()).unwrap_err();
    assert!(matches!(&error, OpenError::Refused(message) if message == "needs the column `auction`"), "{error}");
}
