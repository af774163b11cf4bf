//! The conformance suite, and what only a store has: names, faults, batches.

use std::{sync::Arc, time::Duration};

use arrow_array::{Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::{DataType, Field, Schema};

use super::{Memory, MemorySink, MemorySource};
use crate::{
    conformance::{Row, SinkHarness, SourceAbilities, SourceHarness, check_sink, check_source},
    sink::Sink,
    source::Source,
};

fn fresh() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[derive(Default)]
struct Payloads {
    store: Option<Memory>,
    ends: bool,
}

impl SourceHarness for Payloads {
    fn create(&mut self, partitions: usize) -> Box<dyn Source> {
        let name = fresh();
        self.store = Some(Memory::named(&name));
        Box::new(MemorySource::new(&name, partitions))
    }

    fn put(&mut self, partition: usize, records: &[Vec<u8>]) {
        self.store.as_ref().expect("a store was created").push(partition, records);
    }

    fn finish(&mut self) {
        if self.ends {
            self.store.as_ref().expect("a store was created").finish();
        }
    }

    fn abilities(&self) -> SourceAbilities {
        SourceAbilities { ends: self.ends, ..SourceAbilities::default() }
    }
}

#[test]
fn payloads_conform() {
    check_source(&mut Payloads::default());
}

#[test]
fn payloads_that_end_conform() {
    check_source(&mut Payloads { ends: true, ..Payloads::default() });
}

#[derive(Default)]
struct Stores(String, Option<Memory>);

impl SinkHarness for Stores {
    fn create(&mut self) -> Box<dyn Sink> {
        self.0 = fresh();
        let store = Memory::named(&self.0);
        store.refuse(|rows, row| rows.column(1).as_string::<i32>().value(row) == "refuse me");
        self.1 = Some(store);
        Box::new(MemorySink::new(&self.0))
    }

    fn read(&mut self) -> Vec<Vec<Row>> {
        let rows = |records: &RecordBatch| {
            let (ids, texts) = (records.column(0).as_primitive::<Int64Type>(), records.column(1).as_string::<i32>());
            let row = |row| Row { id: ids.value(row), text: texts.value(row).into() };
            (0..records.num_rows()).map(row).collect::<Vec<_>>()
        };
        vec![Memory::named(&self.0).delivered().iter().flat_map(|one| rows(&one.batch.records)).collect()]
    }

    fn refused(&self) -> Option<String> {
        Some("refuse me".into())
    }

    fn stall(&mut self, stalled: bool) -> bool {
        Memory::named(&self.0).stall(stalled);
        true
    }
}

#[test]
fn sink_conforms() {
    check_sink(&mut Stores::default());
}

#[derive(Default)]
struct Batches(Option<Memory>);

impl SourceHarness for Batches {
    fn create(&mut self, partitions: usize) -> Box<dyn Source> {
        let name = fresh();
        let store = Memory::named(&name);
        store.set_schema(Arc::new(Schema::new(vec![Field::new("text", DataType::Binary, true)])));
        self.0 = Some(store);
        Box::new(MemorySource::new(&name, partitions))
    }

    fn put(&mut self, partition: usize, records: &[Vec<u8>]) {
        let texts = arrow_array::BinaryArray::from_iter_values(records);
        let schema = Schema::new(vec![Field::new("text", DataType::Binary, true)]);
        let rows = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(texts)]).unwrap();
        self.0.as_ref().unwrap().push_rows(partition, &rows);
    }

    fn record(&self, batch: &RecordBatch, row: usize) -> Vec<u8> {
        batch.column(0).as_binary::<i32>().value(row).to_vec()
    }
}

#[test]
fn batches_conform() {
    check_source(&mut Batches::default());
}

#[test]
fn a_store_is_gone_with_its_last_holder() {
    let name = fresh();
    let store = Memory::named(&name);
    store.push(0, ["a"]);
    let again = Memory::named(&name);
    assert_eq!(again.update(|state| state.behind(0, 0)), 1);
    drop((store, again));
    assert_eq!(Memory::named(&name).update(|state| state.behind(0, 0)), 0);
}

#[test]
fn waiting_for_rows_ends() {
    let store = Memory::named(&fresh());
    assert!(!store.wait_for_rows(1, Duration::from_millis(10)));
    assert!(store.wait_for_rows(0, Duration::from_millis(10)));
}

#[test]
#[should_panic(expected = "at most")]
fn a_store_is_bounded() {
    let store = Memory::named(&fresh());
    store.update(|state| state.bytes = super::MOST_BYTES);
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false)]);
    let rows = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
    store.push_rows(0, &rows);
}
