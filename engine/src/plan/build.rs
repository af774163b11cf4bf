//! From the file to the plan: names are looked up, SQL and functions are typed, sinks are asked what they take.
//!
//! Everything that is wrong is reported, not the first thing: a node that cannot be planned leaves its error and a mark,
//! so that the nodes behind it are not blamed for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow_schema::SchemaRef;
use riverhook_config::{Diagnostics, Entry, Map, MapReader, Node, Reading};
use riverhook_connectors::source::BatchLimits;

use super::{
    Edge, EventTime, Plan, Settings, SinkNode, SourceNode, SqlFunction, StepNode, connections, functions::Functions,
    order, project, refusals, replies, scalars, sinks, source, steps,
};
use crate::{
    config::{OnError, Part, PipelineFile, Prices},
    sql::Planner,
};

/// What planning needs from outside.
pub struct Surroundings<'a> {
    /// The folder relative paths begin at: the pipeline file's.
    pub base: &'a Path,
    /// Makes what runs and compiles WebAssembly; called for a pipeline that has functions.
    pub functions: &'a dyn Fn() -> Result<riverhook_udf::Runtime, String>,
    /// Cores of the machine.
    pub cores: usize,
}

/// What is known while the plan is made.
pub(super) struct Builder<'a> {
    pub(super) file: PipelineFile,
    pub(super) base: PathBuf,
    pub(super) pipeline: Arc<str>,
    pub(super) planner: &'a Planner,
    pub(super) functions: Functions,
    /// The rows of each planned node. A node that is in the file but not here was not to be planned.
    pub(super) tables: BTreeMap<String, SchemaRef>,
    pub(super) event_times: BTreeMap<String, EventTime>,
    /// Nodes by name, whether planned or not, and where their names stand.
    pub(super) names: BTreeMap<String, Kind>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Source,
    Transform,
    Alert,
    Sink,
}

impl Kind {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Source => "a source",
            Self::Transform => "a transform",
            Self::Alert => "an alert",
            Self::Sink => "a sink",
        }
    }
}

/// What a pipeline is called whose name cannot be read: it is looked at, and never run.
const UNNAMED: &str = "unnamed";

/// Makes the plan, or reports why not.
pub fn build(root: &Node, around: &Surroundings<'_>, planner: &Planner, cx: &mut Reading<'_>) -> Option<Plan> {
    let mut map = MapReader::new(root);
    refusals::file(&mut map, cx);
    let file = PipelineFile::read_fields(&mut map, cx);
    map.finish(cx);
    let file = file.or_else(|| what_is_left(root, cx))?;
    // A wrong name must not keep the mistakes of the nodes from being told.
    let pipeline: Arc<str> = check_name(&file, cx).unwrap_or_else(|| UNNAMED.to_owned()).into();
    let settings = settings(&file, &pipeline, around, root, cx);
    let names = names(&file, cx);
    connections::check(&file, cx);
    let functions = Functions::read(&file, &pipeline, around, cx);
    let planner = &scalars::planner(planner, &functions, &file, cx);
    let mut builder = Builder {
        file,
        base: around.base.to_owned(),
        pipeline,
        planner,
        functions,
        tables: BTreeMap::new(),
        event_times: BTreeMap::new(),
        names,
    };
    let sources = source::read(&mut builder, cx);
    let drafts = order::transforms(&builder, cx);
    let steps = steps::plan(&mut builder, drafts, cx);
    let sinks = sinks::plan(&mut builder, cx);
    order::unused(&builder, &steps, &sinks, root, cx);
    let letters = sinks::dead_letters(&builder, root, cx);
    if cx.diagnostics().has_errors() {
        return None;
    }
    let (mut sources, mut steps, mut sinks) = (sources?, steps?, sinks?);
    let letters = letters.map(|sink| {
        sinks.push(sink);
        sinks.len() - 1
    });
    connect(&mut sources, &mut steps, &sinks);
    replies::connect(&mut sources, &steps, cx)?;
    project::narrow(&mut sources, &steps);
    let functions = builder.functions.scalars().filter_map(|(name, loaded, scalar)| {
        Some(SqlFunction { signature: scalar.signature.clone(), call: loaded.sql_call(name)? })
    });
    let functions = functions.collect();
    let logs = builder.functions.logs.nodes(&sinks);
    Some(Plan { name: builder.pipeline, sources, steps, functions, sinks, letters, logs, settings: settings? })
}

