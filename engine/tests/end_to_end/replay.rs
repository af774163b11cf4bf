//! Dead letters that run again, after what was wrong is mended.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    guest::{SAME_BATCH, with_process},
    support::{Folder, eventually},
};

const NUMBERS: i64 = 10_000;
const POISON: i64 = 7_777;

fn numbers(count: i64) -> String {
    (0..count).map(|n| format!("{{\"n\":{n}}}\n")).collect()
}

fn column(rows: &[Value], name: &str) -> Vec<i64> {
    let mut all: Vec<i64> = rows.iter().map(|row| row[name].as_i64().unwrap()).collect();
    all.sort_unstable();
    all
}

/// Calls of all functions, as the ledger has them.
fn invocations(folder: &Folder) -> u64 {
    let printed = folder.run(&["usage", "--json", "pipeline.yaml"]).expect(0).stdout;
    let lines = printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.map(|line| line["invocations"].as_u64().unwrap()).sum()
}

/// The only letter names its failure, no more calls were needed than promised, and all other records arrived.
fn one_is_poison(folder: &Folder, code: &str) {
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let expected: Vec<i64> = (0..NUMBERS).filter(|n| *n != POISON).collect();
    assert_eq!(column(&folder.rows("out"), "n"), expected);
    let letters = folder.rows("dead");
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(letter["payload"], json!(format!("{{\"n\":{POISON}}}")));
    assert_eq!(
        (&letter["stage"], &letter["node"], &letter["error_code"]),
        (&json!("function"), &json!("called"), &json!(code))
    );
    assert_eq!((&letter["function"], &letter["input"]), (&json!("map"), &json!("numbers")));
    assert!(letter["version"].as_str().unwrap().len() >= 8 && letter["attempts"].as_u64().unwrap() >= 3, "{letter}");
    assert_eq!((letter["invocation"].as_str().unwrap().len(), letter["id"].as_str().unwrap().len()), (36, 36));
    let most = 2.0 * (NUMBERS as f64).log2() + 2.0;
    let calls = invocations(folder);
    assert!(calls as f64 <= most, "{calls} calls, of at most {most}");
}

/// After the mend the letter is delivered once, and no second time.
fn replay_delivers_it_once(folder: &Folder) {
    let before = invocations(folder);
    let plan = folder.run(&["replay", "pipeline.yaml", "--dry-run"]).expect(0).stdout;
    assert!(plan.contains("called  function") && plan.contains("1 letter would run"), "{plan}");
    folder.run(&["replay", "pipeline.yaml"]).expect(0).says("replayed 1 letter of `called`, 1 delivered, 0 failed");
    assert_eq!(column(&folder.rows("out"), "n"), (0..NUMBERS).collect::<Vec<_>>(), "each once");
    assert_eq!(invocations(folder), before + 1);
    folder.run(&["replay", "pipeline.yaml"]).expect(0).says("replayed 0 letters").says("1 skipped");
    assert_eq!(folder.rows("out").len() as i64, NUMBERS);
    assert_eq!((invocations(folder), folder.rows("dead").len()), (before + 1, 1));
    folder.run(&["replay", "pipeline.yaml", "--again"]).expect(0).says("replayed 1 letter");
    assert_eq!(folder.rows("out").len() as i64, NUMBERS + 1, "it was asked for again");
}

