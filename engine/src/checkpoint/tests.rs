//! Manifests: what is written comes back, races and damage are found.

use riverhook_connectors::{
    clock::ManualClock,
    position::{Partition, Position, Positions},
};

use super::{Manifest, Store};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn at(partition: &str, offset: u64) -> Positions {
    Positions::from([(Partition::new(partition), Position::Offset(offset))])
}

fn open(folder: &std::path::Path, runtime: &tokio::runtime::Runtime) -> Store {
    Store::open(folder.to_owned(), "p", runtime.handle().clone(), ManualClock::at(7)).unwrap()
}

#[test]
fn positions_survive_and_partitions_not_named_stay() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let store = open(folder.path(), &runtime);
    store.commit("a", &at("x", 1)).unwrap();
    store.commit("a", &at("y", 2)).unwrap();
    store.commit("b", &at("x", 9)).unwrap();
    let again = open(folder.path(), &runtime);
    let mut expected = at("x", 1);
    expected.extend(at("y", 2));
    assert_eq!(again.positions("a"), expected);
    assert_eq!(again.positions("b"), at("x", 9));
    assert_eq!(again.manifest().number, 3);
}

#[test]
fn partitions_that_are_gone_are_forgotten() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let store = open(folder.path(), &runtime);
    store.commit("a", &at("x", 1)).unwrap();
    store.commit("b", &at("x", 1)).unwrap();
    store.commit_and_forget("a", &at("y", 2), &[Partition::new("x"), Partition::new("never")]).unwrap();
    let again = open(folder.path(), &runtime);
    assert_eq!(again.positions("a"), at("y", 2));
    assert_eq!(again.positions("b"), at("x", 1));
}

#[test]
fn the_second_of_two_writers_stops() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let (first, second) = (open(folder.path(), &runtime), open(folder.path(), &runtime));
    first.commit("a", &at("x", 1)).unwrap();
    let error = second.commit("a", &at("x", 2)).unwrap_err().to_string();
    assert!(error.contains("another process"), "{error}");
    assert_eq!(open(folder.path(), &runtime).positions("a"), at("x", 1));
}

#[test]
fn a_writer_that_was_held_up_for_long_stops_too() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let (first, second) = (open(folder.path(), &runtime), open(folder.path(), &runtime));
    // By then the number that the second one would write is collected, and free again.
    (1..=5).for_each(|offset| first.commit("a", &at("x", offset)).unwrap());
    let error = second.commit("a", &at("x", 99)).unwrap_err().to_string();
    assert!(error.contains("another process"), "{error}");
    assert_eq!(open(folder.path(), &runtime).positions("a"), at("x", 5));
}

#[test]
fn old_manifests_are_collected() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    let store = open(folder.path(), &runtime);
    for offset in 0..20 {
        store.commit("a", &at("x", offset)).unwrap();
    }
    let kept = std::fs::read_dir(folder.path().join("manifest")).unwrap().count();
    assert_eq!(kept, 3);
}

#[test]
fn damage_and_foreign_versions_are_refused() {
    let manifest = Manifest { number: 4, positions: [("a".into(), at("x", 1))].into(), ..Manifest::empty("p") };
    let bytes = manifest.to_bytes();
    assert_eq!(Manifest::from_bytes(4, &bytes).unwrap(), manifest);
    for cut in 0..bytes.len() {
        assert!(Manifest::from_bytes(4, &bytes[..cut]).is_err());
    }
    let text = String::from_utf8(bytes).unwrap();
    let altered = text.replace("\"x\":\"1\"", "\"x\":\"2\"");
    assert!(altered != text && Manifest::from_bytes(4, altered.as_bytes()).unwrap_err().contains("checksum"));
    assert!(Manifest::from_bytes(5, text.as_bytes()).is_err());
}

#[test]
fn a_store_of_another_pipeline_is_refused() {
    let (folder, runtime) = (tempfile::tempdir().unwrap(), runtime());
    open(folder.path(), &runtime).commit("a", &at("x", 1)).unwrap();
    let other = Store::open(folder.path().to_owned(), "q", runtime.handle().clone(), ManualClock::at(7));
    assert!(other.err().unwrap().to_string().contains("belongs to the pipeline `p`"));
}
