//! Lines, CSV rows and whole files, packed or not.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use arrow_array::{cast::AsArray, types::UInt64Type};
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::*;
use crate::conformance::{SourceAbilities, SourceHarness, check_source};

/// How a harness writes its files.
#[derive(Clone, Copy, PartialEq)]
enum How {
    Lines,
    Gzip,
    Zstd,
    Followed,
}

struct Files {
    folder: TempDir,
    how: How,
}

impl Files {
    fn new(how: How) -> Self {
        Self { folder: folder(), how }
    }

    fn path(&self, partition: usize) -> PathBuf {
        let ending = match self.how {
            How::Gzip => ".jsonl.gz",
            How::Zstd => ".jsonl.zst",
            _ => "",
        };
        self.folder.path().join(format!("part-{partition}{ending}"))
    }
}

impl SourceHarness for Files {
    fn create(&mut self, partitions: usize) -> Box<dyn Source> {
        self.folder = folder();
        for partition in 0..partitions {
            fs::write(self.path(partition), pack(&self.path(partition), b"")).unwrap();
        }
        let follow = self.how == How::Followed;
        source(self.folder.path(), &format!("path: '*'\nfollow: {follow}\npoll: 10ms"), &Format::Text)
    }

    fn put(&mut self, partition: usize, records: &[Vec<u8>]) {
        let mut bytes = Vec::new();
        for record in records {
            bytes.extend_from_slice(record);
            bytes.push(b'\n');
        }
        let path = self.path(partition);
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&pack(&path, &bytes)).unwrap();
    }

    fn abilities(&self) -> SourceAbilities {
        SourceAbilities { any_bytes: false, ends: self.how != How::Followed, ..SourceAbilities::default() }
    }
}

fn pack(path: &Path, bytes: &[u8]) -> Vec<u8> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => {
            let mut out = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(bytes).unwrap();
            out.finish().unwrap()
        }
        Some("zst") => zstd::encode_all(bytes, 1).unwrap(),
        _ => bytes.to_vec(),
    }
}

#[test]
fn lines_conform() {
    check_source(&mut Files::new(How::Lines));
}

#[test]
fn gzip_conforms() {
    check_source(&mut Files::new(How::Gzip));
}

#[test]
fn zstd_conforms() {
    check_source(&mut Files::new(How::Zstd));
}

#[test]
fn followed_lines_conform() {
    check_source(&mut Files::new(How::Followed));
}

#[test]
fn positions_are_bytes_of_the_unpacked_file() {
    for name in ["a.txt", "a.txt.gz", "a.txt.zst"] {
        let base = folder();
        fs::write(base.path().join(name), pack(Path::new(name), b"one\r\ntwo\n\nlast")).unwrap();
        let source = source(base.path(), "path: a.*", &Format::Text);
        let mut open = open(&*source);
        let expected = [(0, "one"), (5, "two"), (9, ""), (10, "last")];
        assert_eq!(open.read(), expected.map(|(at, text)| (name.into(), at, text.into())), "{name}");
        assert_eq!(open.position(name), Some(14));
        let mut rest = try_open(&*source, at(name, 5), SystemClock::shared()).unwrap();
        assert_eq!(rest.texts(), ["two", "", "last"], "{name}");
        let mut none = try_open(&*source, at(name, 14), SystemClock::shared()).unwrap();
        assert_eq!(none.texts(), [""; 0], "{name}");
    }
}

#[test]
fn blank_lines_are_no_json_and_a_mark_is_no_text() {
    let base = folder();
    fs::write(base.path().join("a.jsonl"), b"\xef\xbb\xbf{}\n \n\r\n{\"a\":1}\n").unwrap();
    let mut open = open(&*source(base.path(), "path: a.jsonl", &Format::default()));
    assert_eq!(open.texts(), ["{}", "{\"a\":1}"]);
}

