//! Rows that wait for more, so that a call gets as many as its group may have: partition by partition, and not for long.

use std::{sync::Arc, time::Duration};

use arrow_array::{
    Array, ArrayRef, RecordBatch, UInt32Array, cast::AsArray, new_null_array, types::TimestampMillisecondType,
};
use arrow_select::{
    concat::{concat, concat_batches},
    take::take,
};
use riverhook_connectors::batch::{Batch, Input, Message, Rows};

use super::{calls::Part, dispatch::Grouping};

/// The rows of one node in one task that wait for more.
pub(super) struct Gather {
    grouping: Grouping,
    waiting: Vec<Waiting>,
    /// The newest watermark that came behind waiting rows.
    watermark: Option<i64>,
}

/// Rows of one partition, less than a group.
struct Waiting {
    parts: Vec<Batch>,
    rows: usize,
    bytes: usize,
    /// When the first of them came: monotonic.
    since: Duration,
}

impl Gather {
    pub(super) fn new(grouping: Grouping) -> Self {
        Self { grouping, waiting: Vec::new(), watermark: None }
    }

    /// Adds rows; gives the groups that are whole now.
    pub(super) fn add(&mut self, batch: &Batch, now: Duration) -> Vec<Part> {
        let same = |waiting: &Waiting| waiting.parts[0].input.partition == batch.input.partition;
        let at = self.waiting.iter().position(same);
        let mut waiting = match at {
            Some(at) => self.waiting.swap_remove(at),
            None => Waiting { parts: Vec::new(), rows: 0, bytes: 0, since: now },
        };
        let mut whole = Vec::new();
        // Rows that may be of any record cannot be told from others: they are a group of their own.
        if batch.rows == Rows::All {
            whole.extend(waiting.rest());
            whole.push(Part { batch: batch.clone(), inputs: vec![Arc::clone(&batch.input)] });
            return whole;
        }
        waiting.push(batch.clone());
        while let Some(group) = waiting.group(self.grouping) {
            whole.push(group);
            waiting.since = now;
        }
        if waiting.rows > 0 {
            self.waiting.push(waiting);
        }
        whole
    }

    /// Those that waited for long enough.
    pub(super) fn due(&mut self, now: Duration) -> Vec<Part> {
        let wait = self.grouping.wait;
        let due = self.waiting.extract_if(.., |waiting| now.saturating_sub(waiting.since) >= wait);
        due.filter_map(|mut waiting| waiting.rest()).collect()
    }

    /// All that wait.
    pub(super) fn all(&mut self) -> Vec<Part> {
        self.waiting.drain(..).filter_map(|mut waiting| waiting.rest()).collect()
    }

    /// A watermark came behind the waiting rows: only the newest counts.
    pub(super) fn watermark(&mut self, time: i64) {
        self.watermark = self.watermark.max(Some(time));
    }

