//! Wrong pipeline files, each with what is said about it: `NAME.yaml` and `NAME.stderr` beside this file.
//!
//! `UPDATE_EXPECT=1 cargo test -p riverhook --test wrong` writes what is said now; read every line of the difference as
//! somebody would whose file it is.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Words that nobody should meet who does not know what the engine is written in, or on.
const FOREIGN: [&str; 22] = [
    "panicked",
    "unwrap",
    "Some(",
    "None",
    "Ok(",
    "Err(",
    "invalid type",
    "expected a string",
    "expected expected",
    "DataType",
    "Utf8",
    "Int64",
    "Arc<",
    "datafusion",
    "DataFusion",
    "sqlparser",
    "serde",
    "arrow",
    "TypeSignature",
    "LogicalPlan",
    "os error",
    "Rust",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wrong")
}

fn files() -> Vec<String> {
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned)).collect();
    names.sort();
    names
}

/// What `validate` says of a file, in the folder of the files.
fn said(name: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riverhook"));
    command.args(["validate", &format!("{name}.yaml")]).current_dir(folder());
    command.env("RIVERHOOK_TEST_WORD", "several").env_remove("RIVERHOOK_TEST_UNSET");
    command.env("XDG_CACHE_HOME", std::env::temp_dir().join("riverhook-test-cache"));
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn each_is_told_what_is_wrong() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut different = Vec::new();
    for name in files() {
        let (code, said) = said(&name);
        assert_eq!(code, Some(2), "{name}:\n{said}");
        let place = folder().join(format!("{name}.stderr"));
        if update {
            std::fs::write(&place, &said).unwrap();
        }
        let expected = std::fs::read_to_string(&place).unwrap_or_default();
        if expected != said {
            different.push(format!("==== {name}: expected\n{expected}\n==== found\n{said}"));
        }
    }
    assert!(different.is_empty(), "UPDATE_EXPECT=1 accepts these:\n{}", different.join("\n"));
}

#[test]
fn none_speaks_of_what_is_inside() {
    for name in files() {
        let (_, said) = said(&name);
        for word in FOREIGN {
            assert!(!said.contains(word), "{name} says {word:?}:\n{said}");
        }
        assert!(said.contains("error:"), "{name}:\n{said}");
    }
}

#[test]
fn all_but_what_cannot_be_read_names_line_and_column() {
    for name in files() {
        let (_, said) = said(&name);
        let place = said.lines().filter_map(|line| line.trim_start().strip_prefix("--> "));
        let numbers = |place: &str| place.rsplit(':').take(2).all(|number| number.parse::<u32>().is_ok());
        assert!(place.into_iter().any(numbers), "{name}:\n{said}");
    }
}

#[test]
fn there_are_fifty_at_least() {
    assert!(files().len() >= 50);
}
