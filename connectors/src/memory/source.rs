//! Reads the partitions of a store.

use std::{sync::Arc, time::Duration};

use arrow_array::{RecordBatch, cast::AsArray};
use arrow_schema::SchemaRef;
use riverhook_config::{MapReader, Reading};

use super::{MemorySourceSettings, store::Memory};
use crate::{
    batch::{Batch, Input, Payloads, Rows},
    error::Error,
    position::{Partition, Position, Positions},
    registry::Setup,
    source::{Keeper, Polled, ReadContext, Reader, Source},
};

/// A store as a source.
pub struct MemorySource {
    name: Arc<str>,
    partitions: usize,
    store: Memory,
}

impl MemorySource {
    /// A source of the store of this name, with so many partitions.
    pub fn new(name: &str, partitions: usize) -> Self {
        Self { name: name.into(), partitions: partitions.max(1), store: Memory::named(name) }
    }

    /// From the node's settings.
    pub(super) fn read(map: &mut MapReader<'_>, cx: &mut Reading<'_>, setup: &Setup) -> Option<Box<dyn Source>> {
        let settings = MemorySourceSettings::read_fields(map, cx)?;
        let name = settings.name.unwrap_or_else(|| setup.node.to_string());
        Some(Box::new(Self::new(&name, settings.partitions as usize)))
    }
}

impl Source for MemorySource {
    fn keeper(&self) -> Keeper {
        Keeper::Manifest
    }

    fn schema(&self) -> Result<Option<SchemaRef>, Error> {
        Ok(self.store.update(|state| state.schema.clone()))
    }

    fn probe(&self, _timeout: Duration) -> Result<String, Error> {
        Ok(format!("store `{}` in this process", self.name))
    }

    fn open(&self, context: ReadContext) -> Result<Vec<Box<dyn Reader>>, Error> {
        let readers = context.parallelism.clamp(1, self.partitions);
        context.status.up();
        Ok((0..readers).map(|reader| Box::new(self.reader(reader, readers, &context)) as Box<dyn Reader>).collect())
    }
}

impl MemorySource {
    /// The reader with this number out of `readers`: each has every `readers`-th partition.
    fn reader(&self, number: usize, readers: usize, context: &ReadContext) -> MemoryReader {
        let own = (number..self.partitions).step_by(readers).map(|index| {
            let partition = Partition::new(format!("{}-{index}", self.name));
            let Position::Offset(next) = context.positions.get(&partition).copied().unwrap_or(Position::Offset(0));
            Place { partition, index, next }
        });
        MemoryReader { store: self.store.clone(), places: own.collect(), turn: 0, context: context.clone() }
    }
}

/// Where reading is in one partition.
struct Place {
    partition: Partition,
    index: usize,
    next: u64,
}

struct MemoryReader {
    store: Memory,
    places: Vec<Place>,
    /// Which partition is looked at first: they take turns, so that a full one does not starve the others.
    turn: usize,
    context: ReadContext,
}

impl Reader for MemoryReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled, Error> {
        let (places, turn, limits) = (&self.places, self.turn, self.context.limits);
        let found = self.store.watch(wait, |state| {
            let order = (0..places.len()).map(|step| (turn + step) % places.len());
            let read = |which: usize| {
                let place: &Place = &places[which];
                Some((which, state.read(place.index, place.next, limits.rows, limits.bytes)?))
            };
            match order.into_iter().find_map(read) {
                Some((which, rows)) => Some(Some((which, rows, state.schema.is_some()))),
                None if state.finished => Some(None),
                None => None,
            }
        });
        Ok(match found {
            None => Polled::Idle,
            Some(None) => Polled::End,
            Some(Some((which, rows, decoded))) => self.hand_over(which, &rows, decoded),
        })
    }

    fn positions(&self) -> Positions {
        self.places.iter().map(|place| (place.partition.clone(), Position::Offset(place.next))).collect()
    }

    fn commit(&mut self, positions: &Positions) -> Result<(), Error> {
        self.store.update(|state| state.committed.extend(positions.clone()));
        Ok(())
    }

    fn lag(&self) -> Vec<(Partition, u64)> {
        let behind = |place: &Place| self.store.update(|state| state.behind(place.index, place.next));
        self.places.iter().map(|place| (place.partition.clone(), behind(place))).collect()
    }
}

impl MemoryReader {
    fn hand_over(&mut self, which: usize, rows: &RecordBatch, decoded: bool) -> Polled {
        self.turn = which + 1;
        let place = &mut self.places[which];
        let first = place.next;
        place.next += rows.num_rows() as u64;
        let input = Arc::new(Input {
            source: Arc::clone(&self.context.source),
            partition: place.partition.clone(),
            positions: (first..place.next).map(Position::Offset).collect(),
            keys: None,
            headers: None,
            times: None,
            read_at: self.context.clock.now_micros(),
        });
        if decoded {
            Polled::Batch(Batch { records: self.wanted(rows), rows: Rows::Same, input })
        } else {
            Polled::Payloads(Payloads { values: rows.column(0).as_binary().clone(), metadata: Vec::new(), input })
        }
    }

    /// Only the columns that the plan reads.
    fn wanted(&self, rows: &RecordBatch) -> RecordBatch {
        let index = |name: &str| rows.schema().index_of(name).expect("rows are pushed with the store's schema");
        let columns: Vec<usize> = self.context.schema.fields().iter().map(|field| index(field.name())).collect();
        rows.project(&columns).expect("the columns were just found")
    }
}
