//! The cache of compiled code: it saves the compiler's time, and nothing in it is trusted without a check.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use riverhook_udf::{Function as _, Invocation, Limits, LogSink, Runtime, Settings};
use support::guest::{SAME_BATCH, with_process};
use support::{numbers, open, prebuilt};

/// Loads and calls the guest with a fresh runtime on this folder.
fn run(folder: &Path, code: &[u8]) {
    let function =
        Runtime::new(Some(folder)).unwrap().load("test", code, Settings::default(), LogSink::none()).unwrap();
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
    let folder = tempfile::tempdir().unwrap();
    let code = prebuilt("echo");
    run(folder.path(), &code);
    let files = compiled(folder.path());
    assert_eq!(files.len(), 2, "{files:?}");

    // Without the compiler: a limit of nothing refuses whatever is not in the cache.
    let limits = Limits { compile_timeout: Duration::ZERO, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let runtime = Runtime::new(Some(folder.path())).unwrap();
    runtime.load("test", &code, settings, LogSink::none()).unwrap();
    assert!(runtime.load("test", &with_process(SAME_BATCH), settings, LogSink::none()).is_err());
}

#[test]
fn the_first_result_of_a_cold_component_is_quick() {
    let folder = tempfile::tempdir().unwrap();
    let code = prebuilt("echo");
    run(folder.path(), &code);
    let runtime = Runtime::new(Some(folder.path())).unwrap();
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
    let folder = tempfile::tempdir().unwrap();
    let code = with_process(SAME_BATCH);
    run(folder.path(), &code);
    let files = compiled(folder.path());
    let whole: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    for (file, content) in files.iter().zip(&whole) {
        for damaged in [content[..content.len() / 2].to_vec(), Vec::new(), flipped(content)] {
            fs::write(file, damaged).unwrap();
            run(folder.path(), &code);
            assert_eq!(&fs::read(file).unwrap(), content, "{} was not made anew", file.display());
        }
    }
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
