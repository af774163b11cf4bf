//! What a source promises, one check each.

use std::time::{Duration, Instant};

use super::{
    Check, Finding, SourceHarness,
    contexts::{PATIENCE, Place},
    ensure,
    reading::{Opened, Read, Step},
};
use crate::{
    position::{Position, Positions},
    source::{Keeper, Source},
};

type SourceCheck = fn(&mut dyn SourceHarness) -> Finding;

/// All checks.
pub(super) const ALL: &[Check<SourceCheck>] = &[
    ("records of a partition come in order, all of them, once", order),
    ("a reader has its partitions alone", apart),
    ("reading goes on exactly where it stopped", resume),
    ("what was not committed comes again", uncommitted),
    ("`after` names the next record", after),
    ("an idle poll comes back in time", idle),
    ("records that come later are read", later),
    ("a source that ends does", end),
    ("no records are no trouble", empty),
    ("a large record passes whole", large),
    ("a record may hold anything", contents),
];

/// Records of several partitions, each saying where it belongs.
fn records(partitions: usize, count: usize) -> Vec<Vec<Vec<u8>>> {
    let record = |partition, row| format!("{{\"partition\":{partition},\"row\":{row}}}").into_bytes();
    (0..partitions).map(|partition| (0..count).map(|row| record(partition, row)).collect()).collect()
}

/// A source with these records in front of it, opened for a first time.
struct Scene {
    place: Place,
    source: Box<dyn Source>,
    opened: Opened,
    total: usize,
}

impl Scene {
    fn new(harness: &mut dyn SourceHarness, records: &[Vec<Vec<u8>>], rows: usize) -> Result<Self, String> {
        let abilities = harness.abilities();
        let place = Place::new()?;
        let source = harness.create(records.len());
        if !abilities.fed_while_open {
            put(harness, records);
        }
        let opened = Opened::new(&place, &*source, Positions::new(), 2, rows)?;
        if abilities.fed_while_open {
            put(harness, records);
        }
        let total = if abilities.fed { records.iter().map(Vec::len).sum() } else { usize::MAX };
        Ok(Self { place, source, opened, total })
    }

    fn reopen(&self, positions: Positions, rows: usize) -> Result<Opened, String> {
        let positions = if self.source.keeper() == Keeper::Server { Positions::new() } else { positions };
        Opened::new(&self.place, &*self.source, positions, 2, rows)
    }
}

fn put(harness: &mut dyn SourceHarness, records: &[Vec<Vec<u8>>]) {
    if harness.abilities().fed {
        for (partition, records) in records.iter().enumerate().filter(|(_, records)| !records.is_empty()) {
            harness.put(partition, records);
        }
    }
    harness.finish();
}

fn sample(harness: &dyn SourceHarness, count: usize) -> Vec<Vec<Vec<u8>>> {
    records(harness.abilities().partitions.min(3), count)
}

/// What was read is what was put in; of a source that cannot be fed, nothing is known.
fn same(harness: &dyn SourceHarness, read: &Read, expected: &[Vec<Vec<u8>>]) -> Finding {
    if !harness.abilities().fed {
        return Ok(());
    }
    let values = |records: &Vec<(Position, Vec<u8>)>| records.iter().map(|(_, value)| value.clone()).collect();
    let mut read: Vec<Vec<Vec<u8>>> =
        read.values().map(values).filter(|records: &Vec<_>| !records.is_empty()).collect();
    let mut expected: Vec<Vec<Vec<u8>>> = expected.iter().filter(|records| !records.is_empty()).cloned().collect();
    read.sort();
    expected.sort();
    let (got, wanted): (usize, usize) = (read.iter().map(Vec::len).sum(), expected.iter().map(Vec::len).sum());
    ensure!(got == wanted, "{got} records came where {wanted} had been put in");
    ensure!(read == expected, "other records, or in another order, came than had been put in");
    Ok(())
}

fn order(harness: &mut dyn SourceHarness) -> Finding {
    let records = sample(harness, 100);
    let mut scene = Scene::new(harness, &records, 7)?;
    scene.opened.gather(harness, scene.total)?;
    same(harness, &scene.opened.close(), &records)
}

fn apart(harness: &mut dyn SourceHarness) -> Finding {
    let records = sample(harness, 5);
    let mut scene = Scene::new(harness, &records, 100)?;
    scene.opened.gather(harness, scene.total)?;
    let mut seen = Positions::new();
    for (partition, position) in scene.opened.readers.iter().flat_map(|reader| reader.positions()) {
        ensure!(seen.insert(partition.clone(), position).is_none(), "two readers have {partition}");
    }
    Ok(())
}

fn resume(harness: &mut dyn SourceHarness) -> Finding {
    if !harness.abilities().resumes {
        return Ok(());
    }
    let records = sample(harness, 40);
    for polls in [0, 1, 2, 5] {
        let mut scene = Scene::new(harness, &records, 7)?;
        let mut whole = Read::new();
        if !harness.abilities().fed {
            let mut first = scene.reopen(Positions::new(), 1000)?;
            first.gather(harness, usize::MAX)?;
            whole = first.close();
        }
        scene.opened.gather(harness, 7 * polls)?;
        let positions = scene.opened.positions();
        scene.opened.commit()?;
        scene.opened.readers.clear();
        let mut second = scene.reopen(positions, 11)?;
        let left = scene.total.saturating_sub(scene.opened.count());
        second.gather(harness, left)?;
        let mut both = std::mem::take(&mut scene.opened.read);
        for (partition, records) in second.close() {
            both.entry(partition).or_default().extend(records);
        }
        same(harness, &both, &records).map_err(|wrong| format!("stopped after {polls} polls: {wrong}"))?;
        ensure!(harness.abilities().fed || both == whole, "stopped after {polls} polls: the rest is not the rest");
    }
    Ok(())
}