pub(super) fn check_name(file: &PipelineFile, cx: &mut Reading<'_>) -> Option<String> {
    let name = &file.name.value;
    let fine = !name.is_empty()
        && name.len() <= 200
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && !name.starts_with('.');
    if !fine {
        let error = file.name.error("this cannot be a pipeline's name");
        cx.push(error.expected("letters, digits, `-`, `_` and `.`, for it is part of paths and consumer groups"));
        return None;
    }
    Some(name.clone())
}

/// The nodes of a file whose other settings are wrong, so that the nodes' mistakes are told as well. What is wrong with
/// the settings was reported when they were read; nothing is left when the nodes themselves cannot be told apart.
fn what_is_left(root: &Node, cx: &Reading<'_>) -> Option<PipelineFile> {
    const SECTIONS: [&str; 6] = ["connections", "sources", "functions", "transforms", "alerts", "sinks"];
    let mut name = root.clone();
    name.kind = riverhook_config::Kind::Str(UNNAMED.into());
    let name = Entry { key: "name".into(), key_span: root.key_span, value: name };
    let mut left = root.clone();
    let riverhook_config::Kind::Map(entries) = &mut left.kind else { return None };
    entries.retain(|entry| SECTIONS.contains(&&*entry.key) || &*entry.key == "dead_letters");
    entries.push(name);
    let mut quiet = Diagnostics::new();
    let mut quietly = Reading::new(cx.environment(), &mut quiet);
    PipelineFile::read_fields(&mut MapReader::new(&left), &mut quietly)
}

fn settings(
    file: &PipelineFile,
    pipeline: &str,
    around: &Surroundings<'_>,
    root: &Node,
    cx: &mut Reading<'_>,
) -> Option<Settings> {
    let place = |keys: &[&str]| keys.iter().try_fold(root, |node, key| node.get(key)).unwrap_or(root);
    let parallelism = file.parallelism.as_ref().map_or(around.cores, |spanned| spanned.value);
    if !(1..=1024).contains(&parallelism) {
        cx.wrong_value(place(&["parallelism"]), "a number of tasks from 1 to 1024");
    }
    if !(1..=1_000_000).contains(&file.batch.rows) {
        cx.wrong_value(place(&["batch", "rows"]), "a number of rows from 1 to 1000000");
    }
    if !(1..=256 << 20).contains(&file.batch.bytes.0) {
        cx.wrong_value(place(&["batch", "bytes"]), "a size from 1B to 256MiB");
    }
    check_prices(&file.prices, root, cx);
    if file.checkpoint.every.is_zero() {
        cx.wrong_value(place(&["checkpoint", "every"]), "more than nothing, such as 1s");
    }
    let listen = file.server.as_ref().map(|server| {
        server
            .listen
            .parse()
            .map_err(|_| cx.wrong_value(place(&["server", "listen"]), "an address such as 127.0.0.1:9464"))
    });
    Some(Settings {
        parallelism,
        batch: BatchLimits { rows: file.batch.rows, bytes: file.batch.bytes.as_usize(), wait: file.batch.wait },
        every: file.checkpoint.every,
        store: store(file, pipeline, around, cx)?,
        shutdown_timeout: file.shutdown_timeout,
        listen: listen.transpose().ok()?,
        max_payload: file.max_payload.as_usize(),
        buffer_bytes: file.buffer.as_usize(),
    })
}

pub(super) fn check_prices(prices: &Prices, root: &Node, cx: &mut Reading<'_>) {
    for (key, price) in [("gb_second", prices.gb_second), ("million_calls", prices.million_calls)] {
        if price.is_some_and(|price| !price.is_finite() || price < 0.0) {
            let place = root.get("prices").and_then(|prices| prices.get(key)).unwrap_or(root);
            cx.wrong_value(place, "a price, such as 0.2");
        }
    }
}

pub(super) fn store(
    file: &PipelineFile,
    pipeline: &str,
    around: &Surroundings<'_>,
    cx: &mut Reading<'_>,
) -> Option<PathBuf> {
    let Some(store) = &file.checkpoint.store else { return Some(around.base.join(".riverhook").join(pipeline)) };
    if let Some(path) = store.value.strip_prefix("file://") {
        return Some(PathBuf::from(path));
    }
    if let Some((scheme, _)) = store.value.split_once("://") {
        cx.push(
            store
                .error(format!("stores of the kind `{scheme}://` are not there yet"))
                .expected("a folder, such as /var/lib/riverhook"),
        );
        return None;
    }
    Some(around.base.join(&store.value))
}

