//! Functions that loop, grow, fork, hang, crash or lie harm the record that is to blame. All the while another function
//! of the same pipeline goes on at its speed, and health checks are answered on time.

#![cfg(target_os = "linux")]
#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]

#[path = "../../../udf/tests/support/guest.rs"]
#[allow(dead_code, reason = "each test program uses a part of it")]
mod guest;
#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use guest::{SAME_BATCH, with_process};
use serde_json::{Value, json};
use support::{Background, Folder, ask, eventually, free_port, get};

/// How long a call of a hostile function may take, and how long its process may take to start.
const LIMIT: Duration = Duration::from_secs(2);
/// How long the good function is measured alone.
const ALONE: Duration = Duration::from_secs(2);
/// What a health check may take; one in a hundred may wait for the machine.
const HEALTHY: Duration = Duration::from_millis(100);

fn udf_tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../udf/tests").canonicalize().unwrap()
}

/// A pipeline with a good function and a hostile one, each behind a server of its own.
struct Scene {
    folder: Folder,
    engine: Background,
    good: u16,
    bad: u16,
    health: u16,
}

impl Scene {
    /// `hostile` is the rest of the hostile function's settings.
    fn start(hostile: &str, guest: Option<Vec<u8>>) -> Self {
        let (good, bad, health) = (free_port(), free_port(), free_port());
        let echo = udf_tests().join("guests/echo.wasm");
        let folder = Folder::with_pipeline(&format!(
            r#"
name: hostile
server: {{ listen: "127.0.0.1:{health}" }}
sources:
  good: {{ type: http, listen: "127.0.0.1:{good}", reply: mapped, schema: {{ n: int64! }} }}
  bad:
    type: http
    listen: "127.0.0.1:{bad}"
    reply: harmed
    reply_timeout: 60s
    schema: {{ n: int64!, do: string, bytes: int64 }}
functions:
  good: {{ wasm: {} }}
  hostile: {{ {hostile}, timeout: {}s, retries: {{ attempts: 1 }} }}
transforms:
  mapped: {{ from: good, call: good }}
  harmed: {{ from: bad, call: hostile, on_error: dead_letter }}
dead_letters: {{ type: file, path: dead/ }}
"#,
            json!(echo),
            LIMIT.as_secs(),
        ));
        if let Some(guest) = guest {
            folder.write("guest.wasm", guest);
        }
        let engine = folder.start(&["run", "pipeline.yaml"]);
        eventually("the good function answers", || {
            ask(good, "POST /", "{\"n\":1}").is_some_and(|(status, _)| status == 200)
        });
        eventually("the hostile one's server listens", || ask(bad, "GET /", "").is_some());
        Self { folder, engine, good, bad, health }
    }

    /// What becomes of one record of the hostile function: the status, and the error's code.
    fn harm(&self, record: &Value) -> (u16, Option<String>) {
        let answered = ask(self.bad, "POST /", &record.to_string());
        let (status, answer) = answered.unwrap_or_else(|| panic!("no answer to {record}"));
        let body: Value =
            answer.split("\r\n\r\n").nth(1).and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        (status, body["error"]["code"].as_str().map(str::to_owned))
    }

    /// Does `work`, which is hostile, and checks that nothing else of the pipeline suffers.
    fn beside(&self, work: impl FnOnce()) {
        let alone = self.calls_of_the_good_one(&AtomicBool::new(false), Some(ALONE));
        let done = AtomicBool::new(false);
        let (beside, health) = std::thread::scope(|scope| {
            let good = scope.spawn(|| self.calls_of_the_good_one(&done, None));
            let health = scope.spawn(|| self.health_checks(&done));
            // Whatever it does, the others end.
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            done.store(true, Ordering::SeqCst);
            outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (good.join().unwrap(), health.join().unwrap())
        });
        let told = format!("alone {alone:?}, beside the hostile one {beside:?}; health checks {health:?}");
        println!("{told}");
        // Of two cores a loop takes one, and a fork bomb both until it is stopped. Whoever waited for hostile calls would
        // wait most of the time.
        assert!(beside.a_second > alone.a_second / 4.0 && beside.longest < LIMIT * 2, "{told}");
        assert!(health.most < HEALTHY && health.longest < LIMIT * 2, "{told}");
    }

    fn calls_of_the_good_one(&self, done: &AtomicBool, within: Option<Duration>) -> Pace {
        Pace::of(done, within, Duration::ZERO, || {
            assert_eq!(ask(self.good, "POST /", "{\"n\":7}").map(|(status, _)| status), Some(200));
        })
    }

    fn health_checks(&self, done: &AtomicBool) -> Pace {
        Pace::of(done, None, Duration::from_millis(5), || {
            for page in ["/healthz", "/readyz"] {
                assert_eq!(get(self.health, page).map(|(status, _)| status), Some(200), "{page}");
            }
        })
    }

    /// Stops it, and returns the letters.
    fn stop(self) -> Vec<Value> {
        self.engine.signal("TERM");
        self.engine.wait(Duration::from_secs(20)).expect(0);
        self.folder.rows("dead")
    }
}

/// How fast something went on, again and again.
#[derive(Debug)]
struct Pace {
    a_second: f64,
    /// What 99 of 100 took at most.
    most: Duration,
    longest: Duration,
}

