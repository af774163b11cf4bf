//! The component's exports, on top of a [`BatchFunction`].

use std::cell::RefCell;
use std::marker::PhantomData;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_schema::{Schema, SchemaRef};

use self::bindings::exports::riverhook::function::batch as wit;
use super::columns::format::{FlatField, flatten, unflatten};
use super::columns::{decode::decode, encode::encode};
use super::{BatchFunction, FailedRow, Origin};

/// What `wit-bindgen` makes of the WIT package.
#[doc(hidden)]
#[allow(missing_docs, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "batch-function",
        pub_export_macro: true,
        with: { "riverhook:function/host@0.1.0": crate::host::bindings::riverhook::function::host },
    });
}

/// Schemas of input and output, once `open` has been called.
struct Opened {
    input: SchemaRef,
    output: SchemaRef,
}

thread_local! {
    static OPENED: RefCell<Option<Opened>> = const { RefCell::new(None) };
}

/// Makes the exports of a [`BatchFunction`].
#[doc(hidden)]
#[derive(Debug)]
pub struct Adapter<F>(PhantomData<F>);

impl<F: BatchFunction> wit::Guest for Adapter<F> {
    fn open(input: Vec<wit::Field>) -> Result<Vec<wit::Field>, String> {
        crate::log::panics();
        let input = unflatten(input.into_iter().map(FlatField::from).collect())?;
        let output = F::schema(&input)?;
        let flat = flatten(&output)?.into_iter().map(wit::Field::from).collect();
        OPENED.set(Some(Opened { input: input.into(), output: output.into() }));
        Ok(flat)
    }

    fn process(rows: u32, buffers: Vec<Vec<u8>>) -> Result<wit::Reply, wit::Failure> {
        let (input, output) = OPENED.with_borrow(|opened| {
            let opened = opened.as_ref().expect("the host opens a function before it calls it");
            (opened.input.clone(), opened.output.clone())
        });
        let batch = decode(&input, rows as usize, buffers);
        let answer = F::process(batch)?;
        if let Some(difference) = difference(&output, &answer.batch) {
            return Err(crate::Failure::from(difference).into());
        }
        let (_, columns, rows) = answer.batch.into_parts();
        Ok(wit::Reply {
            rows: u32::try_from(rows).map_err(|_| crate::Failure::from("more rows than 2^32"))?,
            buffers: encode(columns).into_iter().map(into_bytes).collect(),
            origin: answer.origin.into(),
            failed: answer.failed.into_iter().map(wit::FailedRow::from).collect(),
        })
    }
}

/// How a batch's columns differ from the promised ones, if they do.
fn difference(promised: &Schema, batch: &RecordBatch) -> Option<String> {
    let schema = batch.schema_ref();
    if promised.fields().len() != schema.fields().len() {
        return Some(format!(
            "the function answered {} columns, but its schema has {}",
            schema.fields().len(),
            promised.fields().len()
        ));
    }
    promised.fields().iter().zip(schema.fields()).find_map(|(promised, column)| {
        (!promised.data_type().equals_datatype(column.data_type())).then(|| {
            format!(
                "the function answered `{}` as {}, but its schema says `{}` is {}",
                column.name(),
                column.data_type(),
                promised.name(),
                promised.data_type()
            )
        })
    })
}

/// The buffer's own memory if nothing else holds it, else a copy.
fn into_bytes(buffer: Buffer) -> Vec<u8> {
    buffer.into_vec::<u8>().unwrap_or_else(|shared| shared.as_slice().to_vec())
}

impl From<wit::Field> for FlatField {
    fn from(field: wit::Field) -> Self {
        let wit::Field { name, format, nullable, children, metadata } = field;
        Self { name, format, nullable, children, metadata }
    }
}

impl From<FlatField> for wit::Field {
    fn from(field: FlatField) -> Self {
        let FlatField { name, format, nullable, children, metadata } = field;
        Self { name, format, nullable, children, metadata }
    }
}

impl From<Origin> for wit::Origin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Same => Self::Same,
            Origin::Rows(rows) => Self::Rows(rows),
            Origin::WholeBatch => Self::WholeBatch,
        }
    }
}

impl From<crate::Failure> for wit::Failure {
    fn from(failure: crate::Failure) -> Self {
        let crate::Failure { code, message, retryable } = failure;
        Self { code, message, retryable }
    }
}

impl From<FailedRow> for wit::FailedRow {
    fn from(failed: FailedRow) -> Self {
        let FailedRow { row, code, message, retryable } = failed;
        Self { row, code, message, retryable }
    }
}