#[test]
fn a_record_that_is_poison_to_a_handler_is_delivered_after_the_fix() {
    let pipeline = |poison: i64| {
        format!(
            r#"
name: poison
batch: {{ rows: {NUMBERS} }}
sources:
  numbers: {{ type: file, path: in.jsonl, schema: {{ n: int64! }} }}
functions:
  map:
    process: [python3, poison.py]
    payload: records
    output: {{ n: int64!, twice: int64 }}
    env: {{ POISON: "{poison}" }}
    timeout: 20s
    retries: {{ attempts: 2, backoff: 10ms..50ms }}
transforms:
  called: {{ from: numbers, call: map, on_error: dead_letter }}
sinks:
  out: {{ from: called, type: file, path: out/ }}
dead_letters: {{ type: file, path: dead/ }}
"#
        )
    };
    let folder = Folder::with_pipeline(&pipeline(POISON));
    folder.write("poison.py", include_str!("poison.py"));
    folder.write("in.jsonl", numbers(NUMBERS));
    one_is_poison(&folder, "Function.Failed");
    let calls = |folder: &Folder| folder.read("calls.txt").lines().count() as u64;
    assert_eq!(folder.read("calls.txt").lines().next(), Some("10000"), "they were one batch");
    assert_eq!(calls(&folder), invocations(&folder));
    assert!(folder.rows("dead")[0]["error_message"].as_str().unwrap().contains("Function.Poisoned"));
    // Not mended yet: it fails again, and becomes a letter of its own.
    folder.run(&["replay", "pipeline.yaml"]).expect(1).says("0 delivered, 1 failed again");
    assert_eq!(folder.rows("dead").len(), 2);
    folder.run(&["replay", "pipeline.yaml", "--dry-run"]).expect(0);
    std::fs::remove_dir_all(folder.file("dead")).unwrap();
    std::fs::remove_dir_all(folder.file("out")).unwrap();
    std::fs::remove_dir_all(folder.file(".riverhook")).unwrap();
    one_is_poison(&folder, "Function.Failed");
    folder.write("pipeline.yaml", pipeline(-1));
    replay_delivers_it_once(&folder);
}

