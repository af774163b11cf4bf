//! The `format:` of a node: which format, its settings, and what is made of them.

use std::{fs, path::Path, sync::Arc};

use arrow_schema::{Schema, SchemaRef};
use riverhook_config::{Kind, MapReader, Node, Reading, Setting, Shape, StructShape, choices, settings};

use super::{
    Decoder, Encoder, Framing,
    avro::{AvroColumns, AvroDecoder, AvroSettings},
    bytes::{self, BytesDecoder, BytesEncoder},
    column::Column,
    csv::{CsvDecoder, CsvEncoder, CsvSettings},
    json::{JsonDecoder, JsonEncoder, unwritable, writable},
    parquet,
    text::{self, TextDecoder, TextEncoder},
};
use crate::error::Error;

settings! {
    /// JSON, one object a record.
    #[derive(Default)]
    pub struct JsonSettings {
        /// Whether numbers and booleans may stand in strings, strings be numbers, and whole numbers have a fraction of 0.
        pub coerce: bool = false,
    }
}

choices! {
    /// How bytes become rows and rows become bytes.
    pub enum FormatName {
        /// One JSON object a record; in files, one a line.
        Json = "json",
        /// Comma-separated values, one row a record.
        Csv = "csv",
        /// One Avro datum a record, read by the schema in a file.
        Avro = "avro",
        /// One string a record, in the column `value`; in files, one a line.
        Text = "text",
        /// The record as it is, in the column `value`; in files, the whole file.
        Bytes = "bytes",
        /// Apache Parquet files.
        Parquet = "parquet",
    }
}

/// A configured format.
#[derive(Clone, Debug)]
pub enum Format {
    /// One JSON object a record.
    Json(JsonSettings),
    /// One CSV row a record. The schema is what `schema:` declares, whose order counts when there is no header.
    Csv(CsvSettings, Option<SchemaRef>),
    /// One Avro datum a record. The columns are known once the format is [prepared](Format::prepare).
    Avro(AvroSettings, Option<AvroColumns>),
    /// One string a record.
    Text,
    /// The record as it is.
    Bytes,
    /// Parquet files, which hold many records each: the transport reads and writes them.
    Parquet,
}

impl Default for Format {
    fn default() -> Self {
        Self::Json(JsonSettings::default())
    }
}

impl Format {
    /// Its name in the pipeline file.
    pub fn name(&self) -> FormatName {
        match self {
            Self::Json(_) => FormatName::Json,
            Self::Csv(..) => FormatName::Csv,
            Self::Avro(..) => FormatName::Avro,
            Self::Text => FormatName::Text,
            Self::Bytes => FormatName::Bytes,
            Self::Parquet => FormatName::Parquet,
        }
    }

    /// Ties the format to its node: `base` is the folder that relative paths begin at, `declared` the node's `schema:`.
    /// Called once, before anything else.
    ///
    /// # Errors
    /// If a file that the settings name cannot be read.
    pub fn prepare(self, base: &Path, declared: Option<&SchemaRef>) -> Result<Self, Error> {
        Ok(match self {
            Self::Csv(settings, _) => Self::Csv(settings, declared.map(Arc::clone)),
            Self::Avro(settings, _) => {
                let columns = load_avro(&base.join(&settings.schema_file))?;
                Self::Avro(settings, Some(columns))
            }
            other => other,
        })
    }

    /// How a stream of bytes is cut into records.
    pub fn framing(&self) -> Framing {
        match self {
            Self::Json(_) | Self::Text => Framing::Lines,
            Self::Csv(settings, _) => Framing::Csv { quote: settings.quote.0, header: settings.header },
            Self::Avro(..) | Self::Bytes => Framing::Whole,
            Self::Parquet => Framing::Container,
        }
    }