#[test]
fn csv_rows_may_hold_line_ends() {
    let base = folder();
    let text = "id,text\n1,\"a\nb\"\n2,5\" disk\n3,\"say \"\"x\n\"\"\"\n4,";
    fs::write(base.path().join("a.csv"), text).unwrap();
    let mut open = open(&*source(base.path(), "path: a.csv", &csv()));
    assert_eq!(open.texts(), ["1,\"a\nb\"", "2,5\" disk", "3,\"say \"\"x\n\"\"\"", "4,"]);
    assert_eq!(open.headers, ["id,text"]);
}

#[test]
fn a_header_comes_before_its_records_also_in_the_middle() {
    let base = folder();
    fs::write(base.path().join("a.csv"), "id,text\n1,a\n2,b\n").unwrap();
    fs::write(base.path().join("b.csv"), "text,id\nc,3\n").unwrap();
    let source = source(base.path(), "path: '*.csv'", &csv());
    let mut open = try_open(&*source, at("a.csv", 12), SystemClock::shared()).unwrap();
    assert_eq!(open.texts(), ["2,b", "c,3"]);
    assert_eq!(open.headers, ["id,text", "text,id"]);
}

#[test]
fn csv_is_cut_the_same_wherever_the_buffer_ends() {
    let base = folder();
    let row = "\"a \"\"quoted\"\", text\nwith lines\",plain \"x,\"\"\n";
    let rows = 20_000;
    fs::write(base.path().join("a.csv"), format!("x,y,z\n{}", row.repeat(rows))).unwrap();
    // A small buffer, so that it ends at every place of a row.
    let texts = open(&*source(base.path(), "path: a.csv\nmax_record: 1KiB", &csv())).texts();
    assert_eq!(texts.len(), rows);
    assert!(texts.iter().all(|text| text == row.trim_end()));
}

#[test]
fn a_whole_file_is_one_record() {
    let base = folder();
    fs::write(base.path().join("a.png"), b"line\nline\n").unwrap();
    fs::write(base.path().join("b.png"), b"").unwrap();
    let source = source(base.path(), "path: '*.png'\nmetadata: [path, size]", &Format::Bytes);
    let mut open = open(&*source);
    assert_eq!(open.read(), [("a.png".into(), 0, "line\nline\n".into())]);
    let positions = open.reader.positions();
    assert_eq!(try_open(&*source, positions, SystemClock::shared()).unwrap().texts(), [""; 0]);
}

#[test]
fn a_line_of_100_megabytes_is_a_failure_and_not_memory() {
    let base = folder();
    let large = [b"{\"a\":\"".to_vec(), vec![b'x'; 100 << 20], b"\"}".to_vec()].concat();
    fs::write(base.path().join("a.jsonl"), [&b"{\"a\":1}\n"[..], &large, b"\r\n{\"a\":3}\n"].concat()).unwrap();
    let source = source(base.path(), "path: a.jsonl\nmax_record: 1MiB", &Format::default());
    let mut open = open(&*source);
    let records = open.read();
    assert_eq!(records.len(), 3);
    assert_eq!((records[1].1, records[1].2.len()), (8, 512 << 10));
    assert_eq!(records[2].2, "{\"a\":3}");
    assert_eq!(open.refused.len(), 1);
    let (failure, whole) = &open.refused[0];
    assert_eq!(failure.message, "the record has 104857608 bytes and `max_record` is 1048576");
    assert_eq!(*whole, Whole { bytes: large.len() as u64, sha256: Sha256::digest(&large).into() });
    let partition = Partition::new("a.jsonl");
    assert_eq!(source.after(&partition, Position::Offset(8)).unwrap(), Position::Offset(records[2].1));
}

#[test]
fn a_small_limit_holds_for_short_lines_too() {
    let base = folder();
    fs::write(base.path().join("a.txt"), format!("{}\nshort\n{}", "x".repeat(100), "y".repeat(100))).unwrap();
    let mut open = open(&*source(base.path(), "path: a.txt\nmax_record: 64B", &Format::Text));
    assert_eq!(open.texts().len(), 3);
    let lengths: Vec<u64> = open.refused.iter().map(|(_, whole)| whole.bytes).collect();
    assert_eq!(lengths, [100, 100]);
}

