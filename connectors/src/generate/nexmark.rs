//! Events of the NEXMark benchmark as columns.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, StructArray, TimestampMillisecondArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use nexmark::{
    EventGenerator,
    config::NexmarkConfig,
    event::{Auction, Bid, Event, EventType, Person},
};

use super::{NexmarkEvents, NexmarkSettings, column::Range, settings::Start};

const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// Makes the events of one kind, or all.
#[derive(Clone, Debug)]
pub(super) struct Nexmark {
    schema: SchemaRef,
    events: NexmarkEvents,
    base_time: Start,
    events_per_second: u64,
    generator: EventGenerator,
}

impl Nexmark {
    pub(super) fn new(settings: &NexmarkSettings) -> Result<Self, String> {
        if !(1..=1_000_000_000).contains(&settings.events_per_second) {
            return Err("`events_per_second` is from 1 to 1000000000".into());
        }
        let rate = usize::try_from(settings.events_per_second).expect("it is small");
        let config = NexmarkConfig { base_time: 0, first_rate: rate, next_rate: rate, ..NexmarkConfig::default() };
        let generator = EventGenerator::new(config);
        let (generator, fields) = match settings.events {
            NexmarkEvents::Bids => (generator.with_type_filter(EventType::Bid), bid_fields()),
            NexmarkEvents::Auctions => (generator.with_type_filter(EventType::Auction), auction_fields()),
            NexmarkEvents::Persons => (generator.with_type_filter(EventType::Person), person_fields()),
            NexmarkEvents::All => (generator, all_fields()),
        };
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            events: settings.events,
            base_time: settings.base_time,
            events_per_second: settings.events_per_second,
            generator,
        })
    }

    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The events of these rows.
    pub(super) fn make(&self, range: Range) -> RecordBatch {
        let mut generator = self.generator.clone().with_offset(range.first).with_step(range.step);
        let (base, zero) = match self.base_time {
            Start::Now => (range.now, generator.clone().with_offset(range.since).global_offset()),
            Start::At(micros) => (micros, 0),
        };
        let mut events = Events::default();
        for _ in 0..range.count {
            // The crate counts time in 32-bit floats, which lose milliseconds after a few million events.
            let since = u128::from(generator.global_offset() - zero) * 1_000_000 / u128::from(self.events_per_second);
            let micros = base.saturating_add(i64::try_from(since).unwrap_or(i64::MAX));
            let event = generator.next().expect("events never end");
            events.push(event, u64::try_from(micros.div_euclid(1000)).unwrap_or(0));
        }
        let columns = match self.events {
            NexmarkEvents::Bids => bid_columns(&events.bids),
            NexmarkEvents::Auctions => auction_columns(&events.auctions),
            NexmarkEvents::Persons => person_columns(&events.persons),
            NexmarkEvents::All => events.all_columns(),
        };
        RecordBatch::try_new(self.schema(), columns).expect("the columns are the schema's")
    }
}

/// Events of all kinds: each row has one, and none of the others.
#[derive(Default)]
struct Events {
    times: Vec<i64>,
    bids: Vec<Option<Bid>>,
    auctions: Vec<Option<Auction>>,
    persons: Vec<Option<Person>>,
}

impl Events {
    fn push(&mut self, event: Event, time: u64) {
        let (mut bid, mut auction, mut person) = (None, None, None);
        match event {
            Event::Bid(event) => bid = Some(Bid { date_time: time, ..event }),
            Event::Auction(event) => {
                let expires = time + event.expires.saturating_sub(event.date_time);
                auction = Some(Auction { date_time: time, expires, ..event });
            }
            Event::Person(event) => person = Some(Person { date_time: time, ..event }),
        }
        self.times.push(millis(time));
        self.bids.push(bid);
        self.auctions.push(auction);
        self.persons.push(person);
    }

    fn all_columns(self) -> Vec<ArrayRef> {
        let kind = |row: usize| match (&self.bids[row], &self.auctions[row]) {
            (Some(_), _) => "bid",
            (_, Some(_)) => "auction",
            _ => "person",
        };
        let kinds = StringArray::from_iter_values((0..self.times.len()).map(kind));
        let people = structs(person_fields(), person_columns(&self.persons), &self.persons);
        let auctions = structs(auction_fields(), auction_columns(&self.auctions), &self.auctions);
        let bids = structs(bid_fields(), bid_columns(&self.bids), &self.bids);
        vec![Arc::new(kinds), Arc::new(TimestampMillisecondArray::from(self.times)), people, auctions, bids]
    }
}

