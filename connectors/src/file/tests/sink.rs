//! Files out: names, rolling, formats, and the conformance suite.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use arrow_array::{Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, cast::AsArray, types::Int64Type};
use arrow_schema::{DataType, Field, TimeUnit};
use flate2::read::MultiGzDecoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::{
    batch::{Batch, Input, Rows},
    clock::ManualClock,
    conformance::{Row, SinkAbilities, SinkHarness, check_sink},
    format::FormatName,
    sink::{WriteContext, Writer},
};

/// All files below a folder that are not hidden.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.file_name().unwrap().to_str().unwrap().starts_with('.') {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(super) fn unpacked(path: &Path) -> String {
    let mut text = String::new();
    let file = File::open(path).unwrap();
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => MultiGzDecoder::new(file).read_to_string(&mut text),
        "zst" => zstd::Decoder::new(file).unwrap().read_to_string(&mut text),
        _ => { file }.read_to_string(&mut text),
    }
    .unwrap();
    text
}

struct Written {
    folder: TempDir,
    format: Format,
    settings: &'static str,
}

impl Written {
    fn new(format: Format, settings: &'static str) -> Self {
        Self { folder: folder(), format, settings }
    }

    fn rows(&self, path: &Path) -> Vec<Row> {
        if self.format.name() == FormatName::Parquet {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
            return reader.flat_map(|batch| parquet_rows(&batch.unwrap())).collect();
        }
        let row = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            Row { id: value["id"].as_i64().unwrap(), text: value["text"].as_str().unwrap().into() }
        };
        unpacked(path).lines().map(row).collect()
    }
}

fn parquet_rows(batch: &RecordBatch) -> Vec<Row> {
    let (ids, texts) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_string::<i32>());
    (0..batch.num_rows()).map(|row| Row { id: ids.value(row), text: texts.value(row).into() }).collect()
}

impl SinkHarness for Written {
    fn create(&mut self) -> Box<dyn Sink> {
        self.folder = folder();
        sink(self.folder.path(), self.settings, &self.format)
    }

    fn read(&mut self) -> Vec<Vec<Row>> {
        files(self.folder.path()).iter().map(|path| self.rows(path)).collect()
    }

    fn refused(&self) -> Option<String> {
        self.settings.contains("{text}").then(|| "../../etc".into())
    }

    fn abilities(&self) -> SinkAbilities {
        let any_text = !self.settings.contains("{text}");
        SinkAbilities {
            any_text,
            awkward_text: any_text,
            largest: if any_text { 512 << 10 } else { 100 },
            ..Default::default()
        }
    }
}

#[test]
fn json_lines_conform() {
    check_sink(&mut Written::new(Format::default(), "path: out/\nroll: {time: 20ms}"));
}

#[test]
fn packed_lines_conform() {
    check_sink(&mut Written::new(Format::default(), "path: out/\nroll: {time: 20ms}\ncompression: gzip"));
    check_sink(&mut Written::new(Format::default(), "path: out/\nroll: {time: 20ms}\ncompression: zstd"));
}

#[test]
fn parquet_conforms() {
    check_sink(&mut Written::new(Format::Parquet, "path: out/\nroll: {time: 20ms}"));
}

#[test]
fn files_by_column_conform() {
    check_sink(&mut Written::new(Format::default(), "path: out/{text}/\nroll: {time: 20ms}\nopen_files: 2"));
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        Field::new("user", DataType::Utf8, true),
        Field::new("id", DataType::Int64, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]))
}

pub(super) fn batch(users: &[Option<&str>]) -> Batch {
    let rows = i64::try_from(users.len()).unwrap();
    let day = 24 * 60 * 60 * 1000;
    let columns: Vec<arrow_array::ArrayRef> = vec![
        Arc::new(StringArray::from(users.to_vec())),
        Arc::new(Int64Array::from_iter_values(0..rows)),
        Arc::new(TimestampMillisecondArray::from_iter_values((0..rows).map(|row| row * day))),
    ];
    let input = Input {
        source: "s".into(),
        partition: Partition::new("p"),
        positions: (0..users.len() as u64).map(Position::Offset).collect(),
        keys: None,
        headers: None,
        times: None,
        read_at: 0,
    };
    Batch { records: RecordBatch::try_new(schema(), columns).unwrap(), rows: Rows::Same, input: Arc::new(input) }
}

/// A writer in a time of its own.
pub(super) struct Scene {
    pub(super) base: TempDir,
    pub(super) clock: Arc<ManualClock>,
    pub(super) io: tokio::runtime::Runtime,
    pub(super) sink: Box<dyn Sink>,
    schema: Arc<Schema>,
}

