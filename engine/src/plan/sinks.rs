//! Sinks: the connector, what feeds it, and whether it can take that.

use std::{collections::BTreeMap, sync::Arc};

use arrow_schema::{Schema, SchemaRef};
use riverhook_config::{Diagnostic, MapReader, Node, Reading, Spanned};
use riverhook_connectors::{
    registry::{Setup, connectors},
    sink::Sink,
};

use super::{
    SinkNode,
    alert::message_schema,
    build::Builder,
    source::{connector_of, prepared, unknown_connector},
    steps::{input, notified},
};
use crate::{config::SinkSettings, functions::log_schema, run::letter_schema};

/// All sinks but the dead letters'.
pub(super) fn plan(builder: &mut Builder<'_>, cx: &mut Reading<'_>) -> Option<Vec<SinkNode>> {
    let notified = notified(builder, cx);
    builder.functions.logs.check(builder, cx);
    // Answers to requests are a result too.
    if builder.file.sinks.is_empty() && super::replies::named(&builder.file).is_empty() {
        let place = builder.file.name.span;
        cx.push(
            Diagnostic::error(place, "this pipeline has no sinks")
                .help("add one, such as `sinks: { out: { from: events, type: stdout } }`"),
        );
    }
    let parts = builder.file.sinks.0.clone();
    let sinks: Vec<Option<SinkNode>> =
        parts.iter().map(|named| one(builder, &named.name, &named.value.0, &notified, cx)).collect();
    sinks.into_iter().collect()
}

fn one(
    builder: &Builder<'_>,
    name: &str,
    node: &Node,
    notified: &BTreeMap<String, Vec<Arc<str>>>,
    cx: &mut Reading<'_>,
) -> Option<SinkNode> {
    let (settings, sink) = read(builder, name, node, cx)?;
    let alerts = notified.get(name).cloned().unwrap_or_default();
    let from = settings.from.as_ref().map(|from| from.0.as_slice()).unwrap_or_default();
    let logs = builder.functions.logs.feeding(name);
    let schema = match (from, alerts.as_slice()) {
        ([], []) if logs.is_some() => log_schema(),
        ([], []) => {
            let error = Diagnostic::error(node.key_span, format!("nothing feeds the sink `{name}`")).at(&node.path);
            cx.push(error.help("name a node in its `from`, or the sink in an alert's `notify` or a function's `logs`"));
            return None;
        }
        _ if logs.is_some() => {
            let place = from.first().map_or(node.key_span, |first| first.span);
            let error = Diagnostic::error(place, format!("`{name}` cannot take functions' logs and anything else"));
            cx.push(error.at(&node.path).help("make it two sinks"));
            return None;
        }
        ([], _) => message_schema(),
        ([first, ..], []) => same_schema(builder, from, first, cx)?,
        ([first, ..], [alert, ..]) => {
            let error = first.error(format!(
                "`{name}` cannot take rows and the messages of the alert `{alert}`: their columns differ"
            ));
            cx.push(error.help("make it two sinks"));
            return None;
        }
    };
    check(name, &*sink, &schema, node, cx)?;
    let inputs = from.iter().map(|name| Arc::from(name.value.as_str())).chain(alerts).chain(logs).collect();
    Some(SinkNode { name: name.into(), sink, schema, on_error: settings.on_error, inputs })
}

/// The dead letters' sink, if the file has one.
pub(super) fn dead_letters(builder: &Builder<'_>, root: &Node, cx: &mut Reading<'_>) -> Option<SinkNode> {
    let node = root.get("dead_letters").filter(|node| !node.is_null())?;
    let (settings, sink) = read(builder, "dead_letters", node, cx)?;
    if let Some(from) = settings.from.as_ref().and_then(|from| from.0.first()) {
        cx.push(from.error("`dead_letters` takes the failed records of all nodes and has no `from`"));
    }
    if let Some(on_error) = node.get("on_error") {
        cx.push(on_error.error("`dead_letters` has no `on_error`: while its sink fails the pipeline waits or stops, it never drops a letter"));
    }
    let schema = letter_schema();
    check("dead_letters", &*sink, &schema, node, cx)?;
    Some(SinkNode {
        name: "dead_letters".into(),
        sink,
        schema,
        on_error: crate::config::OnError::Fail,
        inputs: Vec::new(),
    })
}

fn read(builder: &Builder<'_>, name: &str, node: &Node, cx: &mut Reading<'_>) -> Option<(SinkSettings, Arc<dyn Sink>)> {
    let (connection, kind) = connector_of(builder, node, cx)?;
    let entry = connectors().iter().find(|connector| connector.name == kind.value);
    let Some(entry) = entry.and_then(|connector| connector.sink.as_ref()) else {
        let known = connectors().iter().filter(|connector| connector.sink.is_some()).map(|connector| connector.name);
        unknown_connector(&kind, "sink", known, cx);
        return None;
    };
    let mut map =
        connection.map_or_else(|| MapReader::new(node), |connection| MapReader::with_fallback(node, connection));
    let settings = SinkSettings::read_fields(&mut map, cx);
    let setup = Setup {
        pipeline: Arc::clone(&builder.pipeline),
        node: name.into(),
        base: builder.base.clone(),
        format: prepared(
            settings.as_ref().and_then(|settings| settings.format.clone()),
            &builder.base,
            None,
            node,
            cx,
        )?,
        schema: None,
    };
    let sink = (entry.read)(&mut map, cx, &setup);
    map.finish(cx);
    let (settings, sink) = (settings?, sink?);
    builder.check_on_error(settings.on_error, node, cx);
    Some((settings, sink.into()))
}

fn check(name: &str, sink: &dyn Sink, schema: &SchemaRef, node: &Node, cx: &mut Reading<'_>) -> Option<()> {
    let Err(problems) = sink.check(schema) else { return Some(()) };
    for problem in problems {
        cx.push(node.error(format!("`{name}` cannot take these rows: {problem}")));
    }
    None
}

/// The schema of a sink's inputs, which must be one.
fn same_schema(
    builder: &Builder<'_>,
    from: &[Spanned<String>],
    first: &Spanned<String>,
    cx: &mut Reading<'_>,
) -> Option<SchemaRef> {
    let schemas: Vec<Option<SchemaRef>> = from.iter().map(|name| input(builder, name, cx)).collect();
    let schemas: Vec<SchemaRef> = schemas.into_iter().collect::<Option<_>>()?;
    for (name, schema) in from.iter().zip(&schemas).skip(1) {
        if let Some(difference) = difference(&schemas[0], schema) {
            let error =
                name.error(format!("`{}` and `{}` have different columns: {difference}", first.value, name.value));
            cx.push(error.help("give both the same columns in a transform, or make it two sinks"));
            return None;
        }
    }
    schemas.into_iter().next()
}

fn difference(one: &Schema, other: &Schema) -> Option<String> {
    if one.fields().len() != other.fields().len() {
        let columns = |schema: &Schema| match schema.fields().len() {
            1 => "1 column".to_owned(),
            count => format!("{count} columns"),
        };
        return Some(format!("{} and {}", columns(one), columns(other)));
    }
    let differs = |(a, b): &(&Arc<arrow_schema::Field>, &Arc<arrow_schema::Field>)| {
        a.name() != b.name() || a.data_type() != b.data_type()
    };
    let (a, b) = one.fields().iter().zip(other.fields()).find(differs)?;
    let text = |field: &arrow_schema::Field| {
        format!("`{}: {}`", field.name(), riverhook_connectors::format::schema::type_text(field))
    };
    Some(format!("{} and {}", text(a), text(b)))
}
