//! A file that is one record.

use std::{
    fs::File,
    io::{self, Read},
};

use arrow_array::BinaryArray;
use sha2::{Digest, Sha256};

use super::{
    input::{Input, Packing},
    large::KEPT,
    records::{Cutting, Next},
};
use crate::{position::Position, source::Whole};

/// The whole of a file, if it is not too large.
pub(super) fn read(file: File, packing: Packing, max_record: usize) -> io::Result<Next> {
    let mut input = Input::new(file, packing)?;
    let mut value = Vec::new();
    let most = u64::try_from(max_record).unwrap_or(u64::MAX);
    (&mut input).take(most.saturating_add(1)).read_to_end(&mut value)?;
    if value.is_empty() {
        return Ok(Next::End);
    }
    if value.len() <= max_record {
        return Ok(Next::Records(one(&value)));
    }
    let mut hash = Sha256::new_with_prefix(&value);
    let bytes = value.len() as u64 + io::copy(&mut input, &mut hash)?;
    value.truncate(KEPT);
    Ok(Next::TooLarge(one(&value), Whole { bytes, sha256: hash.finalize().into() }))
}

fn one(value: &[u8]) -> Cutting {
    let values = BinaryArray::from_iter_values([value]);
    Cutting { values, positions: vec![Position::Offset(0)], lines: vec![1] }
}
