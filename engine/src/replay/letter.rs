//! A dead letter as it is read back: what running its record again takes.
//!
//! Letters of older versions lack columns; what is no letter at all is told apart.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array, cast::AsArray};
use arrow_cast::cast;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use riverhook_connectors::position::Position;
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3Default;

use crate::run::letter_schema;

/// Tells a letter from all others.
pub type LetterId = u128;

/// A dead letter.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Its name, the same wherever it is copied to.
    pub id: LetterId,
    /// The pipeline that wrote it.
    pub pipeline: String,
    /// The node that failed.
    pub node: String,
    /// Where in the pipeline that was.
    pub stage: String,
    /// What the failure is called.
    pub code: String,
    /// When it was: microseconds since 1970-01-01 UTC.
    pub time: i64,
    /// The source of the record.
    pub source: String,
    /// The record's partition.
    pub partition: String,
    /// The record's position, where it is known.
    pub position: Option<Position>,
    /// The record's key.
    pub key: Option<Vec<u8>>,
    /// What the node was given.
    pub payload: Option<Vec<u8>>,
    /// Whether `payload` is only the beginning.
    pub is_cut: bool,
    /// The hash of all of a payload that was cut.
    pub sha256: Option<String>,
    /// The record's headers, as JSON.
    pub headers: Option<String>,
    /// The node whose rows the failed one was given.
    pub input: Option<String>,
    /// The header that the record was decoded with.
    pub header: Option<String>,
    /// The metadata columns that the record was decoded with, as JSON.
    pub metadata: Option<String>,
}

/// The letters in these rows, one a row; nothing for a row that is no letter.
pub(super) fn letters_of(rows: &RecordBatch) -> Vec<Option<Letter>> {
    let columns = Columns::of(rows);
    (0..rows.num_rows()).map(|row| columns.letter(row)).collect()
}

/// The columns of letters, those that are not there empty.
struct Columns {
    texts: Vec<(String, StringArray)>,
    times: TimestampMicrosecondArray,
    bytes: UInt64Array,
}

impl Columns {
    fn of(rows: &RecordBatch) -> Self {
        let schema = letter_schema();
        let column = |name: &str| -> ArrayRef {
            let data_type = schema.field_with_name(name).expect("asked for by the schema's own names").data_type();
            let found = rows.column_by_name(name).and_then(|column| cast(column, data_type).ok());
            found.unwrap_or_else(|| arrow_array::new_null_array(data_type, rows.num_rows()))
        };
        let texts = schema.fields().iter().filter_map(|field| {
            let text = column(field.name());
            Some((field.name().clone(), text.as_string_opt::<i32>()?.clone()))
        });
        Self {
            texts: texts.collect(),
            times: column("time").as_primitive().clone(),
            bytes: column("payload_bytes").as_primitive().clone(),
        }
    }

    fn text(&self, name: &str, row: usize) -> Option<String> {
        let (_, column) = self.texts.iter().find(|(column, _)| column == name)?;
        (!column.is_null(row)).then(|| column.value(row).to_owned())
    }

    fn bytes(&self, name: &str, encoding: Option<&str>, row: usize) -> Result<Option<Vec<u8>>, base64::DecodeError> {
        let Some(text) = self.text(name, row) else { return Ok(None) };
        if encoding == Some("base64") { BASE64.decode(text).map(Some) } else { Ok(Some(text.into_bytes())) }
    }

    fn letter(&self, row: usize) -> Option<Letter> {
        let encoding = self.text("payload_encoding", row)?;
        let payload = self.bytes("payload", Some(&encoding), row).ok()?;
        let key = self.bytes("key", self.text("key_encoding", row).as_deref(), row).ok()?;
        let position = match self.text("position", row) {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        let whole = if self.bytes.is_null(row) { 0 } else { self.bytes.value(row) };
        let kept = payload.as_ref().map_or(0, Vec::len) as u64;
        Some(Letter {
            id: self
                .text("id", row)
                .and_then(|id| Uuid::parse_str(&id).ok())
                .map_or_else(|| self.hash(row), |id| id.as_u128()),
            pipeline: self.text("pipeline", row)?,
            node: self.text("node", row)?,
            stage: self.text("stage", row)?,
            code: self.text("error_code", row)?,
            time: (!self.times.is_null(row)).then(|| self.times.value(row))?,
            source: self.text("source", row)?,
            partition: self.text("partition", row)?,
            position,
            key,
            payload,
            is_cut: whole > kept,
            sha256: self.text("payload_sha256", row),
            headers: self.text("headers", row),
            input: self.text("input", row),
            header: self.text("header", row),
            metadata: self.text("metadata", row),
        })
    }

    /// The name of a letter that has none: a hash of what it says.
    fn hash(&self, row: usize) -> LetterId {
        let mut hash = Xxh3Default::new();
        for (name, column) in &self.texts {
            if !column.is_null(row) {
                hash.update(name.as_bytes());
                hash.update(&(column.value(row).len() as u64).to_le_bytes());
                hash.update(column.value(row).as_bytes());
            }
        }
        hash.update(&self.times.value(row).to_le_bytes());
        hash.digest128()
    }
}

/// The columns of letters that these have, in the letters' types.
pub(super) fn known_columns(schema: &arrow_schema::Schema) -> arrow_schema::SchemaRef {
    let known = schema.fields().iter().filter(|field| letter_schema().field_with_name(field.name()).is_ok());
    Arc::new(arrow_schema::Schema::new(known.cloned().collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::rows_from_json;

    fn letter(text: &str) -> Option<Letter> {
        let value = serde_json::from_str(text).unwrap();
        letters_of(&rows_from_json(&[value], &letter_schema(), "letters").unwrap()).pop().unwrap()
    }

    const OLD: &str = r#"{"pipeline":"p","node":"n","stage":"decode","error_code":"c","error_message":"m","attempts":1,
        "time":"2026-01-31T12:00:00Z","source":"s","partition":"f","position":"7","payload":"gICA","payload_encoding":"base64",
        "payload_bytes":3}"#;

    #[test]
    fn letters_without_a_name_are_named_by_what_they_say() {
        let (one, same) = (letter(OLD).unwrap(), letter(OLD).unwrap());
        assert_eq!((one.id, one.payload.as_deref()), (same.id, Some(&[128u8, 128, 128][..])));
        assert!(!one.is_cut && one.position == Some(Position::Offset(7)));
        assert_ne!(letter(&OLD.replace("\"7\"", "\"8\"")).unwrap().id, one.id);
        assert!(letter(&OLD.replace("\"payload_bytes\":3", "\"payload_bytes\":4")).unwrap().is_cut);
        assert!(letter(&OLD.replace("gICA", "?")).is_none(), "not base64");
    }
}
