//! Files that grow, arrive, shrink and change places.

use std::{fs, io::Write, path::Path};

use super::*;
use crate::{clock::ManualClock, error::ErrorKind};

/// A source that follows, in a time of its own: it looks again when a second has passed.
struct Scene {
    base: TempDir,
    clock: Arc<ManualClock>,
    open: Open,
}

impl Scene {
    fn new(files: &[(&str, &str)], more: &str, format: &Format) -> Self {
        let base = folder();
        files.iter().for_each(|(name, text)| fs::write(base.path().join(name), text).unwrap());
        let clock = ManualClock::at(0);
        let source = source(base.path(), &format!("path: '*.txt'\nfollow: true\n{more}"), format);
        let open = try_open(&*source, Positions::new(), clock.clone()).unwrap();
        Self { base, clock, open }
    }

    fn lines(files: &[(&str, &str)]) -> Self {
        Self::new(files, "", &Format::Text)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.base.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        append(&self.path(name), text);
    }

    fn next(&mut self) -> Vec<String> {
        self.clock.advance(Duration::from_secs(1));
        self.open.texts()
    }
}

fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_line_is_a_record_when_it_ends() {
    let mut scene = Scene::lines(&[("a.txt", "one\ntw")]);
    assert_eq!(scene.next(), ["one"]);
    assert_eq!(scene.open.position("a.txt"), Some(4));
    scene.append("a.txt", "o\n");
    assert_eq!(scene.next(), ["two"]);
    scene.append("a.txt", "three\n");
    assert_eq!(scene.next(), ["three"]);
    assert_eq!(scene.next(), [""; 0]);
}

#[test]
fn nobody_looks_before_it_is_time() {
    let mut scene = Scene::lines(&[("a.txt", "one\n")]);
    assert_eq!(scene.next(), ["one"]);
    scene.append("a.txt", "two\n");
    assert_eq!(scene.open.texts(), [""; 0]);
    assert_eq!(scene.next(), ["two"]);
}

#[test]
fn files_that_come_later_are_read() {
    let mut scene = Scene::lines(&[]);
    assert_eq!(scene.next(), [""; 0]);
    fs::write(scene.path("b.txt"), "b\n").unwrap();
    assert_eq!(scene.next(), ["b"]);
    fs::write(scene.path("a.txt"), "a\n").unwrap();
    assert_eq!(scene.next(), ["a"]);
}

#[test]
fn a_truncated_file_is_read_from_its_beginning() {
    let mut scene = Scene::lines(&[("a.txt", "one\ntwo\n")]);
    assert_eq!(scene.next(), ["one", "two"]);
    fs::write(scene.path("a.txt"), "new\n").unwrap();
    assert_eq!(scene.next(), ["new"]);
    assert_eq!(scene.open.position("a.txt"), Some(4));
}

#[test]
fn what_was_left_of_a_renamed_file_is_not_lost() {
    let mut scene = Scene::lines(&[("a.txt", "one\n")]);
    assert_eq!(scene.next(), ["one"]);
    scene.append("a.txt", "two\nthree");
    fs::rename(scene.path("a.txt"), scene.path("a.old")).unwrap();
    fs::write(scene.path("a.txt"), "new, and longer than the old one\n").unwrap();
    assert_eq!(scene.next(), ["two", "three", "new, and longer than the old one"]);
    scene.append("a.txt", "more\n");
    assert_eq!(scene.next(), ["more"]);
}

#[test]
fn a_replaced_file_can_be_a_reason_to_stop() {
    let mut scene = Scene::new(&[("a.txt", "one\ntwo\n")], "replaced: fail", &Format::Text);
    assert_eq!(scene.next(), ["one", "two"]);
    fs::write(scene.path("a.txt"), "new\n").unwrap();
    scene.clock.advance(Duration::from_secs(1));
    let error = scene.open.reader.poll(Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
}

#[test]
fn a_new_header_comes_with_a_new_file() {
    let mut scene = Scene::new(&[("a.txt", "id,te")], "", &csv());
    assert_eq!(scene.next(), [""; 0]);
    scene.append("a.txt", "xt\n1,a\n");
    assert_eq!(scene.next(), ["1,a"]);
    fs::write(scene.path("b"), "text,id\nb,2\n").unwrap();
    fs::rename(scene.path("b"), scene.path("a.txt")).unwrap();
    assert_eq!(scene.next(), ["b,2"]);
    assert_eq!(scene.open.headers, ["id,text", "text,id"]);
}

#[test]
fn a_whole_file_is_read_when_it_has_stopped_changing() {
    let mut scene = Scene::new(&[("a.txt", "half")], "", &Format::Bytes);
    assert_eq!(scene.next(), [""; 0]);
    scene.append("a.txt", " and half");
    assert_eq!(scene.next(), [""; 0]);
    assert_eq!(scene.next(), ["half and half"]);
    assert_eq!(scene.next(), [""; 0]);
}

#[test]
fn reading_goes_on_at_the_right_byte_after_a_restart() {
    let base = folder();
    let path = base.path().join("a.txt");
    fs::write(&path, "one\ntwo\nthr").unwrap();
    let source = source(base.path(), "path: a.txt\nfollow: true\npoll: 1ms", &Format::Text);
    let mut first = open(&*source);
    assert_eq!(first.texts(), ["one", "two"]);
    let positions = first.reader.positions();
    drop(first);
    append(&path, "ee\nfour\n");
    let mut second = try_open(&*source, positions, SystemClock::shared()).unwrap();
    assert_eq!(second.read(), [("a.txt".into(), 8, "three".into()), ("a.txt".into(), 14, "four".into())]);
}
