//! JSON: one object a record, from bytes to Arrow columns and back without a row object in between.
//!
//! Our own, because decoding JSON is the ceiling of the engine: keys are guessed ([`keys`]), the bytes are read once
//! ([`scan`], [`number`]), values go straight to the columns ([`value`]), and fields that the plan does not read are
//! only stepped over. `arrow-json` reads its input as one stream, where a bad message damages its neighbours.

mod decode;
mod encode;
mod fault;
mod keys;
mod number;
mod scan;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use decode::{JsonDecoder, finish, good_rows, row_number, strip_confluent};
pub(crate) use encode::{JsonEncoder, ValueWriter, unwritable, writable, write_string};
pub(crate) use fault::{Fault, Read};
pub(crate) use keys::Keys;
pub(crate) use scan::Cursor;
pub(crate) use value::{BASE64, ValueReader};
