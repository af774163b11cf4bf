//! The examples run, and show what their READMEs say.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]

mod handlers;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use arrow_array::{Array, cast::AsArray};
use support::Folder;

/// A copy of the examples, so that a test never writes into the checkout.
fn copied(names: &[&str]) -> Folder {
    let folder = Folder::new();
    for name in names {
        copy(&examples().join(name), &folder.file(name));
    }
    folder
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if ["out", "target", "node_modules"].iter().any(|made| name == *made) {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

#[test]
fn clickstream() {
    let folder = copied(&["clickstream"]);
    let ran =
        folder.run(&["run", "clickstream/pipeline.yaml"]).expect(0).says("read 5,006 records").says("6 dead letters");
    assert!(ran.stdout.contains("/signup answers 50"), "{}", ran.stdout);
    assert!(ran.stdout.contains("referrer_host") || ran.stdout.contains("path"), "{}", ran.stdout);
    let letters = folder.rows("clickstream/out/dead_letters");
    let stages: Vec<&str> = letters.iter().map(|letter| letter["stage"].as_str().unwrap()).collect();
    assert_eq!(stages.iter().filter(|stage| **stage == "decode").count(), 5, "{letters:#?}");
    assert_eq!(stages.iter().filter(|stage| **stage == "function").count(), 1, "{letters:#?}");
    let rows = parquet_rows(&folder.file("clickstream/out/day=2026-03-02"));
    let bots = r#""agent":"bot/1.0""#;
    let clicks = std::fs::read_to_string(folder.file("clickstream/data/clicks-1.jsonl")).unwrap();
    assert!(clicks.contains(bots) && rows > 4_500 && rows < 5_000, "{rows}");
    // A second run has nothing to do, and says how to begin anew.
    folder.run(&["run", "clickstream/pipeline.yaml"]).expect(0).says("--from-scratch");
    folder.run(&["run", "--from-scratch", "clickstream/pipeline.yaml"]).expect(0).says("read 5,006 records");
    assert_eq!(parquet_rows(&folder.file("clickstream/out/day=2026-03-02")), rows * 2);
}

/// The rows of all Parquet files of a folder, which must have the function's columns.
fn parquet_rows(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|extension| extension == "parquet"))
        .map(|file| rows_of(&file))
        .sum()
}

fn rows_of(file: &Path) -> usize {
    let file = std::fs::File::open(file).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut rows = 0;
    for batch in reader {
        let batch = batch.unwrap();
        let paths = batch.column_by_name("path").unwrap().as_string::<i32>().clone();
        assert!(paths.iter().all(|path| path.unwrap().starts_with('/')));
        assert_eq!(paths.null_count(), 0);
        rows += batch.num_rows();
    }
    rows
}

#[test]
fn server_metrics() {
    let folder = copied(&["server-metrics"]);
    let ran = folder.run(&["run", "server-metrics/pipeline.yaml"]).expect(0).says("read 12,096 records");
    for server in ["ec2_cpu_utilization_825cc2", "ec2_cpu_utilization_ac20cd", "rds_cpu_utilization_cc0c53"] {
        assert!(ran.stdout.contains(server), "{server} is missing in:\n{}", ran.stdout);
    }
    let written = std::fs::read_dir(folder.file("server-metrics/out")).unwrap().map(|entry| entry.unwrap().path());
    let csv: String =
        written.filter(|path| path.is_file()).map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert!(csv.starts_with("timestamp,server,value,threshold"), "{}", csv.lines().next().unwrap_or_default());
    let above = expected_above(&folder.file("server-metrics/data"));
    assert_eq!(csv.lines().filter(|line| !line.starts_with("timestamp")).count(), above);
}

/// How many measurements are above their threshold, counted without the engine.
fn expected_above(data: &Path) -> usize {
    let mut above = 0;
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !name.ends_with(".csv") {
            continue;
        }
        let threshold = if name.starts_with("rds_") { 20.0 } else { 99.0 };
        let text = std::fs::read_to_string(&path).unwrap();
        let values = text.lines().skip(1).map(|line| line.trim().rsplit(',').next().unwrap().parse::<f64>().unwrap());
        above += values.filter(|value| *value > threshold).count();
    }
    above
}

#[test]
fn every_pipeline_file_of_the_repository_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = Folder::new();
    let files = [
        "examples/address-check/pipeline.yaml",
        "examples/clickstream/pipeline.yaml",
        "examples/clickstream-kafka/pipeline.yaml",
        "examples/http-backend/pipeline.yaml",
        "examples/nightly-cleanup/pipeline.yaml",
        "examples/server-metrics/pipeline.yaml",
        "examples/thumbnail/pipeline.yaml",
        "examples/watermark-compress/pipeline.yaml",
        "deploy/pipeline.yaml",
    ];
    for file in files {
        let path = root.join(file);
        folder.run(&["validate", path.to_str().unwrap()]).expect(0);
    }
}

#[test]
fn the_readmes_pipeline_is_valid() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, rest) = readme.split_once("```yaml\n").unwrap();
    let (yaml, _) = rest.split_once("```").unwrap();
    let folder = Folder::with_pipeline(yaml);
    folder.run(&["validate", "pipeline.yaml"]).expect(0);
}
