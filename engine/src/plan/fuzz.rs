//! Any pipeline file is survived: planning it ends soon, in a plan or in reasons, whatever the file holds.
//!
//! `cargo xtask fuzz` looks for longer than a test run has time for.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use riverhook_config::{Diagnostics, FixedEnvironment};

use crate::cli::plan_of_file;

/// What a planned file may take; the slowest here takes a few milliseconds.
const LONGEST: Duration = Duration::from_secs(5);

/// Words with a meaning somewhere in the file or in SQL.
const WORDS: [&str; 40] = [
    "SELECT",
    "FROM",
    "WHERE",
    "clicks",
    "id",
    "user",
    "\"user\"",
    "ms",
    "ts",
    "tags",
    "(",
    ")",
    ",",
    "*",
    "CAST(",
    "AS",
    "int64",
    "UNION ALL",
    "unnest(tags)",
    "CASE WHEN",
    "END",
    "NULL",
    "'x'",
    "-9223372036854775808",
    "1e400",
    "now()",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "\n  ",
    "sources:",
    "view",
    "type: kafka",
    "format: csv",
    "list<struct<a: int64>>",
    "decimal(99,-1)",
    "${X}",
    "\0",
];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// The wrong files of the tests, and right ones: every construct is in one of them.
fn seeds() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> =
        fs::read_dir(root.join("tests/wrong")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.extend(
        ["clickstream-kafka", "server-metrics"].map(|name| root.join("../examples").join(name).join("pipeline.yaml")),
    );
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn mutate(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(12)).min(bytes.len());
        match random.below(4) {
            0 => drop(bytes.drain(at..end)),
            1 => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].bytes())),
            2 => drop(bytes.splice(at..end, WORDS[random.below(WORDS.len())].bytes())),
            _ => {
                let piece = bytes[at..end].repeat(1 + random.below(3));
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

#[test]
fn any_pipeline_file_is_planned_or_refused() {
    let seconds = std::env::var("RIVERHOOK_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs_f64(seconds.unwrap_or(0.5));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipeline.yaml");
    let (seeds, started) = (seeds(), Instant::now());
    let (mut runs, mut planned) = (0_u64, 0_u64);
    // On a busy machine until one was right: else the mutations destroy too much to reach what lies behind the parser.
    while started.elapsed() < time || planned == 0 {
        assert!(started.elapsed() < time + Duration::from_secs(30), "none of {runs} files was right");
        runs += 1;
        let mut random = Random(runs.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let bytes = mutate(&seeds[random.below(seeds.len())], &mut random);
        fs::write(&path, &bytes).unwrap();
        let begun = Instant::now();
        let survived = std::panic::catch_unwind(|| {
            let mut diagnostics = Diagnostics::new();
            let plan = plan_of_file(&path, &FixedEnvironment::new(), &mut diagnostics);
            assert_eq!(plan.is_none(), diagnostics.has_errors());
            diagnostics.render(false);
            plan.is_some()
        });
        let shown = String::from_utf8_lossy(&bytes);
        assert!(survived.is_ok(), "run {runs}:\n{shown}");
        assert!(begun.elapsed() < LONGEST, "run {runs} took {:?}:\n{shown}", begun.elapsed());
        planned += u64::from(survived.unwrap_or_default());
    }
    println!("{runs} files in {:?}, {planned} of them right", started.elapsed());
}