/// All nodes' names: each once over all kinds, and each a word that SQL can use.
fn names(file: &PipelineFile, cx: &mut Reading<'_>) -> BTreeMap<String, Kind> {
    let sections: [(&Map<Part>, Kind); 4] = [
        (&file.sources, Kind::Source),
        (&file.transforms, Kind::Transform),
        (&file.alerts, Kind::Alert),
        (&file.sinks, Kind::Sink),
    ];
    let mut names: BTreeMap<String, Kind> = BTreeMap::new();
    for (section, kind) in sections {
        for named in &section.0 {
            let error =
                |message: String| riverhook_config::Diagnostic::error(named.name_span, message).at(&named.value.0.path);
            if !is_word(&named.name) {
                cx.push(
                    error(format!("`{}` cannot be a node's name", named.name))
                        .expected("a letter or `_`, then letters, digits and `_`, because SQL uses it"),
                );
            }
            // The first keeps the name, so that the others are not planned as if they were it.
            if let Some(other) = names.get(&named.name) {
                cx.push(
                    error(format!("`{}` is also the name of {}", named.name, other.noun()))
                        .help("names are one for the whole pipeline: every node is a table by its name"),
                );
            } else {
                names.insert(named.name.clone(), kind);
            }
        }
    }
    names
}

pub(super) fn is_word(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 100
}

/// Draws the edges: each node gets those of the nodes that read it.
fn connect(sources: &mut [SourceNode], steps: &mut [StepNode], sinks: &[SinkNode]) {
    let mut edges: BTreeMap<Arc<str>, Vec<Edge>> = BTreeMap::new();
    for (index, step) in steps.iter().enumerate() {
        for (branch, input) in step.inputs.iter().enumerate() {
            edges.entry(Arc::clone(input)).or_default().push(Edge::Step { step: index, branch });
        }
    }
    for (index, sink) in sinks.iter().enumerate() {
        let distinct: BTreeSet<&Arc<str>> = sink.inputs.iter().collect();
        for input in distinct {
            edges.entry(Arc::clone(input)).or_default().push(Edge::Sink(index));
        }
    }
    for source in sources {
        source.edges = edges.remove(&source.name).unwrap_or_default();
    }
    for step in steps {
        step.edges = edges.remove(&step.name).unwrap_or_default();
    }
}

impl Builder<'_> {
    /// A connection of the file, and its kind; reports a name that is none.
    pub(super) fn connection(&self, name: &riverhook_config::Spanned<String>, cx: &mut Reading<'_>) -> Option<&Node> {
        match self.file.connections.get(name) {
            Some(part) => Some(&part.0),
            None => {
                let nearest = riverhook_config::nearest(name, self.file.connections.names());
                cx.push(name.error(format!("there is no connection named `{}`", name.value)).did_you_mean(nearest));
                None
            }
        }
    }

    /// Reports a name that no node has, or a node that has no rows to read.
    pub(super) fn unknown_input(&self, name: &riverhook_config::Spanned<String>, cx: &mut Reading<'_>) {
        let error = match self.names.get(name.value.as_str()) {
            Some(kind @ (Kind::Alert | Kind::Sink)) => name
                .error(format!("`{}` is {} and has no rows to read", name.value, kind.noun()))
                .expected("a source or a transform"),
            Some(Kind::Source | Kind::Transform) => return,
            None => {
                let readable = self.names.iter().filter(|(_, kind)| matches!(kind, Kind::Source | Kind::Transform));
                let nearest = riverhook_config::nearest(name, readable.map(|(name, _)| name.as_str()));
                name.error(format!("there is no node named `{}`", name.value)).did_you_mean(nearest)
            }
        };
        cx.push(error);
    }

    /// Reports `on_error: dead_letter` in a file without `dead_letters`.
    pub(super) fn check_on_error(&self, on_error: OnError, node: &Node, cx: &mut Reading<'_>) {
        if on_error == OnError::DeadLetter && self.file.dead_letters.is_none() {
            let place = node.get("on_error").unwrap_or(node);
            cx.push(place.error("`dead_letter` needs a `dead_letters:` sink, and this file has none").help(
                "add one at the end of the file, such as `dead_letters: { type: file, path: dead/, format: json }`",
            ));
        }
    }
}
