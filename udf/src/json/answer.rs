//! What an answer says: nothing, records, or which records failed.
//!
//! An answer is read in one pass, without a tree of its values: an array is cut into its elements' texts. Its size was
//! checked before. What is wrong with it is told by place, never with its text, which may hold what rows hold.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::codec::JsonRows;
use crate::contract::{CallError, CallErrorKind};

/// An answer. Texts are as they came.
#[derive(Debug)]
pub(super) enum Answer<'a> {
    /// Empty or null: success without output.
    Nothing,
    /// An array; its elements are in the buffer that was handed in.
    Records,
    /// An object with `batchItemFailures`, whose value this is.
    Failures(&'a RawValue),
    /// Any other object.
    Object(&'a str),
    /// A text, a number or a boolean.
    Scalar(&'a str),
}

/// Reads an answer; an array's elements go to `records`, which is empty.
pub(super) fn read<'a>(answer: &'a [u8], records: &mut JsonRows) -> Result<Answer<'a>, CallError> {
    let answer = std::str::from_utf8(answer).map_err(|_| invalid("its answer is not UTF-8"))?;
    let answer = answer.trim_matches([' ', '\t', '\r', '\n']);
    match answer.as_bytes().first() {
        None => Ok(Answer::Nothing),
        Some(b'[') => split(answer, records).map(|()| Answer::Records).map_err(|error| not_json(&error)),
        Some(b'{') => {
            let object: Object<'a> = serde_json::from_str(answer).map_err(|error| not_json(&error))?;
            Ok(object.failures.map_or(Answer::Object(answer), Answer::Failures))
        }
        Some(_) => {
            let value: &RawValue = serde_json::from_str(answer).map_err(|error| not_json(&error))?;
            Ok(if value.get() == "null" { Answer::Nothing } else { Answer::Scalar(value.get()) })
        }
    }
}

/// An answer that is not what the contract says.
pub(super) fn invalid(problem: impl Into<String>) -> CallError {
    CallError::new(CallErrorKind::InvalidResponse, problem)
}

/// serde_json's own messages may quote the text, so only the place is told.
fn not_json(error: &serde_json::Error) -> CallError {
    let (line, column) = (error.line(), error.column());
    let what = if error.is_eof() { "ends too early" } else { "is not valid" };
    invalid(format!("its answer is not JSON: it {what} at line {line}, column {column}"))
}

/// Of an object, only whether it names failures.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow, default, rename = "batchItemFailures", deserialize_with = "present")]
    failures: Option<&'a RawValue>,
}

/// A value that is there, be it null.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn split(array: &str, records: &mut JsonRows) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(array);
    deserializer.deserialize_seq(Elements(records))?;
    deserializer.end()
}

/// Takes each element's text.
struct Elements<'r>(&'r mut JsonRows);

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<&RawValue>()? {
            self.0.push(element.get().as_bytes());
        }
        Ok(())
    }
}
