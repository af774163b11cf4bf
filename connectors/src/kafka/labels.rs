//! Keys and headers: what a column holds, or a text with columns in it.

use arrow_array::{Array, BinaryArray, RecordBatch, StringArray, cast::AsArray};
use arrow_schema::{DataType, Schema};
use riverhook_config::{Kind, Node, Reading, Setting, Shape, nearest};

use crate::{
    error::Error,
    format::{ValueWriter, unwritable, writable},
    template::{Escape, Rendering, Template},
};

/// What a key or header is made of.
#[derive(Clone, Debug)]
pub(super) enum Label {
    /// One column, byte for byte where it holds text or bytes. Null is no label.
    Column(String),
    /// A text with columns in it.
    Template(Template),
}

/// A key as the pipeline file has it: `url`, or `{country}:{city}`.
#[derive(Clone, Debug)]
pub(super) struct Key(pub(super) Label);

impl Label {
    /// A template; one that is only a column becomes that column.
    fn of(text: &str, template: Template) -> Self {
        match only_column(text) {
            Some(column) if template.columns().eq([column]) => Self::Column(column.to_owned()),
            _ => Self::Template(template),
        }
    }

    /// What is wrong with it for rows of this schema.
    pub(super) fn problems(&self, what: &str, schema: &Schema) -> Vec<String> {
        let problems = match self {
            Self::Template(template) => template.check(schema).err().unwrap_or_default(),
            Self::Column(name) => match schema.field_with_name(name) {
                Ok(field) if writable(field.data_type()).is_none() => vec![unwritable(field)],
                Ok(_) => Vec::new(),
                Err(_) => {
                    let near = nearest(name, schema.fields().iter().map(|field| field.name().as_str()));
                    let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                    vec![format!("there is no column `{name}`{hint}")]
                }
            },
        };
        problems.into_iter().map(|problem| format!("{what}: {problem}")).collect()
    }

    /// Writes it for every row.
    ///
    /// # Errors
    /// If [`problems`](Self::problems) would have found some.
    pub(super) fn render(&self, records: &RecordBatch, out: &mut Rendered) -> Result<(), Error> {
        out.clear();
        let mut bound = Bound::new(self, records)?;
        for row in 0..records.num_rows() {
            let some = bound.append(row, &mut out.bytes);
            out.ends.push((out.bytes.len(), some));
        }
        Ok(())
    }
}

/// The column's name in `{column}`.
fn only_column(text: &str) -> Option<&str> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    (!name.contains([':', '{', '}'])).then_some(name)
}

impl Setting for Label {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        let template = Template::read(node, cx)?;
        let Kind::Str(text) = &node.kind else { return Some(Self::Template(template)) };
        Some(Self::of(text, template))
    }

    fn shape() -> Shape {
        Template::shape()
    }
}

impl Setting for Key {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        let label = Label::read(node, cx)?;
        Some(Self(match &label {
            Label::Template(template) if template.columns().next().is_none() => {
                Label::Column(cx.text(node, "a column's name")?)
            }
            _ => label,
        }))
    }

    fn shape() -> Shape {
        Shape::Str
    }
}

/// A label for each row of a batch.
#[derive(Default)]
pub(super) struct Rendered {
    bytes: Vec<u8>,
    /// Where each row's label ends, and whether it has one.
    ends: Vec<(usize, bool)>,
}

impl Rendered {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// A row's label, if it has one.
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

/// A label bound to the columns of a batch.
enum Bound<'a> {
    Strings(&'a StringArray),
    Bytes(&'a BinaryArray),
    Other(Box<ValueWriter>),
    Template(Rendering<'a>),
}

impl<'a> Bound<'a> {
    fn new(label: &'a Label, records: &'a RecordBatch) -> Result<Self, Error> {
        let name = match label {
            Label::Template(template) => return template.bind(records).map(Self::Template),
            Label::Column(name) => name,
        };
        let schema = records.schema_ref();
        let Some((index, field)) =
            schema.column_with_name(name).filter(|(_, field)| writable(field.data_type()).is_some())
        else {
            return Err(Error::config(label.problems("key or header", schema).join("; ")));
        };
        let column = records.column(index);
        Ok(match column.data_type() {
            DataType::Utf8 => Self::Strings(column.as_string()),
            DataType::Binary => Self::Bytes(column.as_binary()),
            _ => Self::Other(Box::new(ValueWriter::new(field, column))),
        })
    }

    /// Appends a row's label; whether it has one.
    fn append(&mut self, row: usize, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Strings(column) if column.is_valid(row) => out.extend_from_slice(column.value(row).as_bytes()),
            Self::Bytes(column) if column.is_valid(row) => out.extend_from_slice(column.value(row)),
            Self::Strings(_) | Self::Bytes(_) => return false,
            Self::Other(writer) => return writer.write_plain(row, out),
            Self::Template(rendering) => rendering.render(row, Escape::None, out),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array};

    use super::*;

    fn rows(text: &str) -> Vec<Option<String>> {
        let records = RecordBatch::try_from_iter([
            ("a", Arc::new(StringArray::from(vec![Some("x\0y"), None, Some("")])) as ArrayRef),
            ("n", Arc::new(Int64Array::from(vec![Some(-7), Some(8), None])) as ArrayRef),
        ])
        .unwrap();
        let mut out = Rendered::default();
        Label::of(text, Template::parse(text).unwrap()).render(&records, &mut out).unwrap();
        (0..3).map(|row| out.row(row).map(|text| String::from_utf8(text.to_vec()).unwrap())).collect()
    }

    fn texts(texts: [Option<&str>; 3]) -> Vec<Option<String>> {
        texts.map(|text| text.map(str::to_owned)).to_vec()
    }

    #[test]
    fn one_column_keeps_nul_and_tells_empty_from_null() {
        assert_eq!(rows("{a}"), texts([Some("x\0y"), None, Some("")]));
        assert_eq!(rows("{n}"), texts([Some("-7"), Some("8"), None]));
    }

    #[test]
    fn a_template_is_there_for_every_row() {
        assert_eq!(rows("{a}:{n}"), texts([Some("x\0y:-7"), Some("null:8"), Some(":null")]));
    }

    #[test]
    fn an_unknown_column_is_told_with_the_nearest() {
        let schema = Schema::new(vec![arrow_schema::Field::new("url", DataType::Utf8, true)]);
        let problems = Label::Column("ulr".to_owned()).problems("key", &schema);
        assert_eq!(problems, ["key: there is no column `ulr`; did you mean `url`?"]);
    }
}
