//! Transforms and alerts: SQL is planned, functions are asked what they make of their input.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arrow_schema::SchemaRef;
use parking_lot::Mutex;
use riverhook_config::{Diagnostic, MapReader, Node, Reading, Spanned};
use riverhook_connectors::template::Template;

use super::{
    Alert, EventTime, StepNode, Work,
    alert::message_schema,
    build::Builder,
    functions::with_causes,
    order::{Draft, What},
    refusals, scalars,
    source::unknown_column,
};
use crate::{config::AlertSettings, sql::SqlError};

/// All transforms and alerts, in order.
pub(super) fn plan(builder: &mut Builder<'_>, drafts: Vec<Draft>, cx: &mut Reading<'_>) -> Option<Vec<StepNode>> {
    let mut all_planned = drafts.len() == builder.file.transforms.len();
    let mut steps = Vec::new();
    for draft in drafts {
        match transform(builder, &draft, cx) {
            Some(step) => {
                builder.tables.insert(draft.name.clone(), Arc::clone(&step.schema));
                if let Some(event_time) = &step.event_time {
                    builder.event_times.insert(draft.name.clone(), event_time.clone());
                }
                steps.push(step);
            }
            None => all_planned = false,
        }
    }
    for named in &builder.file.alerts.0 {
        match alert(builder, &named.name, &named.value.0, cx) {
            Some(step) => steps.push(step),
            None => all_planned = false,
        }
    }
    all_planned.then_some(steps)
}

fn transform(builder: &Builder<'_>, draft: &Draft, cx: &mut Reading<'_>) -> Option<StepNode> {
    let mut calls = Vec::new();
    let (work, schema, inputs): (Work, SchemaRef, Vec<Arc<str>>) = match &draft.what {
        What::Sql(sql) => {
            // Blame falls on the input alone when that could not be planned.
            if draft.inputs.iter().any(|input| {
                builder.names.contains_key(input) && readable(builder, input) && !builder.tables.contains_key(input)
            }) {
                return None;
            }
            let query = builder
                .planner
                .plan(sql, &builder.tables)
                .map_err(|error| report_sql(builder, sql, &error, cx))
                .ok()?;
            calls = builder.functions.sql_calls(&query.functions);
            let inputs = query.branches.iter().map(|branch| Arc::from(branch.table.as_str())).collect();
            (Work::Sql(query.branches), query.schema, inputs)
        }
        What::Call { from, function } => {
            let function_name = function;
            let function = builder.functions.get(function_name, cx);
            let input = input(builder, from, cx);
            let (loaded, input) = (function?, input?);
            let unfit = loaded.scalar.as_ref().and_then(|scalar| scalars::unfit(&scalar.signature, &input));
            if let Some(problem) = unfit {
                let (name, from) = (&function_name.value, &from.value);
                cx.push(function_name.error(format!("`{name}` cannot take the rows of `{from}`: {problem}")));
                return None;
            }
            let schema = match loaded.function.describe(&input) {
                Ok(schema) => schema,
                Err(error) => {
                    cx.push(function_name.error(format!(
                        "`{}` cannot take the rows of `{}`: {}",
                        function_name.value,
                        from.value,
                        with_causes(&error)
                    )));
                    return None;
                }
            };
            let call = loaded.call(function_name, &loaded.function, input);
            (Work::Call(call), schema, vec![from.value.as_str().into()])
        }
    };
    Some(StepNode {
        name: draft.name.as_str().into(),
        event_time: inherited_time(builder, &inputs, &schema),
        work,
        calls,
        schema,
        on_error: draft.settings.on_error,
        inputs,
        edges: Vec::new(),
    })
}

fn readable(builder: &Builder<'_>, name: &str) -> bool {
    matches!(builder.names.get(name), Some(super::build::Kind::Source | super::build::Kind::Transform))
}

/// The rows of a node; reports a name that has none, and is silent about a node that was not to be planned.
pub(super) fn input(builder: &Builder<'_>, from: &Spanned<String>, cx: &mut Reading<'_>) -> Option<SchemaRef> {
    match builder.tables.get(from.value.as_str()) {
        Some(schema) => Some(Arc::clone(schema)),
        None => {
            builder.unknown_input(from, cx);
            None
        }
    }
}

/// Event time is followed by name: a column of the same name that is still a timestamp.
fn inherited_time(builder: &Builder<'_>, inputs: &[Arc<str>], schema: &SchemaRef) -> Option<EventTime> {
    let times: Vec<&EventTime> = inputs.iter().filter_map(|input| builder.event_times.get(&**input)).collect();
    let first = times.first()?;
    let same = times.len() == inputs.len() && times.iter().all(|time| time.column == first.column);
    let field = schema.field_with_name(&first.column).ok()?;
    (same && matches!(field.data_type(), arrow_schema::DataType::Timestamp(..))).then(|| (*first).clone())
}

