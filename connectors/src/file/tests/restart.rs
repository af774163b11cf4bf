//! Files that change places while nobody reads, and what is known of them afterwards.

use std::fs;

use super::*;

/// A followed `a.txt` with this text, read to its end, and its positions.
fn read(base: &Path, text: &str) -> (Box<dyn Source>, Open, Positions) {
    fs::write(base.join("a.txt"), text).unwrap();
    let source = source(base, "path: '*.txt'\nfollow: true\npoll: 1ms", &Format::Text);
    let mut open = open(&*source);
    open.read();
    let positions = open.reader.positions();
    (source, open, positions)
}

/// Puts another file in the place of `a.txt`, or writes into the same one.
fn write_anew(base: &Path, text: &str, same_file: bool) {
    if !same_file {
        fs::rename(base.join("a.txt"), base.join("a.old")).unwrap();
    }
    fs::write(base.join("a.txt"), text).unwrap();
}

#[test]
fn a_file_that_came_while_nobody_read_is_read_from_its_beginning() {
    for same_file in [false, true] {
        let base = folder();
        let (source, first, positions) = read(base.path(), "one\ntwo\n");
        write_anew(base.path(), "another, longer one\nmore\n", same_file);
        let mut second = first.restart(&*source, positions);
        assert_eq!(second.texts(), ["another, longer one", "more"], "{same_file}");
        let positions = second.reader.positions();
        second.reader.commit(&positions).unwrap();
        let mut third = second.restart(&*source, positions);
        assert_eq!(third.texts(), [""; 0]);
    }
}

#[test]
fn a_file_that_came_while_nobody_read_can_be_a_reason_to_stop() {
    let base = folder();
    let (_, first, positions) = read(base.path(), "one\ntwo\n");
    write_anew(base.path(), "another, longer one\n", true);
    let failing = source(base.path(), "path: a.txt\nreplaced: fail", &Format::Text);
    let mut second = first.restart(&*failing, positions);
    let error = second.reader.poll(Duration::ZERO).unwrap_err().to_string();
    assert!(error.starts_with("a.txt is shorter") && error.contains("riverhook positions"), "{error}");
}

#[test]
fn a_file_that_grew_while_nobody_read_goes_on_also_as_a_copy() {
    let base = folder();
    // Longer than what is hashed, and hashed first when it was shorter.
    let lines = |count: usize| (0..count).map(|n| format!("line {n}\n")).collect::<String>();
    let (source, mut first, _) = read(base.path(), &lines(2));
    fs::write(base.path().join("a.txt"), lines(2000)).unwrap();
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(first.texts().len(), 1998);
    let positions = first.reader.positions();
    write_anew(base.path(), &lines(2001), false);
    let mut second = first.restart(&*source, positions);
    assert_eq!(second.texts(), ["line 2000"]);
}

#[test]
fn a_position_of_an_older_version_is_taken_as_it_is() {
    let base = folder();
    fs::write(base.path().join("a.txt"), "one\ntwo\n").unwrap();
    let source = source(base.path(), "path: a.txt", &Format::Text);
    let mut first = try_open(&*source, at("a.txt", 4), SystemClock::shared()).unwrap();
    assert_eq!(first.texts(), ["two"]);
    let positions = first.reader.positions();
    write_anew(base.path(), "three\nfour\n", false);
    assert_eq!(first.restart(&*source, positions).texts(), ["three", "four"]);
}

#[test]
fn a_crash_behind_a_replacement_does_not_take_the_old_position_for_the_new_file() {
    let base = folder();
    let (source, mut first, old) = read(base.path(), "one\ntwo\n");
    first.reader.commit(&old).unwrap();
    write_anew(base.path(), "another, longer one\n", false);
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(first.texts(), ["another, longer one"]);
    let noted = first.reader.positions();
    // The barrier of the new position was not answered: the manifest still has the old one.
    let mut second = first.restart(&*source, old.clone());
    assert_eq!(second.texts(), ["another, longer one"]);
    // It was, and the one of the old position came late: only the new one is sure.
    let new = second.reader.positions();
    assert_eq!(new, noted);
    second.reader.commit(&old).unwrap();
    second.reader.commit(&new).unwrap();
    assert_eq!(second.restart(&*source, new).texts(), [""; 0]);
}

#[test]
fn a_file_written_anew_under_the_reader_is_noticed_though_it_is_not_shorter() {
    let base = folder();
    let (_, mut first, _) = read(base.path(), "one\ntwo\n");
    write_anew(base.path(), "another, longer one\n", true);
    std::thread::sleep(Duration::from_millis(2));
    assert_eq!(first.texts(), ["another, longer one"]);
}

#[test]
fn other_rows_in_the_place_of_a_whole_file_are_read() {
    let base = folder();
    fs::write(base.path().join("a.bin"), "x".repeat(10_000)).unwrap();
    let source = source(base.path(), "path: a.bin", &Format::Bytes);
    let mut first = open(&*source);
    assert_eq!(first.texts().len(), 1);
    let positions = first.reader.positions();
    let mut second = first.restart(&*source, positions.clone());
    assert_eq!(second.texts(), [""; 0]);
    // Only the end differs.
    fs::write(base.path().join("a.bin"), format!("{}y", "x".repeat(9_999))).unwrap();
    assert_eq!(second.restart(&*source, positions).texts().len(), 1);
}
