//! Adds to each click what its URLs say: `path` of the page, `campaign` that brought the visitor, and the host of
//! the page before as `referrer_host`. A click whose `url` is not one fails alone.
//!
//! Build it, from the repository's root:
//! `udf/sdk/rust/build.sh examples/clickstream/functions/click_enrich examples/clickstream/functions/click_enrich.wasm`

use std::sync::Arc;

use riverhook_function::arrow_array::builder::StringBuilder;
use riverhook_function::arrow_array::cast::AsArray;
use riverhook_function::arrow_array::{ArrayRef, RecordBatch, StringArray};
use riverhook_function::arrow_schema::{DataType, Field, Schema};
use riverhook_function::{FailedRow, Output, export_batch_function, take_rows};

/// All columns of the input, and three more.
fn schema(input: &Schema) -> Result<Schema, String> {
    for name in ["url", "referrer"] {
        let field = input.field_with_name(name).map_err(|_| format!("needs the column `{name}`"))?;
        if field.data_type() != &DataType::Utf8 {
            return Err(format!("`{name}` must be a string, but is {}", field.data_type()));
        }
    }
    let mut fields = input.fields().to_vec();
    fields.push(Arc::new(Field::new("path", DataType::Utf8, false)));
    fields.push(Arc::new(Field::new("campaign", DataType::Utf8, true)));
    fields.push(Arc::new(Field::new("referrer_host", DataType::Utf8, true)));
    Ok(Schema::new(fields))
}

fn process(batch: RecordBatch) -> Result<Output, String> {
    let output_schema = Arc::new(schema(batch.schema_ref())?);
    let mut kept = Vec::new();
    let mut failed = Vec::new();
    let mut paths = StringBuilder::new();
    let mut campaigns = StringBuilder::new();
    let urls = strings(&batch, "url");
    for (row, url) in (0u32..).zip(urls) {
        match url.and_then(split) {
            Some(parts) => {
                kept.push(row);
                paths.append_value(parts.path);
                campaigns.append_option(parameter(parts.query, "utm_campaign"));
            }
            None => failed.push(FailedRow {
                row,
                code: "Click.BadUrl".to_owned(),
                message: "`url` is not an http or https URL".to_owned(),
                retryable: false,
            }),
        }
    }
    let batch = if failed.is_empty() { batch } else { take_rows(&batch, &kept) };
    let hosts: StringArray = strings(&batch, "referrer").iter().map(|url| Some(split(url?)?.host)).collect();
    let mut columns = batch.columns().to_vec();
    let added: [ArrayRef; 3] = [Arc::new(paths.finish()), Arc::new(campaigns.finish()), Arc::new(hosts)];
    columns.extend(added);
    let batch = RecordBatch::try_new(output_schema, columns).map_err(|error| error.to_string())?;
    Ok(Output::rows(batch, kept).with_failed(failed))
}

fn strings<'a>(batch: &'a RecordBatch, name: &str) -> &'a StringArray {
    batch.column_by_name(name).expect("`schema` checked the columns").as_string()
}

/// The parts of a URL that are of interest here.
struct Url<'a> {
    host: &'a str,
    path: &'a str,
    query: &'a str,
}

fn split(url: &str) -> Option<Url<'_>> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let valid = !host.is_empty() && !host.contains(char::is_whitespace);
    valid.then_some(Url { host, path, query })
}

/// The value of a query's parameter, as it stands there.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name && !value.is_empty()).then_some(value)
    })
}

export_batch_function!(schema, process);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_and_a_bad_one_fails_alone() {
        let urls = ["https://shop.example/a/b?utm_campaign=may&x=1#top", "not a url", "http://shop.example"];
        let referrers = [Some("https://news.example/story"), None, None];
        let columns: [(&str, ArrayRef); 2] = [
            ("url", Arc::new(StringArray::from_iter_values(urls))),
            ("referrer", Arc::new(StringArray::from_iter(referrers))),
        ];
        let output = process(RecordBatch::try_from_iter(columns).unwrap()).unwrap();

        let column = |name| strings(&output.batch, name).iter().collect::<Vec<_>>();
        assert_eq!(column("path"), [Some("/a/b"), Some("/")]);
        assert_eq!(column("campaign"), [Some("may"), None]);
        assert_eq!(column("referrer_host"), [Some("news.example"), None]);
        assert_eq!(output.failed.iter().map(|failed| failed.row).collect::<Vec<_>>(), [1]);
    }
}
