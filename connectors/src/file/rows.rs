//! The rows of a Parquet file.

use std::{fs::File, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use parquet::arrow::{
    ProjectionMask,
    arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder},
};

/// The columns of a file, with text and bytes in their plain forms: no dictionaries, views or 64-bit offsets.
pub(super) fn schema(file: File) -> Result<SchemaRef, ArrowError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let fields = builder.schema().fields().iter().map(plain);
    Ok(Arc::new(Schema::new(fields.collect::<Vec<FieldRef>>())))
}

fn plain(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), plain_type(field.data_type()), field.is_nullable()))
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::ListView(item) => DataType::List(plain(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain).collect()),
        other => other.clone(),
    }
}

/// A file's rows from a position on, with the columns that are wanted.
pub(super) struct Rows {
    reader: ParquetRecordBatchReader,
    wanted: SchemaRef,
    next: u64,
    total: u64,
}

impl Rows {
    /// Rows of these columns, at most so many at a time, from row `from` on.
    pub(super) fn new(file: File, wanted: &SchemaRef, rows: usize, from: u64) -> Result<Self, ArrowError> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
        let columns = wanted.fields().iter().map(|field| builder.schema().index_of(field.name()));
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns.collect::<Result<Vec<_>, _>>()?);
        let total = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let offset = usize::try_from(from).map_err(|error| ArrowError::ComputeError(error.to_string()))?;
        let reader = builder.with_projection(mask).with_batch_size(rows.max(1)).with_offset(offset).build()?;
        Ok(Self { reader, wanted: Arc::clone(wanted), next: from.min(total), total })
    }

    /// The next row's number.
    pub(super) fn position(&self) -> u64 {
        self.next
    }

    /// How many rows the file has.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The next rows and the number of the first.
    pub(super) fn next(&mut self) -> Result<Option<(u64, RecordBatch)>, ArrowError> {
        let Some(batch) = self.reader.next().transpose()? else { return Ok(None) };
        let column = |field: &FieldRef| -> Result<ArrayRef, ArrowError> {
            let index = batch.schema().index_of(field.name())?;
            cast(batch.column(index), field.data_type())
        };
        let columns = self.wanted.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.wanted), columns, &options)?;
        let first = self.next;
        self.next += rows.num_rows() as u64;
        Ok(Some((first, rows)))
    }
}