fn report_sql(builder: &Builder<'_>, sql: &Spanned<String>, error: &SqlError, cx: &mut Reading<'_>) {
    let unknown = error.message.strip_prefix("there is no function `").and_then(|rest| rest.strip_suffix('`'));
    let of_the_file =
        unknown.and_then(|name| builder.file.functions.names().find(|own| own.eq_ignore_ascii_case(name)));
    // What is wrong with the function itself was reported.
    if of_the_file.is_some_and(|name| !builder.functions.has_no_signature(name)) {
        return;
    }
    let span = match (usize::try_from(error.line), usize::try_from(error.column)) {
        (Ok(line), Ok(column)) if line > 0 => sql.place_in_text(line, column),
        _ => sql.span,
    };
    let diagnostic = Diagnostic::error(span, error.message.clone()).at(&sql.path);
    cx.push(match (of_the_file, &error.help) {
        (Some(name), _) => diagnostic.help(format!("give the function `{name}` a `signature`, and SQL can call it")),
        (None, Some(help)) => diagnostic.help(help.clone()),
        (None, None) => diagnostic,
    });
}

fn alert(builder: &Builder<'_>, name: &str, node: &Node, cx: &mut Reading<'_>) -> Option<StepNode> {
    let mut map = MapReader::new(node);
    refusals::alert(&mut map, cx);
    let settings = AlertSettings::read_fields(&mut map, cx);
    map.finish(cx);
    let settings = settings?;
    builder.check_on_error(settings.on_error, node, cx);
    let schema = input(builder, &settings.from, cx)?;
    let when = builder.planner.condition(&settings.when, &settings.from, &schema);
    let when = when.map_err(|error| report_sql(builder, &settings.when, &error, cx)).ok();
    let key: Vec<String> = settings.key.iter().flatten().map(|column| column.value.clone()).collect();
    let mut good = true;
    for column in settings.key.iter().flatten() {
        if schema.field_with_name(column).is_err() {
            unknown_column(column, &schema, cx);
            good = false;
        }
    }
    let message = message(name, &settings, &schema, cx);
    let (when, message) = (when?, message?);
    let calls = builder.functions.sql_calls(&when.functions);
    let when = when.branches.into_iter().next().filter(|_| good)?;
    let alert = Alert {
        name: name.into(),
        when,
        key,
        repeat: settings.repeat.map(|repeat| i64::try_from(repeat.as_micros()).unwrap_or(i64::MAX)),
        message,
        time: builder.event_times.get(settings.from.value.as_str()).map(|time| time.column.clone()),
        last: Mutex::new(HashMap::new()),
    };
    Some(StepNode {
        name: name.into(),
        work: Work::Alert(alert),
        calls,
        schema: message_schema(),
        on_error: settings.on_error,
        event_time: None,
        inputs: vec![settings.from.value.as_str().into()],
        edges: Vec::new(),
    })
}

/// The message's template; unless set, the alert's name with its condition.
fn message(name: &str, settings: &AlertSettings, schema: &SchemaRef, cx: &mut Reading<'_>) -> Option<Template> {
    let Some(message) = &settings.message else {
        let condition = settings.when.value.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = format!("{name}: {condition}").replace('{', "{{").replace('}', "}}");
        return Template::parse(&text).ok();
    };
    let template = Template::parse(message).map_err(|error| cx.push(message.error(error.to_string()))).ok()?;
    match template.check(schema) {
        Ok(()) => Some(template),
        Err(problems) => {
            problems.into_iter().for_each(|problem| cx.push(message.error(problem)));
            None
        }
    }
}

/// Which alerts tell which sinks: by sink, the alerts' names.
pub(super) fn notified(builder: &Builder<'_>, cx: &mut Reading<'_>) -> BTreeMap<String, Vec<Arc<str>>> {
    let mut by_sink: BTreeMap<String, Vec<Arc<str>>> = BTreeMap::new();
    for named in &builder.file.alerts.0 {
        // Problems of the settings were reported when the alert was planned; here only `notify` is of interest.
        let Some(notify) = named.value.0.get("notify") else { continue };
        let Some(sinks) = crate::config::names_of(notify, cx) else { continue };
        for sink in sinks {
            match builder.names.get(sink.value.as_str()) {
                Some(super::build::Kind::Sink) => {
                    by_sink.entry(sink.value).or_default().push(named.name.as_str().into())
                }
                Some(kind) => cx.push(sink.error(format!("`{}` is {} and no sink", sink.value, kind.noun()))),
                None => {
                    let nearest = riverhook_config::nearest(&sink, builder.file.sinks.names());
                    cx.push(sink.error(format!("there is no sink named `{}`", sink.value)).did_you_mean(nearest));
                }
            }
        }
    }
    by_sink
}
