//! Delivery at least once, on a real broker: the engine is killed at random moments and nothing is lost.

#![allow(unreachable_pub, clippy::unwrap_used, reason = "a test")]

mod broker;
mod replay;

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

const RECORDS: usize = 200_000;
const KEYS: usize = 1_000;
const PARTITIONS: i32 = 4;
const KILLS: usize = 10;

/// Ends the engine however the test ends.
struct Engine(Child);

impl Engine {
    fn start(file: &Path, working_dir: &Path) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(working_dir.join("engine.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_riverhook"));
        command.args(["run", "--quiet"]).arg(file).current_dir(working_dir);
        Self(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// SIGTERM; the exit code.
    fn stop(mut self) -> Option<i32> {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let patience = Instant::now();
        while patience.elapsed() < Duration::from_secs(40) {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the engine did not stop");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pipeline(folder: &Path, brokers: &str, name: &str) -> PathBuf {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../udf/tests/guests/echo.wasm");
    let text = format!(
        r#"
name: {name}
connections:
  main: {{ type: kafka, brokers: "{brokers}" }}
sources:
  numbers:
    connection: main
    topic: {name}.in
    start: earliest
    schema: {{ key: string!, n: int64!, note: string }}
functions:
  echo: {{ wasm: "{}", timeout: 5s }}
transforms:
  kept: {{ sql: "SELECT key, n, upper(note) AS note FROM numbers WHERE n >= 0" }}
  copied: {{ from: kept, call: echo }}
sinks:
  out: {{ from: copied, connection: main, topic: {name}.out, key: key }}
checkpoint: {{ every: 200ms }}
"#,
        guest.display()
    );
    let file = folder.join("pipeline.yaml");
    std::fs::write(&file, text).unwrap();
    file
}

fn key_of(n: usize) -> String {
    format!("k{}", n % KEYS)
}

/// Sends all records, a tenth of them at once and the rest over some seconds, so that kills meet a busy engine.
fn feed(brokers: &str, topic: &str) {
    let feed = broker::Feed::new(brokers);
    for n in 0..RECORDS {
        let key = key_of(n);
        feed.send(topic, &key, &format!(r#"{{"key":"{key}","n":{n},"note":"number {n}"}}"#));
        if n > RECORDS / 10 && n % 1_000 == 0 {
            std::thread::sleep(Duration::from_millis(80));
        }
    }
    feed.flush();
}

/// What arrived: how many records in all; panics if one is missing or a key's records first appear out of order.
fn verify(brokers: &str, topic: &str) -> usize {
    let mut seen: HashSet<usize> = HashSet::with_capacity(RECORDS);
    let mut newest: HashMap<String, usize> = HashMap::new();
    let mut partition_of: HashMap<String, i32> = HashMap::new();
    let mut all = 0;
    broker::read_all(brokers, topic, PARTITIONS, |partition, key, payload| {
        all += 1;
        let row: serde_json::Value = serde_json::from_slice(payload).unwrap();
        let n = usize::try_from(row["n"].as_u64().unwrap()).unwrap();
        let key = String::from_utf8(key.to_vec()).unwrap();
        assert_eq!(
            (row["key"].as_str(), row["note"].as_str()),
            (Some(key.as_str()), Some(format!("NUMBER {n}").as_str()))
        );
        assert_eq!(key, key_of(n));
        assert_eq!(*partition_of.entry(key.clone()).or_insert(partition), partition, "{key} is in two partitions");
        if seen.insert(n) {
            let before = newest.insert(key.clone(), n);
            assert!(before.is_none_or(|before| before < n), "{key}: {n} first appeared after {before:?}");
        }
    });
    let missing: Vec<usize> = (0..RECORDS).filter(|n| !seen.contains(n)).take(10).collect();
    assert!(missing.is_empty(), "lost: {missing:?} and perhaps more ({} of {RECORDS} arrived)", seen.len());
    all
}

#[test]
fn kafka_nothing_is_lost_through_ten_kills_and_a_second_process() {
    let Some(brokers) = broker::address("kafka_delivery") else { return };
    let name = format!("kills-{}", std::process::id());
    let (source, sink) = (format!("{name}.in"), format!("{name}.out"));
    broker::create_topic(&brokers, &source, PARTITIONS);
    broker::create_topic(&brokers, &sink, PARTITIONS);
    let folder = tempfile::tempdir().unwrap();
    let file = pipeline(folder.path(), &brokers, &name);
    let feeding = {
        let (brokers, source) = (brokers.clone(), source.clone());
        std::thread::spawn(move || feed(&brokers, &source))
    };
    let mut random = StdRng::seed_from_u64(7);
    let mut second = None;
    for kill in 0..KILLS {
        let engine = Engine::start(&file, folder.path());
        match kill {
            3 => second = Some(Engine::start(&file, folder.path())),
            6 => assert_eq!(second.take().map(Engine::stop), Some(Some(0)), "{}", log(folder.path())),
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(random.random_range(300..2_500)));
        engine.kill();
    }
    let engine = Engine::start(&file, folder.path());
    feeding.join().unwrap();
    let ends = broker::ends(&brokers, &source, PARTITIONS);
    let patience = Instant::now();
    while broker::committed(&brokers, &name, &source, PARTITIONS) != ends {
        assert!(
            patience.elapsed() < Duration::from_secs(90),
            "the offsets never reached the end: {:?} of {ends:?}\n{}",
            broker::committed(&brokers, &name, &source, PARTITIONS),
            log(folder.path())
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(engine.stop(), Some(0), "{}", log(folder.path()));
    let all = verify(&brokers, &sink);
    println!("{all} records arrived for {RECORDS}: {} twice", all - RECORDS);
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("engine.log")).unwrap_or_default()
}
