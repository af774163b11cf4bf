//! A test file: what its keys are called, and whether what it names is in the pipeline.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use arrow_cast::parse::string_to_timestamp_nanos;
use riverhook_config::{
    Diagnostic, Diagnostics, Environment, Kind, Map, Named, Node, ProcessEnvironment, Reading, Setting, Shape, Spanned,
    choices, nearest, parse, settings,
};
use serde_json::Value;

use crate::{
    cli::load::{plan, read},
    plan::{Plan, Work},
    run::{Answer, Given, Rehearsal},
};

/// What failed records are called in `expect`.
pub(super) const DEAD_LETTERS: &str = "dead_letters";

settings! {
    /// Tests of a pipeline.
    pub(super) struct TestFile {
        /// The pipeline file, relative to this one.
        pub(super) pipeline: Spanned<PathBuf>,
        /// The tests.
        pub(super) tests: Vec<CaseSettings>,
    }

    /// A test: records in, rows out.
    pub(super) struct CaseSettings {
        /// What is tested, in a few words.
        pub(super) name: Spanned<String>,
        /// By source, its records: maps of columns, or texts that are payloads as they are.
        pub(super) inputs: Map<Vec<Record>> = Map::default(),
        /// By node, the rows that leave it (for a sink: that reach it), and `dead_letters`.
        pub(super) expect: Map<Vec<Row>> = Map::default(),
        /// A text that the error contains with which the run stops.
        pub(super) fails: Option<String>,
        /// Whether rows may come in any order.
        pub(super) unordered: bool = false,
        /// Whether columns that an expected row does not name may be anything; else they must be null.
        pub(super) partial: bool = false,
        /// By function, whether it runs, or what is answered instead.
        pub(super) functions: Map<StubSetting> = Map::default(),
        /// The time all along, such as `2026-01-01T00:00:00Z`; the beginning of 1970 unless set.
        pub(super) time: Option<Spanned<String>>,
    }

    /// What a function answers without running.
    struct AnswerSettings {
        /// The rows it answers to every batch.
        rows: Option<Vec<Row>>,
        /// The message it fails with.
        error: Option<String>,
    }
}

choices! {
    /// Whether a function runs.
    enum Runs {
        /// It runs.
        Real = "real",
    }
}

/// A row as a map of columns.
#[derive(Clone, Debug)]
pub(super) struct Row(serde_json::Map<String, Value>);

impl Setting for Row {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        match Value::read(node, cx)? {
            Value::Object(columns) => Some(Self(columns)),
            _ => {
                cx.wrong_kind(node, "a row, such as { id: 1, name: ann }");
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Map(Box::new(Shape::Any))
    }
}

/// A source's record.
#[derive(Clone, Debug)]
pub(super) struct Record(Given);

impl Setting for Record {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        match Value::read(node, cx)? {
            Value::Object(columns) => Some(Self(Given::Columns(columns))),
            Value::String(text) => Some(Self(Given::Raw(text.into_bytes()))),
            _ => {
                cx.wrong_kind(node, "a record: columns such as { id: 1 }, or its raw text in quotes");
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Either(vec![Shape::Str, Shape::Map(Box::new(Shape::Any))])
    }
}

/// `real`, or what is answered instead.
#[derive(Clone, Debug)]
pub(super) struct StubSetting(Option<Answer>);

impl Setting for StubSetting {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        if !matches!(node.kind, Kind::Map(_)) {
            return Runs::read(node, cx).map(|_| Self(None));
        }
        let settings = AnswerSettings::read(node, cx)?;
        match (settings.rows, settings.error) {
            (Some(rows), None) => {
                Some(Self(Some(Answer::Rows(rows.into_iter().map(|row| Value::Object(row.0)).collect()))))
            }
            (None, Some(message)) => Some(Self(Some(Answer::Failure(message)))),
            _ => {
                cx.wrong_value(node, "either `rows` or `error`");
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Either(vec![Runs::shape(), AnswerSettings::shape()])
    }
}

/// A checked test file.
pub(super) struct Tests {
    /// Where the pipeline is.
    pub(super) pipeline: PathBuf,
    /// The tests, in order.
    pub(super) cases: Vec<Case>,
}

/// A test, ready to run.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) rehearsal: Rehearsal,
    pub(super) expect: Vec<(String, Vec<Value>)>,
    pub(super) fails: Option<String>,
    pub(super) unordered: bool,
    pub(super) partial: bool,
}

impl TestFile {
    /// Reads a test file and the pipeline it is of; what is wrong with either is said.
    pub(super) fn read(path: &Path, environment: &dyn Environment, diagnostics: &mut Diagnostics) -> Option<Tests> {
        let file = read(path, diagnostics)?;
        let root = parse(&file, diagnostics)?;
        let tests = <Self as Setting>::read(&root, &mut Reading::new(environment, diagnostics))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let pipeline = folder.join(&tests.pipeline.value);
        if !pipeline.is_file() {
            diagnostics.push(tests.pipeline.error(format!("there is no file {}", pipeline.display())));
            return None;
        }
        let plan = plan(&pipeline, &ProcessEnvironment::beside(&pipeline), diagnostics)?;
        let names = Names::of(&plan);
        let cases: Vec<Case> = tests.tests.into_iter().filter_map(|case| names.checked(case, diagnostics)).collect();
        (!diagnostics.has_errors()).then_some(Tests { pipeline, cases })
    }
}

/// What a test may name.
struct Names {
    sources: BTreeSet<String>,
    nodes: BTreeSet<String>,
    functions: BTreeSet<String>,
}

impl Names {
    fn of(plan: &Plan) -> Self {
        let sources: BTreeSet<String> = plan.sources.iter().map(|source| source.name.to_string()).collect();
        let steps = plan.steps.iter().map(|step| step.name.to_string());
        let sinks = plan.sinks.iter().map(|sink| sink.name.to_string());
        let called = plan.steps.iter().flat_map(|step| {
            let own = match &step.work {
                Work::Call(call) => Some(call),
                Work::Sql(_) | Work::Alert(_) => None,
            };
            own.into_iter().chain(&step.calls).map(|call| call.name.to_string())
        });
        Self { nodes: steps.chain(sinks).chain(sources.clone()).collect(), functions: called.collect(), sources }
    }