    /// The schema of the rows, where it is not for the user to declare.
    pub fn fixed_schema(&self) -> Option<SchemaRef> {
        match self {
            Self::Avro(_, columns) => columns.as_ref().map(AvroColumns::schema),
            Self::Text => Some(text::schema()),
            Self::Bytes => Some(bytes::schema()),
            Self::Json(_) | Self::Csv(..) | Self::Parquet => None,
        }
    }

    /// Whether rows of `schema` can be decoded: sentences that name the column and say what to do.
    ///
    /// # Errors
    /// If not.
    pub fn check_read(&self, schema: &Schema) -> Result<(), Vec<String>> {
        match self {
            Self::Json(_) | Self::Csv(..) => {
                let problems =
                    schema.fields().iter().filter_map(|field| Column::new(field).err().map(|error| error.to_string()));
                none_of(problems.collect())
            }
            Self::Avro(..) | Self::Text | Self::Bytes => {
                let fixed = self.fixed_schema();
                let known = |name: &str| fixed.as_ref().is_some_and(|fixed| fixed.index_of(name).is_ok());
                let unknown = schema.fields().iter().filter(|field| !known(field.name()));
                none_of(
                    unknown
                        .map(|field| format!("column `{}`: format {} has no such column", field.name(), self.name()))
                        .collect(),
                )
            }
            Self::Parquet => Ok(()),
        }
    }

    /// Whether rows of `schema` can be encoded: sentences that name the column and say what to do.
    ///
    /// # Errors
    /// If not.
    pub fn check_write(&self, schema: &Schema) -> Result<(), Vec<String>> {
        match self {
            Self::Json(_) | Self::Csv(..) => {
                let fields = schema.fields().iter();
                none_of(
                    fields
                        .filter(|field| writable(field.data_type()).is_none())
                        .map(|field| unwritable(field))
                        .collect(),
                )
            }
            Self::Avro(..) => Err(vec![avro_is_read().to_string()]),
            Self::Text => TextEncoder::new(schema).map(drop).map_err(|error| vec![error.to_string()]),
            Self::Bytes => BytesEncoder::new(schema).map(drop).map_err(|error| vec![error.to_string()]),
            Self::Parquet => {
                let fields = schema.fields().iter();
                none_of(
                    fields.filter(|field| !parquet::can_write(field)).map(|field| parquet::unwritable(field)).collect(),
                )
            }
        }
    }

    /// A decoder of the columns of `schema`, which are those of the node that the plan reads.
    ///
    /// # Errors
    /// If [`check_read`](Self::check_read) would have found a problem, or the rows are in a container.
    pub fn decoder(&self, schema: SchemaRef) -> Result<Box<dyn Decoder>, Error> {
        Ok(match self {
            Self::Json(settings) => Box::new(JsonDecoder::new(schema, settings.coerce)?),
            Self::Csv(settings, declared) => Box::new(CsvDecoder::new(schema, settings, declared.as_deref())?),
            Self::Avro(_, columns) => {
                let columns = columns
                    .clone()
                    .ok_or_else(|| Error::config("the Avro schema was not loaded before records came"))?;
                Box::new(AvroDecoder::new(columns, schema)?)
            }
            Self::Text => Box::new(TextDecoder::new(schema)),
            Self::Bytes => Box::new(BytesDecoder::new(schema)),
            Self::Parquet => return Err(only_files()),
        })
    }

    /// An encoder of batches of `schema`.
    ///
    /// # Errors
    /// If [`check_write`](Self::check_write) would have found a problem, or the rows go into a container.
    pub fn encoder(&self, schema: SchemaRef) -> Result<Box<dyn Encoder>, Error> {
        Ok(match self {
            Self::Json(_) => Box::new(JsonEncoder::new(&schema)?),
            Self::Csv(settings, _) => Box::new(CsvEncoder::new(schema, settings)?),
            Self::Avro(..) => return Err(avro_is_read()),
            Self::Text => Box::new(TextEncoder::new(&schema)?),
            Self::Bytes => Box::new(BytesEncoder::new(&schema)?),
            Self::Parquet => return Err(only_files()),
        })
    }
}

