//! Which columns a Parquet file can hold. Rows are written and read by the `file` connector.

use std::{io, sync::Arc};

use arrow_array::{RecordBatch, new_null_array};
use arrow_schema::{DataType, Field, Schema};
use parquet::{arrow::ArrowWriter, errors::Result};

/// Whether a column can be written: asked of the writer itself, as some types are refused by the schema and others only
/// when their first rows come.
pub(super) fn can_write(field: &Field) -> bool {
    // Of these the writer panics.
    !holds(field.data_type(), &|data_type| matches!(data_type, DataType::Union(..))) && write_null(field).is_ok()
}

fn write_null(field: &Field) -> Result<()> {
    let field = field.clone().with_nullable(true);
    let null = new_null_array(field.data_type(), 1);
    let schema = Arc::new(Schema::new(vec![field]));
    let rows = RecordBatch::try_new(Arc::clone(&schema), vec![null])?;
    let mut writer = ArrowWriter::try_new(io::sink(), schema, None)?;
    writer.write(&rows)?;
    writer.close().map(drop)
}

/// Whether a type, or one that it is made of, is such a one.
fn holds(data_type: &DataType, such: &dyn Fn(&DataType) -> bool) -> bool {
    let inner = |field: &Arc<Field>| holds(field.data_type(), such);
    such(data_type)
        || match data_type {
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _)
            | DataType::Map(item, _)
            | DataType::RunEndEncoded(_, item) => inner(item),
            DataType::Struct(fields) => fields.iter().any(inner),
            DataType::Dictionary(_, values) => holds(values, such),
            _ => false,
        }
}

/// That a column cannot be written, and what to do.
pub(super) fn unwritable(field: &Field) -> String {
    format!(
        "column `{}`: a Parquet file cannot hold {}: CAST it to another type, such as VARCHAR, or leave it out",
        field.name(),
        field.data_type()
    )
}
