//! `init`: what it writes runs at once, and nothing is written over.

use crate::support::Folder;

#[test]
fn the_first_pipeline_validates_runs_and_passes_its_test() {
    let folder = Folder::new();
    let made = folder.run(&["init", "my-pipeline"]).expect(0);
    assert!(made.stdout.contains("riverhook run my-pipeline/pipeline.yaml"), "{}", made.stdout);
    folder.run(&["validate", "my-pipeline/pipeline.yaml"]).expect(0);
    let ran = folder.run(&["run", "my-pipeline/pipeline.yaml"]).expect(0).says("read 8 records").says("1 dead letter");
    assert!(ran.stdout.contains("LAMP") && ran.stdout.contains("cleo ordered DESK for 756.00"), "{}", ran.stdout);
    assert_eq!(folder.rows("my-pipeline/out/orders").len(), 6);
    let letters = folder.rows("my-pipeline/out/dead_letters");
    assert_eq!(letters.len(), 1);
    assert!(letters[0]["payload"].as_str().unwrap().contains("eve"), "{letters:?}");
    let tested = folder.run(&["test", "my-pipeline"]).expect(0);
    assert!(tested.stdout.contains("3 passed; 0 failed"), "{}", tested.stdout);
}

#[test]
fn what_is_there_is_not_overwritten() {
    let folder = Folder::new();
    folder.write("mine/pipeline.yaml", "mine");
    folder.run(&["init", "mine"]).expect(2).says("mine/pipeline.yaml is already there");
    assert_eq!(folder.read("mine/pipeline.yaml"), "mine");
    assert!(!folder.file("mine/data").exists());
}

#[test]
fn a_folder_that_cannot_be_a_pipelines_name_is_refused() {
    let folder = Folder::new();
    for name in ["my pipeline", "..", ".hidden", ""] {
        folder.run(&["init", name]).expect(2);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    folder.run(&["init", "deep/er/name"]).expect(0);
    assert!(folder.read("deep/er/name/pipeline.yaml").contains("\nname: name\n"));
}
