//! Rows that were expected against rows that came, and the differences in words.

use arrow_cast::parse::string_to_timestamp_nanos;
use serde_json::{Map, Value};

/// The most differences told of one node.
const SHOWN: usize = 10;

/// The rows of one node.
pub(super) struct Comparison<'a> {
    pub(super) node: &'a str,
    pub(super) expected: &'a [Value],
    pub(super) found: &'a [Value],
    pub(super) unordered: bool,
    pub(super) partial: bool,
}

impl Comparison<'_> {
    /// What is different, a few lines each; nothing if the rows are as expected.
    pub(super) fn differences(&self) -> Vec<String> {
        // With a row too many or too few, comparing by place would blame every row behind it.
        let mut differences =
            if self.unordered || self.expected.len() != self.found.len() { self.by_content() } else { self.by_place() };
        let more = differences.len().saturating_sub(SHOWN);
        if more > 0 {
            differences.truncate(SHOWN);
            differences.push(format!("`{}`: and {more} more differences", self.node));
        }
        differences
    }

    fn by_place(&self) -> Vec<String> {
        let rows = self.expected.iter().zip(self.found).enumerate();
        rows.filter(|(_, (expected, found))| !same(expected, found, self.partial))
            .map(|(row, (expected, found))| self.row(row, expected, found))
            .collect()
    }

    fn by_content(&self) -> Vec<String> {
        let mut left: Vec<Option<(usize, &Value)>> = self.found.iter().enumerate().map(Some).collect();
        let mut differences = Vec::new();
        for (row, expected) in self.expected.iter().enumerate() {
            let fits = |slot: &&mut Option<(usize, &Value)>| {
                slot.is_some_and(|(_, found)| same(expected, found, self.partial))
            };
            match left.iter_mut().find(fits) {
                Some(slot) => *slot = None,
                None => differences.push(format!("`{}`: expected row {} did not come: {expected}", self.node, row + 1)),
            }
        }
        let counts = |(row, found): (usize, &Value)| {
            format!("`{}`: row {} was not expected: {}", self.node, row + 1, without_nulls(found))
        };
        differences.extend(left.into_iter().flatten().map(counts));
        if self.expected.len() != self.found.len() {
            let (expected, found) = (self.expected.len(), self.found.len());
            differences.insert(0, format!("`{}`: expected {}, found {found}", self.node, rows(expected)));
        }
        differences
    }

    /// The columns in which a row is different.
    fn row(&self, row: usize, expected: &Value, found: &Value) -> String {
        let mut text = format!("`{}` row {}:", self.node, row + 1);
        let (Value::Object(expected), Value::Object(found)) = (expected, found) else { return text };
        for column in columns(expected, found, self.partial) {
            let (wanted, came) = (value(expected, column), value(found, column));
            if same(wanted, came, self.partial) {
                continue;
            }
            let unknown = if found.contains_key(column) { "" } else { " (there is no such column)" };
            text.push_str(&format!("\n  {column}{unknown}\n    expected {wanted}\n    found    {came}"));
        }
        text
    }
}

fn rows(count: usize) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

fn value<'a>(row: &'a Map<String, Value>, column: &str) -> &'a Value {
    row.get(column).unwrap_or(&Value::Null)
}

/// The keys to look at: those of both, or only the expected ones.
fn columns<'a>(expected: &'a Map<String, Value>, found: &'a Map<String, Value>, partial: bool) -> Vec<&'a str> {
    let extra = found.keys().filter(|key| !partial && !expected.contains_key(*key));
    expected.keys().chain(extra).map(String::as_str).collect()
}

