//! The cache of compiled code: it saves the compiler's time, and nothing in it is trusted without a check.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use riverhook_udf::{Function as _, Invocation, Limits, LogSink, Runtime, Settings};
use support::guest::{SAME_BATCH, with_process};
use support::{numbers, open, patient, prebuilt};

/// A folder that is not there yet, in one that goes away with the test.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("compiled");
    (parent, folder)
}

/// Loads and calls the guest with a fresh runtime on this folder.
fn run(folder: &Path, code: &[u8]) {
    let function =
        Runtime::new(Some(folder)).unwrap().load("test", code, patient(Limits::default()), LogSink::none()).unwrap();
    let reply = open(&function).call(&numbers([1, 2]), &Invocation::default());
    assert_eq!(reply.result.unwrap().output, numbers([1, 2]));
}

fn compiled(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_second_start_takes_the_compiled_code() {
    let (_parent, folder) = folder();
    let code = prebuilt("echo");
    run(&folder, &code);
    let files = compiled(&folder);
    assert_eq!(files.len(), 2, "{files:?}");

    assert!(is_cached(&folder, &code));
    assert!(!is_cached(&folder, &with_process(SAME_BATCH)));
}

#[test]
fn the_first_result_of_a_cold_component_is_quick() {
    let (_parent, folder) = folder();
    let code = prebuilt("echo");
    run(&folder, &code);
    let runtime = Runtime::new(Some(&folder)).unwrap();
    let batch = numbers(0..8192);
    let fastest = (0..5)
        .map(|_| {
            let begun = Instant::now();
            let function = runtime.load("test", &code, Settings::default(), LogSink::none()).unwrap();
            open(&function).call(&batch, &Invocation::default()).result.unwrap();
            begun.elapsed()
        })
        .min()
        .unwrap();
    println!("first result of a cold component from the cache: {fastest:?}");
    assert!(fastest < Duration::from_millis(20), "{fastest:?}");
}

#[test]
fn a_damaged_file_is_compiled_again() {
    let (_parent, folder) = folder();
    let code = with_process(SAME_BATCH);
    run(&folder, &code);
    let files = compiled(&folder);
    let whole: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    for (file, content) in files.iter().zip(&whole) {
        for damaged in [content[..content.len() / 2].to_vec(), Vec::new(), flipped(content)] {
            fs::write(file, damaged).unwrap();
            assert!(!is_cached(&folder, &code), "{} was trusted", file.display());
            run(&folder, &code);
            assert!(is_cached(&folder, &code), "{} was not made anew", file.display());
        }
    }
}

/// Whether the code loads without the compiler: a limit of nothing refuses whatever is not in the cache.
fn is_cached(folder: &Path, code: &[u8]) -> bool {
    let limits = Limits { compile_timeout: Duration::ZERO, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    Runtime::new(Some(folder)).unwrap().load("test", code, settings, LogSink::none()).is_ok()
}

fn flipped(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    content
}

#[test]
fn a_folder_that_others_may_open_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for mode in [0o755, 0o770, 0o707] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        let error = Runtime::new(Some(folder.path())).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    Runtime::new(Some(folder.path())).unwrap();
}

#[test]
fn a_missing_folder_is_made_for_this_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    Runtime::new(Some(&inner)).unwrap();
    assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn without_a_folder_functions_work_too() {
    let runtime = Runtime::new(None).unwrap();
    let function = runtime.load("test", &with_process(SAME_BATCH), Settings::default(), LogSink::none()).unwrap();
    assert!(function.describe(&support::numbers_schema()).is_ok());
}
