//! Settings with a unit: durations, ranges of durations and sizes. A bare number is refused, as nobody can tell what
//! it counts.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use crate::node::Kind;
use crate::reading::Scalar;
use crate::{Diagnostic, Node, Reading, Setting, Shape};

/// Units of time and their milliseconds, the largest first.
const DURATION_UNITS: &[(&str, u64)] =
    &[("d", 24 * 60 * 60 * 1000), ("h", 60 * 60 * 1000), ("m", 60 * 1000), ("s", 1000), ("ms", 1)];

/// Units of size and their bytes, the largest first.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1000),
    ("KB", 1000),
    ("B", 1),
];

/// The pattern a duration matches, for JSON Schema.
pub(crate) const DURATION_PATTERN: &str = "^[0-9]+(ms|s|m|h|d)$";
/// The pattern a range of durations matches.
pub(crate) const DURATION_RANGE_PATTERN: &str = r"^[0-9]+(ms|s|m|h|d)\.\.[0-9]+(ms|s|m|h|d)$";
/// The pattern a size matches.
pub(crate) const SIZE_PATTERN: &str = "^[0-9]+(B|kB|KB|KiB|MB|MiB|GB|GiB|TB|TiB)$";

const DURATION: &str = "a duration such as 5s, 100ms, 2m, 1h or 7d";
const DURATION_RANGE: &str = "two durations such as 100ms..5s";
const SIZE: &str = "a size such as 64MiB, 10MB or 512KiB";

impl Setting for Duration {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        let text = with_unit(node, cx, DURATION, &["ms", "s"])?;
        parse_duration(&text).or_else(|| refuse_unit(node, cx, DURATION, &text, DURATION_UNITS))
    }

    fn shape() -> Shape {
        Shape::Duration
    }

    fn written(&self) -> Option<Value> {
        Some(show_duration(*self).into())
    }
}

/// From one duration to another, as in `100ms..5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurationRange {
    /// The shortest.
    pub min: Duration,
    /// The longest; never below `min`.
    pub max: Duration,
}

impl Setting for DurationRange {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        let text = cx.text(node, DURATION_RANGE)?;
        let parsed = text.split_once("..").and_then(|(min, max)| {
            let (min, max) = (parse_duration(min)?, parse_duration(max)?);
            Some(Self { min, max })
        });
        match parsed {
            None => refuse(node, cx, DURATION_RANGE),
            Some(range) if range.min > range.max => refuse(node, cx, "the shorter duration first"),
            found => found,
        }
    }

    fn shape() -> Shape {
        Shape::DurationRange
    }

    fn written(&self) -> Option<Value> {
        Some(format!("{}..{}", show_duration(self.min), show_duration(self.max)).into())
    }
}

/// A number of bytes, as in `64MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// So many times 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many times 1024 × 1024 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// So many times 1024 × 1024 × 1024 bytes.
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// The bytes as a length in memory; the greatest length if they are more.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = SIZE_UNITS.iter().find(|(_, bytes)| self.0 > 0 && self.0.is_multiple_of(*bytes));
        let (unit, bytes) = whole.copied().unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / bytes)
    }
}

impl Setting for ByteSize {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        let text = with_unit(node, cx, SIZE, &["B", "MiB"])?;
        let bytes = parse_quantity(&text, SIZE_UNITS);
        bytes.map(Self).or_else(|| refuse_unit(node, cx, SIZE, &text, SIZE_UNITS))
    }

    fn shape() -> Shape {
        Shape::Size
    }

    fn written(&self) -> Option<Value> {
        Some(self.to_string().into())
    }
}

/// The text of a quantity. A bare number is refused with the forms it could have meant.
fn with_unit(node: &Node, cx: &mut Reading<'_>, expected: &str, units: &[&str; 2]) -> Option<String> {
    match cx.typed_scalar(node)? {
        Scalar::Text(text) | Scalar::Given(text) => Some(text),
        Scalar::Int(_) | Scalar::Float(_) => {
            let wrong = node.error("this number has no unit").expected(expected.to_string());
            cx.push(suggest_unit(wrong, node, units));
            None
        }
        _ => {
            cx.wrong_kind(node, expected);
            None
        }
    }
}

fn suggest_unit(wrong: Diagnostic, node: &Node, units: &[&str; 2]) -> Diagnostic {
    match node.kind {
        Kind::Int(number) if number >= 0 => {
            let [small, large] = units;
            wrong.help(format!("write `{number}{small}` or `{number}{large}`"))
        }
        _ => wrong,
    }
}

fn refuse<T>(node: &Node, cx: &mut Reading<'_>, expected: &str) -> Option<T> {
    cx.wrong_value(node, expected);
    None
}

/// Refuses with the form that differs only by spaces or by the case of its letters, if there is one. What came from the
/// environment is not repeated.
fn refuse_unit<T>(node: &Node, cx: &mut Reading<'_>, expected: &str, text: &str, units: &[(&str, u64)]) -> Option<T> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let (number, unit) = compact.split_at(compact.find(|c: char| !c.is_ascii_digit()).unwrap_or(compact.len()));
    let meant = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let written = matches!(&node.kind, Kind::Str(raw) if !raw.contains("${"));
    match meant {
        Some((unit, _)) if written && !number.is_empty() && format!("{number}{unit}") != text => {
            let wrong = node.error("this unit is not known").expected(expected);
            cx.push(wrong.did_you_mean(Some(&format!("{number}{unit}"))));
            None
        }
        _ => refuse(node, cx, expected),
    }
}

/// A duration as files and command lines write it, such as `5s` or `100ms`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    parse_quantity(text, DURATION_UNITS).map(Duration::from_millis)
}

/// Digits and a unit with nothing between them; nothing if it is not that, or too much for 64 bits.
fn parse_quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A duration as a file would write it: in the largest unit that leaves no fraction.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let whole = DURATION_UNITS.iter().find(|(_, factor)| millis > 0 && millis.is_multiple_of(u128::from(*factor)));
    let (unit, factor) = whole.copied().unwrap_or(("s", 1000));
    format!("{}{unit}", millis / u128::from(factor))
}