#[test]
fn the_limit_is_of_the_record_without_its_line_end() {
    let base = folder();
    // Larger than the smallest buffer, so that it ends everywhere in the line end.
    for (limit, end) in [(5000, "\n"), (5000, "\r\n"), (64, "\r\n"), (5000, "")] {
        let text = format!("{}\n{}{end}", "x".repeat(limit), "y".repeat(limit + 1));
        fs::write(base.path().join("a.txt"), text.replacen('\n', if end.is_empty() { "\n" } else { end }, 1)).unwrap();
        let mut open = open(&*source(base.path(), &format!("path: a.txt\nmax_record: {limit}B"), &Format::Text));
        assert_eq!(open.texts()[0].len(), limit);
        let refused: Vec<Whole> = open.refused.iter().map(|(_, whole)| *whole).collect();
        let sha256 = Sha256::digest("y".repeat(limit + 1)).into();
        assert_eq!(refused, [Whole { bytes: limit as u64 + 1, sha256 }], "{limit} and {end:?}");
    }
}

#[test]
fn a_file_too_large_for_one_record_is_known_by_its_length_and_hash() {
    let base = folder();
    let large = vec![b'x'; 2 << 20];
    fs::write(base.path().join("a.png"), &large).unwrap();
    let mut open = open(&*source(base.path(), "path: a.png\nmax_record: 1MiB", &Format::Bytes));
    assert_eq!(open.texts()[0].len(), 512 << 10);
    assert_eq!(open.refused[0].1, Whole { bytes: 2 << 20, sha256: Sha256::digest(&large).into() });
    assert_eq!(open.position("a.png"), Some(2 << 20));
}

#[test]
fn metadata_tells_the_line() {
    let base = folder();
    fs::write(base.path().join("a.jsonl"), "{}\n\n{}\n{}\n").unwrap();
    let source = source(base.path(), "path: a.jsonl\nmetadata: [line, path]", &Format::default());
    let names: Vec<String> = source.metadata().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["line", "path"]);
    for (from, expected) in [(0, vec![1, 3, 4]), (4, vec![3, 4])] {
        let mut open = try_open(&*source, at("a.jsonl", from), SystemClock::shared()).unwrap();
        let Polled::Payloads(payloads) = open.reader.poll(Duration::ZERO).unwrap() else { panic!("records come") };
        assert_eq!(payloads.metadata[0].as_primitive::<UInt64Type>().values().to_vec(), expected);
        assert_eq!(payloads.metadata[1].as_string::<i32>().value(0), "a.jsonl");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    let base = folder();
    let missing = source(base.path(), "path: [no/*.jsonl, none.jsonl]", &Format::default());
    let error = try_open(&*missing, Positions::new(), SystemClock::shared()).err().unwrap();
    let expected = "no file matches `no/*.jsonl`, `none.jsonl`: give the path relative to the pipeline file";
    assert_eq!(error.to_string(), expected);
    assert_eq!(missing.probe(Duration::ZERO).unwrap_err().to_string(), expected);

    let whole = pack(Path::new("a.gz"), &b"line\n".repeat(100_000));
    fs::write(base.path().join("a.gz"), &whole[..whole.len() / 2]).unwrap();
    let mut cut = open(&*source(base.path(), "path: a.gz", &Format::Text));
    let error = loop {
        match cut.reader.poll(Duration::ZERO) {
            Ok(Polled::End) => panic!("half a file is not a whole one"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(error.to_string().starts_with("a.gz cannot be read from position"), "{error}");
}

#[test]
fn wrong_settings_are_said() {
    let setup = setup(Path::new(""), &Format::default());
    let wrong = |yaml| node(yaml, &setup, FileSource::read).err().unwrap();
    assert_eq!(wrong("path: 'a[.txt'"), "`a[.txt` is not a pattern: invalid range pattern");
    assert_eq!(wrong("path: ''"), "a path cannot be empty");
}
