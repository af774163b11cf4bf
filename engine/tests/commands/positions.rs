//! `positions`: shown, moved and skipped, with files as the source.

use crate::support::Folder;

const PIPELINE: &str = "name: moved\nsources:\n  lines: { type: file, path: \"*.jsonl\", schema: { id: int64 } }\nsinks:\n  out: { from: lines, type: file, path: out/ }\n";

fn ids(folder: &Folder) -> Vec<i64> {
    let mut ids: Vec<i64> = folder.rows("out").iter().map(|row| row["id"].as_i64().unwrap()).collect();
    ids.sort_unstable();
    ids
}

/// The name and position of the only partition.
fn shown(folder: &Folder) -> (String, u64) {
    let shown = folder.run(&["positions", "show", "pipeline.yaml"]).expect(0).stdout;
    let line = shown.lines().nth(1).unwrap_or_else(|| panic!("{shown}"));
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words.len(), 3, "{shown}");
    assert_eq!(words[0], "lines");
    (words[1].to_owned(), words[2].parse().unwrap())
}

#[test]
fn positions_are_shown_moved_and_skipped() {
    let folder = Folder::with_pipeline(PIPELINE);
    folder.write("in.jsonl", "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n");
    let nothing = folder.run(&["positions", "show", "pipeline.yaml"]).expect(0);
    assert!(nothing.stdout.contains("no positions yet"), "{}", nothing.stdout);
    assert!(!folder.file(".riverhook").exists(), "looking must not make a store");
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let (partition, end) = shown(&folder);
    assert_eq!(end, 27);

    folder.run(&["positions", "move", "pipeline.yaml", "lines", &partition, "9"]).expect(0);
    assert_eq!(shown(&folder).1, 9);
    let skipped = folder.run(&["positions", "skip", "pipeline.yaml", "lines"]).expect(0);
    assert!(skipped.stdout.contains("at 18 (before: 9)"), "{}", skipped.stdout);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    assert_eq!(ids(&folder), [1, 2, 3, 3]);
}

#[test]
fn what_is_not_there_is_not_moved() {
    let folder = Folder::with_pipeline(PIPELINE);
    folder.write("in.jsonl", "{\"id\":1}\n{\"id\":2}\n");
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let (partition, end) = shown(&folder);
    let wrong = format!("{partition}x");
    folder.run(&["positions", "move", "pipeline.yaml", "lines", &wrong, "0"]).expect(2).says("did you mean");
    folder
        .run(&["positions", "move", "pipeline.yaml", "line", &partition, "0"])
        .expect(2)
        .says("did you mean `lines`?");
    folder.run(&["positions", "move", "pipeline.yaml", "lines", &partition, "two"]).expect(2).says("whole number");
    folder
        .run(&["positions", "skip", "pipeline.yaml", "lines", &partition, "0"])
        .expect(2)
        .says("positions move pipeline.yaml lines");
    assert_eq!(shown(&folder).1, end);
}
