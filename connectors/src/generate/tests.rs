//! What a generator gives: the same for the same seed.

use std::{path::PathBuf, sync::Arc, time::Duration};

use arrow_array::{
    Array, RecordBatch,
    cast::AsArray,
    types::{Float64Type, Int64Type, TimestampMillisecondType},
};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use riverhook_config::{Diagnostics, FixedEnvironment, MapReader, Reading, SourceFile};

use crate::{
    batch::Batch,
    clock::{Clock, ManualClock, SystemClock},
    conformance::{SourceAbilities, SourceHarness, check_source},
    format::Format,
    position::{Partition, Position, Positions},
    registry::Setup,
    source::{BatchLimits, Polled, ReadContext, Reader, Source},
    status::Status,
};

const NOW: i64 = 1_800_000_000_000_000;

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap())
}

fn read(yaml: &str) -> Result<Box<dyn Source>, String> {
    let file = SourceFile::new("pipeline.yaml", yaml);
    let mut diagnostics = Diagnostics::new();
    let node = riverhook_config::parse(&file, &mut diagnostics).unwrap();
    let mut map = MapReader::new(&node);
    let setup = Setup {
        pipeline: "p".into(),
        node: "made".into(),
        base: PathBuf::new(),
        format: Format::default(),
        schema: None,
    };
    let environment = FixedEnvironment::new();
    let mut cx = Reading::new(&environment, &mut diagnostics);
    let source = super::source::read(&mut map, &mut cx, &setup);
    map.finish(&mut cx);
    match source {
        Some(source) if diagnostics.is_empty() => Ok(source),
        _ => Err(diagnostics.render(false)),
    }
}

fn context(schema: SchemaRef, clock: Arc<dyn Clock>, rows: usize) -> ReadContext {
    ReadContext {
        source: "made".into(),
        pipeline: "p".into(),
        parallelism: 1,
        positions: Positions::new(),
        schema,
        limits: BatchLimits { rows, bytes: 4 << 20, wait: Duration::from_millis(1) },
        prefetch_bytes: 1 << 20,
        state_dir: PathBuf::new(),
        clock,
        status: Status::starting("opening"),
        io: runtime().handle().clone(),
    }
}

/// Everything that the readers give until all end or nothing is due.
fn drain(readers: &mut [Box<dyn Reader>]) -> Vec<Batch> {
    let mut batches = Vec::new();
    for reader in readers {
        while let Polled::Batch(batch) = reader.poll(Duration::ZERO).unwrap() {
            batches.push(batch);
        }
    }
    batches
}

fn rows_of(source: &dyn Source, at_once: usize) -> RecordBatch {
    let schema = source.schema().unwrap().unwrap();
    let mut readers = source.open(context(Arc::clone(&schema), ManualClock::at(NOW), at_once)).unwrap();
    let batches: Vec<RecordBatch> = drain(&mut readers).into_iter().map(|batch| batch.records).collect();
    concat_batches(&schema, &batches).unwrap()
}

const EVERYTHING: &str = "
count: 1000
seed: 7
fields:
  id: { sequence: { start: 10, step: 5 } }
  user: { choice: [ann, bob, eve], weights: [8, 1, 1] }
  uid: { uuid: true }
  amount: { normal: { mean: 100, stddev: 10 } }
  item: { zipf: { n: 50 }, format: \"/item/{}\" }
  ts: { timestamp: { start: 2026-01-01T00:00:00Z, step: 10ms, disorder: 5s } }
  flag: { bool: 0.1 }
  n: { uniform: { min: 1, max: 6 } }
  x: { uniform: { min: 0, max: 0.5 }, nulls: 0.25 }
  v: { const: 3 }
";

#[test]
fn every_kind_of_value_is_what_it_should_be() {
    let rows = rows_of(&*read(EVERYTHING).unwrap(), 64);
    assert_eq!(rows.num_rows(), 1000);
    let column = |name: &str| rows.column_by_name(name).unwrap();
    let whole = |name: &str| column(name).as_primitive::<Int64Type>().values().to_vec();
    let texts = |name: &str| column(name).as_string::<i32>().iter().flatten().collect::<Vec<_>>();
    assert_eq!(whole("id"), (0..1000).map(|row| 10 + row * 5).collect::<Vec<i64>>());
    assert!((700..900).contains(&texts("user").iter().filter(|user| **user == "ann").count()));
    let mut ids = texts("uid");
    assert!(ids.iter().all(|id| uuid::Uuid::parse_str(id).unwrap().get_version_num() == 4));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1000);
    let mean = column("amount").as_primitive::<Float64Type>().values().iter().sum::<f64>() / 1000.0;
    assert!((98.0..102.0).contains(&mean), "{mean}");
    let first = texts("item").iter().filter(|item| **item == "/item/1").count();
    assert!((150..300).contains(&first), "{first}");
    let times = column("ts").as_primitive::<TimestampMillisecondType>().values().to_vec();
    let late: Vec<i64> =
        times.iter().enumerate().map(|(row, time)| 1_767_225_600_000 + row as i64 * 10 - time).collect();
    assert!(late.iter().all(|late| (0..=5000).contains(late)) && late.iter().any(|late| *late > 4000));
    assert!((60..140).contains(&column("flag").as_boolean().true_count()));
    assert!(whole("n").iter().all(|n| (1..=6).contains(n)) && (1..=6).all(|n| whole("n").contains(&n)));
    assert!((180..320).contains(&column("x").null_count()));
    assert!(column("x").as_primitive::<Float64Type>().iter().flatten().all(|x| (0.0..0.5).contains(&x)));
    assert!(whole("v").iter().all(|v| *v == 3));
}