#[test]
fn a_record_that_is_poison_to_a_component_is_delivered_after_the_fix() {
    let folder = Folder::with_pipeline(&format!(
        r#"
name: poison
batch: {{ rows: {NUMBERS} }}
sources:
  numbers: {{ type: file, path: in.jsonl, schema: {{ n: int64! }} }}
functions:
  map: {{ wasm: guest.wasm, timeout: 10s, retries: {{ attempts: 2, backoff: 10ms..50ms }} }}
transforms:
  called: {{ from: numbers, call: map, on_error: dead_letter }}
sinks:
  out: {{ from: called, type: file, path: out/ }}
dead_letters: {{ type: file, path: dead/, format: parquet }}
"#
    ));
    let process = format!(
        "(block $end (loop $next
            (br_if $end (i32.ge_u (local.get $i) (local.get $rows)))
            (if (i64.eq (i64.const {POISON}) (i64.load (i32.add
                (i32.load offset=8 (local.get $ptr)) (i32.shl (local.get $i) (i32.const 3)))))
              (then (unreachable)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
        {SAME_BATCH}"
    );
    folder.write("guest.wasm", with_process(&process));
    folder.write("in.jsonl", numbers(NUMBERS));
    let as_json = folder.read("pipeline.yaml").replace("format: parquet", "format: json");
    let as_parquet = folder.read("pipeline.yaml");
    folder.write("pipeline.yaml", as_json);
    one_is_poison(&folder, "Runtime.ExitError");
    folder.write("guest.wasm", with_process(SAME_BATCH));
    replay_delivers_it_once(&folder);
    // Letters in Parquet run as well.
    std::fs::remove_dir_all(folder.file("dead")).unwrap();
    folder.write("guest.wasm", with_process(&process));
    folder.write("pipeline.yaml", as_parquet);
    folder.run(&["run", "--from-scratch", "pipeline.yaml"]).expect(0);
    folder.write("guest.wasm", with_process(SAME_BATCH));
    let rows = folder.rows("out").len();
    folder.run(&["replay", "pipeline.yaml"]).expect(0).says("replayed 1 letter of `called`, 1 delivered");
    assert_eq!(folder.rows("out").len(), rows + 1);
}

/// Sources whose records cannot all be decoded, with all that decoding takes: metadata columns and a header.
fn undecodable(json: &str, csv: &str, letters: &str) -> String {
    format!(
        r#"
name: undecodable
sources:
  jsons: {{ type: file, path: in.jsonl, metadata: [path, line], schema: {{ n: {json} }}, on_error: dead_letter }}
  csvs: {{ type: file, path: in.csv, format: csv, schema: {{ n: {csv} }}, on_error: dead_letter }}
transforms:
  united: {{ sql: "SELECT CAST(n AS VARCHAR) AS n, line FROM jsons UNION ALL SELECT CAST(n AS VARCHAR), -1 FROM csvs" }}
sinks:
  out: {{ from: united, type: file, path: out/ }}
dead_letters: {{ type: file, path: "dead/day={{time:%Y-%m-%d}}/", format: {letters} }}
"#
    )
}

#[test]
fn records_that_could_not_be_decoded_are_delivered_after_the_schema_is_mended() {
    for format in ["json", "csv", "parquet"] {
        let folder = Folder::with_pipeline(&undecodable("int64!", "int64", format));
        folder.write("in.jsonl", "{\"n\":1}\n{\"n\":\"two\"}\n{\"n\":\"three\"}\n");
        folder.write("in.csv", "other,n\nx,4\ny,five\n");
        folder.run(&["run", "pipeline.yaml"]).expect(0);
        assert_eq!(folder.rows("out").len(), 2);
        folder.write("pipeline.yaml", undecodable("string", "string", format));
        folder.run(&["replay", "pipeline.yaml"]).expect(0).says("replayed 3 letters, 3 delivered");
        let mut said: Vec<String> = folder
            .rows("out")
            .iter()
            .map(|row| format!("{} {}", row["n"].as_str().unwrap(), row["line"].as_str().unwrap()))
            .collect();
        said.sort();
        assert_eq!(said, ["1 1", "4 -1", "five -1", "three 3", "two 2"], "{format}");
        folder.run(&["replay", "pipeline.yaml"]).expect(0).says("3 skipped");
        // The same letters elsewhere are the same letters.
        std::fs::rename(folder.file("dead"), folder.file("moved")).unwrap();
        folder.run(&["replay", "pipeline.yaml", "moved"]).expect(0).says("replayed 0 letters").says("3 skipped");
    }
}

#[test]
fn a_row_goes_back_into_the_branch_that_failed_on_it() {
    let pipeline = |divisor: &str| {
        format!(
            r#"
name: branches
sources:
  a: {{ type: file, path: a.jsonl, schema: {{ n: int64, d: int64 }} }}
  b: {{ type: file, path: b.jsonl, schema: {{ n: int64, d: int64 }} }}
transforms:
  parts:
    sql: |
      SELECT 'a' AS t, n, n / {divisor} AS part FROM a
      UNION ALL SELECT 'b', n, n / {divisor} FROM b
      UNION ALL SELECT 'whole', n, n + 0 AS part FROM a
    on_error: dead_letter
sinks:
  out: {{ from: parts, type: file, path: out/ }}
dead_letters: {{ type: file, path: dead/ }}
"#
        )
    };
    let folder = Folder::with_pipeline(&pipeline("d"));
    folder.write("a.jsonl", "{\"n\":1,\"d\":0}\n{\"n\":2,\"d\":2}\n");
    folder.write("b.jsonl", "{\"n\":3,\"d\":0}\n");
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    folder.write("pipeline.yaml", pipeline("(d + 1)"));
    folder.run(&["replay", "pipeline.yaml"]).expect(0).says("replayed 2 letters of `parts`, 2 delivered");
    let mut said: Vec<String> =
        folder.rows("out").iter().map(|row| format!("{} {}", row["t"].as_str().unwrap(), row["n"])).collect();
    said.sort();
    assert_eq!(said, ["a 1", "a 2", "b 3", "whole 1", "whole 2"], "none twice");
}

/// A server that answers with `status`, and the bodies of requests that it took with 200.
fn server(status: &Arc<AtomicU16>, pause: Duration) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (status, bodies) = (Arc::clone(status), Arc::new(Mutex::new(Vec::new())));
    let taken = Arc::clone(&bodies);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (status, taken) = (Arc::clone(&status), Arc::clone(&taken));
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream.unwrap());
                let mut length = 0;
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).unwrap_or(0) == 0 {
                        return;
                    }
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line != "\r\n" {
                        continue;
                    }
                    let mut body = vec![0; std::mem::take(&mut length)];
                    if stream.read_exact(&mut body).is_err() {
                        return;
                    }
                    std::thread::sleep(pause);
                    let status = status.load(Ordering::SeqCst);
                    if status == 200 {
                        taken.lock().unwrap().push(String::from_utf8(body).unwrap());
                    }
                    let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
                    if stream.get_mut().write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, bodies)
}

