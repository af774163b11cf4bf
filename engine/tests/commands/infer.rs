//! `infer`: a schema from real records, for a source that has none yet.

use crate::support::Folder;

#[test]
fn the_schema_that_is_printed_can_be_pasted_and_runs() {
    let pipeline = "name: guess\nsources:\n  clicks:\n    type: file\n    path: clicks.jsonl\nSCHEMAsinks:\n  out: { from: clicks, type: file, path: out/ }\n";
    let folder = Folder::with_pipeline(&pipeline.replace("SCHEMA", ""));
    folder.write(
        "clicks.jsonl",
        "{\"id\": 1, \"user\": \"ann\", \"tags\": [\"a\"]}\n{\"id\": 2, \"ms\": 1.5, \"tags\": []}\n",
    );
    folder.run(&["validate", "pipeline.yaml"]).expect(2).says("riverhook infer");
    let guessed = folder.run(&["infer", "pipeline.yaml", "clicks"]).expect(0).says("2 records").stdout;
    assert!(guessed.starts_with("    schema:\n"), "{guessed}");
    for line in ["id: int64", "user: string", "ms: float64", "tags: \"list<string"] {
        assert!(guessed.contains(line), "{line} is missing in\n{guessed}");
    }
    folder.write("pipeline.yaml", pipeline.replace("SCHEMA", &guessed));
    folder.run(&["run", "pipeline.yaml"]).expect(0).says("read 2 records");
    assert_eq!(folder.rows("out").len(), 2);
}

#[test]
fn a_look_stops_at_the_given_number_and_leaves_nothing_behind() {
    let folder = Folder::with_pipeline("name: guess\nsources:\n  clicks: { type: file, path: clicks.jsonl }\n");
    folder.write("clicks.jsonl", "{\"id\": 1}\n{\"id\": \"late\"}\n");
    let guessed = folder.run(&["infer", "pipeline.yaml", "clicks", "--records", "1"]).expect(0).says("1 record").stdout;
    assert!(guessed.contains("id: int64"), "{guessed}");
    let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["clicks.jsonl", "pipeline.yaml"]);
}

#[test]
fn unknown_sources_and_empty_ones_are_named() {
    let folder = Folder::with_pipeline("name: guess\nsources:\n  clicks: { type: file, path: clicks.jsonl }\n");
    folder.run(&["infer", "pipeline.yaml", "click"]).expect(2).says("did you mean `clicks`?");
    folder.write("clicks.jsonl", "");
    folder.run(&["infer", "pipeline.yaml", "clicks"]).expect(1).says("`clicks` gave no record");
}

#[test]
fn columns_that_are_known_need_no_guess() {
    let folder = Folder::with_pipeline("name: guess\nsources:\n  lines: { type: file, path: a.txt, format: text }\n");
    folder.write("a.txt", "a\n");
    let known = folder.run(&["infer", "pipeline.yaml", "lines"]).expect(0).says("needs no schema").stdout;
    assert!(known.contains("value: string"), "{known}");
}
