//! Text to dates, timestamps and decimals, the same in every text format. Allocates nothing.

use arrow_array::timezone::Tz;
use arrow_schema::TimeUnit;
use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};

/// Why a text is not a value of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// It is not written like one.
    Form,
    /// It is, but the column cannot hold it exactly, or at all.
    Range,
}

/// Units of `unit` in a second.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(crate) fn date(text: &[u8]) -> Result<i32, Misfit> {
    let (days, rest) = leading_date(text)?;
    if rest.is_empty() { Ok(days) } else { Err(Misfit::Form) }
}

/// `unit`s since 1970-01-01 UTC of an RFC 3339 timestamp; a space may stand for the `T`. Without an offset it is local
/// time in `zone`, or UTC if there is none. What is finer than the unit is cut off.
pub(crate) fn timestamp(text: &[u8], unit: TimeUnit, zone: Option<Tz>) -> Result<i64, Misfit> {
    let (days, rest) = leading_date(text)?;
    let [b'T' | b't' | b' ', h1, h0, b':', m1, m0, b':', s1, s0, rest @ ..] = rest else { return Err(Misfit::Form) };
    let (hour, minute, second) = (two(*h1, *h0)?, two(*m1, *m0)?, two(*s1, *s0)?);
    // 60 is a leap second, which counts as the next minute's first.
    if hour > 23 || minute > 59 || second > 60 {
        return Err(Misfit::Form);
    }
    let (nanos, rest) = fraction(rest)?;
    let local = i64::from(days) * 86_400 + hour * 3_600 + minute * 60 + second;
    let seconds = match offset(rest)? {
        Some(offset) => local - offset,
        None => zone.map_or(Ok(local), |zone| in_zone(local, zone))?,
    };
    let per_second = per_second(unit);
    seconds
        .checked_mul(per_second)
        .and_then(|units| units.checked_add(nanos / (1_000_000_000 / per_second)))
        .ok_or(Misfit::Range)
}

/// The date that `text` begins with, as days since 1970-01-01, and what follows it.
fn leading_date(text: &[u8]) -> Result<(i32, &[u8]), Misfit> {
    let [y3, y2, y1, y0, b'-', m1, m0, b'-', d1, d0, rest @ ..] = text else { return Err(Misfit::Form) };
    let year = two(*y3, *y2)? * 100 + two(*y1, *y0)?;
    let (month, day) = (two(*m1, *m0)?, two(*d1, *d0)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return Err(Misfit::Form);
    }
    // Counted from 0000-03-01, so that the leap day is a year's last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day - 1;
    let days = i32::try_from(days - 719_468).expect("four digits of a year are few days");
    Ok((days, rest))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn two(tens: u8, ones: u8) -> Result<i64, Misfit> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens < 10 && ones < 10 { Ok(i64::from(tens * 10 + ones)) } else { Err(Misfit::Form) }
}

/// A fraction of a second in nanoseconds, if there is one, and what follows it.
fn fraction(text: &[u8]) -> Result<(i64, &[u8]), Misfit> {
    let Some(digits) = text.strip_prefix(b".") else { return Ok((0, text)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return Err(Misfit::Form);
    }
    let nanos = (0..9).fold(0, |nanos, i| nanos * 10 + if i < length { i64::from(digits[i] - b'0') } else { 0 });
    Ok((nanos, &digits[length..]))
}

/// Seconds east of UTC, if the text names them.
fn offset(text: &[u8]) -> Result<Option<i64>, Misfit> {
    match text {
        [] => Ok(None),
        b"Z" | b"z" => Ok(Some(0)),
        [sign @ (b'+' | b'-'), h1, h0, b':', m1, m0] | [sign @ (b'+' | b'-'), h1, h0, m1, m0] => {
            let (hours, minutes) = (two(*h1, *h0)?, two(*m1, *m0)?);
            if hours > 23 || minutes > 59 {
                return Err(Misfit::Form);
            }
            let seconds = hours * 3_600 + minutes * 60;
            Ok(Some(if *sign == b'-' { -seconds } else { seconds }))
        }
        _ => Err(Misfit::Form),
    }
}

/// UTC seconds of local ones. Of two candidates, when clocks are set back, the earlier; a time that was skipped when
/// they were set forward is read with the offset before it.
fn in_zone(local: i64, zone: Tz) -> Result<i64, Misfit> {
    let naive: NaiveDateTime = DateTime::from_timestamp(local, 0).ok_or(Misfit::Range)?.naive_utc();
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Ok(time.timestamp()),
        LocalResult::None => {
            let before = zone.offset_from_utc_datetime(&(naive - chrono::Duration::days(1)));
            Ok(local - i64::from(before.fix().local_minus_utc()))
        }
    }
}

/// The decimal number `text`, times ten to the `scale`. Exact: digits beyond the scale must be zero.
pub(crate) fn decimal(text: &[u8], precision: u8, scale: i8) -> Result<i128, Misfit> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (digits, power) = exponent(digits)?;
    let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    let (whole, fraction) = (&digits[..point], digits.get(point + 1..).unwrap_or_default());
    if whole.is_empty() && fraction.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(Misfit::Form);
    }
    // How many digits of whole and fraction together stand before the scaled point.
    let kept = i64::try_from(whole.len()).map_err(|_| Misfit::Range)? + i64::from(power) + i64::from(scale);
    let limit = 10i128.pow(u32::from(precision));
    let mut value = 0i128;
    let mut place = 0i64;
    for digit in whole.iter().chain(fraction).map(|byte| i128::from(byte - b'0')) {
        if place < kept {
            value = with_digit(value, digit, limit)?;
        } else if digit != 0 {
            return Err(Misfit::Range);
        }
        place += 1;
    }
    while value != 0 && place < kept {
        value = with_digit(value, 0, limit)?;
        place += 1;
    }
    Ok(if negative { -value } else { value })
}

/// `value` with one more digit, below `limit`. Checked, because ten times a number of 38 digits does not fit an `i128`.
fn with_digit(value: i128, digit: i128, limit: i128) -> Result<i128, Misfit> {
    let longer = value.checked_mul(10).and_then(|tens| tens.checked_add(digit));
    longer.filter(|value| *value < limit).ok_or(Misfit::Range)
}

/// Cuts `e±N` off.
fn exponent(text: &[u8]) -> Result<(&[u8], i32), Misfit> {
    let Some(at) = text.iter().position(|byte| matches!(byte, b'e' | b'E')) else { return Ok((text, 0)) };
    let power = std::str::from_utf8(&text[at + 1..]).map_err(|_| Misfit::Form)?;
    let power = power.strip_prefix('+').unwrap_or(power);
    if power.starts_with('+') {
        return Err(Misfit::Form);
    }
    Ok((&text[..at], power.parse().map_err(|_| Misfit::Form)?))
}
