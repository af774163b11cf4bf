//! Reads one JSON value into the column it belongs to, and one object into a record.

use arrow_schema::TimeUnit;
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{
    fault::{Fault, Read},
    number::{Integer, Number},
    scan::{Cursor, Text},
};
use crate::format::{
    column::{Bytes, Column, Record, Values, end_elements},
    scalar::{self, Misfit},
    schema::type_text,
};

/// Base64 with or without the padding at its end.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How values are read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueReader {
    /// Whether numbers and booleans may stand in strings, strings be numbers, and whole numbers have a fraction of 0.
    pub(crate) coerce: bool,
}

impl ValueReader {
    /// Reads the object that begins here as the record's next row. `depth` brackets are open around it. On a fault the
    /// columns hold parts of it: the caller cuts them back.
    #[inline(always)]
    pub(crate) fn object(self, cursor: &mut Cursor<'_>, record: &mut Record, row: usize, depth: usize) -> Read<()> {
        cursor.check_depth(depth)?;
        let mut filled = 0;
        record.keys.begin();
        let mut more = cursor.open(b'}');
        while more {
            let column = record.keys.read(cursor)?;
            cursor.colon()?;
            match column {
                None => cursor.skip(depth)?,
                Some(column) => {
                    let column = &mut record.columns[column];
                    if column.len() > row {
                        // The same key again: the last one counts, as for most JSON libraries.
                        column.truncate(row);
                        filled -= 1;
                    }
                    self.value(cursor, column, depth).map_err(|fault| fault.in_field(column.field().name()))?;
                    filled += 1;
                }
            }
            more = cursor.more(b'}')?;
        }
        if filled < record.columns.len() { fill_missing(record, row) } else { Ok(()) }
    }

    /// Reads the value that begins here as the column's next.
    #[inline(always)]
    pub(crate) fn value(self, cursor: &mut Cursor<'_>, column: &mut Column, depth: usize) -> Read<()> {
        let first = cursor.peek();
        if first == b'n' {
            return null(cursor, column);
        }
        match &mut column.values {
            Values::Int64(values) => values.push(self.integer(cursor, first)?),
            Values::Text(bytes) => self.text(cursor, bytes, first)?,
            Values::Timestamp { values, unit, zone } => values.push(self.timestamp(cursor, first, *unit, *zone)?),
            _ => self.other(cursor, column, first, depth)?,
        }
        column.push_valid();
        Ok(())
    }

    /// [`value`](Self::value) for the less frequent types, kept apart so that the frequent ones stay in one small loop.
    #[inline(never)]
    fn other(self, cursor: &mut Cursor<'_>, column: &mut Column, first: u8, depth: usize) -> Read<()> {
        let row = column.len();
        match &mut column.values {
            Values::Bool(values) => values.append(self.boolean(cursor, first)?),
            Values::Int8(values) => values.push(self.integer(cursor, first)?),
            Values::Int16(values) => values.push(self.integer(cursor, first)?),
            Values::Int32(values) => values.push(self.integer(cursor, first)?),
            Values::Int64(values) => values.push(self.integer(cursor, first)?),
            Values::UInt8(values) => values.push(self.integer(cursor, first)?),
            Values::UInt16(values) => values.push(self.integer(cursor, first)?),
            Values::UInt32(values) => values.push(self.integer(cursor, first)?),
            Values::UInt64(values) => values.push(self.integer(cursor, first)?),
            Values::Float32(values) => {
                let at = cursor.at();
                let number = self.number(cursor, first, "float32")?;
                values.push(number.float32().ok_or_else(|| out_of_range(at, "float32"))?);
            }
            Values::Float64(values) => {
                let at = cursor.at();
                let number = self.number(cursor, first, "float64")?;
                values.push(number.float64().ok_or_else(|| out_of_range(at, "float64"))?);
            }
            Values::Decimal { values, precision, scale } => values.push(decimal(cursor, first, *precision, *scale)?),
            Values::Date(values) => values.push(date(cursor, first)?),
            Values::Timestamp { values, unit, zone } => values.push(self.timestamp(cursor, first, *unit, *zone)?),
            Values::Text(bytes) => self.text(cursor, bytes, first)?,
            Values::Json(bytes) => {
                let start = cursor.at();
                cursor.skip(depth)?;
                bytes.data.extend_from_slice(cursor.since(start));
                bytes.end();
            }
            Values::Binary(bytes) => binary(cursor, bytes, first)?,
            Values::List { ends, element } => {
                self.list(cursor, element, first, depth + 1)?;
                end_elements(ends, element.len());
            }
            Values::Map { ends, key, value } => {
                self.map(cursor, key, value, first, depth + 1)?;
                end_elements(ends, key.len());
            }
            Values::Struct(record) => {
                if first != b'{' {
                    return Err(mismatch(cursor, "an object"));
                }
                self.object(cursor, record, row, depth + 1)?;
            }
        }
        Ok(())
    }