impl Scene {
    pub(super) fn new(settings: &str, format: &Format) -> Self {
        let base = folder();
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let sink = sink(base.path(), settings, format);
        let columns: &[usize] = if format.name() == FormatName::Text { &[0] } else { &[0, 1, 2] };
        let schema = Arc::new(schema().project(columns).unwrap());
        Self { base, clock: ManualClock::at(1_700_000_000_000_000), io, sink, schema }
    }

    pub(super) fn open(&self) -> Box<dyn Writer> {
        self.sink.open(self.context()).unwrap()
    }

    pub(super) fn context(&self) -> WriteContext {
        WriteContext {
            sink: "out".into(),
            pipeline: "p".into(),
            schema: self.schema.clone(),
            task: 0,
            inflight_bytes: 1 << 20,
            state_dir: self.base.path().into(),
            clock: self.clock.clone(),
            status: Status::starting("opening"),
            io: self.io.handle().clone(),
        }
    }

    /// The names of the files, without what makes them unique.
    pub(super) fn names(&self) -> Vec<String> {
        let short = |path: &PathBuf| {
            let path = path.strip_prefix(self.base.path()).unwrap().to_str().unwrap().to_owned();
            let (before, behind) = path.rsplit_once('-').unwrap();
            let (start, _) = before.split_once("-0-").unwrap();
            format!("{start}-{behind}")
        };
        files(self.base.path()).iter().map(short).collect()
    }

    pub(super) fn texts(&self) -> Vec<String> {
        files(self.base.path()).iter().map(|path| unpacked(path)).collect()
    }
}

fn check_names(settings: &str, users: &[Option<&str>], expected: &[&str]) {
    let scene = Scene::new(settings, &Format::default());
    let mut writer = scene.open();
    writer.write(&batch(users)).unwrap();
    writer.close().unwrap();
    assert_eq!(scene.names(), expected);
}

#[test]
fn paths_are_made_of_values() {
    check_names("path: out/", &[Some("a")], &["out/part-000001.jsonl"]);
    check_names("path: out", &[Some("a")], &["out/part-000001.jsonl"]);
    check_names("path: out/views.jsonl", &[Some("a")], &["out/views-000001.jsonl"]);
    check_names("path: views.jsonl", &[Some("a")], &["views-000001.jsonl"]);
    check_names("path: 'out/{now:%Y}/{user}.jsonl'", &[Some("a.b")], &["out/2023/a.b-000001.jsonl"]);
    let days = ["out/dt=1970-01-01/a/part-000001.jsonl", "out/dt=1970-01-02/b/part-000002.jsonl"];
    check_names("path: 'out/dt={ts:%Y-%m-%d}/{user}/'", &[Some("a"), Some("b")], &days);
    check_names("path: 'out/{id}/'", &[None], &["out/0/part-000001.jsonl"]);
}

