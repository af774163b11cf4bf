//! A writer that keeps rows as JSON.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use riverhook_connectors::{
    batch::{Batch, Epoch},
    error::Error as ConnectorError,
    format::{Encoded, Encoder},
    sink::{Progress, Writer},
};

use super::Rows;
use crate::{error::Error, run::chain::row_encoder};

/// Keeps what it is given; everything is durable at once.
pub(super) struct Recorder {
    encoder: Box<dyn Encoder>,
    encoded: Encoded,
    rows: Rows,
    barrier: Epoch,
}

impl Recorder {
    pub(super) fn new(schema: &SchemaRef, rows: Rows) -> Result<Self, Error> {
        let encoder = row_encoder(&Arc::clone(schema))?;
        Ok(Self { encoder, encoded: Encoded::default(), rows, barrier: 0 })
    }

    fn progress(&self) -> Progress {
        Progress { durable: self.barrier, rejected: Vec::new() }
    }
}

impl Writer for Recorder {
    fn write(&mut self, batch: &Batch) -> Result<(), ConnectorError> {
        self.encoded.clear();
        self.encoder.encode(&batch.records, &mut self.encoded);
        let mut rows = self.rows.lock();
        for row in 0..self.encoded.len() {
            let row = serde_json::from_slice(self.encoded.row(row));
            rows.push(row.map_err(|error| ConnectorError::fatal("a row is not JSON").caused_by(error))?);
        }
        Ok(())
    }

    fn barrier(&mut self, epoch: Epoch) -> Result<(), ConnectorError> {
        self.barrier = epoch;
        Ok(())
    }

    fn poll(&mut self) -> Result<Progress, ConnectorError> {
        Ok(self.progress())
    }

    fn close(&mut self) -> Result<Progress, ConnectorError> {
        Ok(self.progress())
    }
}
