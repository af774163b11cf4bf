//! What is said about a command line that is wrong.

use crate::support::Folder;

#[test]
fn what_is_not_there_yet_is_refused_by_name() {
    for command in ["serve", "tap"] {
        let ran = Folder::new().run(&[command, "pipeline.yaml"]).expect(2);
        ran.says(&format!("`{command}` is not there yet"));
    }
}

#[test]
fn typing_errors_are_met_with_what_is_near() {
    Folder::new().run(&["valdiate", "pipeline.yaml"]).expect(2).says("validate");
    Folder::new().run(&["run", "--until-idel", "5s", "pipeline.yaml"]).expect(2).says("--until-idle");
    Folder::new().run(&["run", "--until-idle", "5", "pipeline.yaml"]).expect(2).says("such as 5s");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    Folder::new().run(&["run", "nothing.yaml"]).expect(2).says("nothing.yaml");
    Folder::new().run(&["validate", "."]).expect(2);
}

#[test]
fn help_has_examples_and_needs_no_file() {
    for arguments in [vec!["--help"], vec!["run", "--help"], vec!["validate", "--help"], vec!["positions", "--help"]] {
        let ran = Folder::new().run(&arguments).expect(0);
        assert!(ran.stdout.contains("Examples:") || ran.stdout.contains("riverhook "), "{}", ran.stdout);
    }
    assert!(Folder::new().run(&["--version"]).expect(0).stdout.starts_with("riverhook 0."));
}
