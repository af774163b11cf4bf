//! What a schedule gives, in a time of the tests' own.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use arrow_array::{RecordBatch, cast::AsArray, types::TimestampMillisecondType};
use chrono::DateTime;
use riverhook_config::{Diagnostics, FixedEnvironment, MapReader, Reading, SourceFile};

use crate::{
    batch::Batch,
    clock::{Clock, ManualClock, SystemClock},
    conformance::{SourceAbilities, SourceHarness, check_source},
    error::Error,
    format::{Encoded, Format},
    position::{Partition, Position, Positions},
    registry::Setup,
    source::{BatchLimits, Keeper, Polled, ReadContext, Reader, Source},
    status::Status,
};

fn micros(time: &str) -> i64 {
    DateTime::parse_from_rfc3339(time).unwrap().timestamp_micros()
}

fn read(yaml: &str) -> Result<Box<dyn Source>, String> {
    let file = SourceFile::new("pipeline.yaml", yaml);
    let mut diagnostics = Diagnostics::new();
    let node = riverhook_config::parse(&file, &mut diagnostics).unwrap();
    let setup = Setup {
        pipeline: "p".into(),
        node: "nightly".into(),
        base: PathBuf::new(),
        format: Format::default(),
        schema: None,
    };
    let environment = FixedEnvironment::new();
    let mut cx = Reading::new(&environment, &mut diagnostics);
    let mut map = MapReader::new(&node);
    let source = super::source::read(&mut map, &mut cx, &setup);
    map.finish(&mut cx);
    source.filter(|_| diagnostics.is_empty()).ok_or_else(|| diagnostics.render(false))
}

fn io() -> tokio::runtime::Handle {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME
        .get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap())
        .handle()
        .clone()
}

fn open(source: &dyn Source, clock: Arc<dyn Clock>, positions: Positions, rows: usize) -> Box<dyn Reader> {
    let context = ReadContext {
        source: "nightly".into(),
        pipeline: "p".into(),
        parallelism: 4,
        positions,
        schema: source.schema().unwrap().unwrap(),
        limits: BatchLimits { rows, bytes: 4 << 20, wait: Duration::from_millis(1) },
        prefetch_bytes: 1 << 20,
        state_dir: PathBuf::new(),
        clock,
        status: Status::starting("opening"),
        io: io(),
    };
    let mut readers = source.open(context).unwrap();
    assert_eq!(readers.len(), 1);
    readers.remove(0)
}

/// A schedule that runs by a clock of its own.
struct Scene {
    source: Box<dyn Source>,
    clock: Arc<Wall>,
    reader: Box<dyn Reader>,
}

/// A wall clock that is set at will.
struct Wall(AtomicI64);