    fn list(self, cursor: &mut Cursor<'_>, element: &mut Column, first: u8, depth: usize) -> Read<()> {
        if first != b'[' {
            return Err(mismatch(cursor, "a list"));
        }
        cursor.check_depth(depth)?;
        let mut index = 0;
        let mut more = cursor.open(b']');
        while more {
            self.value(cursor, element, depth).map_err(|fault| fault.in_element(index))?;
            index += 1;
            more = cursor.more(b']')?;
        }
        Ok(())
    }

    /// Entries stay as they come, also when a key comes twice.
    fn map(self, cursor: &mut Cursor<'_>, key: &mut Column, value: &mut Column, first: u8, depth: usize) -> Read<()> {
        if first != b'{' {
            return Err(mismatch(cursor, "an object"));
        }
        cursor.check_depth(depth)?;
        let mut more = cursor.open(b'}');
        while more {
            let text = cursor.key()?;
            if let Values::Text(bytes) = &mut key.values {
                text.append_to(&mut bytes.data)?;
                bytes.end();
                key.push_valid();
            }
            cursor.colon()?;
            self.value(cursor, value, depth).map_err(Fault::in_entry)?;
            more = cursor.more(b'}')?;
        }
        Ok(())
    }

    fn boolean(self, cursor: &mut Cursor<'_>, first: u8) -> Read<bool> {
        match first {
            b't' => cursor.literal("true").map(|()| true),
            b'f' => cursor.literal("false").map(|()| false),
            b'"' if self.coerce => {
                let at = cursor.at();
                match cursor.string()?.plain() {
                    Some(b"true") => Ok(true),
                    Some(b"false") => Ok(false),
                    _ => Err(Fault::wrong_type(at, "expected bool, found another string")),
                }
            }
            _ => Err(mismatch(cursor, "bool")),
        }
    }

    #[inline(always)]
    fn integer<T: Integer>(self, cursor: &mut Cursor<'_>, first: u8) -> Read<T> {
        let at = cursor.at();
        if !(b'-'..=b'9').contains(&first) {
            return self.odd_integer(cursor, first);
        }
        let number = cursor.number()?;
        if !number.is_integral() {
            return self.whole(number, at);
        }
        number.integer().ok_or_else(|| out_of_range(at, T::NAME))
    }

    /// A whole number that may stand in a string.
    #[cold]
    fn odd_integer<T: Integer>(self, cursor: &mut Cursor<'_>, first: u8) -> Read<T> {
        let at = cursor.at();
        let number = self.number(cursor, first, T::NAME)?;
        if number.is_integral() {
            number.integer().ok_or_else(|| out_of_range(at, T::NAME))
        } else {
            self.whole(number, at)
        }
    }

    /// A number with fraction or exponent where a whole one is wanted.
    #[cold]
    fn whole<T: Integer>(self, number: Number<'_>, at: usize) -> Read<T> {
        let fraction =
            || Fault::wrong_type(at, format!("expected {}, found a number with a fraction or exponent", T::NAME));
        if !self.coerce {
            return Err(fraction());
        }
        let exact = scalar::decimal(number.text().as_bytes(), 20, 0).map_err(|_| fraction())?;
        let magnitude = u64::try_from(exact.unsigned_abs()).map_err(|_| out_of_range(at, T::NAME))?;
        T::from_parts(exact < 0, magnitude).ok_or_else(|| out_of_range(at, T::NAME))
    }

    /// A number, or with `coerce` a string that holds one.
    #[inline]
    fn number<'a>(self, cursor: &mut Cursor<'a>, first: u8, wanted: &'static str) -> Read<Number<'a>> {
        match first {
            b'-' | b'0'..=b'9' => cursor.number(),
            b'"' if self.coerce => {
                let at = cursor.at();
                let text = cursor.string()?;
                let number =
                    text.plain().and_then(|text| Number::read(text).ok().filter(|(_, length)| *length == text.len()));
                number.map(|(number, _)| number).ok_or_else(|| {
                    Fault::wrong_type(at, format!("expected {wanted}, found a string that is no number"))
                })
            }
            _ => Err(mismatch(cursor, wanted)),
        }
    }

    #[inline(always)]
    fn text(self, cursor: &mut Cursor<'_>, bytes: &mut Bytes, first: u8) -> Read<()> {
        if first == b'"' {
            cursor.string()?.append_to(&mut bytes.data)?;
        } else {
            self.odd_text(cursor, bytes, first)?;
        }
        bytes.end();
        Ok(())
    }

    #[cold]
    fn odd_text(self, cursor: &mut Cursor<'_>, bytes: &mut Bytes, first: u8) -> Read<()> {
        if !self.coerce || matches!(first, b'{' | b'[') {
            return Err(mismatch(cursor, "string"));
        }
        let start = cursor.at();
        cursor.skip(0)?;
        bytes.data.extend_from_slice(cursor.since(start));
        Ok(())
    }