#[test]
fn a_row_is_the_same_whatever_the_batches_and_the_seed_decides() {
    let source = read(EVERYTHING).unwrap();
    assert_eq!(rows_of(&*source, 7), rows_of(&*source, 1000));
    assert_ne!(rows_of(&*source, 7), rows_of(&*read(&EVERYTHING.replace("seed: 7", "seed: 8")).unwrap(), 7));
}

#[test]
fn reading_goes_on_from_a_position_and_over_partitions() {
    for yaml in [EVERYTHING, "count: 500\nnexmark: { events: all }\n"] {
        let one = read(yaml).unwrap();
        let all = rows_of(&*one, 100);
        let source = read(&format!("{yaml}\npartitions: 3\n")).unwrap();
        let schema = source.schema().unwrap().unwrap();
        let positions = Positions::from([(Partition::new("made-1"), Position::Offset(40))]);
        let context = ReadContext { positions, parallelism: 2, ..context(schema, ManualClock::at(NOW), 64) };
        let mut readers = source.open(context).unwrap();
        assert_eq!(readers.len(), 2);
        let batches = drain(&mut readers);
        let mut seen = 0;
        for batch in &batches {
            let partition: usize = batch.input.partition.as_str().strip_prefix("made-").unwrap().parse().unwrap();
            for (row, Position::Offset(position)) in batch.input.positions.iter().enumerate() {
                assert_eq!(batch.records.slice(row, 1), all.slice(*position as usize * 3 + partition, 1));
                seen += 1;
            }
        }
        assert_eq!(seen, all.num_rows() - 40);
        let lag: u64 = readers.iter().flat_map(|reader| reader.lag()).map(|(_, lag)| lag).sum();
        assert_eq!(lag, 0);
        assert!(readers.iter_mut().all(|reader| matches!(reader.poll(Duration::ZERO), Ok(Polled::End))));
    }
}

#[test]
fn the_rate_is_kept_without_drift() {
    let source = read("rate: 1000\npartitions: 2\nfields: { id: { sequence: {} } }").unwrap();
    let clock = ManualClock::at(NOW);
    let schema = source.schema().unwrap().unwrap();
    let mut readers = source.open(context(schema, clock.clone(), 8192)).unwrap();
    let mut made = drain(&mut readers).iter().map(|batch| batch.records.num_rows()).sum::<usize>();
    assert_eq!(made, 1, "the first row is due at once");
    for step in 1..=300_u64 {
        clock.advance(Duration::from_micros(if step % 100 == 0 { 500_000 } else { 333 }));
        made += drain(&mut readers).iter().map(|batch| batch.records.num_rows()).sum::<usize>();
        let elapsed = clock.now_micros() - NOW;
        assert_eq!(made as i64, elapsed / 1000 + 1);
    }
}

#[test]
fn a_paced_poll_waits_for_the_next_row_and_no_longer_than_it_may() {
    let source = read("rate: 20\nfields: { id: { sequence: {} } }").unwrap();
    let schema = source.schema().unwrap().unwrap();
    let clock = SystemClock::shared();
    let mut readers = source.open(context(schema, Arc::clone(&clock), 10)).unwrap();
    assert!(matches!(readers[0].poll(Duration::ZERO), Ok(Polled::Batch(_))));
    let before = clock.monotonic();
    assert!(matches!(readers[0].poll(Duration::from_millis(1)), Ok(Polled::Idle)));
    assert!(matches!(readers[0].poll(Duration::from_secs(30)), Ok(Polled::Batch(_))));
    assert!(clock.monotonic() - before < Duration::from_secs(10));
}

#[test]
fn only_the_columns_that_are_read_are_made() {
    let source = read(EVERYTHING).unwrap();
    let wanted = Arc::new(source.schema().unwrap().unwrap().project(&[7, 0]).unwrap());
    let mut readers = source.open(context(Arc::clone(&wanted), ManualClock::at(NOW), 1000)).unwrap();
    let Polled::Batch(batch) = readers[0].poll(Duration::ZERO).unwrap() else { panic!("there are rows") };
    assert_eq!(batch.records.schema(), wanted);
    assert_eq!(batch.records.slice(0, 10), rows_of(&*source, 1000).project(&[7, 0]).unwrap().slice(0, 10));
}