impl Clock for Wall {
    fn now_micros(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

impl Scene {
    fn new(yaml: &str, now: &str) -> Self {
        let source = read(yaml).unwrap();
        let clock = Arc::new(Wall(AtomicI64::new(micros(now))));
        let reader = open(&*source, clock.clone(), Positions::new(), 8192);
        Self { source, clock, reader }
    }

    /// The ticks that come at this time.
    #[track_caller]
    fn check(&mut self, now: &str, expected: &[&str]) {
        self.clock.0.store(micros(now), Ordering::SeqCst);
        let mut found = Vec::new();
        while let Polled::Batch(batch) = self.reader.poll(Duration::ZERO).unwrap() {
            found.extend(times(&batch.records));
        }
        let expected: Vec<i64> = expected.iter().map(|time| micros(time) / 1000).collect();
        assert_eq!(found, expected, "{now}");
    }

    /// Stops, and starts again at this time.
    fn restart(&mut self, now: &str) {
        let positions = self.reader.positions();
        self.clock.0.store(micros(now), Ordering::SeqCst);
        self.reader = open(&*self.source, self.clock.clone(), positions, 8192);
    }
}

fn times(records: &RecordBatch) -> Vec<i64> {
    records.column_by_name("time").unwrap().as_primitive::<TimestampMillisecondType>().values().to_vec()
}

fn batch(reader: &mut dyn Reader) -> Batch {
    match reader.poll(Duration::ZERO).unwrap() {
        Polled::Batch(batch) => batch,
        other => panic!("a tick is due, not {other:?}"),
    }
}

#[test]
fn a_tick_has_the_shape_of_a_scheduled_event() {
    let source = read("cron: \"0 3 * * *\"\nzone: Europe/Berlin").unwrap();
    let clock = ManualClock::at(micros("2026-01-31T01:59:59.5Z"));
    let mut reader = open(&*source, clock.clone(), Positions::new(), 10);
    assert!(matches!(reader.poll(Duration::ZERO).unwrap(), Polled::Idle));
    clock.advance(Duration::from_millis(500));
    let first = batch(&mut *reader);
    let mut out = Encoded::default();
    Format::default().encoder(first.records.schema()).unwrap().encode(&first.records, &mut out);
    let mut event: serde_json::Value = serde_json::from_slice(out.row(0)).unwrap();
    let id = event["id"].take();
    assert_eq!(uuid::Uuid::parse_str(id.as_str().unwrap()).unwrap().get_version_num(), 8);
    assert_eq!(
        event.to_string(),
        "{\"version\":\"0\",\"id\":null,\"detail-type\":\"Scheduled Event\",\"source\":\"aws.events\",\
         \"account\":\"000000000000\",\"time\":\"2026-01-31T02:00:00.000Z\",\"region\":\"local\",\
         \"resources\":[\"nightly\"],\"detail\":{}}"
    );
    assert_eq!(first.input.positions, [Position::Offset(1_769_824_800_000_000)]);
    // The same tick is the same event; another one is not.
    let again = Positions::from([(Partition::new("nightly"), first.input.positions[0])]);
    let repeated = batch(&mut *open(&*source, clock.clone(), again, 10));
    assert_eq!(repeated.records, first.records);
    clock.advance(Duration::from_secs(24 * 3600));
    assert_ne!(batch(&mut *reader).records.column(1), first.records.column(1));
}

#[test]
fn only_the_columns_that_are_read_are_made() {
    let source = read("every: 1s").unwrap();
    let clock = ManualClock::at(0);
    let wanted = Arc::new(source.schema().unwrap().unwrap().project(&[5, 0]).unwrap());
    let context = ReadContext {
        source: "nightly".into(),
        pipeline: "p".into(),
        parallelism: 1,
        positions: Positions::new(),
        schema: wanted.clone(),
        limits: BatchLimits { rows: 10, bytes: 1, wait: Duration::ZERO },
        prefetch_bytes: 0,
        state_dir: PathBuf::new(),
        clock,
        status: Status::starting("opening"),
        io: io(),
    };
    let records = batch(&mut *source.open(context).unwrap().remove(0)).records;
    assert_eq!((records.schema(), records.num_rows()), (wanted, 1));
}

#[test]
fn ticks_come_when_they_are_due_and_once() {
    let mut scene = Scene::new("every: 5m", "2026-01-31T11:58:00Z");
    scene.check("2026-01-31T11:59:59.999999Z", &[]);
    scene.check("2026-01-31T12:00:00Z", &["2026-01-31T12:00:00Z"]);
    scene.check("2026-01-31T12:04:59Z", &[]);
    // A little late is not missed.
    scene.check("2026-01-31T12:05:59Z", &["2026-01-31T12:05:00Z"]);
    let mut scene = Scene::new("every: 5s\nmissed: none", "2026-01-31T12:00:00Z");
    scene.check("2026-01-31T12:00:12Z", &["2026-01-31T12:00:00Z", "2026-01-31T12:00:05Z", "2026-01-31T12:00:10Z"]);
}

#[test]
fn the_first_tick_can_come_at_once() {
    let mut scene = Scene::new("every: 5m\nstart: now", "2026-01-31T11:58:00.123Z");
    scene.check("2026-01-31T11:58:01Z", &["2026-01-31T11:58:00.123Z"]);
    scene.check("2026-01-31T12:00:00Z", &["2026-01-31T12:00:00Z"]);
    scene.restart("2026-01-31T12:01:00Z");
    scene.check("2026-01-31T12:01:00Z", &[]);
}

#[test]
fn what_was_missed_while_down() {
    for (missed, expected) in [
        ("once", vec!["2026-01-31T13:15:00Z"]),
        ("all", vec!["2026-01-31T12:15:00Z", "2026-01-31T12:30:00Z", "2026-01-31T12:45:00Z"]),
        ("none", vec![]),
    ] {
        let mut scene = Scene::new(&format!("every: 15m\nmissed: {missed}"), "2026-01-31T12:00:00Z");
        scene.check("2026-01-31T12:00:00Z", &["2026-01-31T12:00:00Z"]);
        scene.restart("2026-01-31T13:15:01Z");
        let all = ["2026-01-31T13:00:00Z", "2026-01-31T13:15:00Z"];
        let expected = if missed == "all" { [expected, all.to_vec()].concat() } else { expected };
        scene.check("2026-01-31T13:15:02Z", &expected);
        scene.restart("2026-01-31T13:15:03Z");
        scene.check("2026-01-31T13:15:04Z", &[]);
        scene.check("2026-01-31T13:30:00Z", &["2026-01-31T13:30:00Z"]);
    }
}

#[test]
fn a_tick_due_at_the_start_was_not_missed() {
    let mut scene = Scene::new("every: 15m\nmissed: none", "2026-01-31T12:01:00Z");
    scene.restart("2026-01-31T12:15:00Z");
    scene.check("2026-01-31T12:15:00Z", &["2026-01-31T12:15:00Z"]);
}

#[test]
fn missed_ticks_are_bounded() {
    for schedule in ["every: 1s", "cron: \"* * * * * *\""] {
        let mut scene = Scene::new(&format!("{schedule}\nmissed: all"), "2026-01-01T00:00:00Z");
        scene.restart("2026-03-01T00:00:00.5Z");
        let mut found = Vec::new();
        while let Polled::Batch(batch) = scene.reader.poll(Duration::ZERO).unwrap() {
            assert!(batch.records.num_rows() <= 8192);
            found.extend(times(&batch.records));
        }
        assert_eq!(found.len(), 10_000, "{schedule}");
        assert!(found.windows(2).all(|pair| pair[1] - pair[0] == 1000));
        assert_eq!(found.last(), Some(&(micros("2026-03-01T00:00:00Z") / 1000)));
    }
}

#[test]
fn a_clock_that_is_set_forward_and_back_makes_no_tick_come_twice() {
    let mut scene = Scene::new("every: 15m", "2026-01-31T11:59:00Z");
    scene.check("2026-01-31T12:00:00Z", &["2026-01-31T12:00:00Z"]);
    scene.check("2026-01-31T13:00:10Z", &["2026-01-31T13:00:00Z"]);
    scene.check("2026-01-31T12:00:20Z", &[]);
    scene.check("2026-01-31T12:15:00Z", &[]);
    scene.restart("2026-01-31T12:30:00Z");
    scene.check("2026-01-31T12:45:00Z", &[]);
    scene.check("2026-01-31T13:00:00Z", &[]);
    scene.check("2026-01-31T13:15:00Z", &["2026-01-31T13:15:00Z"]);
}

#[test]
fn daylight_saving_comes_through() {
    let mut scene = Scene::new("cron: \"30 2 * * *\"\nzone: Europe/Berlin", "2026-03-28T12:00:00Z");
    scene.check("2026-03-29T00:59:59Z", &[]);
    scene.check("2026-03-29T01:00:00Z", &["2026-03-29T01:00:00Z"]);
    scene.check("2026-03-29T01:30:00Z", &[]);
    let mut scene = Scene::new("cron: \"30 2 * * *\"\nzone: Europe/Berlin", "2026-10-24T12:00:00Z");
    scene.check("2026-10-25T00:30:00Z", &["2026-10-25T00:30:00Z"]);
    scene.check("2026-10-25T01:30:00Z", &[]);
    scene.check("2026-10-26T01:30:00Z", &["2026-10-26T01:30:00Z"]);
}

#[test]
fn a_poll_waits_for_the_next_tick_and_no_longer_than_it_may() {
    let source = read("every: 250ms").unwrap();
    let mut reader = open(&*source, SystemClock::shared(), Positions::new(), 10);
    let begun = Instant::now();
    assert!(matches!(reader.poll(Duration::from_secs(30)).unwrap(), Polled::Batch(_)));
    assert!(begun.elapsed() < Duration::from_secs(10));
    let source = read("every: 1h").unwrap();
    let mut reader = open(&*source, ManualClock::at(1), Positions::new(), 10);
    let begun = Instant::now();
    assert!(matches!(reader.poll(Duration::from_millis(20)).unwrap(), Polled::Idle));
    assert!((Duration::from_millis(20)..Duration::from_secs(10)).contains(&begun.elapsed()));
}

#[test]
fn the_next_three_ticks_are_told() {
    let source = read("cron: \"0 3 * * *\"\nzone: Europe/Berlin").unwrap();
    let told = source.probe(Duration::ZERO).unwrap();
    assert!(told.starts_with("the next ticks are at 2") && told.matches("T03:00:00+0").count() == 3, "{told}");
}

#[test]
fn what_is_wrong_is_said_and_where() {
    for (yaml, texts) in [
        ("missed: all", ["pipeline.yaml:1:1", "`every` or `cron`"]),
        ("every: 5m\ncron: \"* * * * *\"", ["pipeline.yaml:1:1", "twice"]),
        ("every: 0s", ["pipeline.yaml:1:8", "above 0"]),
        ("every: 5m\nzone: Europe/Berlin", ["pipeline.yaml:2:7", "in every zone"]),
        ("cron: \"0 3 * *\"", ["pipeline.yaml:1:7", "five fields"]),
        ("cron: \"0 25 * * *\"", ["pipeline.yaml:1:7", "no cron expression"]),
        ("cron: \"0 3 * * *\"\nzone: Berlin", ["pipeline.yaml:2:7", "no time zone"]),
        ("every: 5m\nformat: json", ["pipeline.yaml:2:9", "leave it out"]),
        ("every: 5m\nmissed: some", ["pipeline.yaml:2:9", "once"]),
    ] {
        let wrong = read(yaml).err().unwrap();
        for text in texts {
            assert!(wrong.contains(text), "{text}: {wrong}");
        }
    }
}

/// A schedule as a source that records can be put into: a record is a tick, which the clock is moved on for.
struct Harness {
    clock: Arc<ManualClock>,
    records: Vec<Vec<u8>>,
}

/// A schedule that runs by the harness's clock.
struct Clocked(Box<dyn Source>, Arc<ManualClock>);

impl Source for Clocked {
    fn keeper(&self) -> Keeper {
        self.0.keeper()
    }

    fn schema(&self) -> Result<Option<arrow_schema::SchemaRef>, Error> {
        self.0.schema()
    }

    fn probe(&self, timeout: Duration) -> Result<String, Error> {
        self.0.probe(timeout)
    }

    fn open(&self, context: ReadContext) -> Result<Vec<Box<dyn Reader>>, Error> {
        self.0.open(ReadContext { clock: self.1.clone(), ..context })
    }
}

/// When the clock of a harness begins: just behind a tick.
const BEGIN: i64 = 1_800_000_000_000_001;

impl SourceHarness for Harness {
    fn create(&mut self, _partitions: usize) -> Box<dyn Source> {
        *self = Self { clock: ManualClock::at(BEGIN), records: Vec::new() };
        Box::new(Clocked(read("every: 1s\nmissed: all").unwrap(), self.clock.clone()))
    }

    fn put(&mut self, _partition: usize, records: &[Vec<u8>]) {
        self.records.extend_from_slice(records);
        self.clock.advance(Duration::from_secs(records.len() as u64));
    }

    fn record(&self, batch: &RecordBatch, row: usize) -> Vec<u8> {
        let tick = times(batch)[row] - BEGIN / 1000;
        self.records[usize::try_from(tick / 1000).unwrap() - 1].clone()
    }

    fn abilities(&self) -> SourceAbilities {
        SourceAbilities { partitions: 1, fed_while_open: true, ..SourceAbilities::default() }
    }
}

#[test]
fn the_source_keeps_its_contract() {
    check_source(&mut Harness { clock: ManualClock::at(BEGIN), records: Vec::new() });
}