    #[inline(always)]
    fn timestamp(
        self,
        cursor: &mut Cursor<'_>,
        first: u8,
        unit: TimeUnit,
        zone: Option<arrow_array::timezone::Tz>,
    ) -> Read<i64> {
        if first != b'"' {
            let at = cursor.at();
            if !matches!(first, b'-' | b'0'..=b'9') {
                return Err(mismatch(cursor, "a timestamp"));
            }
            let number = cursor.number()?;
            return if number.is_integral() {
                number.integer().ok_or_else(|| out_of_range(at, "timestamp"))
            } else {
                self.whole(number, at)
            };
        }
        let text = cursor.string()?;
        let misfit = match text.plain().map_or(Err(Misfit::Form), |text| scalar::timestamp(text, unit, zone)) {
            Ok(value) => return Ok(value),
            Err(misfit) => misfit,
        };
        // A number in a string is the column's unit, too, where numbers may stand in strings.
        if self.coerce
            && let Some((number, length)) = text.plain().and_then(|text| Number::read(text).ok())
            && number.is_integral()
            && Some(length) == text.plain().map(<[u8]>::len)
            && let Some(value) = number.integer()
        {
            return Ok(value);
        }
        Err(unfit(misfit, text, "a timestamp such as 2024-05-01T12:00:00Z, or a number in the column's unit"))
    }
}

/// Nulls for the columns whose keys did not come.
#[inline(never)]
fn fill_missing(record: &mut Record, row: usize) -> Read<()> {
    for column in &mut record.columns {
        if column.len() > row {
            continue;
        }
        if !column.field().is_nullable() {
            let fault =
                Fault::missing(format!("the field is missing, and its type is `{}`", type_text(column.field())));
            return Err(fault.in_field(column.field().name()));
        }
        column.push_null();
    }
    Ok(())
}

fn null(cursor: &mut Cursor<'_>, column: &mut Column) -> Read<()> {
    cursor.literal("null")?;
    if !column.field().is_nullable() {
        return Err(Fault::missing(format!("the field is null, and its type is `{}`", type_text(column.field()))));
    }
    column.push_null();
    Ok(())
}

fn decimal(cursor: &mut Cursor<'_>, first: u8, precision: u8, scale: i8) -> Read<i128> {
    let at = cursor.at();
    let text = match first {
        b'-' | b'0'..=b'9' => cursor.number()?.text().as_bytes(),
        b'"' => cursor.string()?.plain().unwrap_or_default(),
        _ => return Err(mismatch(cursor, "decimal")),
    };
    scalar::decimal(text, precision, scale).map_err(|misfit| match misfit {
        Misfit::Form => Fault::wrong_type(at, "expected decimal, found a string that is no number"),
        Misfit::Range => Fault::range(at, format!("the number does not fit decimal({precision},{scale}) exactly")),
    })
}

fn date(cursor: &mut Cursor<'_>, first: u8) -> Read<i32> {
    if first != b'"' {
        return Err(mismatch(cursor, "a date such as \"2024-05-01\""));
    }
    let text = cursor.string()?;
    let days = text.plain().map_or(Err(Misfit::Form), scalar::date);
    days.map_err(|misfit| unfit(misfit, text, "a date such as 2024-05-01"))
}

fn binary(cursor: &mut Cursor<'_>, bytes: &mut Bytes, first: u8) -> Read<()> {
    if first != b'"' {
        return Err(mismatch(cursor, "bytes as a base64 string"));
    }
    let text = cursor.string()?;
    let mut plain = Vec::new();
    let encoded = match text.plain() {
        Some(encoded) => encoded,
        // `\/` is how some encoders write base64's slash.
        None => {
            text.append_to(&mut plain)?;
            &plain
        }
    };
    BASE64.decode_vec(encoded, &mut bytes.data).map_err(|_| unfit(Misfit::Form, text, "base64"))?;
    bytes.end();
    Ok(())
}

/// The error for a string that is not what the column wants.
#[cold]
fn unfit(misfit: Misfit, text: Text<'_>, wanted: &str) -> Box<Fault> {
    match misfit {
        Misfit::Form => Fault::wrong_type(text.at(), format!("expected {wanted}, found another string")),
        Misfit::Range => Fault::range(text.at(), "the time is outside of the column's range"),
    }
}

#[cold]
fn out_of_range(at: usize, wanted: &'static str) -> Box<Fault> {
    Fault::range(at, format!("the number does not fit {wanted}"))
}

/// The error for a value of the wrong kind; a syntax error if there is no value at all.
#[cold]
fn mismatch(cursor: &Cursor<'_>, wanted: &'static str) -> Box<Fault> {
    let mut rest = cursor.clone();
    if let Err(fault) = rest.skip(0) {
        return fault;
    }
    let found = match cursor.peek() {
        b'"' => "a string",
        b'{' => "an object",
        b'[' => "a list",
        b't' | b'f' => "a boolean",
        _ => "a number",
    };
    Fault::wrong_type(cursor.at(), format!("expected {wanted}, found {found}"))
}
