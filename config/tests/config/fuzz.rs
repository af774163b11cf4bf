//! Any bytes are survived: no panic, no hang, and always a reason where nothing is read.
//!
//! `RIVERHOOK_FUZZ_SECONDS=120 cargo test -p riverhook-config any_bytes` looks for longer than a test run has time for.

use std::time::{Duration, Instant};

use riverhook_config::{Diagnostics, FixedEnvironment, Kind, Node, Reading, Setting, SourceFile, parse};
use serde_json::Value;

use crate::Pipeline;

/// What mutations begin with: every construct that has code of its own.
const SEEDS: &[&str] = &[
    "name: clicks\nsources:\n  a: { topic: [x, 'y', \"z\\u00e9\\n\"], port: 1, start: latest }\n",
    "sources:\n  b:\n    topic: |2-\n      SELECT ${A:-b}\n        FROM t\n    group: >+\n      a\n\n      b\n    batch: {rows: 0x10}\n",
    "base: &b {k: &l [1, 2.5, ~, true]}\nname: !!str 5\nsources: {<<: [*b, {c: *l}], ? d : e}\n---\n...\n",
    "sources: {é: {topic: ${N}, connect_timeout: 5s, backoff: 1s..2s, ahead: 4MiB, password: ${file:f}}}\r\n",
    "sql: >\n  a\u{a0} b\u{2028}\u{3000}\n  c\u{85}\nsources: {\u{a0}: 'x\u{a0}\n  y'}\n",
    "%YAML 1.2\n--- # comment\n- - a\n  -\tb\n- ? k\n  : \"a\\\n    b\"\n- !<tag:yaml.org,2002:str> x\n",
];

/// Small and repeatable, as the seed is all that a failure has to tell.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

fn mutate(random: &mut Random) -> Vec<u8> {
    const SIGNS: &[u8] = b"{}[]:,-?&*!|>'\"%@`#\n\r\t \\$~<=.0aZ\xff\xc3\xef\xbb\xbf\0";
    let mut bytes = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
    for _ in 0..=random.below(12) {
        let at = random.below(bytes.len() + 1);
        match random.below(5) {
            0 if at < bytes.len() => bytes[at] = SIGNS[random.below(SIGNS.len())],
            1 => bytes.insert(at, SIGNS[random.below(SIGNS.len())]),
            2 => drop(bytes.drain(at..(at + random.below(6)).min(bytes.len()))),
            3 => {
                let from = random.below(bytes.len() + 1);
                let piece = bytes[from..(from + random.below(30)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                let other = SEEDS[random.below(SEEDS.len())].as_bytes();
                let from = random.below(other.len());
                bytes.splice(at..at, other[from..(from + random.below(40)).min(other.len())].iter().copied());
            }
        }
    }
    bytes
}

/// Everything this crate does with a file.
fn survive(bytes: Vec<u8>) {
    let mut diagnostics = Diagnostics::new();
    let Some(file) = SourceFile::from_bytes("fuzz.yaml", bytes, &mut diagnostics) else {
        return assert!(!diagnostics.render(false).is_empty());
    };
    let Some(root) = parse(&file, &mut diagnostics) else {
        return assert!(!diagnostics.render(true).is_empty());
    };
    visit(&root, &file);
    let environment = FixedEnvironment::new().with_var("N", "5").with_file("f", "x\n");
    let mut cx = Reading::new(&environment, &mut diagnostics);
    let read = Pipeline::read(&root, &mut cx).is_some();
    let free = Value::read(&root, &mut cx).is_some();
    assert!((read && free) || diagnostics.has_errors());
    assert_eq!(diagnostics.is_empty(), diagnostics.render(false).is_empty());
    diagnostics.to_json();
}

fn visit(node: &Node, file: &SourceFile) {
    let within = |place: riverhook_config::Span| assert!(file.text().get(place.range()).is_some(), "{place:?}");
    within(node.span);
    within(node.key_span);
    match &node.kind {
        Kind::Str(_) => (0..4).for_each(|at| within(node.place_in_text(at, at + 1))),
        Kind::List(items) => items.iter().for_each(|item| visit(item, file)),
        Kind::Map(entries) => entries.iter().for_each(|entry| visit(&entry.value, file)),
        _ => {}
    }
}

#[test]
fn any_bytes_are_survived() {
    let seconds = std::env::var("RIVERHOOK_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let started = Instant::now();
    let mut runs = 0_u64;
    loop {
        let enough = match seconds {
            Some(seconds) => started.elapsed() >= Duration::from_secs(seconds),
            None => runs == 5_000,
        };
        if enough {
            break;
        }
        runs += 1;
        let bytes = mutate(&mut Random(runs.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let survived = std::panic::catch_unwind(|| survive(bytes));
        assert!(survived.is_ok(), "run {runs}: {shown:?}");
    }
    println!("{runs} runs in {:?}", started.elapsed());
}
