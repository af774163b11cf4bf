//! CSV records to rows. A bad record fails alone.

use std::collections::HashMap;

use arrow_array::Array;
use arrow_schema::{Schema, SchemaRef};

use super::{
    cell,
    settings::CsvSettings,
    split::{Dialect, FieldText, Fields},
};
use crate::{
    batch::Payloads,
    error::Error,
    format::{
        Decoded, Decoder,
        column::Record,
        json::{Fault, Read, finish, row_number},
        schema::type_text,
    },
};

/// Decodes CSV.
pub(crate) struct CsvDecoder {
    schema: SchemaRef,
    record: Record,
    dialect: Dialect,
    null: Vec<u8>,
    fields: Fields,
    /// For each column the field it is read from.
    places: Vec<Option<usize>>,
    /// How many fields a record has; not known before the header.
    width: Option<usize>,
}

impl CsvDecoder {
    /// A decoder of the columns of `schema`. They are found by their names in the header; without header by their
    /// place among the `declared` ones.
    pub(crate) fn new(schema: SchemaRef, settings: &CsvSettings, declared: Option<&Schema>) -> Result<Self, Error> {
        let record = Record::new(schema.fields())?;
        let mut places = vec![None; schema.fields().len()];
        let mut width = None;
        if !settings.header {
            let declared = declared.ok_or_else(|| {
                Error::config("CSV without a header needs `schema:`, which names the columns in their order")
            })?;
            for (place, field) in places.iter_mut().zip(schema.fields()) {
                *place = declared.index_of(field.name()).ok();
            }
            width = Some(declared.fields().len());
        }
        let null = settings.null.clone().into_bytes();
        Ok(Self { schema, record, dialect: settings.dialect(), null, fields: Fields::default(), places, width })
    }

    fn message(&mut self, message: &[u8]) -> Read<()> {
        if let Err(error) = std::str::from_utf8(message) {
            return Err(Fault::utf8(error.valid_up_to()));
        }
        if message.trim_ascii().is_empty() && self.width != Some(1) {
            return Err(Fault::empty("the record is empty"));
        }
        self.fields
            .split(message, self.dialect)
            .map_err(|(at, what)| Fault::new("decode.csv.syntax", Some(at), what))?;
        let (found, width) = (
            self.fields.len(),
            self.width.ok_or_else(|| Fault::new("decode.csv.columns", None, "no header came before the record"))?,
        );
        if found != width {
            let count = |count: usize| if count == 1 { "1 field".to_owned() } else { format!("{count} fields") };
            return Err(Fault::new(
                "decode.csv.columns",
                None,
                format!("the record has {}, expected {}", count(found), count(width)),
            ));
        }
        for (column, place) in self.record.columns.iter_mut().zip(&self.places) {
            let field = place.map(|place| self.fields.get(place)).filter(|field| !is_null(field, &self.null));
            let read = match field {
                Some(FieldText { text, at, .. }) => cell::append(column, text, at),
                None if column.field().is_nullable() => {
                    column.push_null();
                    Ok(())
                }
                None => Err(Fault::new(
                    "decode.csv.missing",
                    None,
                    format!("the field has no value, and its type is `{}`", type_text(column.field())),
                )),
            };
            read.map_err(|fault| fault.in_field(column.field().name()))?;
        }
        Ok(())
    }
}

/// A null is what stands for it without quotes: `""` is an empty string.
fn is_null(field: &FieldText<'_>, null: &[u8]) -> bool {
    !field.quoted && field.text == null
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, payloads: &Payloads) -> Decoded {
        let messages = &payloads.values;
        let mut failed = Vec::new();
        let mut rows = 0;
        for i in 0..messages.len() {
            let read = if messages.is_null(i) {
                Err(Fault::empty("the record has no value"))
            } else {
                self.message(messages.value(i))
            };
            match read {
                Ok(()) => rows += 1,
                Err(fault) => {
                    self.record.truncate(rows);
                    failed.push(fault.of_row(row_number(i), 0));
                }
            }
        }
        finish(&self.schema, &mut self.record, messages.len(), failed)
    }

    fn header(&mut self, record: &[u8]) -> Result<(), Error> {
        let record = record.strip_prefix(b"\xef\xbb\xbf").unwrap_or(record);
        self.fields
            .split(record, self.dialect)
            .map_err(|(at, what)| Error::fatal(format!("the CSV header is damaged at byte {at}: {what}")))?;
        let mut index = HashMap::new();
        for place in 0..self.fields.len() {
            let name = String::from_utf8_lossy(self.fields.get(place).text).trim().to_owned();
            if index.insert(name.clone(), place).is_some() && self.schema.index_of(&name).is_ok() {
                return Err(Error::fatal(format!("the CSV header names the column `{name}` twice")));
            }
        }
        for (place, field) in self.places.iter_mut().zip(self.schema.fields()) {
            *place = index.get(field.name()).copied();
            if place.is_none() && !field.is_nullable() {
                return Err(Error::fatal(format!(
                    "the CSV header has no column `{}`, which `schema:` requires ({})",
                    field.name(),
                    type_text(field)
                )));
            }
        }
        self.width = Some(self.fields.len());
        Ok(())
    }
}
