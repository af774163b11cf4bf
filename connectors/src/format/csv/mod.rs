//! CSV: one row a record, with a header that names the columns or in the order of `schema:`.
//!
//! Cut by our own few lines rather than a library: a record that comes alone can be checked strictly, its errors have
//! places, and a quoted empty field is told from an absent one.

mod cell;
mod decode;
mod encode;
mod settings;
mod split;

#[cfg(test)]
mod tests;

pub(crate) use decode::CsvDecoder;
pub(crate) use encode::CsvEncoder;
pub use settings::CsvSettings;
pub(crate) use split::Fields;
