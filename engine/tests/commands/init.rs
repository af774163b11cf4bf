//! `init`: what it writes runs at once, and nothing is written over.

use std::{
    ffi::OsStr,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

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

#[test]
fn a_new_function_has_all_that_its_readme_names() {
    let folder = Folder::new();
    for language in ["js", "python", "rust"] {
        let made = folder.run(&["init", "--function", language, &format!("my-{language}")]).expect(0);
        let paths: Vec<_> = made.stdout.lines().filter_map(|line| line.strip_prefix("wrote ")).collect();
        for file in ["README.md", "pipeline.yaml", "orders.jsonl", ".gitignore"] {
            assert!(paths.contains(&format!("my-{language}/{file}").as_str()), "{}", made.stdout);
        }
        for path in paths {
            let text = folder.read(path);
            assert!(!text.contains("NAME") && !text.contains("CRATE"), "{path}:\n{text}");
        }
        let pipeline = format!("my-{language}/pipeline.yaml");
        folder.run(&["validate", &pipeline]).expect(2).says("there is no file");
    }
    for name in ["My-function", "2fast", "a.b"] {
        folder.run(&["init", "--function", "js", name]).expect(2).says("cannot be a function's name");
    }
}

/// The folder with a language's SDK; `None`, said loudly, when the environment names none.
fn sdk(variable: &str) -> Option<PathBuf> {
    let folder = std::env::var_os(variable).map(PathBuf::from);
    if folder.is_none() {
        let _ = writeln!(std::io::stderr(), "LEFT OUT: building a template needs {variable}: see udf/sdk/README.md");
    }
    folder
}

/// A new function in a folder of its own.
fn new_function(language: &str) -> (Folder, PathBuf) {
    let folder = Folder::new();
    folder.run(&["init", "--function", language, "my-function"]).expect(0);
    let place = folder.file("my-function");
    (folder, place)
}

/// Runs a command of the README there.
#[track_caller]
fn command(program: impl AsRef<OsStr>, arguments: &[&str], place: &Path) -> String {
    let mut command = Command::new(program);
    let ran = command.args(arguments).current_dir(place).env("PYTHONDONTWRITEBYTECODE", "1").output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{arguments:?}:\n{said}");
    said
}

/// The function that was built does what its README says.
fn works(folder: &Folder) {
    let ran = folder.run(&["run", "my-function/pipeline.yaml"]).expect(0).says("1 dead letter");
    assert!(ran.stdout.contains("10") && ran.stdout.contains("19"), "{}", ran.stdout);
    let letters = folder.rows("my-function/out/dead_letters");
    assert_eq!((letters.len(), &letters[0]["error_code"]), (1, &json!("Function.RowFailed")));
    assert!(letters[0]["error_message"].as_str().unwrap().contains("Order.BadQuantity"), "{letters:?}");
    folder.write("order.json", folder.read("my-function/orders.jsonl").lines().next().unwrap());
    let invoke = ["invoke", "my-function/pipeline.yaml", "total", "--event", "order.json"];
    assert_eq!(folder.run(&invoke).expect(0).stdout, "{\"id\":1,\"total\":10.0}\n");
}

#[test]
fn a_function_in_javascript_is_built_and_works() {
    let Some(sdk) = sdk("RIVERHOOK_TEST_JS_SDK") else { return };
    let (folder, place) = new_function("js");
    // Not by a link: modules are those below the folder.
    command("cp", &["-a", sdk.join("node_modules").to_str().unwrap(), "."], &place);
    assert!(command("npm", &["test"], &place).contains("pass 2"));
    command("npm", &["run", "build"], &place);
    works(&folder);
    folder.write("my-function/none.js", "export const total = 1;");
    let tool = place.join("node_modules/.bin/riverhook-function");
    let ran = Command::new(tool).args(["build", "none.js"]).current_dir(&place).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.starts_with("cannot build none.js: the default export must be a function"), "{said}");
}

#[test]
fn a_function_in_python_is_built_and_works() {
    let Some(sdk) = sdk("RIVERHOOK_TEST_PYTHON_SDK") else { return };
    let (folder, place) = new_function("python");
    assert!(command(sdk.join("bin/python"), &["-m", "unittest"], &place).contains("Ran 2 tests"));
    let tool = sdk.join("bin/riverhook-function");
    command(&tool, &["build", "function.py", "-o", "my-function.wasm"], &place);
    works(&folder);
    folder.write("my-function/none.py", "import nowhere");
    let ran = Command::new(tool).args(["build", "none.py"]).current_dir(&place).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(said.contains("No module named 'nowhere'\ncannot build none.py") && said.lines().count() < 12, "{said}");
}

#[test]
fn a_function_in_rust_is_built_and_works() {
    let Some(target) = sdk("RIVERHOOK_TEST_RUST_SDK") else { return };
    let (folder, place) = new_function("rust");
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../udf/sdk/rust");
    // As from a checkout; and with the dependencies that were compiled before.
    let patch = format!("patch.crates-io.riverhook-function.path={:?}", sdk.display().to_string());
    let common = ["--config", &patch, "--target-dir", target.to_str().unwrap()];
    let cargo = |arguments: &[&str]| command("cargo", &[arguments, &common].concat(), &place);
    assert!(cargo(&["test"]).contains("2 passed"));
    cargo(&["build", "--release", "--target", "wasm32-unknown-unknown"]);
    let made = "wasm32-unknown-unknown/release/my_function.wasm";
    let there = place.join("target").join(made);
    std::fs::create_dir_all(there.parent().unwrap()).unwrap();
    std::fs::copy(target.join(made), there).unwrap();
    works(&folder);
}
