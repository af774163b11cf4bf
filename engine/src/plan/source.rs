//! Sources: the connector, the format, and the columns that come of them.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use riverhook_config::{Diagnostic, MapReader, Node, Reading, Spanned};
use riverhook_connectors::{
    format::Format,
    registry::{Setup, connectors},
    source::Source,
};

use super::{EventTime, SourceNode, build::Builder, refusals};
use crate::config::{EventTimeSettings, SourceSettings};

/// All sources. Their schemas go into the builder's tables.
pub(super) fn read(builder: &mut Builder<'_>, cx: &mut Reading<'_>) -> Option<Vec<SourceNode>> {
    if builder.file.sources.is_empty() {
        let place = builder.file.name.span;
        cx.push(
            Diagnostic::error(place, "this pipeline has no sources").help(
                "add one, such as `sources: { events: { type: file, path: events.jsonl, schema: { id: int64 } } }`",
            ),
        );
    }
    let parts = builder.file.sources.0.clone();
    let sources: Vec<Option<SourceNode>> =
        parts.iter().map(|named| one(builder, &named.name, &named.value.0, cx)).collect();
    sources.into_iter().collect()
}

fn one(builder: &mut Builder<'_>, name: &str, node: &Node, cx: &mut Reading<'_>) -> Option<SourceNode> {
    let (settings, source, setup) = configured(builder, name, node, cx)?;
    builder.check_on_error(settings.on_error, node, cx);
    let payload = payload_schema(&settings, &setup.format, source.as_ref(), node, cx)?;
    let schema = with_metadata(&payload, source.as_ref(), node, cx)?;
    let event_time = match &settings.event_time {
        Some(event_time) => Some(check_event_time(event_time, &schema, cx)?),
        None => None,
    };
    builder.tables.insert(name.to_owned(), Arc::clone(&schema));
    if let Some(event_time) = &event_time {
        builder.event_times.insert(name.to_owned(), event_time.clone());
    }
    Some(SourceNode {
        name: name.into(),
        metadata: (0..schema.fields().len() - payload.fields().len()).collect(),
        source: source.into(),
        format: setup.format,
        read: Arc::clone(&schema),
        schema,
        decoded: payload,
        on_error: settings.on_error,
        event_time,
        reply: None,
        edges: Vec::new(),
        failed: None,
    })
}

/// The node's settings and its connector, before anything is known of columns.
pub(super) fn configured(
    builder: &Builder<'_>,
    name: &str,
    node: &Node,
    cx: &mut Reading<'_>,
) -> Option<(SourceSettings, Box<dyn Source>, Setup)> {
    let (connection, kind) = connector_of(builder, node, cx)?;
    let entry = connectors().iter().find(|connector| connector.name == kind.value);
    let Some(entry) = entry.and_then(|connector| connector.source.as_ref()) else {
        let known = connectors().iter().filter(|connector| connector.source.is_some()).map(|connector| connector.name);
        unknown_connector(&kind, "source", known, cx);
        return None;
    };
    let mut map =
        connection.map_or_else(|| MapReader::new(node), |connection| MapReader::with_fallback(node, connection));
    let settings = SourceSettings::read_fields(&mut map, cx);
    let schema =
        settings.as_ref().and_then(|settings| settings.schema.as_ref()).map(|schema| Arc::clone(&schema.value.0));
    let format = settings.as_ref().and_then(|settings| settings.format.as_ref()).map(|format| format.value.clone());
    let setup = Setup {
        pipeline: Arc::clone(&builder.pipeline),
        node: name.into(),
        base: builder.base.clone(),
        format: prepared(format, &builder.base, schema.as_ref(), node, cx)?,
        schema,
    };
    let source = (entry.read)(&mut map, cx, &setup);
    map.finish(cx);
    let (settings, source) = (settings?, source?);
    Some((settings, source, setup))
}

/// The node's connection, if it names one, and its connector's name.
pub(super) fn connector_of<'b>(
    builder: &'b Builder<'_>,
    node: &Node,
    cx: &mut Reading<'_>,
) -> Option<(Option<&'b Node>, Spanned<String>)> {
    let mut own = MapReader::new(node);
    let connection: Option<Option<Spanned<String>>> = own.field("connection", cx);
    let connection = match connection? {
        Some(name) => Some(builder.connection(&name, cx)?),
        None => None,
    };
    let holder = connection.filter(|_| node.get("type").is_none()).unwrap_or(node);
    if holder.get("type").is_none() {
        let names: Vec<&str> = connectors().iter().map(|connector| connector.name).collect();
        let error = Diagnostic::error(holder.key_span, "the key `type` is missing here").at(&holder.path.key("type"));
        cx.push(error.expected(format!("the name of a connector: {}", names.join(", "))));
        return None;
    }
    let kind: Option<Spanned<String>> = MapReader::new(holder).field("type", cx);
    Some((connection, kind?))
}

