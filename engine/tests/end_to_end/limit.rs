//! Runs that end by themselves: `--limit` and `--until-idle`.

use crate::{
    guest::{SAME_BATCH, with_process},
    support::Folder,
};

const COPY: &str = r#"
name: copy
batch: { rows: 7 }
sources:
  numbers: { type: file, path: in.jsonl, schema: { n: int64! } }
sinks:
  out: { from: numbers, type: file, path: out/ }
"#;

fn numbers(folder: &Folder, name: &str) -> Vec<i64> {
    folder.rows(name).iter().map(|row| row["n"].as_i64().unwrap()).collect()
}

#[test]
fn after_a_limit_the_next_run_goes_on_at_the_next_record() {
    let folder = Folder::with_pipeline(COPY);
    folder.write("in.jsonl", (0..100).map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
    // In the middle of a batch of seven.
    folder.run(&["run", "--limit", "40", "pipeline.yaml"]).expect(0).says("read 40 records");
    assert_eq!(numbers(&folder, "out"), (0..40).collect::<Vec<_>>());
    std::fs::remove_dir_all(folder.file("out")).unwrap();
    folder.run(&["run", "pipeline.yaml"]).expect(0).says("read 60 records");
    assert_eq!(numbers(&folder, "out"), (40..100).collect::<Vec<_>>());
}

#[test]
fn a_function_that_takes_longer_than_the_idle_time_is_not_idleness() {
    let folder = Folder::with_pipeline(
        r#"
name: slow
batch: { rows: 1 }
sources:
  numbers: { type: file, path: in.jsonl, schema: { n: int64! }, follow: true }
functions:
  loops: { wasm: guest.wasm, timeout: 1500ms }
transforms:
  called: { from: numbers, call: loops, on_error: dead_letter }
sinks:
  out: { from: called, type: file, path: out/ }
dead_letters: { type: file, path: dead/ }
"#,
    );
    folder.write("guest.wasm", with_process(&format!("(loop $ever (br $ever)) {SAME_BATCH}")));
    folder.write("in.jsonl", "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    folder.run(&["run", "--until-idle", "500ms", "pipeline.yaml"]).expect(0).says("3 dead letters");
}

#[test]
fn a_taken_address_for_metrics_ends_the_run_before_it_reads() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::with_pipeline(&format!("{COPY}server: {{ listen: \"{}\" }}\n", taken.local_addr().unwrap()));
    folder.write("in.jsonl", "{\"n\":1}\n");
    folder.run(&["run", "pipeline.yaml"]).expect(1).says("another process listens there");
    assert!(!folder.file("out").exists() && !folder.file(".riverhook/copy/manifest").exists());
}