#[test]
fn rows_that_a_sink_refused_go_to_that_sink_alone() {
    let status = Arc::new(AtomicU16::new(422));
    let (port, bodies) = server(&status, Duration::ZERO);
    let folder = Folder::with_pipeline(&format!(
        r#"
name: refused
sources:
  numbers: {{ type: file, path: in.jsonl, schema: {{ n: int64! }} }}
sinks:
  web: {{ from: numbers, type: http, url: "http://127.0.0.1:{port}/", on_error: dead_letter }}
  out: {{ from: numbers, type: file, path: out/ }}
dead_letters: {{ type: file, path: dead/ }}
"#
    ));
    folder.write("in.jsonl", numbers(5));
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    status.store(200, Ordering::SeqCst);
    folder.run(&["replay", "pipeline.yaml"]).expect(0).says("replayed 5 letters of `web`, 5 delivered");
    let bodies = bodies.lock().unwrap().join("\n");
    (0..5).for_each(|n| assert!(bodies.contains(&format!("{{\"n\":{n}}}")), "{bodies}"));
    assert_eq!(folder.rows("out").len(), 5, "the other sink has had them");
}

/// Two nodes that fail on different numbers.
const TWO: &str = r#"
name: two
sources:
  numbers: { type: file, path: in.jsonl, schema: { n: int64! }, on_error: dead_letter }
transforms:
  halves: { sql: "SELECT n, 2 / n AS part FROM numbers", on_error: dead_letter }
  others: { sql: "SELECT n, 10 / (n - 1) AS part FROM numbers", on_error: dead_letter }
sinks:
  out: { from: [halves, others], type: file, path: out/ }
dead_letters: { type: file, path: dead/ }
"#;

fn mended() -> String {
    TWO.replace("2 / n", "n").replace("10 / (n - 1)", "n")
}

#[test]
fn letters_are_picked_by_node_error_stage_and_time() {
    let folder = Folder::with_pipeline(TWO);
    folder.write("in.jsonl", "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\nno json\n");
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    assert_eq!(folder.rows("dead").len(), 3);
    let listed = |arguments: &[&str]| {
        let all = [&["replay", "pipeline.yaml", "--dry-run"], arguments].concat();
        let printed = folder.run(&all).expect(0).stdout;
        let rows = printed.lines().filter(|line| !line.starts_with("NODE") && !line.contains("would run"));
        rows.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<String>>()
    };
    let (halves, numbers, others) =
        ("halves sql sql.evaluate 1", "numbers decode decode.json.syntax 1", "others sql sql.evaluate 1");
    assert_eq!(listed(&[]), [halves, numbers, others]);
    assert_eq!(listed(&["--node", "halves"]), [halves]);
    assert_eq!(listed(&["--node", "halves", "--node", "numbers"]), [halves, numbers]);
    assert_eq!(listed(&["--error", "sql.evaluate"]), [halves, others]);
    assert_eq!(listed(&["--stage", "decode"]), [numbers]);
    assert_eq!(listed(&["--since", "1h"]).len(), 3);
    assert_eq!(listed(&["--until", "1h"]), [""; 0]);
    assert_eq!(listed(&["--since", "2100-01-01"]), [""; 0]);
    assert_eq!(listed(&["--until", "2100-01-01T00:00:00Z", "--node", "others"]), [others]);
    assert!(!folder.file(".riverhook/two/replayed").exists(), "looking leaves nothing");
    folder.write("pipeline.yaml", mended());
    folder.run(&["replay", "pipeline.yaml", "--node", "halves"]).expect(0).says("replayed 1 letter of `halves`");
    let ran = folder.run(&["replay", "pipeline.yaml", "--error", "sql.evaluate"]).expect(0);
    ran.says("others         1          1             0        0")
        .says("1 letter, 1 delivered, 0 failed again, 1 skipped");
    let ran = folder.run(&["replay", "pipeline.yaml"]).expect(1);
    ran.says("replayed 1 letter, 0 delivered, 1 failed again, 2 skipped");
    assert_eq!(folder.rows("dead").len(), 4, "what is no JSON is still none");
}

