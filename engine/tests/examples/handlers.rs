//! The examples whose functions are Lambda handlers in Python, JavaScript and the shell, and the one in WebAssembly.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    copied,
    support::{Background, Folder, Ran, ask, eventually, free_port, get},
};

/// A Python with `awslambdaric` and `pillow`; `None`, said loudly, when the environment names none.
fn python(test: &str) -> Option<String> {
    let python = std::env::var("RIVERHOOK_TEST_LAMBDA_PYTHON").ok();
    if python.is_none() {
        left_out(test, "a Python with awslambdaric and pillow: run `cargo xtask test`");
    }
    python
}

fn left_out(test: &str, needs: &str) {
    let _ = writeln!(std::io::stderr(), "LEFT OUT: {test} needs {needs}");
}

/// The sizes of images, by Pillow.
fn image_sizes(python: &str, folder: &Path, names: &[&str]) -> String {
    let program = "import sys\nfrom PIL import Image\nfor name in sys.argv[1:]: print(*Image.open(name).size)";
    let ran = Command::new(python).args(["-c", program]).args(names).current_dir(folder).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

fn stopped(running: Background) -> Ran {
    running.signal("TERM");
    running.wait(Duration::from_secs(30)).expect(0)
}

#[test]
fn thumbnail() {
    let Some(python) = python("examples::thumbnail") else { return };
    let folder = copied(&["thumbnail"]);
    let running = folder.start_with(&[("PYTHON", &python)], &["run", "thumbnail/pipeline.yaml"]);
    let letters = || folder.rows("thumbnail/out/dead_letters");
    let made = |image: &str| folder.file(&format!("thumbnail/out/thumbnails/{image}.webp")).is_file();
    let images = ["evening.jpg", "flower with stem.png", "meadow.gif"];
    eventually("the images that lie there are made smaller", || images.iter().all(|image| made(image)));
    eventually("what is no image is a dead letter", || !letters().is_empty());
    std::fs::copy(folder.file("thumbnail/inbox/evening.jpg"), folder.file("thumbnail/inbox/later.jpg")).unwrap();
    eventually("an image that comes later is made smaller", || made("later.jpg"));
    stopped(running);

    let names = images.map(|image| format!("{image}.webp"));
    let sizes = image_sizes(&python, &folder.file("thumbnail/out/thumbnails"), &names.each_ref().map(String::as_str));
    assert_eq!(sizes, "160 107\n128 160\n67 160\n");
    let mut index: Vec<Value> = folder.rows("thumbnail/out/index");
    index.sort_by_key(|row| row["image"].to_string());
    let shown: Vec<_> = index.iter().map(|row| json!([row["image"], row["width"], row["height"]])).collect();
    let expected = [
        json!(["evening.jpg", 160, 107]),
        json!(["flower with stem.png", 128, 160]),
        json!(["later.jpg", 160, 107]),
        json!(["meadow.gif", 67, 160]),
    ];
    assert_eq!(shown, expected);
    let letters = letters();
    let [letter] = &letters[..] else { panic!("{letters:#?}") };
    assert_eq!((&letter["stage"], &letter["function"]), (&json!("function"), &json!("thumbnail")));
    assert!(letter["error_message"].as_str().unwrap().contains("UnidentifiedImageError"), "{letter:#}");
}

/// Without `BUCKETS` the same files read and write S3. A stand-in for AWS's client notes what they ask of it.
#[test]
fn thumbnails_handler_on_lambda() {
    let Some(python) = python("examples::thumbnails_handler_on_lambda") else { return };
    let folder = copied(&["thumbnail"]);
    folder.write(
        "thumbnail/boto3.py",
        r#"
import io

class S3:
    def get_object(self, Bucket, Key):
        print("get", Bucket, Key)
        return {"Body": io.BytesIO(open("inbox/" + Key, "rb").read())}

    def put_object(self, Bucket, Key, Body):
        print("put", Bucket, Key, Body[:4], Body[8:12])

def client(name):
    return {"s3": S3()}[name]
"#,
    );
    let object = r#"{"bucket": {"name": "photos"}, "object": {"key": "flower+with+stem.png"}}"#;
    let program = format!("import app; print(app.handler({{'Records': [{{'s3': {object}}}]}}, None)[0]['width'])");
    let mut command = Command::new(python);
    command.args(["-c", &program]).current_dir(folder.file("thumbnail"));
    let ran = command.env_remove("BUCKETS").env("THUMBNAILS", "small").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert!(
        said.starts_with("get photos flower with stem.png\nput small flower with stem.png.webp b'RIFF' b'WEBP'\n"),
        "{said}"
    );
    assert!(said.ends_with("\n128\n"), "{said}");
}

#[test]
fn watermark_compress() {
    if Command::new("node").arg("--version").stdout(Stdio::null()).status().is_err() {
        return left_out("examples::watermark_compress", "Node");
    }
    let folder = copied(&["watermark-compress"]);
    let ran = folder.run(&["run", "watermark-compress/pipeline.yaml"]).expect(0);
    assert!(ran.stdout.contains("dusk.png") && ran.stdout.contains("percent_saved"), "{}", ran.stdout);
    let rows = folder.rows("watermark-compress/out/index");
    assert_eq!(rows.len(), 2);
    for row in rows {
        let name = row["image"].as_str().unwrap();
        let bytes = |place: &str| std::fs::read(folder.file(&format!("watermark-compress/{place}/{name}"))).unwrap();
        let (before, after) = (bytes("inbox"), bytes("out/marked"));
        assert_eq!((&row["before"], &row["after"]), (&json!(before.len()), &json!(after.len())));
        assert!(after.len() < before.len() && after.starts_with(b"\x89PNG\r\n\x1a\n"), "{row}");
        // The same width and height.
        assert_eq!(before[16..24], after[16..24]);
    }
    let letters = folder.rows("watermark-compress/out/dead_letters");
    let [letter] = &letters[..] else { panic!("{letters:#?}") };
    assert!(letter["error_message"].as_str().unwrap().contains("Png.Unsupported"), "{letter:#}");
    assert!(letter["partition"].as_str().unwrap().ends_with("palette.png"), "{letter:#}");
    marks_are_where_they_belong(&folder);
}

/// The images are the ones from before except in the corner that the mark is in.
fn marks_are_where_they_belong(folder: &Folder) {
    let program = r#"
import { readFileSync } from "node:fs";
import { decode } from "./png.mjs";
const mark = decode(readFileSync("mark.png"));
for (const name of ["dusk.png", "hill.png"]) {
  const [before, after] = ["inbox", "out/marked"].map((folder) => decode(readFileSync(`${folder}/${name}`)));
  let [inside, outside] = [0, 0];
  for (let at = 0; at < before.pixels.length; at += 4) {
    if (before.pixels.compare(after.pixels, at, at + 4, at, at + 4) === 0) continue;
    const [x, y] = [(at / 4) % before.width, Math.floor(at / 4 / before.width)];
    const corner = x >= before.width - mark.width - 4 && y >= before.height - mark.height - 4;
    if (corner) inside++; else outside++;
  }
  console.log(name, inside > 500, outside);
}"#;
    let mut command = Command::new("node");
    command.args(["--input-type=module", "-e", program]).current_dir(folder.file("watermark-compress"));
    let ran = command.output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(said, "dusk.png true 0\nhill.png true 0\n", "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn http_backend() {
    let Some(python) = python("examples::http_backend") else { return };
    let folder = copied(&["http-backend"]);
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let variables = [("PYTHON", python.as_str()), ("LISTEN", &listen)];
    let running = folder.start_with(&variables, &["run", "http-backend/pipeline.yaml"]);
    eventually("it answers", || get(port, "/rates").is_some_and(|(status, _)| status == 200));
    let body = |answer: &str| serde_json::from_str::<Value>(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let quote = |parcel: &str| {
        let (status, answer) = ask(port, "POST /quote", parcel).unwrap();
        (status, body(&answer))
    };
    assert_eq!(quote(r#"{"country":"DE","kilograms":2.5}"#), (200, json!({"country": "DE", "euros": 7})));
    assert_eq!(quote(r#"{"country":"US","kilograms":1}"#), (200, json!({"country": "US", "euros": 19})));
    assert_eq!(quote(r#"{"country":"DE","kilograms":31}"#).0, 422);
    assert_eq!(quote("no parcel").0, 400);
    assert_eq!(quote("").0, 400);
    // As in the README: curl calls what it sends a form, so the handler gets it in base64.
    let url = format!("http://127.0.0.1:{port}/quote");
    let curl = Command::new("curl").args(["-s", "-d", r#"{"country":"AT","kilograms":2}"#, &url]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&curl.stdout), r#"{"country": "AT", "euros": 9}"#);
    let (status, answer) = get(port, "/elsewhere?x=1").unwrap();
    assert_eq!((status, &body(&answer)), (404, &json!({"error": "there is no GET /elsewhere"})));
    assert!(answer.to_lowercase().contains("content-type: application/json"), "{answer}");

    let (status, answer) = get(port, "/broken").unwrap();
    let error = &body(&answer)["error"];
    assert_eq!(status, 502, "{answer}");
    assert!(error["message"].as_str().unwrap().contains("this route is broken"), "{answer}");
    let (status, answer) = get(port, "/slow").unwrap();
    assert_eq!((status, &body(&answer)["error"]["code"]), (504, &json!("reply.timeout")), "{answer}");
    eventually("the next ones are answered", || quote(r#"{"country":"AT","kilograms":1}"#).0 == 200);

    stopped(running);
    let statuses: Vec<u64> =
        folder.rows("http-backend/out/access").iter().map(|row| row["status"].as_u64().unwrap()).collect();
    let count = |status: u64| statuses.iter().filter(|found| **found == status).count();
    assert_eq!((count(422), count(400), count(502)), (1, 2, 0), "{statuses:?}");
    assert!(count(200) >= 5 && count(404) >= 1, "{statuses:?}");
}

#[test]
fn nightly_cleanup() {
    let folder = copied(&["nightly-cleanup"]);
    let old = ["january.tar.gz", "a \"b\" \\c.tar.gz"];
    for name in [old[0], old[1], "today.tar.gz", "notes.txt"] {
        folder.write(&format!("nightly-cleanup/archives/{name}"), "12345");
    }
    let aged = [old[0], old[1], "notes.txt"].map(|name| folder.file(&format!("nightly-cleanup/archives/{name}")));
    assert!(Command::new("touch").args(["-d", "40 days ago"]).args(aged).status().unwrap().success());

    let validated = folder.run(&["validate", "--connect", "nightly-cleanup/pipeline.yaml"]).expect(0);
    let said = validated.stdout + &validated.stderr;
    // Three in Berlin, in winter or in summer.
    assert!(said.contains("02:00") || said.contains("01:00") || said.contains("03:00"), "{said}");
    let variables = [("WHEN", "* * * * * *")];
    folder
        .run_with(&variables, &["run", "--limit", "1", "nightly-cleanup/pipeline.yaml"])
        .expect(0)
        .says("older than 30");
    let mut removed = folder.rows("nightly-cleanup/out/removed");
    removed.sort_by_key(|row| row["removed"].to_string());
    assert_eq!(removed, [json!({"removed": old[1], "bytes": 5}), json!({"removed": old[0], "bytes": 5})]);
    let mut left: Vec<_> = std::fs::read_dir(folder.file("nightly-cleanup/archives"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["notes.txt", "today.tar.gz"]);

    // A folder that is not there stops the pipeline, and the tick comes again.
    let variables = [("WHEN", "* * * * * *"), ("ARCHIVES", "elsewhere")];
    let ran = folder.run_with(&variables, &["run", "--limit", "1", "nightly-cleanup/pipeline.yaml"]).expect(1);
    assert!(
        ran.stderr.contains("there is no folder elsewhere") && ran.stderr.contains("Handler.Failed"),
        "{}",
        ran.stderr
    );
}

#[test]
fn address_check() {
    let folder = copied(&["address-check"]);
    let passes = || {
        let ran = folder.run(&["test", "address-check"]).expect(0);
        assert!(ran.stdout.contains("3 passed; 0 failed"), "{}", ran.stdout);
    };
    passes();
    folder.write("one.json", r#"{"id":"a1","street":"Lange Gasse 5","postcode":"1080","city":"Wien","country":"at"}"#);
    let ran = folder.run(&["invoke", "address-check/pipeline.yaml", "check", "--event", "one.json"]).expect(0);
    assert!(ran.stdout.contains(r#""country":"AT","corrected":true"#), "{}", ran.stdout);

    // The component that is kept is the one that its source makes: a fresh one does the same.
    let Some(sdk) = std::env::var_os("RIVERHOOK_TEST_JS_SDK") else {
        return left_out("building check.js", "RIVERHOOK_TEST_JS_SDK: see udf/sdk/README.md");
    };
    let (sdk, wasm) = (Path::new(&sdk), folder.file("address-check/check.wasm"));
    std::fs::remove_file(&wasm).unwrap();
    // Not by a link: modules are those below the folder.
    let copied = Command::new("cp").arg("-a").arg(sdk.join("node_modules")).arg(folder.file("address-check")).status();
    assert!(copied.unwrap().success());
    let mut build = Command::new(sdk.join("node_modules/.bin/riverhook-function"));
    build.args(["build", "check.js", "--size", "-o", "check.wasm"]).current_dir(folder.file("address-check"));
    let built = build.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    passes();
    assert!(wasm.is_file());
}
