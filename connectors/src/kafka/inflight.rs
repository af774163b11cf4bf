//! What a writer has handed to the producer and not yet heard of: from single deliveries, which come in any order, to
//! the barriers behind which everything is durable. Pure bookkeeping, without allocation for a record.

use std::collections::VecDeque;

use crate::{
    batch::{Batch, Epoch, RowFailure},
    sink::{Progress, Rejected},
};

/// The number of a record among those of its writer.
pub(super) type Sequence = u64;

/// Records on their way, oldest first.
#[derive(Default)]
pub(super) struct InFlight {
    batches: VecDeque<Sent>,
    next: Sequence,
    /// The batch that the last delivery was of: the next one is probably of it too.
    hint: usize,
    bytes: usize,
    barriers: VecDeque<(Epoch, Sequence)>,
    durable: Epoch,
    rejected: Vec<Rejected>,
}

struct Sent {
    first: Sequence,
    rows: u64,
    remaining: u64,
    bytes: usize,
    /// Let go as soon as nothing of it can be rejected any more.
    batch: Option<Batch>,
    failures: Vec<RowFailure>,
    attempts: u32,
}

impl InFlight {
    /// Takes note of a batch before its records are handed over. Its first record's number.
    pub(super) fn send(&mut self, batch: Batch, bytes: usize) -> Sequence {
        let (first, rows) = (self.next, batch.records.num_rows() as u64);
        self.next += rows;
        if rows > 0 {
            let sent =
                Sent { first, rows, remaining: rows, bytes, batch: Some(batch), failures: Vec::new(), attempts: 1 };
            self.bytes += bytes;
            self.batches.push_back(sent);
        }
        first
    }

    /// Bytes on their way.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is on its way.
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// A record is durable.
    pub(super) fn delivered(&mut self, record: Sequence) {
        let index = self.find(record);
        self.done(index);
    }

    /// A record will never be taken, after so many attempts.
    pub(super) fn refused(&mut self, record: Sequence, attempts: u32, code: &'static str, message: String) {
        let index = self.find(record);
        let sent = &mut self.batches[index];
        let row = u32::try_from(record - sent.first).expect("a batch has fewer than 2^32 rows");
        sent.failures.push(RowFailure { row, code, message });
        sent.attempts = sent.attempts.max(attempts);
        self.done(index);
    }

    /// Puts a barrier behind all that was sent.
    pub(super) fn barrier(&mut self, epoch: Epoch) {
        self.barriers.push_back((epoch, self.next));
        self.settle();
    }

    /// What is news since the last call.
    pub(super) fn progress(&mut self) -> Progress {
        Progress { durable: self.durable, rejected: std::mem::take(&mut self.rejected) }
    }

    fn find(&mut self, record: Sequence) -> usize {
        let is_in = |sent: &Sent| (sent.first..sent.first + sent.rows).contains(&record);
        if !self.batches.get(self.hint).is_some_and(is_in) {
            self.hint = self.batches.partition_point(|sent| sent.first + sent.rows <= record);
        }
        debug_assert!(self.batches.get(self.hint).is_some_and(is_in), "a record is delivered once, after it was sent");
        self.hint
    }

    fn done(&mut self, index: usize) {
        let sent = &mut self.batches[index];
        sent.remaining -= 1;
        if sent.remaining > 0 {
            return;
        }
        self.bytes -= sent.bytes;
        let batch = sent.batch.take().expect("a batch is done once");
        if !sent.failures.is_empty() {
            let mut failures = std::mem::take(&mut sent.failures);
            failures.sort_by_key(|failure| failure.row);
            self.rejected.push(Rejected { batch, failures, attempts: sent.attempts });
        }
        if index == 0 {
            self.settle();
        }
    }

    /// Lets go of finished batches at the front, and passes the barriers that then have nothing before them.
    fn settle(&mut self) {
        while self.batches.front().is_some_and(|sent| sent.remaining == 0) {
            self.batches.pop_front();
            self.hint = self.hint.saturating_sub(1);
        }
        let first = self.batches.front().map_or(self.next, |sent| sent.first);
        while let Some((epoch, before)) = self.barriers.front().copied()
            && before <= first
        {
            self.durable = epoch;
            self.barriers.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array, RecordBatch};

    use super::*;
    use crate::{
        batch::{Input, Rows},
        position::Partition,
    };

    fn batch(rows: i64) -> Batch {
        let column = Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef;
        let input = Input {
            source: "s".into(),
            partition: Partition::new("p"),
            positions: Vec::new(),
            keys: None,
            headers: None,
            times: None,
            read_at: 0,
        };
        Batch {
            records: RecordBatch::try_from_iter([("n", column)]).unwrap(),
            rows: Rows::Same,
            input: Arc::new(input),
        }
    }

    #[test]
    fn a_barrier_is_durable_when_all_before_it_is_in_whatever_order() {
        let mut flight = InFlight::default();
        assert_eq!(flight.send(batch(3), 30), 0);
        flight.barrier(1);
        assert_eq!(flight.send(batch(2), 20), 3);
        flight.barrier(2);
        for record in [3, 4, 2, 0] {
            flight.delivered(record);
            assert_eq!(flight.progress().durable, 0, "after {record}");
        }
        assert_eq!(flight.bytes(), 30);
        flight.delivered(1);
        assert_eq!((flight.progress().durable, flight.bytes(), flight.is_empty()), (2, 0, true));
    }

    #[test]
    fn a_barrier_behind_nothing_is_durable_at_once() {
        let mut flight = InFlight::default();
        flight.barrier(1);
        flight.send(batch(0), 0);
        flight.barrier(2);
        assert_eq!(flight.progress().durable, 2);
    }

    #[test]
    fn refused_rows_come_back_with_their_batch_and_count_as_handled() {
        let mut flight = InFlight::default();
        flight.send(batch(1), 10);
        flight.send(batch(3), 10);
        flight.barrier(1);
        flight.refused(3, 2, "too_large", "too large".to_owned());
        flight.refused(1, 1, "too_large", "too large".to_owned());
        flight.delivered(2);
        flight.delivered(0);
        let progress = flight.progress();
        let rows: Vec<_> = progress.rejected[0].failures.iter().map(|failure| failure.row).collect();
        assert_eq!((progress.durable, rows, progress.rejected[0].attempts), (1, vec![0, 2], 2));
        assert!(flight.progress().rejected.is_empty());
    }
}