fn none_of(problems: Vec<String>) -> Result<(), Vec<String>> {
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn avro_is_read() -> Error {
    Error::config("format avro can be read, not yet written: use json, csv or parquet here")
}

fn load_avro(path: &Path) -> Result<AvroColumns, Error> {
    let failed = |error| {
        Error::config(format!("the Avro schema {} cannot be read: check `schema_file`", path.display()))
            .caused_by(error)
    };
    AvroColumns::parse(fs::read_to_string(path).map_err(failed)?)
}

fn only_files() -> Error {
    Error::config("format parquet is for files: use json, csv, text or bytes here")
}

/// A name, or a map with `type` and the format's settings.
impl Setting for Format {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        if let Some((name, what)) = later(node) {
            cx.push(name.error(format!("this format is not there yet: {what} will come with a later version")));
            return None;
        }
        if !matches!(node.kind, Kind::Map(_)) {
            return match FormatName::read(node, cx)? {
                FormatName::Json => Some(Self::default()),
                FormatName::Csv => Some(Self::Csv(CsvSettings::default(), None)),
                FormatName::Avro => {
                    let missing = node.error("format avro needs the file with its schema");
                    cx.push(missing.expected("{ type: avro, schema_file: clicks.avsc }"));
                    None
                }
                FormatName::Text => Some(Self::Text),
                FormatName::Bytes => Some(Self::Bytes),
                FormatName::Parquet => Some(Self::Parquet),
            };
        }
        let mut map = MapReader::new(node);
        let name = map.field::<FormatName>("type", cx)?;
        let format = match name {
            FormatName::Json => JsonSettings::read_fields(&mut map, cx).map(Self::Json),
            FormatName::Csv => read_csv(node, &mut map, cx),
            FormatName::Avro => AvroSettings::read_fields(&mut map, cx).map(|settings| Self::Avro(settings, None)),
            FormatName::Text => Some(Self::Text),
            FormatName::Bytes => Some(Self::Bytes),
            FormatName::Parquet => Some(Self::Parquet),
        };
        map.finish(cx);
        format
    }

    fn shape() -> Shape {
        let of = |shape: Shape| match shape {
            Shape::Struct(shape) => shape,
            _ => StructShape::default(),
        };
        let variants = FormatName::ALL.iter().map(|name| {
            let shape = match name {
                FormatName::Json => of(JsonSettings::shape()),
                FormatName::Csv => of(CsvSettings::shape()),
                FormatName::Avro => of(AvroSettings::shape()),
                FormatName::Text | FormatName::Bytes | FormatName::Parquet => StructShape::default(),
            };
            (name.as_str(), shape)
        });
        Shape::Either(vec![FormatName::shape(), Shape::Tagged { tag: "type", variants: variants.collect() }])
    }
}

/// The name of a format that is not there yet, and what it is.
fn later(format: &Node) -> Option<(&Node, &'static str)> {
    let name = format.get("type").unwrap_or(format);
    let Kind::Str(text) = &name.kind else { return None };
    match &**text {
        "protobuf" => Some((name, "Protobuf")),
        "debezium" => Some((name, "change data capture")),
        _ => None,
    }
}

/// Refuses the `format` of a node without bytes, which would be ignored; whether there was one.
pub(crate) fn refuse_format(map: &mut MapReader<'_>, cx: &mut Reading<'_>, why: &str, help: &str) -> bool {
    // What a connection says is for others too.
    if map.node().get("format").is_none_or(Node::is_null) {
        return false;
    }
    let Some(format) = map.take("format") else { return false };
    cx.push(format.error(format!("there is no `format` here: {why}")).help(help));
    true
}

fn read_csv(node: &Node, map: &mut MapReader<'_>, cx: &mut Reading<'_>) -> Option<Format> {
    let settings = CsvSettings::read_fields(map, cx)?;
    if let Some(problem) = settings.problem() {
        cx.push(node.error(problem));
        return None;
    }
    Some(Format::Csv(settings, None))
}