#[test]
fn what_cannot_run_is_said_and_the_rest_runs() {
    let folder = Folder::with_pipeline(TWO);
    folder.write("in.jsonl", "{\"n\":0}\n{\"n\":1}\n{\"n\":2}\n");
    // Before there are any.
    folder.run(&["replay", "pipeline.yaml"]).expect(0).says("replayed 0 letters");
    folder.write("pipeline.yaml", TWO.replace("path: dead/", "path: dead/, format: parquet"));
    folder.run(&["replay", "pipeline.yaml"]).expect(0).says("replayed 0 letters");
    folder.write("pipeline.yaml", TWO);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    folder.run(&["replay", "pipeline.yaml", "nowhere/"]).expect(2).says("nowhere");
    folder.run(&["replay", "pipeline.yaml", "--since", "yesterday"]).expect(2).says("2026-01-31");
    let letters = folder.rows("dead");
    let mut lines: Vec<String> = letters.iter().map(Value::to_string).collect();
    let changed = |key: &str, value: Value| {
        let mut letter = letters[0].clone();
        (letter[key], letter["id"]) = (value, Value::Null);
        letter.to_string()
    };
    lines.push("garbage".to_owned());
    lines.push("{\"some\":\"object\"}".to_owned());
    lines.push(changed("pipeline", json!("another")));
    lines.push(changed("node", json!("renamed")));
    lines.push(changed("stage", json!("late")));
    lines.push(changed("payload", json!("{\"n\":\"no number\"}")));
    lines.push(changed("payload_bytes", json!(1_000_000)));
    // Cut while it is written.
    lines.push(letters[1].to_string()[..40].to_owned());
    folder.write("picked/letters.jsonl", lines.join("\n"));
    folder.write("picked/notes.txt", "not looked at");
    folder.write("pipeline.yaml", mended());
    let ran = folder.run(&["replay", "pipeline.yaml", "picked"]).expect(1);
    let ran = ran.says("2 letters, 2 delivered").says("3 records are no dead letters").says("picked/letters.jsonl at");
    let ran = ran.says("1 letter of the pipeline `another`").says("`renamed` (stage sql)").says("the stage `late`");
    let ran = ran.says("are no rows it could be given").says("raise `max_payload`");
    assert!(!ran.stderr.contains("no number"), "values are never told: {}", ran.stderr);
    assert_eq!(folder.rows("out").len(), 4 + 2);
    folder.run(&["replay", "pipeline.yaml"]).expect(0).says("2 skipped");
    let bare = mended()
        .replace("dead_letters: { type: file, path: dead/ }", "")
        .replace("on_error: dead_letter", "on_error: skip");
    folder.write("pipeline.yaml", bare);
    folder.run(&["replay", "pipeline.yaml"]).expect(2).says("no `dead_letters:`");
    folder.run(&["replay", "pipeline.yaml", "dead"]).expect(0).says("2 skipped");
}

