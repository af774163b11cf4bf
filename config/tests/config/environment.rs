//! `${…}`: what it gives, what it cannot do, and what must not be seen of it.

use std::path::PathBuf;
use std::time::Duration;

use expect_test::expect;
use riverhook_config::{Environment, FixedEnvironment, ProcessEnvironment};
use serde_json::{Value, json};

use crate::{Pipeline, check_with, read};

fn environment() -> FixedEnvironment {
    FixedEnvironment::new()
        .with_var("HOST", "broker")
        .with_var("PORT", "9092")
        .with_var("EMPTY", "")
        .with_var("YAML", "a: [b, {c: d}] # e\n- f")
        .with_var("SECRET", "hunter2")
        .with_file("/run/password", "s3cret\n")
}

/// The value of `yaml` as free-form text.
fn value(yaml: &str) -> Value {
    let (value, diagnostics) = read::<Value>(yaml, &environment());
    assert!(diagnostics.is_empty(), "{}", diagnostics.render(false));
    value.unwrap()
}

#[test]
fn text_is_put_together() {
    assert_eq!(value("- ${HOST}:${PORT}/$HOME $x\n"), json!(["broker:9092/$HOME $x"]));
    assert_eq!(value("- \"${NONE:-localhost:9092}\"\n"), json!(["localhost:9092"]));
    assert_eq!(value("- a${EMPTY:-b}c${EMPTY}d\n"), json!(["abcd"]));
    assert_eq!(value("- $${HOST} costs $$${PORT}\n"), json!(["${HOST} costs $${PORT}"]));
    assert_eq!(value("- ${file:/run/password}\n"), json!(["s3cret"]));
    assert_eq!(value("- x${file:/run/password}x\n"), json!(["xs3cretx"]));
}

#[test]
fn what_comes_in_is_never_yaml() {
    assert_eq!(value("- ${YAML}\n"), json!(["a: [b, {c: d}] # e\n- f"]));
    assert_eq!(value("{ \"${HOST}\": '${YAML}' }\n"), json!({ "${HOST}": "a: [b, {c: d}] # e\n- f" }));
    let twice = environment().with_var("TWICE", "${SECRET}");
    let (read, _) = read::<Value>("- ${TWICE}\n", &twice);
    assert_eq!(read, Some(json!(["${SECRET}"])));
}

#[test]
fn one_reference_is_read_as_the_type_of_its_field() {
    let environment = environment()
        .with_var("NO", "false")
        .with_var("SHARE", "0.5")
        .with_var("WAIT", "2m")
        .with_var("START", "latest")
        .with_var("SIZE", "1");
    let (pipeline, diagnostics) = read::<Pipeline>(
        "name: ${PORT}
sources:
  a:
    topic: ${PORT}
    group: ${EMPTY}
    port: ${PORT}
    counted: '${NO}'
    share: ${SHARE}
    connect_timeout: ${WAIT}
    start: ${START}
    ahead: ${SIZE}KiB
    backoff: ${PORT}ms..1h
",
        &environment,
    );
    assert!(diagnostics.is_empty(), "{}", diagnostics.render(false));
    let pipeline = pipeline.unwrap();
    let source = pipeline.sources.get("a").unwrap();
    assert_eq!(pipeline.name.as_deref(), Some("9092"));
    assert_eq!(source.topic.as_slice(), ["9092"]);
    assert_eq!(source.group, None);
    assert_eq!((source.port, source.counted, source.share), (9092, false, 0.5));
    assert_eq!(source.connect_timeout, Duration::from_secs(120));
    assert_eq!((source.ahead.0, source.backoff.unwrap().min.as_millis()), (1024, 9092));
}

