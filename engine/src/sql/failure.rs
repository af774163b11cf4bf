//! What is said of a row on which an expression failed: never the row's values, which may be private.

use arrow_schema::ArrowError;
use datafusion::common::DataFusionError;

use super::words::in_our_types;

/// The error in the words of the pipeline file.
pub(super) fn describe(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => match &**error {
            ArrowError::DivideByZero => "division by zero".to_owned(),
            ArrowError::ArithmeticOverflow(_) => OVERFLOW.to_owned(),
            ArrowError::CastError(text) => cast(text),
            ArrowError::ParseError(text) | ArrowError::ComputeError(text) | ArrowError::InvalidArgumentError(text) => {
                if text.contains("declared as non-nullable") {
                    "an argument that must not be null is null".to_owned()
                } else if text.contains("verflow") {
                    OVERFLOW.to_owned()
                } else {
                    masked(text)
                }
            }
            other => masked(&other.to_string()),
        },
        root => {
            let text = root.strip_backtrace();
            let text = text.lines().next().unwrap_or_default();
            masked(text.strip_prefix("Execution error: ").unwrap_or(text))
        }
    }
}

const OVERFLOW: &str = "the result is too large for its type";

/// Arrow says `Cannot cast string 'x' to value of Int64 type`, `Can't cast value 300 to type Int8` and the like.
fn cast(text: &str) -> String {
    let target = text.rsplit_once(" to ").map(|(_, target)| target.split(". ").next().unwrap_or(target));
    let target = target.map(|target| target.trim_start_matches("value of ").trim_start_matches("type "));
    match target.map(|target| target.trim_end_matches(" type")) {
        // Nothing that a value could have got into.
        Some(target) if target.starts_with(char::is_uppercase) && !target.contains(['\'', '"']) => {
            format!("a value cannot be cast to {}", in_our_types(target))
        }
        _ => "a value cannot be cast to the type that is asked for".to_owned(),
    }
}

/// The text without what stands in quotes and without numbers.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit() || ['\'', '"', '`'].contains(&c)) {
        out.push_str(&rest[..at]);
        let found = rest.as_bytes()[at];
        let behind = &rest[at + 1..];
        let end = if found.is_ascii_digit() {
            behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len())
        } else {
            // The last one: a value may hold quotes itself.
            behind.rfind(char::from(found)).map_or(behind.len(), |end| end + 1)
        };
        out.push('…');
        rest = &behind[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: ArrowError, said: &str) {
        assert_eq!(describe(&DataFusionError::ArrowError(Box::new(error), None)), said);
    }

    #[test]
    fn values_are_never_told() {
        let cast = |text: &str| ArrowError::CastError(text.to_owned());
        check(cast("Cannot cast string 'se to cret' to value of Int64 type"), "a value cannot be cast to int64");
        check(cast("Cannot cast string 'x to Y' to value of Int64"), "a value cannot be cast to int64");
        check(cast("Can't cast value 300 to type Int8"), "a value cannot be cast to int8");
        check(cast("Cannot cast to Decimal128(5, 2). Overflowing on 12345"), "a value cannot be cast to decimal(5, 2)");
        check(cast("odd 'a' to 'b"), "a value cannot be cast to the type that is asked for");
        check(ArrowError::DivideByZero, "division by zero");
        check(ArrowError::ArithmeticOverflow("Overflow happened on: 77 + 1".into()), OVERFLOW);
        check(
            ArrowError::ParseError("Error parsing timestamp from 'it's 5': error parsing date".into()),
            "Error parsing timestamp from …: error parsing date",
        );
        let execution = DataFusionError::Execution("regex \"a(\" of 123 is bad".into());
        assert_eq!(describe(&execution), "regex … of … is bad");
    }
}
