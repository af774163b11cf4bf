//! Values to text, the same in every text format: what `scalar` and the JSON reader take back.

use arrow_schema::TimeUnit;
use base64::{Engine, engine::general_purpose::STANDARD};
use lexical_core::{FormattedSize, ToLexical};

use super::scalar::per_second;

/// Room for any number's text.
const NUMBER: usize = 64;

/// Appends a number: the shortest text that reads back as the same.
#[inline(always)]
pub(crate) fn number<N: ToLexical + FormattedSize>(value: N, out: &mut Vec<u8>) {
    const { assert!(N::FORMATTED_SIZE_DECIMAL <= NUMBER, "the buffer must hold every number") };
    let mut buffer = [0; NUMBER];
    out.extend_from_slice(lexical_core::write(value, &mut buffer));
}

/// Appends a decimal with all digits of its scale.
pub(crate) fn decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let mut buffer = [0; NUMBER];
    let digits = lexical_core::write(value.unsigned_abs(), &mut buffer);
    let Ok(fraction) = usize::try_from(scale) else {
        // A negative scale counts zeros before the point.
        out.extend_from_slice(digits);
        if value != 0 {
            out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
        }
        return;
    };
    let whole = digits.len().saturating_sub(fraction);
    out.extend_from_slice(if whole == 0 { b"0" } else { &digits[..whole] });
    if fraction > 0 {
        out.push(b'.');
        out.extend(std::iter::repeat_n(b'0', fraction.saturating_sub(digits.len())));
        out.extend_from_slice(&digits[whole..]);
    }
}

/// Appends `YYYY-MM-DD`; years beyond four digits get a sign, as ISO 8601 has it.
pub(crate) fn date(days: i32, out: &mut Vec<u8>) {
    let (year, month, day) = civil(i64::from(days));
    if (0..10_000).contains(&year) {
        two(year / 100, out);
        two(year % 100, out);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        let digits = format!("{:06}", year.unsigned_abs());
        out.extend_from_slice(digits.as_bytes());
    }
    out.push(b'-');
    two(month, out);
    out.push(b'-');
    two(day, out);
}

/// Appends RFC 3339 in UTC, with as many digits of the second as the unit has. `false`, with rubbish appended, if the
/// year has not four digits.
pub(crate) fn timestamp(value: i64, unit: TimeUnit, out: &mut Vec<u8>) -> bool {
    let per_second = per_second(unit);
    let (seconds, fraction) = (value.div_euclid(per_second), value.rem_euclid(per_second));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // 0000-01-01 to 9999-12-31.
    if !(-719_528..=2_932_896).contains(&days) {
        return false;
    }
    date(i32::try_from(days).expect("four digits of a year are few days"), out);
    out.push(b'T');
    two(second / 3_600, out);
    out.push(b':');
    two(second / 60 % 60, out);
    out.push(b':');
    two(second % 60, out);
    if per_second > 1 {
        out.push(b'.');
        let mut place = per_second / 10;
        while place > 0 {
            out.push(digit(fraction / place % 10));
            place /= 10;
        }
    }
    out.push(b'Z');
    true
}

/// Appends base64 with padding.
pub(crate) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    STANDARD.encode_slice(bytes, &mut out[start..]).expect("base64 turns three bytes into four");
}

fn two(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[digit(value / 10), digit(value % 10)]);
}

fn digit(value: i64) -> u8 {
    b'0' + u8::try_from(value).expect("a digit is below ten")
}

/// Year, month and day, `days` after 1970-01-01. Counted from 0000-03-01, so that the leap day is a year's last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = year + era * 400 + i64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, day)
}
