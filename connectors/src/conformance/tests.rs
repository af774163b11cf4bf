//! The suite finds what it is there to find: each fault below, put into the memory connector, is reported.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use arrow_array::Array;
use arrow_schema::Schema;

use super::{Finding, SinkHarness, SourceHarness, failures, sink::Row, sink_checks, source_checks};
use crate::{
    batch::{Batch, Epoch, Input},
    error::Error,
    memory::{Memory, MemorySink, MemorySource},
    position::{Position, Positions},
    sink::{Progress, Sink, WriteContext, Writer},
    source::{Keeper, Polled, ReadContext, Reader, Source},
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum SourceFault {
    Loses,
    GivesTooMany,
    RunsAhead,
    LagsBehind,
    Sleeps,
    EndsNever,
    NamesAnother,
}

struct FaultySource(MemorySource, SourceFault);

impl Source for FaultySource {
    fn keeper(&self) -> Keeper {
        self.0.keeper()
    }

    fn probe(&self, timeout: Duration) -> Result<String, Error> {
        self.0.probe(timeout)
    }

    fn open(&self, mut context: ReadContext) -> Result<Vec<Box<dyn Reader>>, Error> {
        if self.1 == SourceFault::GivesTooMany {
            context.limits.rows += 1;
        }
        let readers = self.0.open(context)?.into_iter();
        Ok(readers.map(|reader| Box::new(FaultyReader(reader, self.1)) as Box<dyn Reader>).collect())
    }
}

struct FaultyReader(Box<dyn Reader>, SourceFault);

impl Reader for FaultyReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        Ok(match (self.0.poll(wait)?, self.1) {
            (Polled::Payloads(mut payloads), SourceFault::Loses) if payloads.values.len() > 3 => {
                let kept = payloads.values.len() - 1;
                payloads.values = payloads.values.slice(0, kept);
                let positions = payloads.input.positions[..kept].to_vec();
                payloads.input = Arc::new(Input { positions, ..(*payloads.input).clone() });
                Polled::Payloads(payloads)
            }
            (Polled::Payloads(mut payloads), SourceFault::NamesAnother) => {
                payloads.input = Arc::new(Input { source: "another".into(), ..(*payloads.input).clone() });
                Polled::Payloads(payloads)
            }
            (Polled::Idle | Polled::End, SourceFault::Sleeps) => {
                thread::sleep(Duration::from_millis(1100));
                Polled::Idle
            }
            (Polled::End, SourceFault::EndsNever) => return Err(Error::unavailable("it went on")),
            (polled, _) => polled,
        })
    }

    fn positions(&self) -> Positions {
        let moved = |Position::Offset(at)| match self.1 {
            SourceFault::RunsAhead => Position::Offset(at + 1),
            SourceFault::LagsBehind => Position::Offset(at.saturating_sub(1)),
            _ => Position::Offset(at),
        };
        self.0.positions().into_iter().map(|(partition, at)| (partition, moved(at))).collect()
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), Error> {
        self.0.commit(positions)
    }
}

struct Sources(SourceFault, Option<Memory>);

impl SourceHarness for Sources {
    fn create(&mut self, partitions: usize) -> Box<dyn Source> {
        let name = uuid::Uuid::new_v4().to_string();
        self.1 = Some(Memory::named(&name));
        Box::new(FaultySource(MemorySource::new(&name, partitions), self.0))
    }

    fn put(&mut self, partition: usize, records: &[Vec<u8>]) {
        self.1.as_ref().unwrap().push(partition, records);
    }

    fn finish(&mut self) {
        self.1.as_ref().unwrap().finish();
    }

    fn abilities(&self) -> super::SourceAbilities {
        super::SourceAbilities { ends: true, ..Default::default() }
    }
}

fn check_source_fault(fault: SourceFault, promise: &str) {
    let checks: Vec<_> = source_checks::ALL.iter().filter(|(text, _)| text.starts_with(promise)).copied().collect();
    assert_eq!(checks.len(), 1, "`{promise}` is one promise");
    let found = failures(&checks, |check| -> Finding { check(&mut Sources(fault, None)) });
    assert_eq!(found.len(), 1, "{fault:?} is not found");
}