    fn checked(&self, case: CaseSettings, diagnostics: &mut Diagnostics) -> Option<Case> {
        let mut check = |named: Checked<'_>, known: &BTreeSet<String>, noun: &str| {
            if known.contains(named.name) {
                return;
            }
            let error = match named.name {
                DEAD_LETTERS => Diagnostic::error(named.span, "this pipeline has no `dead_letters`"),
                name => Diagnostic::error(named.span, format!("the pipeline has no {noun} named `{name}`"))
                    .did_you_mean(nearest(name, known.iter().map(String::as_str))),
            };
            diagnostics.push(error);
        };
        case.inputs.0.iter().for_each(|named| check(named.into(), &self.sources, "source"));
        case.expect.0.iter().for_each(|named| check(named.into(), &self.nodes, "node"));
        case.functions.0.iter().for_each(|named| check(named.into(), &self.functions, "function in use"));
        if case.expect.is_empty() && case.fails.is_none() {
            let error = case.name.error("this test expects nothing");
            diagnostics
                .push(error.help("say in `expect` which rows leave a node, as in `expect: { node: [{ id: 1 }] }`"));
        }
        let now = time(case.time.as_ref(), diagnostics)?;
        let rows = |rows: Vec<Row>| rows.into_iter().map(|row| Value::Object(row.0)).collect::<Vec<_>>();
        let expect: Vec<_> = case.expect.0.into_iter().map(|named| (named.name, rows(named.value))).collect();
        let inputs = case.inputs.0.into_iter();
        let answers = case.functions.0.into_iter();
        let rehearsal = Rehearsal {
            inputs: inputs
                .map(|named| (named.name, named.value.into_iter().map(|record| record.0).collect()))
                .collect(),
            answers: answers.filter_map(|named| Some((named.name, named.value.0?))).collect::<BTreeMap<_, _>>(),
            watched: expect.iter().map(|(node, _)| node.clone()).collect(),
            now,
        };
        let (name, fails, unordered, partial) = (case.name.value, case.fails, case.unordered, case.partial);
        Some(Case { name, rehearsal, expect, fails, unordered, partial })
    }
}

/// A name and its place.
struct Checked<'a> {
    name: &'a str,
    span: riverhook_config::Span,
}

impl<'a, T> From<&'a Named<T>> for Checked<'a> {
    fn from(named: &'a Named<T>) -> Self {
        Self { name: &named.name, span: named.name_span }
    }
}

/// Microseconds since 1970-01-01 UTC.
fn time(text: Option<&Spanned<String>>, diagnostics: &mut Diagnostics) -> Option<i64> {
    let Some(text) = text else { return Some(0) };
    match string_to_timestamp_nanos(text) {
        Ok(nanos) => Some(nanos.div_euclid(1000)),
        Err(_) => {
            diagnostics.push(text.error("this is no time").expected("a time such as 2026-01-01T00:00:00Z"));
            None
        }
    }
}
