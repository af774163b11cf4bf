//! Tries whether records can be decoded before they are taken, so that who sent them hears of it.

use std::sync::Arc;

use arrow_array::BinaryArray;
use parking_lot::Mutex;

use super::cut::{BadBody, Records};
use crate::{
    batch::{Input, Payloads},
    format::Decoder,
    position::{Partition, Position},
};

/// Decoders like the one that the pipeline decodes the records with later.
pub(super) struct Checks {
    make: Box<dyn Fn() -> Option<Box<dyn Decoder>> + Send + Sync>,
    /// As many as requests were ever checked at once.
    idle: Mutex<Vec<Box<dyn Decoder>>>,
}

impl Checks {
    pub(super) fn new(make: impl Fn() -> Option<Box<dyn Decoder>> + Send + Sync + 'static) -> Self {
        Self { make: Box::new(make), idle: Mutex::new(Vec::new()) }
    }

    /// Nothing, or the first record that cannot be decoded and why.
    pub(super) fn run(&self, body: &[u8], records: &Records) -> Result<(), BadBody> {
        let idle = self.idle.lock().pop();
        let Some(mut decoder) = idle.or_else(&self.make) else { return Ok(()) };
        let checked = check(&mut *decoder, body, records);
        self.idle.lock().push(decoder);
        checked
    }
}

fn check(decoder: &mut dyn Decoder, body: &[u8], records: &Records) -> Result<(), BadBody> {
    if let Some(header) = &records.header {
        decoder.header(header).map_err(|error| BadBody::at(body, 0, None, error.to_string()))?;
    }
    match decoder.decode(&payloads(body, records)).failed.first() {
        None => Ok(()),
        Some(failure) => {
            let record = failure.row as usize;
            Err(BadBody::at(body, records.ranges[record].start, Some(record), failure.message.clone()))
        }
    }
}

fn payloads(body: &[u8], records: &Records) -> Payloads {
    let values = BinaryArray::from_iter_values(records.ranges.iter().map(|range| &body[range.clone()]));
    let input = Input {
        source: "".into(),
        partition: Partition::new(""),
        positions: (0..records.ranges.len() as u64).map(Position::Offset).collect(),
        keys: None,
        headers: None,
        times: None,
        read_at: 0,
    };
    Payloads { values, metadata: Vec::new(), input: Arc::new(input) }
}
