//! What a person sees, and the conformance suite for what a program reads.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use expect_test::{Expect, expect};
use parking_lot::Mutex;
use riverhook_config::{Diagnostics, FixedEnvironment, MapReader, Reading, SourceFile};

use super::{StdoutSettings, StdoutSink, Style, screen::Screen};
use crate::{
    conformance::{Row, SinkHarness, check_sink},
    error::ErrorKind,
    format::Format,
    registry::Setup,
    sink::Sink,
};

/// A terminal that remembers.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn rows(ids: std::ops::Range<i64>, text: &str) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("text", DataType::Utf8, true)]);
    let texts = StringArray::from(vec![Some(text); ids.clone().count()]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from_iter_values(ids)), Arc::new(texts)]).unwrap()
}

fn check(most: usize, batches: &[RecordBatch], expected: Expect) {
    let paper = Paper::default();
    let mut screen = Screen::new("views", most, Box::new(paper.clone()));
    batches.iter().for_each(|batch| screen.gather(batch, Duration::ZERO));
    screen.show().unwrap();
    expected.assert_eq(&String::from_utf8(paper.0.lock().clone()).unwrap());
}

#[test]
fn a_burst_is_one_table() {
    check(
        20,
        &[rows(9..11, "a"), rows(100..101, "bcd")],
        expect![[r#"
        views
        ┌─────┬──────┐
        │  id ┆ text │
        ╞═════╪══════╡
        │   9 ┆ a    │
        │  10 ┆ a    │
        │ 100 ┆ bcd  │
        └─────┴──────┘
    "#]],
    );
}

#[test]
fn rows_too_many_are_counted() {
    check(
        2,
        &[rows(0..5, "a"), rows(5..7, "b")],
        expect![[r#"
        views
        ┌────┬──────┐
        │ id ┆ text │
        ╞════╪══════╡
        │  0 ┆ a    │
        │  1 ┆ a    │
        └────┴──────┘
        … and 5 more rows
    "#]],
    );
}

#[test]
fn a_table_can_show_no_rows() {
    check(
        0,
        &[rows(0..1, "a")],
        expect![[r#"
        views
        ┌────┬──────┐
        │ id ┆ text │
        ╞════╪══════╡
        └────┴──────┘
        … and 1 more row
    "#]],
    );
}

#[test]
fn cells_cannot_control_the_terminal() {
    check(
        20,
        &[rows(0..1, "a\u{1b}[31m\nb"), rows(1..2, &"long".repeat(50))],
        expect![[r#"
        views
        ┌────┬───────────────────────────────────────────────────────────────┐
        │ id ┆ text                                                          │
        ╞════╪═══════════════════════════════════════════════════════════════╡
        │  0 ┆ a\u{1b}[31m\nb                                                │
        │  1 ┆ longlonglonglonglonglonglonglonglonglonglonglonglonglonglong… │
        └────┴───────────────────────────────────────────────────────────────┘
    "#]],
    );
}

#[test]
fn nothing_is_shown_before_its_time() {
    let paper = Paper::default();
    let mut screen = Screen::new("views", 20, Box::new(paper.clone()));
    let every = Duration::from_millis(200);
    screen.gather(&rows(0..1, "a"), Duration::from_millis(50));
    screen.show_due(Duration::from_millis(249), every).unwrap();
    assert!(paper.0.lock().is_empty());
    screen.show_due(Duration::from_millis(250), every).unwrap();
    assert!(!paper.0.lock().is_empty());
}

/// What is wrong with these settings, if anything is.
fn wrong(yaml: &str) -> Option<String> {
    let file = SourceFile::new("pipeline.yaml", yaml);
    let mut diagnostics = Diagnostics::new();
    let node = riverhook_config::parse(&file, &mut diagnostics).unwrap();
    let setup =
        Setup { pipeline: "p".into(), node: "out".into(), base: "".into(), format: Format::default(), schema: None };
    let environment = FixedEnvironment::new();
    let mut cx = Reading::new(&environment, &mut diagnostics);
    let mut map = MapReader::new(&node);
    let sink = StdoutSink::read(&mut map, &mut cx, &setup);
    map.finish(&mut cx);
    assert_eq!(sink.is_some(), diagnostics.is_empty());
    sink.is_none().then(|| diagnostics.render(false))
}

#[test]
fn a_format_is_refused_and_not_ignored() {
    let said = wrong("format: json\n").unwrap();
    assert!(said.contains("pipeline.yaml:1:9") && said.contains("use `style: json`"), "{said}");
    assert!(wrong("format: { type: csv }\nstyle: json\n").is_some());
    assert_eq!(wrong("style: json\n"), None);
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_closed_pipe_ends_the_pipeline() {
    let error = Screen::new("views", 20, Box::new(Closed)).print(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    assert_eq!(error.to_string(), "sink `views`: whoever read standard output has closed it");
}

struct Printed(Style, Paper);

impl SinkHarness for Printed {
    fn create(&mut self) -> Box<dyn Sink> {
        self.1 = Paper::default();
        let settings = StdoutSettings { style: self.0, rows: 1000, every: Duration::from_millis(10) };
        Box::new(StdoutSink::to("out", settings, Box::new(self.1.clone())))
    }

    fn read(&mut self) -> Vec<Vec<Row>> {
        let text = String::from_utf8(self.1.0.lock().clone()).unwrap();
        let row = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            Row { id: value["id"].as_i64().unwrap(), text: value["text"].as_str().unwrap().into() }
        };
        vec![text.lines().map(row).collect()]
    }
}

#[test]
fn lines_conform() {
    check_sink(&mut Printed(Style::Json, Paper::default()));
}

/// Tables, read back from what is drawn; the texts that a table cuts or escapes are left out.
struct Drawn(Printed);

impl SinkHarness for Drawn {
    fn create(&mut self) -> Box<dyn Sink> {
        self.0.create()
    }

    fn read(&mut self) -> Vec<Vec<Row>> {
        let text = String::from_utf8(self.0.1.0.lock().clone()).unwrap();
        let row = |line: &str| {
            let mut cells = line.strip_prefix('│')?.strip_suffix('│')?.split('┆').map(str::trim);
            Some(Row { id: cells.next()?.parse().ok()?, text: cells.next()?.into() })
        };
        vec![text.lines().filter_map(row).collect()]
    }

    fn abilities(&self) -> crate::conformance::SinkAbilities {
        crate::conformance::SinkAbilities { any_text: false, awkward_text: false, largest: 40, ..Default::default() }
    }
}

#[test]
fn tables_conform() {
    check_sink(&mut Drawn(Printed(Style::Table, Paper::default())));
}