#[test]
fn faults_of_a_source_are_found() {
    check_source_fault(SourceFault::Loses, "records of a partition come in order, all of them");
    check_source_fault(SourceFault::GivesTooMany, "records of a partition come in order");
    check_source_fault(SourceFault::RunsAhead, "reading goes on exactly where it stopped");
    check_source_fault(SourceFault::LagsBehind, "records of a partition come in order");
    check_source_fault(SourceFault::Sleeps, "an idle poll comes back in time");
    check_source_fault(SourceFault::EndsNever, "a source that ends does");
    check_source_fault(SourceFault::NamesAnother, "records of a partition come in order");
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum SinkFault {
    AnswersEarly,
    AnswersNothing,
    LosesAtClose,
    RejectsTwice,
    TakesEverything,
    WritesTwice,
}

struct FaultySink(MemorySink, SinkFault);

impl Sink for FaultySink {
    fn check(&self, schema: &Schema) -> Result<(), Vec<String>> {
        self.0.check(schema)
    }

    fn probe(&self, timeout: Duration) -> Result<String, Error> {
        self.0.probe(timeout)
    }

    fn open(&self, mut context: WriteContext) -> Result<Box<dyn Writer>, Error> {
        if self.1 == SinkFault::TakesEverything {
            context.inflight_bytes = usize::MAX;
        }
        Ok(Box::new(FaultyWriter { inner: self.0.open(context)?, fault: self.1, barrier: 0, held: Vec::new() }))
    }
}

struct FaultyWriter {
    inner: Box<dyn Writer>,
    fault: SinkFault,
    barrier: Epoch,
    held: Vec<Batch>,
}

impl Writer for FaultyWriter {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        match self.fault {
            SinkFault::LosesAtClose => self.held.push(batch.clone()),
            SinkFault::WritesTwice => self.inner.write(batch)?,
            _ => {}
        }
        if self.fault == SinkFault::LosesAtClose { Ok(()) } else { self.inner.write(batch) }
    }

    fn barrier(&mut self, epoch: Epoch) -> Result<(), Error> {
        self.barrier = epoch;
        self.held.drain(..).try_for_each(|batch| self.inner.write(&batch))?;
        self.inner.barrier(epoch)
    }

    fn poll(&mut self) -> Result<Progress, Error> {
        let mut progress = self.inner.poll()?;
        match self.fault {
            SinkFault::AnswersEarly => progress.durable = self.barrier,
            SinkFault::AnswersNothing => progress.durable = 0,
            SinkFault::RejectsTwice => progress.rejected.extend_from_within(..),
            _ => {}
        }
        Ok(progress)
    }

    fn close(&mut self) -> Result<Progress, Error> {
        self.inner.close()
    }
}

struct Sinks(SinkFault, Arc<Mutex<Option<Memory>>>);

impl Sinks {
    fn store(&self) -> Memory {
        self.1.lock().unwrap().clone().unwrap()
    }
}

impl SinkHarness for Sinks {
    fn create(&mut self) -> Box<dyn Sink> {
        let name = uuid::Uuid::new_v4().to_string();
        let store = Memory::named(&name);
        store.refuse(|rows, row| {
            arrow_cast::display::array_value_to_string(rows.column(1), row).unwrap() == "refuse me"
        });
        *self.1.lock().unwrap() = Some(store);
        Box::new(FaultySink(MemorySink::new(&name), self.0))
    }

    fn read(&mut self) -> Vec<Vec<Row>> {
        let cell = |rows: &arrow_array::RecordBatch, column: usize, row| {
            arrow_cast::display::array_value_to_string(rows.column(column), row).unwrap()
        };
        let rows = |one: &crate::memory::Delivered| {
            let rows = &one.batch.records;
            (0..rows.num_rows())
                .map(|row| Row { id: cell(rows, 0, row).parse().unwrap(), text: cell(rows, 1, row) })
                .collect::<Vec<_>>()
        };
        vec![self.store().delivered().iter().flat_map(rows).collect()]
    }

    fn refused(&self) -> Option<String> {
        Some("refuse me".into())
    }

    fn stall(&mut self, stalled: bool) -> bool {
        self.store().stall(stalled);
        true
    }

    fn abilities(&self) -> super::SinkAbilities {
        super::SinkAbilities { answers_within: Duration::from_millis(200), ..Default::default() }
    }
}

fn check_sink_fault(fault: SinkFault, promise: &str) {
    let checks: Vec<_> = sink_checks::ALL.iter().filter(|(text, _)| text.starts_with(promise)).copied().collect();
    assert_eq!(checks.len(), 1, "`{promise}` is one promise");
    let found = failures(&checks, |check| -> Finding { check(&mut Sinks(fault, Arc::default())) });
    assert_eq!(found.len(), 1, "{fault:?} is not found");
}

#[test]
fn faults_of_a_sink_are_found() {
    check_sink_fault(SinkFault::AnswersEarly, "what the other side has not taken is not durable");
    check_sink_fault(SinkFault::AnswersNothing, "rows behind an answered barrier can be read");
    check_sink_fault(SinkFault::LosesAtClose, "closing makes everything durable");
    check_sink_fault(SinkFault::RejectsTwice, "a refused row comes back once");
    check_sink_fault(SinkFault::TakesEverything, "writing waits when the other side does");
    check_sink_fault(SinkFault::WritesTwice, "rows behind an answered barrier can be read");
}