#[test]
fn part_of_a_number_is_no_number() {
    check_with(
        "sources: { a: { topic: t, port: '1${PORT}' } }\n",
        &environment(),
        expect![[r#"
        error: `port` cannot be what the environment gives for it
         --> pipeline.yaml:1:33
          |
        1 | sources: { a: { topic: t, port: '1${PORT}' } }
          |                                 ^^^^^^^^^^^ expected a whole number from 0 to 65535
          |
          = field: sources.a.port

    "#]],
    );
}

#[test]
fn what_is_not_there_is_named() {
    check_with(
        "name: ${NAME} and ${OTHER}
sources:
  a:
    topic: ${file:/run/none}
    group: ${not a name}
    password: ${SECRET
",
        &environment(),
        expect![[r#"
            error: the environment variable `NAME` is not set
             --> pipeline.yaml:1:7
              |
            1 | name: ${NAME} and ${OTHER}
              |       ^^^^^^^
              |
              = field: name
              = help: set it, or give a default: `${NAME:-…}`

            error: the environment variable `OTHER` is not set
             --> pipeline.yaml:1:7
              |
            1 | name: ${NAME} and ${OTHER}
              |       ^^^^^^^^^^^^^^^^^^^^
              |
              = field: name
              = help: set it, or give a default: `${OTHER:-…}`

            error: the file `/run/none` does not exist
             --> pipeline.yaml:4:12
              |
            4 |     topic: ${file:/run/none}
              |            ^^^^^^^^^^^^^^^^^
              |
              = field: sources.a.topic

            error: this is no name of a variable
             --> pipeline.yaml:5:12
              |
            5 |     group: ${not a name}
              |            ^^^^^^^^^^^^^ expected ${NAME}, ${NAME:-default} or ${file:PATH}
              |
              = field: sources.a.group
              = help: write `$${` if `${` is meant

            error: this `${` has no `}`
             --> pipeline.yaml:6:15
              |
            6 |     password: ${SECRET
              |               ^^^^^^^^
              |
              = field: sources.a.password
              = help: write `$${` if `${` is meant

        "#]],
    );
}

#[test]
fn what_comes_in_is_never_shown() {
    let yaml = "name: x
sources:
  a:
    topic: t
    port: ${SECRET}
    share: ${SECRET}
    counted: ${file:/run/password}
    start: ${SECRET}
    connect_timeout: ${SECRET}
    ahead: x${SECRET}
    backoff: ${SECRET}..${SECRET}
    batch: ${SECRET}
  b: ${SECRET}
";
    let (_, diagnostics) = read::<Pipeline>(yaml, &environment());
    let shown = diagnostics.render(false) + &diagnostics.to_json().to_string();
    assert_eq!(diagnostics.len(), 9, "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("s3cret"), "{shown}");
    check_with(
        "sources: { a: { topic: t, port: '${SECRET}', start: '${SECRET}' } }\n",
        &environment(),
        expect![[r#"
            error: `port` cannot be what the environment gives for it
             --> pipeline.yaml:1:33
              |
            1 | sources: { a: { topic: t, port: '${SECRET}', start: '${SECRET}' } }
              |                                 ^^^^^^^^^^^ expected a whole number from 0 to 65535
              |
              = field: sources.a.port

            error: `start` cannot have this value
             --> pipeline.yaml:1:53
              |
            1 | sources: { a: { topic: t, port: '${SECRET}', start: '${SECRET}' } }
              |                                                     ^^^^^^^^^^^^ expected `earliest` or `latest`
              |
              = field: sources.a.start

        "#]],
    );
}

#[test]
fn a_file_is_found_beside_the_file_that_names_it() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("beside-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("secrets")).unwrap();
    std::fs::write(folder.join("secrets/password"), "s3cret").unwrap();
    let environment = ProcessEnvironment::beside(&folder.join("pipeline.yaml"));
    assert_eq!(environment.file("secrets/password").unwrap(), "s3cret");
    assert_eq!(environment.file("./secrets/../secrets/password").unwrap(), "s3cret");
    std::fs::remove_dir_all(&folder).unwrap();
    // A bare name is of the working folder, which for tests is the package's.
    let here = ProcessEnvironment::beside(std::path::Path::new("pipeline.yaml"));
    assert!(here.file("Cargo.toml").unwrap().contains("riverhook-config"));
}

#[test]
fn this_process_reads_files_within_bounds() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("large-{}", std::process::id()));
    std::fs::write(&path, vec![b'x'; 1024 * 1024]).unwrap();
    let name = path.to_str().unwrap();
    let environment = ProcessEnvironment::beside(std::path::Path::new("elsewhere/pipeline.yaml"));
    assert_eq!(environment.file(name).unwrap().len(), 1024 * 1024);
    std::fs::write(&path, vec![b'x'; 1024 * 1024 + 1]).unwrap();
    assert_eq!(environment.file(name).unwrap_err().kind(), std::io::ErrorKind::FileTooLarge);
    std::fs::write(&path, [0xff]).unwrap();
    assert_eq!(environment.file(name).unwrap_err().kind(), std::io::ErrorKind::InvalidData);
    std::fs::remove_file(&path).unwrap();
    assert!(environment.file(name).is_err());
    assert!(environment.var("PATH").is_some());
}