impl Pace {
    fn of(done: &AtomicBool, within: Option<Duration>, pause: Duration, mut once: impl FnMut()) -> Self {
        let begun = Instant::now();
        let mut times = Vec::new();
        while !done.load(Ordering::SeqCst) && within.is_none_or(|within| begun.elapsed() < within) {
            let one = Instant::now();
            once();
            times.push(one.elapsed());
            std::thread::sleep(pause);
        }
        let a_second = times.len() as f64 / begun.elapsed().as_secs_f64();
        times.sort();
        assert!(!times.is_empty(), "not once");
        Self { a_second, most: times[times.len() * 99 / 100], longest: times[times.len() - 1] }
    }
}

/// One at a time: each measures beside its own hostile function, not those of the others.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    // The failure of one test says nothing of the next.
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_hostile_process_harms_its_own_record_alone() {
    let _alone = alone();
    let handler = udf_tests().join("handlers");
    let scene = Scene::start(
        &format!(
            "process: [python3, -S, hostile.py], working_dir: {}, payload: records, memory: 64MiB, \
             output: {{ n: int64! }}, init_timeout: 30s, concurrency: 1",
            json!(handler)
        ),
        None,
    );
    let harms: [(Value, &[&str]); 9] = [
        (json!({"do": "loop"}), &["Sandbox.Timedout"]),
        (json!({"do": "grow"}), &["Runtime.OutOfMemory"]),
        // Which of its limits a bomb meets first is a matter of the machine.
        (json!({"do": "fork_bomb"}), &["Runtime.ExitError", "Runtime.OutOfMemory", "Sandbox.Timedout"]),
        (json!({"do": "exit"}), &["Runtime.ExitError"]),
        (json!({"do": "bad_answer"}), &["Function.InvalidResponse"]),
        (json!({"do": "large_in_parts", "bytes": 100 << 20}), &["Function.ResponseSizeTooLarge"]),
        (json!({"do": "cut_for_ever"}), &["Sandbox.Timedout"]),
        (json!({"do": "flood"}), &["Sandbox.Timedout"]),
        (json!({"do": "kill"}), &["Runtime.ExitError"]),
    ];
    scene.beside(|| {
        for (place, (harm, codes)) in harms.iter().enumerate() {
            let mut record = harm.clone();
            record["n"] = json!(place);
            let (status, code) = scene.harm(&record);
            assert!(status == 502 && codes.contains(&code.as_deref().unwrap_or("none")), "{record}: {status} {code:?}");
            assert_eq!(scene.harm(&json!({"n": 100})), (200, None), "the record after {record}");
        }
        // These harm nobody.
        assert_eq!(scene.harm(&json!({"n": 200, "do": "late_and_well"})), (200, None));
        assert_eq!(scene.harm(&json!({"n": 201, "do": "garbage"})).0, 204, "a text is no record");
    });
    let letters = scene.stop();
    let records: Vec<Value> =
        letters.iter().map(|letter| serde_json::from_str(letter["payload"].as_str().unwrap()).unwrap()).collect();
    let numbers: Vec<_> = records.iter().map(|record| record["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..harms.len() as u64).collect::<Vec<_>>(), "each once, and no other");
}

#[test]
fn a_process_that_hangs_while_it_starts_harms_its_own_records_alone() {
    let _alone = alone();
    let handler = udf_tests().join("handlers");
    let scene = Scene::start(
        &format!(
            "process: [python3, -S, hostile.py, hang], working_dir: {}, payload: records, output: {{ n: int64! }}, \
             init_timeout: 1s, concurrency: 1",
            json!(handler)
        ),
        None,
    );
    scene.beside(|| assert_eq!(scene.harm(&json!({"n": 1})), (502, Some("Sandbox.Timedout".to_owned()))));
    assert_eq!(scene.stop().len(), 1);
}

/// A guest that does this with the number of each row in local 0 of its own.
fn guest(body: &str) -> Vec<u8> {
    // The first row's number decides: calls have one row here.
    let number = "(i64.load (i32.load offset=8 (local.get $ptr)))";
    with_process(&format!("{} {SAME_BATCH}", body.replace("{number}", number)))
}

#[test]
fn a_hostile_guest_harms_its_own_record_alone() {
    let _alone = alone();
    // By the record's number: 1 loops, 2 grows for ever, 3 answers with an address outside of its memory, 4 traps.
    let body = "
        (if (i64.eq (i64.const 1) {number}) (then (loop $ever (br $ever))))
        (if (i64.eq (i64.const 2) {number}) (then
          (loop $ever (br_if $ever (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) (unreachable)))
        (if (i64.eq (i64.const 3) {number}) (then (return (i32.const 0x7ffffff0))))
        (if (i64.eq (i64.const 4) {number}) (then (unreachable)))";
    let scene = Scene::start("wasm: guest.wasm, memory: 16MiB, concurrency: 1", Some(guest(body)));
    let codes = ["Sandbox.Timedout", "Runtime.OutOfMemory", "Function.InvalidResponse", "Runtime.ExitError"];
    scene.beside(|| {
        for (place, code) in codes.iter().enumerate() {
            let (status, found) = scene.harm(&json!({"n": place + 1}));
            assert_eq!((status, found.as_deref()), (502, Some(*code)), "{}", place + 1);
            assert_eq!(scene.harm(&json!({"n": 100})), (200, None), "the record after {}", place + 1);
        }
    });
    assert_eq!(scene.stop().len(), codes.len());
}
