//! What a crash leaves behind, and a full disk.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::Instant,
};

use arrow_array::{RecordBatch, cast::AsArray};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{
    sink::{Scene, batch, files, unpacked},
    *,
};
use crate::{
    error::ErrorKind,
    file::{
        leftovers,
        patient::{Patience, Patient},
        writer::FileWriter,
    },
    sink::Writer,
};

fn hidden(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "inprogress")).collect()
}

#[test]
fn an_unfinished_file_is_hidden_and_gone_without_its_writer() {
    let scene = Scene::new("path: out/", &Format::default());
    let mut writer = scene.open();
    writer.write(&batch(&[Some("a")])).unwrap();
    let out = scene.base.path().join("out");
    assert_eq!((hidden(&out).len(), files(&out).len()), (1, 0));
    drop(writer);
    assert_eq!((hidden(&out).len(), files(&out).len()), (0, 0));
}

#[test]
fn only_our_own_leftovers_are_removed() {
    let scene = Scene::new("path: 'out/{user}/'", &Format::default());
    let mut running = scene.open();
    running.write(&batch(&[Some("a")])).unwrap();
    let folder = scene.base.path().join("out/a");
    let [in_use] = hidden(&folder).try_into().unwrap();
    // What a killed run leaves: the same name but for the number, and no lock.
    let name = in_use.file_name().unwrap().to_str().unwrap();
    let stale = folder.join(name.replace("000001", "000009"));
    fs::write(&stale, "half a li").unwrap();
    let other = folder.join(".part-0-other.jsonl.00000000.inprogress");
    fs::write(&other, "of another sink").unwrap();

    let _second = scene.open();
    assert!(in_use.exists(), "a file that is being written is left alone");
    assert!(other.exists(), "a file of another sink is left alone");
    assert!(!stale.exists(), "what a crashed run left is removed");
    running.close().unwrap();
    assert_eq!(files(&folder).len(), 1);
}

#[test]
fn looking_for_leftovers_is_bounded() {
    let base = folder();
    fs::create_dir_all(base.path().join("a/b")).unwrap();
    let name = format!(".x{}", leftovers::ending("m"));
    fs::write(base.path().join("a").join(&name), "").unwrap();
    fs::write(base.path().join("a/b").join(&name), "").unwrap();
    assert_eq!(leftovers::remove(base.path(), 1, "m"), 1);
    assert!(base.path().join("a/b").join(&name).exists());
}

/// A disk that is full for the first so many writes.
struct Full {
    times: u32,
    taken: Vec<u8>,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.times > 0 {
            self.times -= 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        // A disk that fills up takes a part.
        let part = bytes.len().div_ceil(2);
        self.taken.extend_from_slice(&bytes[..part]);
        self.times = u32::from(self.taken.len() == 4);
        Ok(part)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_waited_out_and_nothing_is_lost() {
    let status = Status::starting("opening");
    status.up();
    let mut out = Patient::new(Full { times: 2, taken: Vec::new() }, Patience::new(status.clone()));
    out.write_all(b"all of it").unwrap();
    assert_eq!(status.trouble(), None);
    assert_eq!(out.into_inner().taken, b"all of it");
}

/// The texts in the only column, or the one named `user`, of all files that have their names.
fn users(folder: &Path) -> Vec<String> {
    let of = |path: &std::path::PathBuf| -> Vec<String> {
        if path.extension().is_some_and(|ending| ending == "parquet") {
            let rows = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
            let users =
                |batch: RecordBatch| batch.column(0).as_string::<i32>().iter().flatten().map(String::from).collect();
            return rows.flat_map(|batch| -> Vec<String> { users(batch.unwrap()) }).collect();
        }
        let text = unpacked(path);
        let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        rows.map(|row| row["user"].as_str().unwrap().to_owned()).collect()
    };
    files(folder).iter().flat_map(of).collect()
}

#[test]
fn a_writer_waits_while_the_disk_is_full_and_every_row_is_there_once_in_its_order() {
    for (format, settings) in [
        (Format::default(), "path: out/"),
        (Format::default(), "path: out/\nroll: {rows: 700}"),
        (Format::default(), "path: out/\ncompression: gzip"),
        (Format::default(), "path: out/\ncompression: zstd"),
        (Format::Parquet, "path: out/"),
    ] {
        let scene = Scene::new(settings, &format);
        let sink = node(settings, &setup(scene.base.path(), &format), FileSink::configured).unwrap();
        let context = scene.context();
        let status = context.status.clone();
        status.up();
        let mut writer = FileWriter::new(sink, context).unwrap();
        let room = writer.room();
        // Less than any of the files, so that it fills up in the middle of one.
        room.set(Some(3000));
        // More than what is gathered in memory before a file is written to.
        let expected: Vec<String> = (0..2000).map(|row| format!("{row}-{}", uuid::Uuid::new_v4()).repeat(8)).collect();
        let rows = expected.clone();
        let writing = std::thread::spawn(move || {
            for part in rows.chunks(500) {
                writer.write(&batch(&part.iter().map(|user| Some(user.as_str())).collect::<Vec<_>>())).unwrap();
            }
            writer.barrier(1).unwrap();
            writer.close().unwrap()
        });
        let started = Instant::now();
        while status.trouble().is_none() {
            assert!(started.elapsed() < Duration::from_secs(20), "{settings}: the status tells of the full disk");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(!writing.is_finished(), "{settings}");
        assert_eq!(files(scene.base.path()).len(), 0, "{settings}: half a file has no name");
        room.set(None);
        let progress = writing.join().unwrap();
        assert_eq!((progress.durable, progress.rejected.len()), (1, 0), "{settings}");
        assert_eq!(status.trouble(), None, "{settings}");
        assert_eq!(users(scene.base.path()), expected, "{settings}");
    }
}

#[test]
fn while_the_disk_is_full_the_status_says_so_and_closing_ends_it() {
    let status = Status::starting("opening");
    status.up();
    let patience = Patience::new(status.clone());
    // A device that is always full, as the system gives it.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut out = Patient::new(full, patience.clone());
    let writing = std::thread::spawn(move || out.write_all(b"x").map_err(|error| error.kind()));
    let started = Instant::now();
    while status.trouble().is_none() {
        assert!(started.elapsed() < Duration::from_secs(20), "the status tells of the full disk");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!writing.is_finished());
    patience.give_up_after(Duration::ZERO);
    assert_eq!(writing.join().unwrap(), Err(io::ErrorKind::StorageFull));
}

#[test]
fn a_folder_that_cannot_be_made_is_said() {
    let scene = Scene::new("path: out/", &Format::default());
    assert!(scene.sink.probe(Duration::ZERO).unwrap().ends_with("can be written to"));
    fs::write(scene.base.path().join("out"), "a file").unwrap();
    let error = scene.sink.open(scene.context()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().starts_with("sink `out`: cannot make the folder "), "{error}");
}
