//! Functions: loaded and compiled when the plan is made, so that a pipeline with functions is typed before it runs.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
    time::Duration,
};

use arrow_schema::SchemaRef;
use riverhook_config::{Diagnostics, MapReader, Node, OneOrMany, Reading, Setting, Spanned};
use riverhook_connectors::format::schema::json_field;
use riverhook_udf::{EventSource, Function, Metric, MetricSink, MetricValue};

use super::{
    Call,
    build::Surroundings,
    kinds,
    logs::LogSinks,
    scalars::{self, ScalarFunction},
};
use crate::{
    config::{FunctionSettings, PipelineFile},
    functions::{FunctionLog, Grouping, PASSTHROUGH, Policy, Slots},
};

/// A function of the file, ready to be called.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) function: Arc<dyn Function>,
    pub(super) log: Arc<FunctionLog>,
    /// As SQL calls it.
    pub(super) scalar: Option<ScalarFunction>,
    policy: Policy,
    grouping: Grouping,
    /// How many copies may run, over all nodes.
    slots: Arc<Slots>,
    idle_timeout: Duration,
    /// Bytes that a copy may use.
    memory: usize,
}

impl Loaded {
    /// A call with rows of `input`: of the function itself, or as SQL calls it.
    pub(super) fn call(&self, name: &str, function: &Arc<dyn Function>, input: SchemaRef) -> Call {
        Call {
            name: name.into(),
            function: Arc::clone(function),
            log: Arc::clone(&self.log),
            input,
            policy: self.policy.clone(),
            grouping: self.grouping,
            slots: Arc::clone(&self.slots),
            idle_timeout: self.idle_timeout,
            memory: self.memory,
            dispatch: OnceLock::new(),
        }
    }

    /// A call as SQL makes it.
    pub(super) fn sql_call(&self, name: &str) -> Option<Call> {
        let scalar = self.scalar.as_ref()?;
        let mut call = self.call(name, &scalar.function, Arc::clone(&scalar.signature.arguments));
        // Answers find their rows again, so that only what failed runs once more, and the order is kept all the same.
        call.policy.ordered = false;
        Some(call)
    }
}

/// The functions of the file by name; `None` for one that could not be loaded.
pub(super) struct Functions {
    loaded: Vec<(String, Option<Loaded>)>,
    called: RefCell<BTreeSet<String>>,
    pub(super) logs: LogSinks,
}

impl Functions {
    pub(super) fn read(
        file: &PipelineFile,
        pipeline: &Arc<str>,
        around: &Surroundings<'_>,
        cx: &mut Reading<'_>,
    ) -> Self {
        let sources = event_sources(file, cx);
        let logs = LogSinks::read(file, pipeline, cx);
        let mut kinds = kinds::Kinds { around, sources, runtime: None };
        let mut load = |named: &riverhook_config::Named<crate::config::Part>, cx: &mut Reading<'_>| {
            let loaded = load((pipeline, &named.name), &named.value.0, &logs, file.checkpoint.every, &mut kinds, cx);
            (named.name.clone(), loaded)
        };
        let loaded = file.functions.0.iter().map(|named| load(named, cx)).collect();
        Self { loaded, called: RefCell::default(), logs }
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

    /// Whether a node calls the function.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.called.borrow().contains(name)
    }

    /// Whether SQL may call the function.
    pub(super) fn is_scalar(&self, name: &str) -> bool {
        self.scalars().any(|(known, _, _)| known == name)
    }

    /// Whether the function was loaded and is none of SQL.
    pub(super) fn has_no_signature(&self, name: &str) -> bool {
        let of_name = self.loaded.iter().find(|(known, _)| known == name);
        of_name.and_then(|(_, loaded)| loaded.as_ref()).is_some_and(|loaded| loaded.scalar.is_none())
    }

    /// The functions that SQL may call.
    pub(super) fn scalars(&self) -> impl Iterator<Item = (&str, &Loaded, &ScalarFunction)> {
        self.loaded.iter().filter_map(|(name, loaded)| {
            let loaded = loaded.as_ref()?;
            Some((name.as_str(), loaded, loaded.scalar.as_ref()?))
        })
    }

    /// The calls of a node whose SQL calls these functions.
    pub(super) fn sql_calls(&self, names: &[String]) -> Vec<Call> {
        self.called.borrow_mut().extend(names.iter().cloned());
        let call = |name: &String| {
            let (_, loaded, _) = self.scalars().find(|(known, ..)| known == name)?;
            loaded.sql_call(name)
        };
        names.iter().map(|name| call(name).expect("SQL was planned with these functions")).collect()
    }
}

fn load(
    (pipeline, name): (&Arc<str>, &str),
    node: &Node,
    logs: &LogSinks,
    every: Duration,
    kinds: &mut kinds::Kinds<'_>,
    cx: &mut Reading<'_>,
) -> Option<Loaded> {
    let mut map = MapReader::new(node);
    let settings = FunctionSettings::read_fields(&mut map, cx);
    map.finish(cx);
    let settings = settings?;
    let limits =
        (bounds(&settings, every, node, cx), kinds::one_kind(&settings, node, cx), one_answer(&settings, node, cx));
    let (Some(()), Some(kind), Some(())) = limits else { return None };
    let log = FunctionLog::new(pipeline, name, logs.queue(settings.logs.as_ref()));
    let kinds::Made { function, scalar, memory } = kinds.make(&log, kind, &settings, cx)?;
    log.loaded(function.version());
    let scalar = match settings.signature.as_ref().zip(scalar) {
        Some((signature, function)) => Some(scalars::checked(name, signature, function, cx)?),
        None => None,
    };
    Some(Loaded {
        function,
        log,
        scalar,
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
            wait: settings.batch.wait.as_ref().map_or(Duration::ZERO, |wait| wait.value),
        },
        slots: Slots::new(settings.concurrency.as_ref().map_or(kinds.around.cores, |most| most.value)),
        idle_timeout: settings.idle_timeout,
        memory,
    })
}

/// What it answers is said once.
fn one_answer(settings: &FunctionSettings, node: &Node, cx: &mut Reading<'_>) -> Option<()> {
    if settings.signature.is_none() || settings.output.is_none() {
        return Some(());
    }
    let place = node.get("output").unwrap_or(node);
    cx.push(
        place.error("`output` and `signature` both say what it answers").help("the result of `signature` is enough"),
    );
    None
}

/// Numbers that must be in a range.
fn bounds(settings: &FunctionSettings, every: Duration, node: &Node, cx: &mut Reading<'_>) -> Option<()> {
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
    if let Some(wait) = settings.batch.wait.as_ref().filter(|wait| wait.value > every) {
        let error =
            wait.error(format!("rows cannot wait for {:?}: they go on every {every:?} at the latest", wait.value));
        cx.push(error.help("that is when positions move: wait for less, or raise `every` of `checkpoint`"));
        good = false;
    }
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
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
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
