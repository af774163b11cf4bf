//! Functions: loaded and compiled when the plan is made, so that a pipeline with functions is typed before it runs.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use riverhook_config::{Diagnostics, MapReader, Node, OneOrMany, Reading, Setting, Spanned};
use riverhook_connectors::format::schema::json_field;
use riverhook_udf::{EventSource, Function, LogLevel, LogLine, LogSink, Metric, MetricSink, MetricValue};

use super::{build::Surroundings, kinds};
use crate::{
    config::{FunctionSettings, PipelineFile},
    functions::{Grouping, PASSTHROUGH, Policy, Slots},
};

/// A function of the file, ready to be called.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) function: Arc<dyn Function>,
    pub(super) policy: Policy,
    pub(super) grouping: Grouping,
    /// How many copies may run, over all nodes.
    pub(super) slots: Arc<Slots>,
    pub(super) idle_timeout: std::time::Duration,
    /// Bytes that a copy may use.
    pub(super) memory: usize,
}

/// The functions of the file by name; `None` for one that could not be loaded.
pub(super) struct Functions {
    loaded: Vec<(String, Option<Loaded>)>,
    called: RefCell<BTreeSet<String>>,
}

impl Functions {
    pub(super) fn read(file: &PipelineFile, around: &Surroundings<'_>, cx: &mut Reading<'_>) -> Self {
        let sources = event_sources(file, cx);
        let mut kinds = kinds::Kinds { around, sources, runtime: None };
        let mut load = |named: &riverhook_config::Named<crate::config::Part>, cx: &mut Reading<'_>| {
            (named.name.clone(), load(&named.name, &named.value.0, &mut kinds, cx))
        };
        let loaded = file.functions.0.iter().map(|named| load(named, cx)).collect();
        Self { loaded, called: RefCell::default() }
    }

    /// The function of this name. Reports a name that no function has; says nothing of one that could not be loaded.
    pub(super) fn get(&self, name: &Spanned<String>, cx: &mut Reading<'_>) -> Option<Loaded> {
        self.called.borrow_mut().insert(name.value.clone());
        match self.loaded.iter().find(|(known, _)| *known == name.value) {
            Some((_, function)) => function.clone(),
            None => {
                let nearest = riverhook_config::nearest(name, self.loaded.iter().map(|(name, _)| name.as_str()));
                cx.push(name.error(format!("there is no function named `{}`", name.value)).did_you_mean(nearest));
                None
            }
        }
    }

    /// Whether a transform calls the function.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.called.borrow().contains(name)
    }
}

fn load(name: &str, node: &Node, kinds: &mut kinds::Kinds<'_>, cx: &mut Reading<'_>) -> Option<Loaded> {
    let mut map = MapReader::new(node);
    super::refusals::function(&mut map, cx);
    let settings = FunctionSettings::read_fields(&mut map, cx);
    map.finish(cx);
    let settings = settings?;
    let limits = (bounds(&settings, node, cx), kinds::one_kind(&settings, node, cx));
    let (Some(()), Some(kind)) = limits else { return None };
    let (function, memory) = kinds.make(name, kind, &settings, cx)?;
    Some(Loaded {
        function,
        policy: Policy {
            attempts: settings.retries.attempts,
            backoff: settings.retries.backoff,
            bisect: settings.bisect,
            ordered: settings.ordered,
            max_age: settings.max_age,
        },
        grouping: Grouping {
            rows: settings.batch.rows.as_ref().map_or(usize::MAX, |rows| rows.value),
            bytes: settings.batch.bytes.as_usize(),
        },
        slots: Slots::new(settings.concurrency.as_ref().map_or(kinds.around.cores, |most| most.value)),
        idle_timeout: settings.idle_timeout,
        memory,
    })
}