#[test]
fn a_payload_that_was_cut_is_read_from_its_source_again() {
    let pipeline = |kind: &str| {
        format!(
            r#"
name: cut
max_payload: 16B
sources:
  lines: {{ type: file, path: in.jsonl, schema: {{ n: int64!, text: {kind} }}, on_error: dead_letter }}
sinks:
  out: {{ from: lines, type: file, path: out/ }}
dead_letters: {{ type: file, path: dead/ }}
"#
        )
    };
    let folder = Folder::with_pipeline(&pipeline("int64"));
    let lines = "{\"n\":1,\"text\":\"a longer text\"}\n{\"n\":2}\n{\"n\":3,\"text\":\"another long text\"}\n";
    folder.write("in.jsonl", lines);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    folder.write("pipeline.yaml", pipeline("string"));
    // One of the records is another by now.
    folder.write("in.jsonl", lines.replace("another long", "changed long"));
    let ran = folder.run(&["replay", "pipeline.yaml"]).expect(1);
    ran.says("replayed 1 letter of `lines`, 1 delivered").says("the source does not have the records any more");
    folder.write("in.jsonl", lines);
    folder
        .run(&["replay", "pipeline.yaml"])
        .expect(0)
        .says("replayed 1 letter of `lines`, 1 delivered, 0 failed again, 1 skipped");
    assert_eq!(column(&folder.rows("out"), "n"), [1, 2, 3]);
    assert!(folder.rows("out").iter().any(|row| row["text"] == "another long text"));
}

#[test]
fn a_replay_that_is_killed_goes_on_and_repeats_what_was_not_durable_alone() {
    const LETTERS: usize = 3_000;
    let status = Arc::new(AtomicU16::new(200));
    let (port, bodies) = server(&status, Duration::from_millis(2));
    let pipeline = |part: &str| {
        format!(
            r#"
name: killed
batch: {{ rows: 50 }}
parallelism: 1
sources:
  numbers: {{ type: file, path: in.jsonl, schema: {{ n: int64! }} }}
transforms:
  parts: {{ sql: "SELECT n, {part} AS part FROM numbers", on_error: dead_letter }}
sinks:
  web: {{ from: parts, type: http, url: "http://127.0.0.1:{port}/" }}
dead_letters: {{ type: file, path: dead/ }}
checkpoint: {{ every: 1ms }}
"#
        )
    };
    let folder = Folder::with_pipeline(&pipeline("1 / (n - n)"));
    folder.write("in.jsonl", numbers(LETTERS as i64));
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    folder.write("pipeline.yaml", pipeline("n"));
    let noted = || -> usize {
        let Ok(files) = std::fs::read_dir(folder.file(".riverhook/killed/replayed")) else { return 0 };
        let texts = files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok());
        texts.map(|text| text.lines().filter(|line| line.len() == 32).count()).sum()
    };
    let replay = folder.start(&["replay", "pipeline.yaml"]);
    eventually("some are durable", || noted() > 0);
    // Only one at a time.
    folder.run(&["replay", "pipeline.yaml"]).expect(1).says("another `riverhook replay`");
    replay.signal("KILL");
    drop(replay);
    let (done, sent) = (noted(), bodies.lock().unwrap().join("\n").matches("\"part\"").count());
    assert!(done < LETTERS, "it was killed in the middle");
    let left = format!("{},{:03}", (LETTERS - done) / 1000, (LETTERS - done) % 1000);
    let left = left.trim_start_matches("0,").trim_start_matches('0').to_owned();
    let ran = folder.run(&["replay", "pipeline.yaml"]).expect(0);
    ran.says(&format!("replayed {left} letters of `parts`"));
    let mut times: BTreeMap<i64, usize> = BTreeMap::new();
    for body in &*bodies.lock().unwrap() {
        for number in body.split("\"n\":").skip(1) {
            let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
            *times.entry(digits.parse().unwrap()).or_default() += 1;
        }
    }
    assert_eq!(times.len(), LETTERS, "all were delivered");
    let repeated: usize = times.values().map(|times| times - 1).sum();
    // A request that was under way when it was killed may be counted late.
    assert!(repeated <= sent - done + 5, "{repeated} repeated, but {done} of {sent} were noted");
    assert_eq!(noted(), LETTERS);
}