fn structs<E>(fields: Fields, columns: Vec<ArrayRef>, events: &[Option<E>]) -> ArrayRef {
    let there: NullBuffer = events.iter().map(Option::is_some).collect::<Vec<_>>().into();
    Arc::new(StructArray::new(fields, columns, Some(there)))
}

fn bid_columns(bids: &[Option<Bid>]) -> Vec<ArrayRef> {
    vec![
        whole(bids, |bid| bid.auction),
        whole(bids, |bid| bid.bidder),
        whole(bids, |bid| bid.price),
        text(bids, |bid| &bid.channel),
        text(bids, |bid| &bid.url),
        times(bids, |bid| bid.date_time),
        text(bids, |bid| &bid.extra),
    ]
}

fn bid_fields() -> Fields {
    let whole = |name| Field::new(name, DataType::Int64, false);
    let text = |name| Field::new(name, DataType::Utf8, false);
    let time = Field::new("date_time", TIME, false);
    vec![whole("auction"), whole("bidder"), whole("price"), text("channel"), text("url"), time, text("extra")].into()
}

fn auction_columns(auctions: &[Option<Auction>]) -> Vec<ArrayRef> {
    vec![
        whole(auctions, |auction| auction.id),
        text(auctions, |auction| &auction.item_name),
        text(auctions, |auction| &auction.description),
        whole(auctions, |auction| auction.initial_bid),
        whole(auctions, |auction| auction.reserve),
        times(auctions, |auction| auction.date_time),
        times(auctions, |auction| auction.expires),
        whole(auctions, |auction| auction.seller),
        whole(auctions, |auction| auction.category),
        text(auctions, |auction| &auction.extra),
    ]
}

fn auction_fields() -> Fields {
    let whole = |name| Field::new(name, DataType::Int64, false);
    let text = |name| Field::new(name, DataType::Utf8, false);
    let time = |name| Field::new(name, TIME, false);
    let first = vec![whole("id"), text("item_name"), text("description"), whole("initial_bid"), whole("reserve")];
    let last = vec![time("date_time"), time("expires"), whole("seller"), whole("category"), text("extra")];
    first.into_iter().chain(last).collect()
}

fn person_columns(persons: &[Option<Person>]) -> Vec<ArrayRef> {
    vec![
        whole(persons, |person| person.id),
        text(persons, |person| &person.name),
        text(persons, |person| &person.email_address),
        text(persons, |person| &person.credit_card),
        text(persons, |person| &person.city),
        text(persons, |person| &person.state),
        times(persons, |person| person.date_time),
        text(persons, |person| &person.extra),
    ]
}

fn person_fields() -> Fields {
    let text = |name| Field::new(name, DataType::Utf8, false);
    let texts = ["name", "email_address", "credit_card", "city", "state"].map(text);
    let id = Field::new("id", DataType::Int64, false);
    let last = [Field::new("date_time", TIME, false), text("extra")];
    std::iter::once(id).chain(texts).chain(last).collect()
}

fn all_fields() -> Fields {
    let kind = |name, fields| Field::new(name, DataType::Struct(fields), true);
    vec![
        Field::new("event_type", DataType::Utf8, false),
        Field::new("date_time", TIME, false),
        kind("person", person_fields()),
        kind("auction", auction_fields()),
        kind("bid", bid_fields()),
    ]
    .into()
}

/// A row without an event of the kind is null as a whole; what its fields hold does not matter then.
fn whole<E>(events: &[Option<E>], value: impl Fn(&E) -> usize) -> ArrayRef {
    let value = |event: &Option<E>| event.as_ref().map_or(0, |event| i64::try_from(value(event)).unwrap_or(i64::MAX));
    Arc::new(Int64Array::from_iter_values(events.iter().map(value)))
}

fn text<E>(events: &[Option<E>], value: impl Fn(&E) -> &str) -> ArrayRef {
    let value = |event| Option::map_or(event, "", &value);
    Arc::new(StringArray::from_iter_values(events.iter().map(Option::as_ref).map(value)))
}

fn times<E>(events: &[Option<E>], value: impl Fn(&E) -> u64) -> ArrayRef {
    let value = |event: &Option<E>| event.as_ref().map_or(0, |event| millis(value(event)));
    Arc::new(TimestampMillisecondArray::from_iter_values(events.iter().map(value)))
}

fn millis(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}