    /// The watermark whose rows have all left.
    pub(super) fn passed(&mut self) -> Option<Message> {
        if self.waiting.is_empty() { self.watermark.take().map(Message::Watermark) } else { None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether rows of this input wait.
    pub(super) fn holds(&self, input: &Arc<Input>) -> bool {
        self.waiting.iter().flat_map(|waiting| &waiting.parts).any(|part| Arc::ptr_eq(&part.input, input))
    }
}

impl Waiting {
    fn push(&mut self, batch: Batch) {
        self.rows += batch.records.num_rows();
        self.bytes += batch.bytes();
        self.parts.push(batch);
    }

    /// Takes the rows of one whole group, if there are so many.
    fn group(&mut self, grouping: Grouping) -> Option<Part> {
        let each = grouping.each(self.rows, self.bytes);
        if self.rows < each || self.rows == 0 {
            return None;
        }
        let mut missing = each;
        let mut parts = Vec::new();
        let mut left = std::mem::take(&mut self.parts).into_iter();
        (self.rows, self.bytes) = (0, 0);
        for part in left.by_ref() {
            let rows = part.records.num_rows();
            if rows > missing {
                parts.push(part.slice(0, missing));
                self.push(part.slice(missing, rows - missing));
                break;
            }
            missing -= rows;
            parts.push(part);
            if missing == 0 {
                break;
            }
        }
        left.for_each(|part| self.push(part));
        Some(merged(parts))
    }

    /// All that is left.
    fn rest(&mut self) -> Option<Part> {
        let parts = std::mem::take(&mut self.parts);
        (!parts.is_empty()).then(|| merged(parts))
    }
}

/// Rows of one partition as one batch, in order.
fn merged(parts: Vec<Batch>) -> Part {
    let inputs = parts.iter().map(|part| Arc::clone(&part.input)).collect();
    let batch = match <[Batch; 1]>::try_from(parts) {
        Ok([only]) => only,
        Err(parts) => together(&parts),
    };
    Part { batch, inputs }
}

fn together(parts: &[Batch]) -> Batch {
    let records: Vec<&RecordBatch> = parts.iter().map(|part| &part.records).collect();
    let records = concat_batches(&records[0].schema(), records).expect("the parts are of one node");
    let (mut positions, mut index, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
    for part in parts {
        let mut of_part: Vec<u32> = Vec::new();
        for row in 0..part.records.num_rows() {
            let record = part.rows.record(row).and_then(|record| u32::try_from(record).ok());
            let record = record.expect("rows that may be of any record are never merged");
            if of_part.last() != Some(&record) {
                of_part.push(record);
                positions.push(part.input.positions[record as usize]);
            }
            index.push(u32::try_from(positions.len() - 1).expect("a batch has fewer than 2^32 rows"));
        }
        chosen.push(UInt32Array::from(of_part));
    }
    let first = &parts[0].input;
    let keys = column(parts, &chosen, |input| input.keys.as_ref().map(|keys| Arc::new(keys.clone()) as ArrayRef));
    let times = column(parts, &chosen, |input| input.times.as_ref().map(|times| Arc::new(times.clone()) as ArrayRef));
    let input = Input {
        source: Arc::clone(&first.source),
        partition: first.partition.clone(),
        positions,
        keys: keys.map(|keys| keys.as_binary::<i32>().clone()),
        headers: column(parts, &chosen, |input| input.headers.clone()),
        times: times.map(|times| times.as_primitive::<TimestampMillisecondType>().clone()),
        read_at: parts.iter().map(|part| part.input.read_at).min().unwrap_or(first.read_at),
    };
    Batch { records, rows: Rows::Index(index.into()), input: Arc::new(input) }
}

/// What the inputs hold beside positions, of the chosen records; nothing if none holds any.
fn column(parts: &[Batch], chosen: &[UInt32Array], of: impl Fn(&Input) -> Option<ArrayRef>) -> Option<ArrayRef> {
    let held: Vec<Option<ArrayRef>> = parts.iter().map(|part| of(&part.input)).collect();
    let kind = held.iter().flatten().next()?.data_type().clone();
    let columns = held.into_iter().zip(chosen).map(|(column, chosen)| match column {
        Some(column) => take(&column, chosen, None).expect("rows name records of their input"),
        None => new_null_array(&kind, chosen.len()),
    });
    let columns: Vec<ArrayRef> = columns.collect();
    let columns: Vec<&dyn Array> = columns.iter().map(|column| &**column).collect();
    Some(concat(&columns).expect("inputs of one source hold columns of one type"))
}

#[cfg(test)]
mod tests {
    use arrow_array::{BinaryArray, Int64Array, types::Int64Type};
    use arrow_schema::{DataType, Field, Schema};
    use riverhook_connectors::position::{Partition, Position};

    use super::*;

    fn batch(partition: &str, values: std::ops::Range<i64>) -> Batch {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let keys: Vec<Vec<u8>> = values.clone().map(|n| n.to_string().into_bytes()).collect();
        let input = Input {
            source: "s".into(),
            partition: Partition::new(partition),
            positions: values.clone().map(|n| Position::Offset(n as u64)).collect(),
            keys: Some(BinaryArray::from_iter_values(keys)),
            headers: None,
            times: None,
            read_at: values.start,
        };
        let records = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(values))]).unwrap();
        Batch { records, rows: Rows::Same, input: Arc::new(input) }
    }

    /// The values of a part; each must be found with its position and key.
    fn values(part: &Part) -> Vec<i64> {
        let column = part.batch.records.column(0).as_primitive::<Int64Type>();
        let input = &part.batch.input;
        let check = |row: usize| {
            let (value, record) = (column.value(row), part.batch.rows.record(row).unwrap());
            assert_eq!(input.positions[record], Position::Offset(value as u64));
            assert_eq!(input.keys.as_ref().unwrap().value(record), value.to_string().as_bytes());
            value
        };
        (0..column.len()).map(check).collect()
    }

    fn all(parts: &[Part]) -> Vec<Vec<i64>> {
        parts.iter().map(values).collect()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn groups_are_filled_over_batches_of_one_partition() {
        let mut gather = Gather::new(Grouping { rows: 3, bytes: usize::MAX, wait: SECOND });
        assert!(gather.add(&batch("a", 0..2), Duration::ZERO).is_empty());
        assert!(gather.add(&batch("b", 100..102), Duration::ZERO).is_empty());
        assert_eq!(all(&gather.add(&batch("a", 2..9), Duration::ZERO)), [[0, 1, 2], [3, 4, 5], [6, 7, 8]]);
        assert_eq!(all(&gather.add(&batch("b", 102..104), SECOND / 2)), [[100, 101, 102]]);
        assert!(gather.due(SECOND).is_empty(), "what is left came later");
        assert_eq!(all(&gather.due(2 * SECOND)), [[103]]);
        assert!(gather.is_empty());
    }

    #[test]
    fn a_watermark_waits_with_the_rows_before_it() {
        let mut gather = Gather::new(Grouping { rows: 3, bytes: usize::MAX, wait: SECOND });
        gather.add(&batch("a", 0..2), Duration::ZERO);
        gather.watermark(5);
        gather.watermark(7);
        assert!(gather.passed().is_none());
        let rest = gather.all();
        assert_eq!((all(&rest), rest[0].batch.input.read_at), (vec![vec![0, 1]], 0));
        assert!(matches!(gather.passed(), Some(Message::Watermark(7))));
        assert!(gather.passed().is_none());
    }
}
