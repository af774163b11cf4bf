//! Figures with their targets and the ceilings beside them, as one table in Markdown that is also readable as it is.

use std::fmt::Write;

/// Several measurements of one thing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    /// # Panics
    /// If nothing was measured.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[0], values[values.len() - 1]);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Self { median, low, high }
    }

    /// The median and, where there are several, the least and the greatest.
    pub(crate) fn show(&self, unit: &str) -> String {
        let text = format!("{} {unit}", number(self.median)).trim_end().to_owned();
        if self.low < self.high { format!("{text} ({}–{})", number(self.low), number(self.high)) } else { text }
    }
}

/// What a figure must be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn show(self, figure: f64) -> String {
        let (met, text) = match self {
            Self::AtLeast(bound) => (figure >= bound, format!("≥ {}", number(bound))),
            Self::AtMost(bound) => (figure <= bound, format!("≤ {}", number(bound))),
        };
        format!("{text} {}", if met { "✓" } else { "✗" })
    }
}

/// One figure.
pub(crate) struct Row {
    what: String,
    figure: String,
    value: f64,
    target: String,
    beside: String,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, spread: Spread, unit: &str) -> Self {
        let (what, figure) = (what.into(), spread.show(unit));
        Self { what, figure, value: spread.median, target: String::new(), beside: String::new() }
    }

    /// One that was not measured, and why.
    pub(crate) fn missing(what: impl Into<String>, why: &str) -> Self {
        let (what, figure) = (what.into(), "–".to_owned());
        Self { what, figure, value: f64::NAN, target: String::new(), beside: why.to_owned() }
    }

    /// What the figure must be, which decides the mark beside it.
    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = target.show(self.value);
        self
    }

    /// The ceiling, measured in the same run.
    pub(crate) fn beside(mut self, text: impl Into<String>) -> Self {
        self.beside = text.into();
        self
    }
}

/// The table, every column as wide as its widest cell.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let heading = ["what", "measured", "target", "beside it, in the same run"].map(str::to_owned);
    let cells = rows.iter().map(|row| [&row.what, &row.figure, &row.target, &row.beside].map(String::clone));
    let lines: Vec<[String; 4]> = std::iter::once(heading).chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        for (cell, width) in line.iter().zip(widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
        if index == 0 {
            for width in widths {
                let _ = write!(text, "|{:-<1$}", "", width + 2);
            }
            text.push_str("|\n");
        }
    }
    text
}

/// A number with three digits or so, thousands apart.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => {
            let digits = format!("{value:.0}");
            let places = digits.len();
            let spaced = |(place, digit): (usize, char)| {
                let gap = place > 0 && (places - place).is_multiple_of(3);
                [gap.then_some(','), Some(digit)].into_iter().flatten().collect::<String>()
            };
            digits.chars().enumerate().map(spaced).collect()
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, Spread, Target, markdown, number};

    #[test]
    fn numbers_are_short_and_thousands_apart() {
        let shown = [0.1234, 12.34, 123.4, 1234.5, 1_234_567.0].map(number);
        assert_eq!(shown, ["0.12", "12.3", "123", "1,234", "1,234,567"]);
    }

    #[test]
    fn a_median_is_the_middle_and_a_mark_follows_the_target() {
        let even = Spread::of(vec![4.0, 1.0, 2.0, 3.0]);
        assert_eq!(even.show("ms"), "2.50 ms (1.00–4.00)");
        let rows = [
            Row::new("a", even, "ms").target(Target::AtMost(2.0)).beside("b"),
            Row::new("c", Spread::of(vec![3.0]), "").target(Target::AtLeast(2.0)),
        ];
        let table = markdown(&rows);
        assert!(table.contains("| a    | 2.50 ms (1.00–4.00) | ≤ 2.00 ✗ | b "), "{table}");
        assert!(table.contains("| c    | 3.00                | ≥ 2.00 ✓ |"), "{table}");
    }
}
