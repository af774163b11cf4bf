//! Functions: loaded and compiled when the plan is made, so that a pipeline with functions is typed before it runs.

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use riverhook_config::{MapReader, Node, Reading, Spanned};
use riverhook_udf::{Function, Grants, Limits, LogLevel, LogLine, LogSink, Runtime};

use super::build::Surroundings;
use crate::config::{FunctionSettings, PipelineFile};

/// The functions of the file by name; `None` for one that could not be loaded.
pub(super) struct Functions {
    loaded: Vec<(String, Option<Arc<dyn Function>>)>,
    called: RefCell<BTreeSet<String>>,
}

impl Functions {
    pub(super) fn read(file: &PipelineFile, around: &Surroundings<'_>, cx: &mut Reading<'_>) -> Self {
        let mut runtime = None;
        let load = |named: &riverhook_config::Named<crate::config::Part>, cx: &mut Reading<'_>| {
            (named.name.clone(), load(&named.name, &named.value.0, around, &mut runtime, cx))
        };
        let mut load = load;
        let loaded = file.functions.0.iter().map(|named| load(named, cx)).collect();
        Self { loaded, called: RefCell::default() }
    }

    /// The function of this name. Reports a name that no function has; says nothing of one that could not be loaded.
    pub(super) fn get(&self, name: &Spanned<String>, cx: &mut Reading<'_>) -> Option<Arc<dyn Function>> {
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

fn load(
    name: &str,
    node: &Node,
    around: &Surroundings<'_>,
    runtime: &mut Option<Runtime>,
    cx: &mut Reading<'_>,
) -> Option<Arc<dyn Function>> {
    let mut map = MapReader::new(node);
    super::refusals::function(&mut map, cx);
    if cx.diagnostics().iter().any(|diagnostic| diagnostic.path.to_string().starts_with(&format!("{}.", node.path))) {
        // A function of a kind that is not there yet has no `wasm`: do not ask for it on top.
        map.know(FunctionSettings::keys());
        map.finish(cx);
        return None;
    }
    let settings = FunctionSettings::read_fields(&mut map, cx);
    map.finish(cx);
    let settings = settings?;
    let path = around.base.join(&settings.wasm.value);
    let shown = settings.wasm.value.display();
    if !path.is_file() {
        let missing = settings.wasm.error(format!("there is no file `{shown}`"));
        cx.push(missing.help("paths begin at the folder of the pipeline file"));
        return None;
    }
    let limits = Limits {
        memory: settings.memory.as_usize(),
        timeout: settings.timeout,
        max_output: settings.max_output.as_usize(),
        ..Limits::default()
    };
    let runtime = match runtime {
        Some(runtime) => runtime,
        None => match (around.functions)() {
            Ok(made) => runtime.insert(made),
            Err(why) => {
                cx.push(settings.wasm.error(format!("functions cannot run here: {why}")));
                return None;
            }
        },
    };
    match runtime.load_file(
        name,
        &path,
        riverhook_udf::Settings { limits, grants: Grants::default() },
        LogSink::new(log),
    ) {
        Ok(function) => Some(Arc::new(function)),
        Err(error) => {
            cx.push(settings.wasm.error(format!("`{shown}`: {}", with_causes(&error))));
            None
        }
    }
}

/// A function's line, into our own log, with its name.
fn log(line: &LogLine<'_>) {
    let (function, invocation, message) = (line.function, line.invocation, line.message);
    match line.level {
        LogLevel::Error => tracing::error!(target: "function", function, invocation, "{message}"),
        LogLevel::Warn => tracing::warn!(target: "function", function, invocation, "{message}"),
        LogLevel::Info => tracing::info!(target: "function", function, invocation, "{message}"),
        LogLevel::Debug | LogLevel::Trace => tracing::debug!(target: "function", function, invocation, "{message}"),
    }
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
