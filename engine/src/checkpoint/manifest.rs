//! The manifest: what a checkpoint is, as bytes.

use std::collections::BTreeMap;

use riverhook_connectors::position::{Partition, Positions};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The format this version writes. It reads this one only; a newer one is refused, never guessed at.
pub const FORMAT_VERSION: u32 = 1;

/// How far each source was read when everything before was durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Counts from 1; 0 before the first.
    pub number: u64,
    /// The pipeline it belongs to.
    pub pipeline: String,
    /// When it was written: microseconds since 1970-01-01 UTC.
    pub created: i64,
    /// By source.
    pub positions: BTreeMap<String, Positions>,
}

/// The JSON form: positions as text, so that kinds of positions to come fit in.
#[derive(Serialize, Deserialize)]
struct Body {
    version: u32,
    pipeline: String,
    number: u64,
    created_us: i64,
    positions: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    /// xxh3 of the body's bytes, in hexadecimal: a cut or altered file is found.
    checksum: String,
    body: Box<serde_json::value::RawValue>,
}

impl Manifest {
    pub(super) fn empty(pipeline: &str) -> Self {
        Self { number: 0, pipeline: pipeline.to_owned(), created: 0, positions: BTreeMap::new() }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let as_text = |positions: &Positions| {
            positions.iter().map(|(partition, position)| (partition.to_string(), position.to_string())).collect()
        };
        let body = Body {
            version: FORMAT_VERSION,
            pipeline: self.pipeline.clone(),
            number: self.number,
            created_us: self.created,
            positions: self.positions.iter().map(|(source, positions)| (source.clone(), as_text(positions))).collect(),
        };
        let body = serde_json::value::to_raw_value(&body).expect("maps of strings have a JSON form");
        let checksum = checksum(&body);
        serde_json::to_vec(&Envelope { checksum, body }).expect("maps of strings have a JSON form")
    }

    pub(super) fn from_bytes(number: u64, bytes: &[u8]) -> Result<Self, String> {
        let damaged =
            |why: String| format!("manifest {number} is damaged ({why}); remove it to go on from the one before");
        let envelope: Envelope = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if checksum(&envelope.body) != envelope.checksum {
            return Err(damaged("its checksum does not match".into()));
        }
        let version: Version = serde_json::from_str(envelope.body.get()).map_err(|error| damaged(error.to_string()))?;
        if version.version != FORMAT_VERSION {
            let version = version.version;
            return Err(format!(
                "manifest {number} has format {version}, this version reads format {FORMAT_VERSION}: run the version that wrote it"
            ));
        }
        let body: Body = serde_json::from_str(envelope.body.get()).map_err(|error| damaged(error.to_string()))?;
        if body.number != number {
            return Err(damaged(format!("it says it is number {}", body.number)));
        }
        let mut manifest =
            Self { number, pipeline: body.pipeline, created: body.created_us, positions: BTreeMap::new() };
        for (source, positions) in body.positions {
            let read = positions
                .into_iter()
                .map(|(partition, position)| Ok((Partition::new(partition), position.parse().map_err(damaged)?)));
            manifest.positions.insert(source, read.collect::<Result<Positions, String>>()?);
        }
        Ok(manifest)
    }
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn checksum(body: &serde_json::value::RawValue) -> String {
    format!("{:016x}", xxh3_64(body.get().as_bytes()))
}
