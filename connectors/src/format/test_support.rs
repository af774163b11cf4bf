//! What the formats' tests share: payloads, schemas, readable results, and seeded randomness.

use std::{sync::Arc, time::Duration};

use arrow_array::{Array, BinaryArray};
use arrow_schema::{Field, Schema, SchemaRef};

use super::{Decoded, Decoder, Encoded, Encoder, json::JsonEncoder, schema::parse_type};
use crate::{
    batch::{Input, Payloads, Rows},
    position::{Partition, Position},
};

/// Payloads of one partition.
pub(super) fn payloads<T: AsRef<[u8]>>(messages: &[T]) -> Payloads {
    optional_payloads(&messages.iter().map(Some).collect::<Vec<_>>())
}

/// Payloads of one partition, of which some have no value.
pub(super) fn optional_payloads<T: AsRef<[u8]>>(messages: &[Option<T>]) -> Payloads {
    let input = Input {
        source: "source".into(),
        partition: Partition::new("source-0"),
        positions: (0..messages.len() as u64).map(Position::Offset).collect(),
        keys: None,
        headers: None,
        times: None,
        read_at: 0,
    };
    Payloads { values: BinaryArray::from_iter(messages), metadata: vec![], input: Arc::new(input) }
}

/// A schema of columns and their types.
pub(super) fn schema(columns: &[(&str, &str)]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(|(name, text)| parse_type(name, text).unwrap()).collect();
    Arc::new(Schema::new(fields))
}

/// For each message its row as JSON, or its failure as `code: message`.
pub(super) fn results(decoder: &mut dyn Decoder, payloads: &Payloads) -> Vec<String> {
    let Decoded { records, rows, failed } = decoder.decode(payloads);
    let count = payloads.values.len();
    assert_eq!(records.num_rows() + failed.len(), count, "one row or one failure a message");
    let mut results = vec![String::new(); count];
    for failure in &failed {
        results[failure.row as usize] = format!("{}: {}", failure.code, failure.message);
    }
    assert_eq!(rows == Rows::Same, failed.is_empty());
    let mut out = Encoded::default();
    JsonEncoder::new(&records.schema()).unwrap().encode(&records, &mut out);
    for row in 0..records.num_rows() {
        let message = &mut results[rows.record(row).unwrap()];
        assert!(message.is_empty(), "a message is a row or a failure, and once");
        *message = String::from_utf8(out.row(row).to_vec()).unwrap();
    }
    results
}

/// Seeded numbers (SplitMix64).
pub(super) struct Random(pub(super) u64);

impl Random {
    /// Any number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// One of `choices`.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// `sample` with a few bytes changed: flipped, removed, doubled, replaced by syntax, cut off, or joined with itself.
pub(super) fn mutate(random: &mut Random, sample: &[u8], syntax: &[&[u8]]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(9)).min(bytes.len());
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => drop(bytes.splice(at..end, random.pick(syntax).iter().copied())),
            4 => drop(bytes.splice(at..at, random.pick(syntax).iter().copied())),
            5 => bytes.truncate(at),
            6 => bytes.extend_from_slice(sample),
            _ => {}
        }
    }
    bytes
}

/// How long a fuzz test runs: `RIVERHOOK_FUZZ_SECONDS`, or a moment.
pub(super) fn fuzz_time() -> Duration {
    let seconds = std::env::var("RIVERHOOK_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(0.5))
}

/// Asserts that a bad message changes nothing for its neighbours: all of `messages` together give what each gives alone.
pub(super) fn assert_alone(make: &dyn Fn() -> Box<dyn Decoder>, messages: &[Vec<u8>]) -> Vec<String> {
    let together = results(make().as_mut(), &payloads(messages));
    for (message, result) in messages.iter().zip(&together) {
        let alone = results(make().as_mut(), &payloads(&[message]));
        assert_eq!(&alone[0], result, "alone and among others: {:?}", String::from_utf8_lossy(message));
    }
    together
}
