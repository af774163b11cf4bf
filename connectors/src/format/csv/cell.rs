//! Reads the text of one CSV field into the column it belongs to.

use std::{num::IntErrorKind, str::FromStr};

use base64::Engine;

use crate::format::{
    column::{Column, Values},
    json::{BASE64, Cursor, Fault, Read, ValueReader},
    scalar::{self, Misfit},
};

/// Appends the value that `text`, which is UTF-8, stands for. On a fault the column holds parts of it.
pub(crate) fn append(column: &mut Column, text: &[u8], at: usize) -> Read<()> {
    let trimmed = text.trim_ascii();
    let fits = match &mut column.values {
        Values::Bool(values) => boolean(trimmed).map(|value| values.append(value)),
        Values::Int8(values) => integer(trimmed).map(|value| values.push(value)),
        Values::Int16(values) => integer(trimmed).map(|value| values.push(value)),
        Values::Int32(values) => integer(trimmed).map(|value| values.push(value)),
        Values::Int64(values) => integer(trimmed).map(|value| values.push(value)),
        Values::UInt8(values) => integer(trimmed).map(|value| values.push(value)),
        Values::UInt16(values) => integer(trimmed).map(|value| values.push(value)),
        Values::UInt32(values) => integer(trimmed).map(|value| values.push(value)),
        Values::UInt64(values) => integer(trimmed).map(|value| values.push(value)),
        Values::Float32(values) => float(trimmed).map(|value| values.push(value)),
        Values::Float64(values) => float(trimmed).map(|value| values.push(value)),
        Values::Decimal { values, precision, scale } => {
            scalar::decimal(trimmed, *precision, *scale).map(|value| values.push(value))
        }
        Values::Date(values) => scalar::date(trimmed).map(|value| values.push(value)),
        Values::Timestamp { values, unit, zone } => {
            let value = scalar::timestamp(trimmed, *unit, *zone);
            // A bare number counts the column's unit. No timestamp is one, so the order does not matter.
            value
                .or_else(|misfit| {
                    integer(trimmed).map_err(|number| if number == Misfit::Range { number } else { misfit })
                })
                .map(|value| values.push(value))
        }
        Values::Text(bytes) => {
            bytes.data.extend_from_slice(text);
            bytes.end();
            Ok(())
        }
        Values::Binary(bytes) => {
            BASE64.decode_vec(trimmed, &mut bytes.data).map(|()| bytes.end()).map_err(|_| Misfit::Form)
        }
        Values::Json(_) | Values::List { .. } | Values::Map { .. } | Values::Struct(_) => {
            return nested(column, trimmed);
        }
    };
    fits.map_err(|misfit| unfit(column, misfit, at))?;
    column.push_valid();
    Ok(())
}

/// Lists, maps, structs and `json` stand as JSON in their field.
fn nested(column: &mut Column, text: &[u8]) -> Read<()> {
    let mut cursor = Cursor::new(text);
    ValueReader { coerce: false }.value(&mut cursor, column, 1)?;
    cursor.space();
    if cursor.is_done() { Ok(()) } else { Err(Fault::syntax(cursor.at(), "something follows the value")) }
}

fn boolean(text: &[u8]) -> Result<bool, Misfit> {
    if text.eq_ignore_ascii_case(b"true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case(b"false") {
        Ok(false)
    } else {
        Err(Misfit::Form)
    }
}

fn integer<T: FromStr<Err = std::num::ParseIntError>>(text: &[u8]) -> Result<T, Misfit> {
    let text = std::str::from_utf8(text).map_err(|_| Misfit::Form)?;
    text.parse().map_err(|error: std::num::ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Misfit::Range,
        _ => Misfit::Form,
    })
}

/// A float. Digits that lead beyond its largest do not fit; infinite it is only where that is written (`inf`, `Infinity`).
fn float<T: FromStr + Into<f64> + Copy>(text: &[u8]) -> Result<T, Misfit> {
    let value: T = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Misfit::Form)?;
    if value.into().is_infinite() && text.iter().any(u8::is_ascii_digit) { Err(Misfit::Range) } else { Ok(value) }
}

#[cold]
fn unfit(column: &Column, misfit: Misfit, at: usize) -> Box<Fault> {
    let wanted = crate::format::schema::type_text(column.field());
    match misfit {
        Misfit::Form => Fault::new("decode.csv.type", Some(at), format!("expected {wanted}")),
        Misfit::Range => Fault::new("decode.csv.range", Some(at), format!("the value does not fit {wanted}")),
    }
}
