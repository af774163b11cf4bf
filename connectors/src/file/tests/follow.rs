//! Files that grow, arrive, shrink and change places.

use std::{fs, io::Write, path::Path};

use super::*;
use crate::{clock::ManualClock, error::ErrorKind, file::follow::GONE_FOR};

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

impl Scene {
    /// Lets so much time pass that what is gone stays gone; what is read then.
    fn much_later(&mut self) -> Vec<String> {
        let mut read = self.next();
        self.clock.advance(GONE_FOR);
        read.extend(self.open.texts());
        read
    }

    /// Commits as the engine does; what the manifest then has in place of what it had.
    fn commit(&mut self, noted: &Positions, mut manifest: Positions) -> Positions {
        manifest.extend(noted.clone());
        for gone in self.open.reader.gone(noted) {
            manifest.remove(&gone);
        }
        self.open.reader.commit(noted).unwrap();
        manifest
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

#[test]
fn what_is_remembered_is_bounded_by_the_files_there_are() {
    let mut scene = Scene::lines(&[("stays.txt", "one\n")]);
    let mut manifest = Positions::new();
    for round in 0..20 {
        let name = format!("{round}.txt");
        fs::write(scene.path(&name), "new\n").unwrap();
        assert!(scene.next().contains(&"new".to_owned()));
        fs::remove_file(scene.path(&name)).unwrap();
        assert_eq!(scene.much_later(), [""; 0]);
        let noted = scene.open.reader.positions();
        manifest = scene.commit(&noted, manifest);
        assert!(manifest.len() <= 2, "{manifest:?}");
        assert!(scene.open.reader.positions().len() <= 2);
    }
    assert_eq!(manifest, at("stays.txt", 4));
}

#[test]
fn a_file_that_is_gone_is_forgotten_only_when_all_of_it_is_durable() {
    let mut scene = Scene::lines(&[("a.txt", "one\n")]);
    assert_eq!(scene.next(), ["one"]);
    let early = scene.open.reader.positions();
    scene.append("a.txt", "two\nthree");
    fs::rename(scene.path("a.txt"), scene.path("a.old")).unwrap();
    assert_eq!(scene.much_later(), ["two", "three"]);
    let late = scene.open.reader.positions();
    let later = scene.open.reader.positions();
    let manifest = scene.commit(&early, Positions::new());
    assert_eq!(manifest, at("a.txt", 4));
    let manifest = scene.commit(&late, manifest);
    assert_eq!(manifest, Positions::new());
    // Noted before the file was forgotten, and committed afterwards.
    assert_eq!(later, at("a.txt", 13));
    assert_eq!(scene.commit(&later, manifest), Positions::new());
    fs::write(scene.path("a.txt"), "another\n").unwrap();
    assert_eq!(scene.next(), ["another"]);
    let noted = scene.open.reader.positions();
    assert_eq!(scene.commit(&noted, Positions::new()), at("a.txt", 8));
}

#[test]
fn a_name_without_a_file_for_a_moment_is_not_forgotten() {
    let mut scene = Scene::lines(&[("a.txt", "one\n")]);
    assert_eq!(scene.next(), ["one"]);
    fs::rename(scene.path("a.txt"), scene.path("a.old")).unwrap();
    assert_eq!(scene.next(), [""; 0]);
    scene.clock.advance(GONE_FOR - Duration::from_secs(2));
    assert_eq!(scene.open.texts(), [""; 0]);
    fs::rename(scene.path("a.old"), scene.path("a.txt")).unwrap();
    scene.append("a.txt", "two\n");
    assert_eq!(scene.next(), ["two"]);
    let noted = scene.open.reader.positions();
    assert_eq!(scene.commit(&noted, Positions::new()), at("a.txt", 8));
}

#[test]
fn a_file_that_went_while_nobody_read_is_forgotten_too() {
    let base = folder();
    fs::write(base.path().join("b.txt"), "b\n").unwrap();
    let clock = ManualClock::at(0);
    let source = source(base.path(), "path: '*.txt'\nfollow: true", &Format::Text);
    let mut manifest = at("a.txt", 4);
    manifest.extend(at("c.txt", 2));
    let open = try_open(&*source, manifest.clone(), clock.clone()).unwrap();
    let mut scene = Scene { base, clock, open };
    assert_eq!(scene.next(), ["b"]);
    // One that comes back goes on where reading stopped.
    fs::write(scene.path("c.txt"), "c\nd\n").unwrap();
    assert_eq!(scene.much_later(), ["d"]);
    let noted = scene.open.reader.positions();
    let manifest = scene.commit(&noted, manifest);
    assert_eq!(manifest.keys().map(Partition::as_str).collect::<Vec<_>>(), ["b.txt", "c.txt"]);
}