/// A row that is shown whole, without the columns that say nothing.
fn without_nulls(row: &Value) -> Value {
    match row {
        Value::Object(columns) => {
            let told = columns.iter().filter(|(_, value)| !value.is_null());
            Value::Object(told.map(|(name, value)| (name.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}

/// Whether a value is what was expected. A key that is missing is null; numbers are equal by value, times by instant.
fn same(expected: &Value, found: &Value, partial: bool) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => columns(expected, found, partial)
            .into_iter()
            .all(|column| same(value(expected, column), value(found, column), partial)),
        (Value::Array(expected), Value::Array(found)) => {
            let mut pairs = expected.iter().zip(found);
            expected.len() == found.len() && pairs.all(|(expected, found)| same(expected, found, partial))
        }
        (Value::Number(one), Value::Number(other)) => one == other || same_number(one, other),
        (Value::String(one), Value::String(other)) => one == other || same_instant(one, other),
        _ => expected == found,
    }
}

fn same_number(one: &serde_json::Number, other: &serde_json::Number) -> bool {
    // Whole numbers are exact; fractions have been through text twice.
    if !one.is_f64() && !other.is_f64() {
        return false;
    }
    let (Some(one), Some(other)) = (one.as_f64(), other.as_f64()) else { return false };
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs())
}

/// Whether both are the same moment, written with more or fewer digits or in another zone.
fn same_instant(one: &str, other: &str) -> bool {
    let instant = |text: &str| text.contains('T').then(|| string_to_timestamp_nanos(text).ok()).flatten();
    instant(one).is_some_and(|one| instant(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use serde_json::json;

    use super::*;

    fn check(expected: Value, found: Value, unordered: bool, partial: bool, differences: Expect) {
        let rows = |value: &Value| value.as_array().unwrap().clone();
        let (expected, found) = (rows(&expected), rows(&found));
        let comparison = Comparison { node: "n", expected: &expected, found: &found, unordered, partial };
        differences.assert_eq(&comparison.differences().join("\n"));
    }

    #[test]
    fn equal_rows_have_no_differences() {
        check(
            json!([{"a": 1, "t": "2026-01-01T00:00:00Z", "f": 1.0, "s": {"x": 1}}]),
            json!([{"a": 1, "t": "2026-01-01T00:00:00.000Z", "f": 1, "s": {"x": 1, "y": null}, "n": null}]),
            false,
            false,
            expect![[""]],
        );
    }

    #[test]
    fn columns_that_differ_are_named_with_both_values() {
        check(
            json!([{"a": 1, "b": "x"}, {"a": 2, "typo": 1}]),
            json!([{"a": 1, "b": "y", "c": 7}, {"a": 2, "b": null, "c": null}]),
            false,
            false,
            expect![[r#"
                `n` row 1:
                  b
                    expected "x"
                    found    "y"
                  c
                    expected null
                    found    7
                `n` row 2:
                  typo (there is no such column)
                    expected 1
                    found    null"#]],
        );
    }

    #[test]
    fn a_row_too_few_does_not_blame_the_others() {
        check(
            json!([{"a": 1}, {"a": 3}]),
            json!([{"a": 1}, {"a": 2, "b": null}, {"a": 3}]),
            false,
            false,
            expect![[r#"
                `n`: expected 2 rows, found 3
                `n`: row 2 was not expected: {"a":2}"#]],
        );
    }

    #[test]
    fn order_and_other_columns_count_unless_told_otherwise() {
        let (expected, found) = (json!([{"a": 1}, {"a": 2}]), json!([{"a": 2, "b": 1}, {"a": 1, "b": 2}]));
        check(expected.clone(), found.clone(), true, true, expect![[""]]);
        let rows = |value: &Value| value.as_array().unwrap().clone();
        let (expected, found) = (rows(&expected), rows(&found));
        for (unordered, partial) in [(false, true), (true, false)] {
            let comparison = Comparison { node: "n", expected: &expected, found: &found, unordered, partial };
            assert!(!comparison.differences().is_empty());
        }
    }

    #[test]
    fn whole_numbers_are_exact() {
        assert!(!same(&json!(9_007_199_254_740_993_i64), &json!(9_007_199_254_740_992_i64), false));
        assert!(!same(&json!("1"), &json!(1), false));
        assert!(same(&json!(0.3), &json!(0.1 + 0.2), false));
        assert!(!same(&json!(0.3), &json!(0.300_001), false));
    }
}