/// Reports a connector's name that is none, or that cannot be what it is used for.
pub(super) fn unknown_connector(
    kind: &Spanned<String>,
    wanted: &str,
    known: impl Iterator<Item = &'static str> + Clone,
    cx: &mut Reading<'_>,
) {
    let exists = connectors().iter().any(|connector| connector.name == kind.value);
    let message = if exists {
        format!("`{}` cannot be a {wanted}", kind.value)
    } else if let Some(what) = refusals::connector(&kind.value) {
        format!("`{}` is not there yet: {what} will come with a later version", kind.value)
    } else {
        format!("there is no connector named `{}`", kind.value)
    };
    let names = known.clone().collect::<Vec<_>>().join(", ");
    cx.push(
        kind.error(message).expected(format!("one of {names}")).did_you_mean(riverhook_config::nearest(kind, known)),
    );
}

/// The node's format, tied to it; JSON unless it names one.
pub(super) fn prepared(
    format: Option<Format>,
    base: &std::path::Path,
    schema: Option<&SchemaRef>,
    node: &Node,
    cx: &mut Reading<'_>,
) -> Option<Format> {
    match format.unwrap_or_default().prepare(base, schema) {
        Ok(format) => Some(format),
        Err(error) => {
            cx.push(node.get("format").unwrap_or(node).error(error.to_string()));
            None
        }
    }
}

/// The columns of the payload: from the source itself, the format, or the node's `schema`.
fn payload_schema(
    settings: &SourceSettings,
    format: &Format,
    source: &dyn Source,
    node: &Node,
    cx: &mut Reading<'_>,
) -> Option<SchemaRef> {
    let own = match source.schema() {
        Ok(own) => own.or_else(|| format.fixed_schema()),
        Err(error) => {
            cx.push(node.error(error.to_string()));
            return None;
        }
    };
    match (own, &settings.schema) {
        (Some(_), Some(schema)) => {
            cx.push(
                schema
                    .error("this source's columns are known without a `schema`")
                    .help("remove it; a transform can cast and rename columns"),
            );
            None
        }
        (Some(own), None) => Some(own),
        (None, Some(schema)) => {
            let checked = format.check_read(&schema.value.0);
            if let Err(problems) = &checked {
                problems.iter().for_each(|problem| cx.push(schema.error(problem.clone())));
            }
            checked.ok().map(|()| Arc::clone(&schema.value.0))
        }
        (None, None) => {
            let error =
                Diagnostic::error(node.key_span, "the key `schema` is missing here").at(&node.path.key("schema"));
            cx.push(
                error
                    .expected("the columns and their types, such as { user: string, ts: \"timestamp(ms)\" }")
                    .help("`riverhook infer FILE SOURCE` prints one from real records"),
            );
            None
        }
    }
}

fn with_metadata(payload: &SchemaRef, source: &dyn Source, node: &Node, cx: &mut Reading<'_>) -> Option<SchemaRef> {
    let metadata = source.metadata();
    if let Some(clash) = metadata.iter().find(|field| payload.field_with_name(field.name()).is_ok()) {
        let place = node.get("metadata").unwrap_or(node);
        cx.push(
            place
                .error(format!("the metadata column `{}` is also a column of the schema", clash.name()))
                .help("give the metadata column another name"),
        );
        return None;
    }
    let fields: Vec<_> = payload.fields().iter().cloned().chain(metadata).collect();
    Some(Arc::new(Schema::new_with_metadata(fields, payload.metadata().clone())))
}

fn check_event_time(settings: &EventTimeSettings, schema: &Schema, cx: &mut Reading<'_>) -> Option<EventTime> {
    let column = &settings.column;
    match schema.field_with_name(column) {
        Ok(field) if matches!(field.data_type(), DataType::Timestamp(..)) => {
            Some(EventTime { column: column.value.clone(), delay: settings.delay })
        }
        Ok(field) => {
            let type_text = riverhook_connectors::format::schema::type_text(field);
            cx.push(
                column
                    .error(format!("the column `{}` is {type_text} and no timestamp", column.value))
                    .expected("a column such as `ts: timestamp(ms)`"),
            );
            None
        }
        Err(_) => {
            unknown_column(column, schema, cx);
            None
        }
    }
}

/// Reports the name of a column that is not there.
pub(super) fn unknown_column(column: &Spanned<String>, schema: &Schema, cx: &mut Reading<'_>) {
    let names = schema.fields().iter().map(|field: &Arc<Field>| field.name().as_str());
    let nearest = riverhook_config::nearest(column, names.clone());
    let all: Vec<&str> = names.take(30).collect();
    cx.push(
        column
            .error(format!("there is no column `{}`", column.value))
            .expected(format!("one of {}", all.join(", ")))
            .did_you_mean(nearest),
    );
}
