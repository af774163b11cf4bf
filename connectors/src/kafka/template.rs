//! Keys and headers made of columns: `url`, or `{country}:{city}`.

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Schema};

/// A text with columns in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
}

impl Template {
    /// One column.
    pub(super) fn column(name: &str) -> Self {
        Self(vec![Part::Column(name.to_owned())])
    }

    /// A text with `{column}`s; `{{` and `}}` stand for the braces themselves.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let end = rest.find('}').filter(|_| brace == "{");
            let end = end
                .ok_or_else(|| format!("the `{brace}` has no partner; write `{brace}{brace}` for the brace itself"))?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Column(rest[..end].trim().to_owned()));
            rest = &rest[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// What is wrong with it for rows of this schema.
    pub(super) fn problems(&self, what: &str, schema: &Schema) -> Vec<String> {
        let columns = self.0.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name),
            Part::Text(_) => None,
        });
        let problem = |name: &String| match schema.field_with_name(name) {
            Ok(field) if field.data_type().is_nested() => {
                Some(format!("{what}: the column `{name}` is a {}, which cannot be written as text", field.data_type()))
            }
            Ok(_) => None,
            Err(_) => {
                let near = riverhook_config::nearest(name, schema.fields().iter().map(|field| field.name().as_str()));
                let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                Some(format!("{what}: there is no column `{name}`{hint}"))
            }
        };
        columns.filter_map(problem).collect()
    }

    /// Writes it for every row.
    ///
    /// # Panics
    /// If the columns were not [checked](Self::problems).
    pub(super) fn render(&self, records: &RecordBatch, out: &mut Rendered) {
        out.clear();
        let parts: Vec<_> = self.0.iter().map(|part| Bound::new(part, records)).collect();
        let single = matches!(self.0.as_slice(), [Part::Column(_)]);
        for row in 0..records.num_rows() {
            let some = parts.iter().fold(false, |some, part| part.append(row, &mut out.bytes) || some);
            out.ends.push((out.bytes.len(), some || !single));
        }
    }
}

/// A template's text for each row of a batch.
#[derive(Default)]
pub(super) struct Rendered {
    bytes: Vec<u8>,
    /// Where each row's text ends, and whether it is there at all.
    ends: Vec<(usize, bool)>,
}

impl Rendered {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// A row's text; `None` if the template is one column and that is null.
    pub(super) fn row(&self, row: usize) -> Option<&[u8]> {
        let (end, some) = self.ends[row];
        let start = if row == 0 { 0 } else { self.ends[row - 1].0 };
        some.then(|| &self.bytes[start..end])
    }

    /// Bytes of all rows.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// A part, ready to be written for the rows of one batch.
enum Bound<'a> {
    Text(&'a [u8]),
    Strings(&'a arrow_array::StringArray),
    Bytes(&'a arrow_array::BinaryArray),
    Other(&'a ArrayRef, ArrayFormatter<'a>),
}

const FORMAT: FormatOptions<'static> = FormatOptions::new();

impl<'a> Bound<'a> {
    fn new(part: &'a Part, records: &'a RecordBatch) -> Self {
        let name = match part {
            Part::Text(text) => return Self::Text(text.as_bytes()),
            Part::Column(name) => name,
        };
        let column = records.column_by_name(name).expect("the columns were checked when the sink was");
        match column.data_type() {
            DataType::Utf8 => Self::Strings(column.as_string()),
            DataType::Binary => Self::Bytes(column.as_binary()),
            _ => Self::Other(
                column,
                ArrayFormatter::try_new(column, &FORMAT).expect("types that are not nested have a text"),
            ),
        }
    }

    /// Appends a row's text; whether there was one.
    fn append(&self, row: usize, out: &mut Vec<u8>) -> bool {
        use std::io::Write as _;
        match self {
            Self::Text(text) => out.extend_from_slice(text),
            Self::Strings(column) if column.is_valid(row) => out.extend_from_slice(column.value(row).as_bytes()),
            Self::Bytes(column) if column.is_valid(row) => out.extend_from_slice(column.value(row)),
            Self::Other(column, format) if column.is_valid(row) => {
                // Writing to a vector cannot fail; a value that has no text is written as none.
                let _ = write!(out, "{}", format.value(row));
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray};

    use super::*;

    fn rows(template: &str) -> Vec<Option<String>> {
        let records = RecordBatch::try_from_iter([
            ("a", Arc::new(StringArray::from(vec![Some("x\0y"), None, Some("")])) as ArrayRef),
            ("n", Arc::new(Int64Array::from(vec![Some(-7), Some(8), None])) as ArrayRef),
        ])
        .unwrap();
        let mut out = Rendered::default();
        Template::parse(template).unwrap().render(&records, &mut out);
        (0..3).map(|row| out.row(row).map(|text| String::from_utf8(text.to_vec()).unwrap())).collect()
    }

    fn some(texts: [&str; 3]) -> Vec<Option<String>> {
        texts.iter().map(|text| Some((*text).to_owned())).collect()
    }

    #[test]
    fn one_column_keeps_nul_and_tells_empty_from_null() {
        assert_eq!(rows("{a}"), [Some("x\0y".to_owned()), None, Some(String::new())]);
    }

    #[test]
    fn parts_are_joined_and_nulls_left_out() {
        assert_eq!(rows("{a}:{n}"), some(["x\0y:-7", ":8", ":"]));
        assert_eq!(rows("{{{n}}}"), some(["{-7}", "{8}", "{}"]));
    }

    #[test]
    fn a_lonely_brace_and_an_unknown_column_are_told() {
        assert!(Template::parse("{a").unwrap_err().contains("no partner"));
        let schema = Schema::new(vec![arrow_schema::Field::new("url", DataType::Utf8, true)]);
        assert_eq!(
            Template::column("ulr").problems("key", &schema),
            ["key: there is no column `ulr`; did you mean `url`?"]
        );
    }
}