/// Numbers that must be in a range.
fn bounds(settings: &FunctionSettings, node: &Node, cx: &mut Reading<'_>) -> Option<()> {
    let mut good = true;
    let mut range = |value: &Option<Spanned<usize>>, most: usize, what: &str| {
        if let Some(value) = value.as_ref().filter(|value| !(1..=most).contains(&value.value)) {
            cx.push(
                value.error(format!("{} is out of range", value.value)).expected(format!("{what} from 1 to {most}")),
            );
            good = false;
        }
    };
    range(&settings.concurrency, 1000, "a number of copies");
    range(&settings.batch.rows, 1_000_000, "a number of rows");
    if !(1..=100).contains(&settings.retries.attempts) {
        let place = node.get("retries").and_then(|retries| retries.get("attempts")).unwrap_or(node);
        cx.wrong_value(place, "a number of tries from 1 to 100");
        good = false;
    }
    good.then_some(())
}

/// What kind of source each source of the file is, for events that tell. What is wrong with them is said when they are
/// read.
fn event_sources(file: &PipelineFile, cx: &Reading<'_>) -> BTreeMap<String, EventSource> {
    let mut quiet = Diagnostics::new();
    let mut quietly = Reading::new(cx.environment(), &mut quiet);
    let mut text = |node: Option<&Node>| node.and_then(|node| String::read(node, &mut quietly));
    let mut kinds = Vec::new();
    for named in &file.sources.0 {
        let node = &named.value.0;
        let connection = text(node.get("connection")).and_then(|name| file.connections.get(&name)).map(|part| &part.0);
        let kind = text(node.get("type")).or_else(|| text(connection.and_then(|node| node.get("type"))));
        let own = |key: &str| node.get(key).or_else(|| connection?.get(key));
        let form = match kind.as_deref() {
            Some("file") => own("format").map(|format| format.get("type").unwrap_or(format)),
            Some("http") => own("shape"),
            _ => None,
        };
        kinds.push((named.name.clone(), kind, text(form), own("brokers")));
    }
    let mut brokers = |node: Option<&Node>| {
        let brokers = node.and_then(|node| OneOrMany::<String>::read(node, &mut quietly));
        brokers.map_or_else(String::new, |brokers| brokers.as_slice().join(","))
    };
    kinds
        .into_iter()
        .map(|(name, kind, form, servers)| {
            let source = match (kind.as_deref(), form.as_deref()) {
                (Some("kafka"), _) => EventSource::Kafka { brokers: brokers(servers) },
                (Some("schedule"), _) => EventSource::Schedule,
                (Some("file"), Some("bytes")) => EventSource::Files,
                (Some("http"), Some("function_url")) => EventSource::Requests,
                (kind, _) => EventSource::Other { kind: kind.unwrap_or("unknown").to_owned(), arn: None },
            };
            (name, source)
        })
        .collect()
}

/// The column in which records without declared columns are passed on.
pub(super) fn passthrough() -> arrow_schema::FieldRef {
    Arc::new(json_field(PASSTHROUGH, false))
}

/// Where functions' lines go: into our own log, with the function's name.
pub(super) fn logs() -> LogSink {
    LogSink::new(log)
}

fn log(line: &LogLine<'_>) {
    let (function, invocation, message) = (line.function, line.invocation, line.message);
    match line.level {
        LogLevel::Error => tracing::error!(target: "function", function, %invocation, "{message}"),
        LogLevel::Warn => tracing::warn!(target: "function", function, %invocation, "{message}"),
        LogLevel::Info => tracing::info!(target: "function", function, %invocation, "{message}"),
        LogLevel::Debug | LogLevel::Trace => tracing::debug!(target: "function", function, %invocation, "{message}"),
    }
}

/// Where functions' own metrics go: among ours, under a name that cannot be one of ours.
pub(super) fn own_metrics() -> MetricSink {
    MetricSink::new(|metric: &Metric<'_>| {
        let labels = [("function", metric.function.to_owned())];
        let name = format!("riverhook_user_{}", metric.name);
        match metric.value {
            MetricValue::Counter(count) => metrics::counter!(name, &labels).increment(count),
            MetricValue::Gauge(value) => metrics::gauge!(name, &labels).set(value),
        }
    })
}

/// An error and what caused it, in one sentence.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
