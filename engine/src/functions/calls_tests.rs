//! Calls that are under way at the same time, of a function whose every call waits until it is told to go on.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::Duration,
};

use arrow_array::{Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parking_lot::Mutex;
use riverhook_config::DurationRange;
use riverhook_connectors::{
    batch::{Batch, Input, Message, Rows},
    clock::ManualClock,
    position::{Partition, Position},
};
use riverhook_udf::{Caller, Function, Instance, Invocation, OpenError, Origin, Outcome, Reply, Usage};

use super::{Accounts, Bell, Calls, Copies, Dispatch, FunctionLog, FunctionMeter, Grouping, Policy, Released, Slots};

/// Answers what it is given, when the gate of the first value is opened.
#[derive(Default)]
struct Gated {
    gates: Mutex<BTreeMap<i64, Gate>>,
}

impl Gated {
    fn receiver(&self, value: i64) -> mpsc::Receiver<()> {
        let mut gates = self.gates.lock();
        let gate = gates.entry(value).or_insert_with(|| {
            let (open, gate) = mpsc::channel();
            (open, Some(gate))
        });
        gate.1.take().expect("each value comes once")
    }

    fn open(&self, value: i64) {
        let mut gates = self.gates.lock();
        let gate = gates.entry(value).or_insert_with(|| {
            let (open, gate) = mpsc::channel();
            (open, Some(gate))
        });
        gate.0.send(()).unwrap();
    }
}

/// Both ends, the second until the call has it.
type Gate = (mpsc::Sender<()>, Option<mpsc::Receiver<()>>);

struct Shared(Arc<Gated>);

impl Function for Shared {
    fn describe(&self, input: &Schema) -> Result<SchemaRef, OpenError> {
        Ok(Arc::new(input.clone()))
    }

    fn instance(&self, input: SchemaRef, _: &Caller) -> Result<Box<dyn Instance>, OpenError> {
        Ok(Box::new(Copy { schema: input, gated: Arc::clone(&self.0) }))
    }

    fn version(&self) -> &str {
        "v"
    }

    fn waits(&self) -> bool {
        true
    }
}

struct Copy {
    schema: SchemaRef,
    gated: Arc<Gated>,
}

impl Instance for Copy {
    fn output(&self) -> &SchemaRef {
        &self.schema
    }

    fn call(&mut self, rows: &RecordBatch, _: &Invocation<'_>) -> Reply {
        let first = rows.column(0).as_primitive::<Int64Type>().value(0);
        self.gated.receiver(first).recv().unwrap();
        let outcome = Outcome { output: rows.clone(), origin: Origin::Same, failed: Vec::new() };
        Reply { result: Ok(outcome), usage: Usage::default() }
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

fn batch(partition: &str, values: std::ops::Range<i64>) -> Batch {
    let input = Input {
        source: "s".into(),
        partition: Partition::new(partition),
        positions: values.clone().map(|n| Position::Offset(n as u64)).collect(),
        keys: None,
        headers: None,
        times: None,
        read_at: 0,
    };
    let records = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from_iter_values(values))]).unwrap();
    Batch { records, rows: Rows::Same, input: Arc::new(input) }
}

struct Bench {
    gated: Arc<Gated>,
    bell: Arc<Bell>,
    calls: Calls,
}

/// Calls of one row each.
fn bench(concurrency: usize, ordered: bool) -> Bench {
    let (gated, bell) = (Arc::<Gated>::default(), Arc::<Bell>::default());
    let backoff = DurationRange { min: Duration::ZERO, max: Duration::ZERO };
    let policy = Policy { attempts: 1, backoff, bisect: false, ordered, max_age: None };
    let function = Arc::new(Shared(Arc::clone(&gated)));
    let copies = Copies::new(function, schema(), Caller::default(), Slots::new(concurrency), Duration::from_secs(60));
    let log = FunctionLog::new(&"p".into(), "f", None);
    let meter = FunctionMeter::new(&Accounts::default(), ("p", "n"), &log, "v", 0);
    let grouping = Grouping { rows: 1, bytes: usize::MAX, wait: Duration::ZERO };
    let dispatch = Arc::new(Dispatch::new(copies, policy, grouping, meter));
    let calls = Calls::new(dispatch, ManualClock::at(0), Arc::clone(&bell), true);
    Bench { gated, bell, calls }
}

impl Bench {
    fn begin(&mut self, batch: &Batch) {
        self.calls.take(batch).into_iter().for_each(|part| self.calls.begin(part));
        self.calls.begun();
    }

    /// What can leave now, as text: values, and `|` for a barrier.
    fn released(&mut self) -> String {
        let mut out = String::new();
        while let Some(released) = self.calls.released().unwrap() {
            match released {
                Released::Behind(_) => out.push('|'),
                Released::Made(_, delivered) => {
                    for batch in delivered.out {
                        let values = batch.records.column(0).as_primitive::<Int64Type>();
                        values.values().iter().for_each(|value| out += &value.to_string());
                    }
                }
            }
        }
        out
    }

    /// Waits until so much has left.
    fn until(&mut self, expected: &str) {
        let mut out = String::new();
        while out.len() < expected.len() {
            out += &self.released();
            if out.len() < expected.len() {
                self.bell.wait(Duration::from_secs(1));
            }
        }
        assert_eq!(out, expected);
    }
}

#[test]
fn calls_are_under_way_together_and_leave_in_the_order_of_their_partition() {
    let mut bench = bench(4, true);
    bench.begin(&batch("a", 0..3));
    bench.begin(&batch("b", 3..4));
    assert!(bench.calls.is_full());
    [2, 3].into_iter().for_each(|value| bench.gated.open(value));
    bench.until("3");
    assert_eq!(bench.released(), "", "2 has an answer, and waits for those before it");
    bench.gated.open(0);
    bench.until("0");
    bench.gated.open(1);
    bench.until("12");
    assert!(bench.calls.is_empty());
}

#[test]
fn without_order_what_is_ready_leaves() {
    let mut bench = bench(3, false);
    bench.begin(&batch("a", 0..3));
    for value in [2, 0, 1] {
        bench.gated.open(value);
        bench.until(&value.to_string());
    }
}

#[test]
fn a_barrier_stays_behind_the_rows_before_it() {
    for (ordered, before, after) in [(true, "", "0|1"), (false, "1", "0|")] {
        let mut bench = bench(4, ordered);
        let first = batch("a", 0..1);
        bench.begin(&first);
        bench.calls.behind(Message::Barrier(1));
        bench.begin(&batch("b", 1..2));
        bench.gated.open(1);
        bench.bell.wait(Duration::from_secs(5));
        assert_eq!(bench.released(), before);
        assert!(bench.calls.holds(&first.input) && bench.calls.under_way());
        bench.gated.open(0);
        bench.until(after);
        assert!(!bench.calls.holds(&first.input));
    }
}
