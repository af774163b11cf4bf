//! The source of the rows that a sink of `logs` gets: what functions log while the pipeline runs.
//!
//! It ends when nothing that may log runs any more. Nobody remembers how far it was read: lines that a killed process had
//! not delivered are gone.

use std::{sync::Arc, time::Duration};

use arrow_schema::SchemaRef;
use riverhook_connectors::{
    batch::{Batch, Input, Rows},
    error::Error,
    position::{Partition, Position, Positions},
    source::{Keeper, Polled, ReadContext, Reader, Source},
};

use super::log_queue::{LogQueue, Taken, log_schema};

/// The lines of a queue as a source.
pub struct LogSource(Arc<LogQueue>);

impl LogSource {
    /// Of this queue.
    pub fn new(queue: Arc<LogQueue>) -> Self {
        Self(queue)
    }
}

impl Source for LogSource {
    fn keeper(&self) -> Keeper {
        Keeper::Nobody
    }

    fn schema(&self) -> Result<Option<SchemaRef>, Error> {
        Ok(Some(log_schema()))
    }

    fn is_finite(&self) -> bool {
        true
    }

    fn probe(&self, _timeout: Duration) -> Result<String, Error> {
        Ok("functions' log in this process".to_owned())
    }

    fn open(&self, context: ReadContext) -> Result<Vec<Box<dyn Reader>>, Error> {
        context.status.up();
        let partition = Partition::new("log");
        Ok(vec![Box::new(LogReader { queue: Arc::clone(&self.0), partition, next: 0, context })])
    }
}

struct LogReader {
    queue: Arc<LogQueue>,
    partition: Partition,
    next: u64,
    context: ReadContext,
}

impl Reader for LogReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        let lines = match self.queue.take(&self.context.limits, wait) {
            Taken::Lines(lines) => lines,
            Taken::Nothing => return Ok(Polled::Idle),
            Taken::End => return Ok(Polled::End),
        };
        let records = self.queue.rows(&lines);
        let first = self.next;
        self.next += lines.len() as u64;
        let input = Input {
            source: Arc::clone(&self.context.source),
            partition: self.partition.clone(),
            positions: (first..self.next).map(Position::Offset).collect(),
            keys: None,
            headers: None,
            times: None,
            read_at: self.context.clock.now_micros(),
        };
        Ok(Polled::Batch(Batch { records, rows: Rows::Same, input: Arc::new(input) }))
    }

    fn positions(&self) -> Positions {
        Positions::from([(self.partition.clone(), Position::Offset(self.next))])
    }

    fn commit(&mut self, _positions: &Positions) -> Result<(), Error> {
        Ok(())
    }

    fn queued(&self) -> Vec<(Partition, u64)> {
        vec![(self.partition.clone(), self.queue.len() as u64)]
    }
}