#[test]
fn rows_find_their_files_however_they_are_mixed() {
    let scene = Scene::new("path: 'out/{user}/'", &Format::default());
    let mut writer = scene.open();
    writer.write(&batch(&["a", "a", "b", "a", "b", "b"].map(Some))).unwrap();
    writer.write(&batch(&["b"; 3].map(Some))).unwrap();
    writer.close().unwrap();
    let ids = |text: &String| {
        let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        rows.map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(scene.texts().iter().map(ids).collect::<Vec<_>>(), [vec![0, 1, 3], vec![2, 4, 5, 0, 1, 2]]);
}

#[test]
fn no_value_leads_out_of_the_folder() {
    let scene = Scene::new("path: 'out/{user}/'", &Format::default());
    let mut writer = scene.open();
    let long = "x".repeat(151);
    let bad = ["..", "../x", "a/../b", "/etc", "", ".", "a\0b", "a\\b", "a\nb", &long];
    let users: Vec<Option<&str>> = [Some("good"), None].into_iter().chain(bad.map(Some)).collect();
    writer.write(&batch(&users)).unwrap();
    let progress = writer.close().unwrap();
    assert_eq!(scene.names(), ["out/good/part-000001.jsonl"]);
    let failures = &progress.rejected[0].failures;
    assert_eq!(failures.iter().map(|failure| failure.row).collect::<Vec<_>>(), (1..12).collect::<Vec<_>>());
    assert!(failures.iter().all(|failure| failure.code == "sink.file.path"));
    assert_eq!(failures[1].message, "a value of the row cannot be in the path of a file: it holds `..`");
}

#[test]
fn wrong_paths_are_said() {
    let setup = setup(Path::new(""), &Format::default());
    let wrong = |path: &str| node(&format!("path: '{path}'"), &setup, FileSink::read).err().unwrap();
    assert_eq!(wrong("out/{user/"), "`{` in `out/{user` is not closed");
    assert_eq!(wrong("out/user}/"), "`}` in `out/user}` has no `{` before it");
    assert_eq!(wrong("out/{}/"), "`{}` names no column");
    assert_eq!(wrong("out/{ts:%Q}/"), "`%Q` in `{ts:%Q}` is not a pattern for a time such as %Y-%m-%d");
    assert_eq!(wrong("out/{ts:%Y/%m}/"), "`{ts:%Y/%m}` cannot hold a slash: write one place for each folder");
    let check = |path: &str| sink(Path::new(""), &format!("path: '{path}'"), &Format::default()).check(&schema());
    assert_eq!(check("{none}/").unwrap_err(), ["`path` names the column `none`, which is not there"]);
    assert_eq!(check("{user:%Y}/").unwrap_err(), ["`path` wants a time of the column `user`, which has none"]);
}

#[test]
fn files_roll_by_rows_and_by_size() {
    let scene = Scene::new("path: out/\nroll: {rows: 2}", &Format::default());
    let mut writer = scene.open();
    writer.write(&batch(&[Some("a"); 5])).unwrap();
    writer.close().unwrap();
    assert_eq!(scene.texts().iter().map(|text| text.lines().count()).collect::<Vec<_>>(), [2, 2, 1]);

    let scene = Scene::new("path: out/\nroll: {size: 100B}", &Format::default());
    let mut writer = scene.open();
    (0..3).for_each(|_| writer.write(&batch(&[Some(&"x".repeat(100))])).unwrap());
    writer.close().unwrap();
    assert_eq!(scene.names().len(), 3);
}

#[test]
fn a_barrier_waits_for_the_roll_and_no_longer() {
    let scene = Scene::new("path: out/\nroll: {time: 60s}", &Format::default());
    let mut writer = scene.open();
    writer.barrier(1).unwrap();
    assert_eq!(writer.poll().unwrap().durable, 1);
    writer.write(&batch(&[Some("a")])).unwrap();
    writer.barrier(2).unwrap();
    scene.clock.advance(Duration::from_secs(59));
    assert_eq!(writer.poll().unwrap().durable, 1);
    assert_eq!(scene.names(), [""; 0]);
    writer.write(&batch(&[Some("b")])).unwrap();
    writer.barrier(3).unwrap();
    scene.clock.advance(Duration::from_secs(1));
    let started = std::time::Instant::now();
    while writer.poll().unwrap().durable < 3 {
        assert!(started.elapsed() < Duration::from_secs(20), "the barrier is answered after the roll");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(scene.names().len(), 1);
}

#[test]
fn every_csv_file_has_a_header() {
    let scene = Scene::new("path: out/\nroll: {rows: 1}", &csv());
    let mut writer = scene.open();
    writer.write(&batch(&[Some("a"), Some("b,c")])).unwrap();
    writer.close().unwrap();
    let texts = scene.texts();
    assert_eq!(texts.len(), 2);
    assert!(texts.iter().all(|text| text.starts_with("user,id,ts\n")), "{texts:?}");
    assert!(texts[1].contains("\"b,c\",1,"), "{texts:?}");
}

#[test]
fn no_name_comes_twice() {
    let scene = Scene::new("path: out/", &Format::default());
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let mut writers = [scene.open(), scene.open()];
        writers.iter_mut().for_each(|writer| writer.write(&batch(&[Some("a")])).unwrap());
        writers.iter_mut().for_each(|writer| drop(writer.close().unwrap()));
        seen.extend(files(scene.base.path()));
    }
    assert_eq!(seen.len(), 6);
}

#[test]
fn a_text_with_a_line_end_is_not_made_two() {
    let scene = Scene::new("path: out/", &Format::Text);
    let mut writer = scene.open();
    let mut rows = batch(&[Some("one"), Some("two\nlines"), Some("three")]);
    rows.records = rows.records.project(&[0]).unwrap();
    writer.write(&rows).unwrap();
    let progress = writer.close().unwrap();
    assert_eq!(scene.texts(), ["one\nthree\n"]);
    assert_eq!(
        (progress.rejected[0].failures[0].row, progress.rejected[0].failures[0].code),
        (1, "sink.file.line_end")
    );
}
