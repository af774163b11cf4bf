//! Parquet files in.

use std::{fs::File, path::Path};

use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int32Type};
use arrow_schema::{DataType, Field};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};

use super::*;
use crate::conformance::{SourceAbilities, SourceHarness, check_source};

fn write(path: &Path, batches: &[RecordBatch]) {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(16)).build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), Some(properties)).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
}

fn texts(texts: &[String]) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("text", DataType::Utf8, false)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(StringArray::from_iter_values(texts))]).unwrap()
}

struct Tables {
    folder: TempDir,
}

impl SourceHarness for Tables {
    fn create(&mut self, partitions: usize) -> Box<dyn Source> {
        self.folder = folder();
        for partition in 0..partitions {
            write(&self.folder.path().join(format!("{partition}.parquet")), &[texts(&[])]);
        }
        source(self.folder.path(), "path: '*.parquet'", &Format::Parquet)
    }

    fn put(&mut self, partition: usize, records: &[Vec<u8>]) {
        let rows: Vec<String> = records.iter().map(|record| String::from_utf8(record.clone()).unwrap()).collect();
        write(&self.folder.path().join(format!("{partition}.parquet")), &[texts(&rows)]);
    }

    fn abilities(&self) -> SourceAbilities {
        SourceAbilities { any_bytes: false, ends: true, ..SourceAbilities::default() }
    }
}

#[test]
fn parquet_conforms() {
    check_source(&mut Tables { folder: folder() });
}

#[test]
fn only_the_wanted_columns_are_read_and_text_is_plain() {
    let base = folder();
    let words: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("word", Arc::new(words)),
        ("other", Arc::new(Int64Array::from(vec![7, 8, 9]))),
    ];
    write(&base.path().join("a.parquet"), &[RecordBatch::try_from_iter(columns).unwrap()]);
    let source = source(base.path(), "path: a.parquet\nmetadata: [line]", &Format::Parquet);
    let schema = source.schema().unwrap().unwrap();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["id", "word", "other", "line"]);
    assert_eq!(schema.field(1).data_type(), &DataType::Utf8);

    let io = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let state = folder();
    let mut context = context(at("a.parquet", 1), SystemClock::shared(), &io, state.path());
    context.schema = Arc::new(schema.project(&[3, 1]).unwrap());
    let mut reader = source.open(context).unwrap().remove(0);
    let Polled::Batch(batch) = reader.poll(Duration::ZERO).unwrap() else { panic!("rows come") };
    assert_eq!(batch.records.num_columns(), 2);
    assert_eq!(batch.records.column(1).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(batch.input.positions, [Position::Offset(1), Position::Offset(2)]);
}

#[test]
fn what_is_no_parquet_file_is_said() {
    let base = folder();
    std::fs::write(base.path().join("a.parquet"), "no").unwrap();
    let error = source(base.path(), "path: a.parquet", &Format::Parquet).schema().unwrap_err();
    assert_eq!(error.to_string(), "a.parquet is not a Parquet file that can be read");
}
