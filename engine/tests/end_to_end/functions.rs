//! A function that crashes, hangs or talks nonsense harms the record that is to blame, and no other.

use crate::{
    guest::{SAME_BATCH, with_process},
    support::Folder,
};

/// 27 rows in batches of 10, 10 and 7.
const PIPELINE: &str = r#"
name: functions
batch: { rows: 10 }
sources:
  numbers: { type: file, path: in.jsonl, schema: { n: int64! } }
functions:
  guest: { wasm: guest.wasm, memory: 4MiB, timeout: 200ms }
transforms:
  called: { from: numbers, call: guest, on_error: dead_letter }
sinks:
  out: { from: called, type: file, path: out/ }
dead_letters: { type: file, path: dead/ }
"#;

/// Runs a guest that does this with each batch in which the number 23 is; the rows that arrived, and what the letters say.
fn with_the_poison(body: &str) -> (Vec<i64>, Vec<(String, i64)>) {
    let folder = Folder::with_pipeline(PIPELINE);
    let process = format!(
        "(block $end (loop $next
            (br_if $end (i32.ge_u (local.get $i) (local.get $rows)))
            (if (i64.eq (i64.const 23) (i64.load (i32.add
                (i32.load offset=8 (local.get $ptr)) (i32.shl (local.get $i) (i32.const 3)))))
              (then {body}))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
        {SAME_BATCH}"
    );
    folder.write("guest.wasm", with_process(&process));
    let lines: String = (0..27).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    folder.write("in.jsonl", lines);
    folder.run(&["run", "pipeline.yaml"]).expect(0);
    let rows = folder.rows("out").iter().map(|row| row["n"].as_i64().unwrap()).collect();
    let letters = folder.rows("dead");
    let said = letters.iter().map(|letter| {
        assert_eq!((&letter["stage"], &letter["function"]), (&"function".into(), &"guest".into()), "{letter}");
        assert!(letter["version"].as_str().is_some_and(|version| version.len() >= 8), "{letter}");
        let row: serde_json::Value = serde_json::from_str(letter["payload"].as_str().unwrap()).unwrap();
        (letter["error_code"].as_str().unwrap().to_owned(), row["n"].as_i64().unwrap())
    });
    (rows, said.collect())
}

fn only_the_poison_fails(body: &str, code: &str) {
    let (rows, letters) = with_the_poison(body);
    assert_eq!(rows, (0..27).filter(|n| *n != 23).collect::<Vec<_>>(), "{letters:?}");
    assert_eq!(letters, [(code.to_owned(), 23)]);
}

#[test]
fn a_guest_that_is_well_hurts_nothing() {
    assert_eq!(with_the_poison(""), ((0..27).collect(), vec![]));
}

#[test]
fn a_trap_fails_its_record_alone() {
    only_the_poison_fails("(unreachable)", "Runtime.ExitError");
}

#[test]
fn an_endless_loop_fails_its_record_alone() {
    only_the_poison_fails("(loop $ever (br $ever))", "Sandbox.Timedout");
}

#[test]
fn an_answer_out_of_bounds_fails_its_record_alone() {
    only_the_poison_fails("(return (i32.const 0x7ffffff0))", "Function.InvalidResponse");
}

#[test]
fn more_rows_than_there_are_buffers_for_fail_the_record_alone() {
    let body = format!(
        "(drop (block (result i32) {SAME_BATCH})) (i32.store (i32.const 68) (i32.const 1000000)) (return (i32.const 64))"
    );
    only_the_poison_fails(&body, "Function.InvalidResponse");
}

#[test]
fn a_module_that_is_none_is_said_before_anything_runs() {
    let folder = Folder::with_pipeline(PIPELINE);
    folder.write("guest.wasm", b"\0asm but not really");
    folder.write("in.jsonl", "{\"n\":1}\n");
    folder.run(&["run", "pipeline.yaml"]).expect(2).says("guest.wasm").says("pipeline.yaml:7:");
    assert!(!folder.file("out").exists());
}
