//! The map of the benchmarks: NEXMark bids with a price above 5,000, four columns of them, the price in another
//! currency. Its SQL is `SELECT auction, bidder, price * 0.908 AS price, date_time FROM bids WHERE price > 5000`.

use std::sync::Arc;

use riverhook_function::arrow_array::cast::AsArray;
use riverhook_function::arrow_array::types::Int64Type;
use riverhook_function::arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, make_array};
use riverhook_function::arrow_schema::{DataType, Field, Schema};
use riverhook_function::{Output, export_batch_function};

/// Keeps `auction`, `bidder`, `price` (as a float) and `date_time`, whatever else the input has.
fn schema(input: &Schema) -> Result<Schema, String> {
    let mut fields = Vec::new();
    for name in ["auction", "bidder", "price"] {
        let field = input.field_with_name(name).map_err(|_| format!("needs the column `{name}`"))?;
        if field.data_type() != &DataType::Int64 {
            return Err(format!("`{name}` must be int64, but is {}", field.data_type()));
        }
        let output = if name == "price" { DataType::Float64 } else { DataType::Int64 };
        fields.push(Field::new(name, output, field.is_nullable()));
    }
    let date_time = input.field_with_name("date_time").map_err(|_| "needs the column `date_time`")?;
    match date_time.data_type() {
        DataType::Int64 | DataType::Timestamp(_, _) => fields.push(date_time.clone()),
        other => return Err(format!("`date_time` must be a timestamp or int64, but is {other}")),
    }
    Ok(Schema::new(fields))
}

fn process(batch: RecordBatch) -> Result<Output, String> {
    let column = |name| batch.column_by_name(name).ok_or_else(|| format!("needs the column `{name}`"));
    let price = column("price")?.as_primitive::<Int64Type>();
    let kept: Vec<u32> = (0u32..).zip(price.iter()).filter_map(|(row, price)| (price? > 5000).then_some(row)).collect();
    let converted: Float64Array = {
        let prices = price.values();
        Float64Array::from_iter_values(kept.iter().map(|row| prices[*row as usize] as f64 * 0.908))
    };
    let date_time = column("date_time")?;
    // A timestamp is an int64 with a unit; as such it is taken, and given its own type back afterwards.
    let instants = take(&retyped(date_time, &DataType::Int64)?, &kept);
    let columns: Vec<ArrayRef> = vec![
        take(column("auction")?, &kept),
        take(column("bidder")?, &kept),
        Arc::new(converted),
        retyped(&instants, date_time.data_type())?,
    ];
    let schema = schema(batch.schema_ref())?;
    let batch = RecordBatch::try_new(Arc::new(schema), columns).map_err(|error| error.to_string())?;
    Ok(Output::rows(batch, kept))
}

/// The rows `kept` of a column of int64.
fn take(column: &ArrayRef, kept: &[u32]) -> ArrayRef {
    let column = column.as_primitive::<Int64Type>();
    if column.nulls().is_some() {
        return Arc::new(kept.iter().map(|row| nullable(column, *row as usize)).collect::<Int64Array>());
    }
    let values = column.values();
    Arc::new(Int64Array::from_iter_values(kept.iter().map(|row| values[*row as usize])))
}

fn nullable(column: &Int64Array, row: usize) -> Option<i64> {
    column.is_valid(row).then(|| column.value(row))
}

/// The same values under another type of the same width.
fn retyped(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef, String> {
    let data = column.to_data().into_builder().data_type(data_type.clone());
    data.build().map(make_array).map_err(|error| error.to_string())
}

export_batch_function!(schema, process);