#[test]
fn times_that_begin_now_go_on_after_a_restart() {
    let source = read("rate: 100\nfields: { ts: { timestamp: {} } }").unwrap();
    let schema = source.schema().unwrap().unwrap();
    let positions = Positions::from([(Partition::new("made-0"), Position::Offset(5000))]);
    let context = ReadContext { positions, ..context(schema, ManualClock::at(NOW), 10) };
    let batch = drain(&mut source.open(context).unwrap()).remove(0);
    assert_eq!(batch.records.column(0).as_primitive::<TimestampMillisecondType>().value(0), NOW / 1000);
}

#[test]
fn nexmark_bids_have_exact_times() {
    let source =
        read("nexmark: { events: bids, events_per_second: 1000, base_time: 2020-01-01T00:00:00Z }\ncount: 40000000")
            .unwrap();
    let schema = source.schema().unwrap().unwrap();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["auction", "bidder", "price", "channel", "url", "date_time", "extra"]);
    let first = 39_999_999;
    let positions = Positions::from([(Partition::new("made-0"), Position::Offset(first))]);
    let context = ReadContext { positions, ..context(Arc::clone(&schema), ManualClock::at(NOW), 10) };
    let batch = drain(&mut source.open(context).unwrap()).remove(0).records;
    // 46 bids in 50 events, behind a person and three auctions.
    let event = (first / 46 * 50 + 4 + first % 46) as i64;
    let time = batch.column_by_name("date_time").unwrap().as_primitive::<TimestampMillisecondType>().value(0);
    assert_eq!(time, 1_577_836_800_000 + event);
}

#[test]
fn what_is_wrong_is_said_all_at_once_and_where() {
    let wrong = read(
        "
rate: 0
partitions: 5000
fields:
  a: {}
  b: { bool: 2 }
  c: { choice: [1, x] }
  d: { choice: [1, 2], weights: [1] }
  e: { uuid: true, sequence: {} }
  f: { uniform: { min: 2, max: 1 } }
  g: { normal: { stddev: -1 } }
  h: { uuid: true, format: \"u{}\" }
",
    )
    .err()
    .unwrap();
    for (line, text) in [
        (2, "above 0"),
        (3, "1 to 1024"),
        (5, "does not say how"),
        (6, "from 0 to 1"),
        (7, "of one type"),
        (8, "2 values and 1 weights"),
        (9, "in one way"),
        (10, "above `max`"),
        (11, "below 0"),
        (12, "whole numbers"),
    ] {
        assert!(wrong.contains(&format!("pipeline.yaml:{line}:")) && wrong.contains(text), "{line}: {text}\n{wrong}");
    }
    let bytes = read("fields: { a: { sequence: {} } }\nformat: json\n").err().unwrap();
    assert!(bytes.contains("pipeline.yaml:2:9") && bytes.contains("leave it out"), "{bytes}");
    assert!(read("rate: 1").err().unwrap().contains("`fields` or `nexmark`"));
}

/// Rows made up in some way; nothing can be put in.
struct MadeUp(&'static str);

impl SourceHarness for MadeUp {
    fn create(&mut self, partitions: usize) -> Box<dyn Source> {
        read(&format!("count: 100\npartitions: {partitions}\n{}", self.0)).unwrap()
    }

    fn put(&mut self, _partition: usize, _records: &[Vec<u8>]) {
        unreachable!("the source is not fed");
    }

    fn abilities(&self) -> SourceAbilities {
        SourceAbilities { fed: false, ends: true, ..SourceAbilities::default() }
    }
}

#[test]
fn the_source_keeps_its_contract() {
    for rows in [
        "fields: { id: { sequence: {} }, user: { choice: [ann, bob], nulls: 0.2 } }",
        "rate: 2000\nfields: { n: { zipf: { n: 9 } }, ts: { timestamp: { start: 2026-01-31T12:00:00Z } } }",
        "nexmark: { events: all }",
    ] {
        check_source(&mut MadeUp(rows));
    }
}

/// Run with `--ignored --nocapture`: rows a second of one task.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let simple = "fields: { id: { sequence: {} }, n: { uniform: { min: 1, max: 6 } }, user: { choice: [ann, bob] } }";
    for yaml in [simple, EVERYTHING, "nexmark: { events: bids }"] {
        let source = read(&yaml.replace("count: 1000", "count: 100000000")).unwrap();
        let schema = source.schema().unwrap().unwrap();
        let mut readers = source.open(context(schema, SystemClock::shared(), 8192)).unwrap();
        let begun = std::time::Instant::now();
        let mut rows = 0;
        while begun.elapsed() < Duration::from_secs(1) {
            let Polled::Batch(batch) = readers[0].poll(Duration::ZERO).unwrap() else { panic!("there are rows") };
            rows += batch.records.num_rows();
        }
        println!("{rows} rows a second");
    }
}