fn uncommitted(harness: &mut dyn SourceHarness) -> Finding {
    let records = sample(harness, 20);
    let mut scene = Scene::new(harness, &records, 7)?;
    if scene.source.keeper() != Keeper::Server {
        return Ok(());
    }
    scene.opened.gather(harness, scene.total)?;
    scene.opened.readers.clear();
    let mut again = scene.reopen(Positions::new(), 7)?;
    again.gather(harness, scene.total)?;
    same(harness, &again.close(), &records)
}

fn after(harness: &mut dyn SourceHarness) -> Finding {
    let mut scene = Scene::new(harness, &records(1, 12), 100)?;
    if scene.source.keeper() != Keeper::Manifest || !harness.abilities().resumes {
        return Ok(());
    }
    scene.opened.gather(harness, scene.total.min(12))?;
    let read = std::mem::take(&mut scene.opened.read);
    scene.opened.readers.clear();
    let Some((partition, records)) = read.into_iter().find(|(_, records)| records.len() > 5) else {
        return Err("fewer than six records came".into());
    };
    let next = scene.source.after(&partition, records[4].0).map_err(|error| error.to_string())?;
    let mut rest = scene.reopen([(partition.clone(), next)].into(), 100)?;
    rest.gather(harness, records.len() - 5)?;
    let rest = rest.close();
    let found = rest.get(&partition).map(Vec::as_slice).unwrap_or_default();
    ensure!(
        found.first() == records.get(5),
        "reading from {next}, the position after {}, gave another record",
        records[4].0
    );
    Ok(())
}

fn idle(harness: &mut dyn SourceHarness) -> Finding {
    let records = sample(harness, 1);
    let mut scene = Scene::new(harness, &records, 100)?;
    if !harness.abilities().fed {
        return Ok(());
    }
    scene.opened.gather(harness, scene.total)?;
    let started = Instant::now();
    scene.opened.poll(harness, 0, Duration::from_millis(50))?;
    let took = started.elapsed();
    ensure!(took < Duration::from_secs(1), "a poll that was to wait 50 ms took {took:?}");
    Ok(())
}

fn later(harness: &mut dyn SourceHarness) -> Finding {
    let place = Place::new()?;
    let source = harness.create(1);
    if source.is_finite() || harness.abilities().ends || !harness.abilities().fed {
        return Ok(());
    }
    let mut opened = Opened::new(&place, &*source, Positions::new(), 2, 100)?;
    opened.gather(harness, 0)?;
    let records = records(1, 30);
    for part in records[0].chunks(10) {
        harness.put(0, part);
        let wanted = opened.count() + part.len();
        opened.gather(harness, wanted)?;
    }
    same(harness, &opened.close(), &records)
}

fn end(harness: &mut dyn SourceHarness) -> Finding {
    let records = sample(harness, 10);
    let mut scene = Scene::new(harness, &records, 100)?;
    if !scene.source.is_finite() && !harness.abilities().ends {
        return Ok(());
    }
    let started = Instant::now();
    for reader in 0..scene.opened.readers.len() {
        while scene.opened.poll(harness, reader, Duration::from_millis(20))? != Step::End {
            ensure!(started.elapsed() < PATIENCE, "it did not end within {PATIENCE:?}");
        }
        let again = scene.opened.poll(harness, reader, Duration::from_millis(20))?;
        ensure!(again == Step::End, "it went on after its end");
    }
    Ok(())
}

fn empty(harness: &mut dyn SourceHarness) -> Finding {
    if !harness.abilities().fed {
        return Ok(());
    }
    let mut scene = Scene::new(harness, &[Vec::new()], 100)?;
    scene.opened.gather(harness, 0)?;
    ensure!(scene.opened.count() == 0, "{} records came of none", scene.opened.count());
    Ok(())
}

fn large(harness: &mut dyn SourceHarness) -> Finding {
    let largest = harness.abilities().largest;
    let records = vec![vec![b"before".to_vec(), vec![b'x'; largest], b"after".to_vec()]];
    one_partition(harness, records)
}

fn contents(harness: &mut dyn SourceHarness) -> Finding {
    let mut records: Vec<Vec<u8>> = ["καλημέρα", "\u{1f980}", "\"quoted\", 'too'", "a\tb", " spaces ", "\\n"]
        .map(|text| text.as_bytes().to_vec())
        .into();
    if harness.abilities().any_bytes {
        records.extend([b"line\nend\r\n".to_vec(), b"nul\0inside".to_vec(), Vec::new(), vec![0xff, 0xfe, 0x00]]);
    }
    one_partition(harness, vec![records])
}

fn one_partition(harness: &mut dyn SourceHarness, records: Vec<Vec<Vec<u8>>>) -> Finding {
    if !harness.abilities().fed {
        return Ok(());
    }
    let mut scene = Scene::new(harness, &records, 100)?;
    scene.opened.gather(harness, scene.total)?;
    same(harness, &scene.opened.close(), &records)
}
