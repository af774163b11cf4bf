//! `logs:` of functions: the sinks that get what they log as rows, and the sources that feed those.

use std::{collections::BTreeMap, sync::Arc};

use riverhook_config::{Diagnostics, Node, Reading, Setting, Spanned};
use riverhook_connectors::format::Format;

use super::{
    Edge, LogNode, SinkNode, SourceNode,
    build::{Builder, Kind},
};
use crate::{
    config::{OnError, PipelineFile},
    functions::{LogQueue, LogSource, log_schema},
};

/// The sinks that functions name in `logs`, whether there are such or not.
#[derive(Default)]
pub(super) struct LogSinks {
    queues: BTreeMap<String, Arc<LogQueue>>,
    named: Vec<Spanned<String>>,
}

impl LogSinks {
    /// What is wrong with the names' form is said when the functions are read.
    pub(super) fn read(file: &PipelineFile, pipeline: &Arc<str>, cx: &Reading<'_>) -> Self {
        let mut sinks = Self::default();
        for function in &file.functions.0 {
            let Some(name) = name(&function.value.0, cx) else { continue };
            let queue = || LogQueue::new(pipeline, &name, file.buffer.as_usize());
            sinks.queues.entry(name.value.clone()).or_insert_with(queue);
            sinks.named.push(name);
        }
        sinks
    }

    /// Where the lines of a function go to become rows.
    pub(super) fn queue(&self, sink: Option<&Spanned<String>>) -> Option<Arc<LogQueue>> {
        self.queues.get(&sink?.value).cloned()
    }

    /// The source that feeds a sink, if functions log to it.
    pub(super) fn feeding(&self, sink: &str) -> Option<Arc<str>> {
        self.queues.contains_key(sink).then(|| source_name(sink))
    }

    /// Reports names that no sink has.
    pub(super) fn check(&self, builder: &Builder<'_>, cx: &mut Reading<'_>) {
        for sink in &self.named {
            match builder.names.get(sink.value.as_str()) {
                Some(Kind::Sink) => {}
                Some(kind) => cx.push(sink.error(format!("`{}` is {} and no sink", sink.value, kind.noun()))),
                None => {
                    let nearest = riverhook_config::nearest(sink, builder.file.sinks.names());
                    cx.push(sink.error(format!("there is no sink named `{}`", sink.value)).did_you_mean(nearest));
                }
            }
        }
    }

    /// A source for each of the sinks.
    pub(super) fn nodes(&self, sinks: &[SinkNode]) -> Vec<LogNode> {
        let fed = sinks.iter().enumerate().filter_map(|(index, sink)| Some((index, self.queues.get(&*sink.name)?)));
        fed.map(|(sink, queue)| LogNode { source: source(sink, queue), queue: Arc::clone(queue) }).collect()
    }
}

fn name(function: &Node, cx: &Reading<'_>) -> Option<Spanned<String>> {
    let mut quiet = Diagnostics::new();
    let mut quietly = Reading::new(cx.environment(), &mut quiet);
    Spanned::<String>::read(function.get("logs").filter(|logs| !logs.is_null())?, &mut quietly)
}

/// With a dot, so that no node of the file has it.
fn source_name(sink: &str) -> Arc<str> {
    format!("{sink}.logs").into()
}

fn source(sink: usize, queue: &Arc<LogQueue>) -> SourceNode {
    SourceNode {
        name: source_name(queue.sink()),
        source: Arc::new(LogSource::new(Arc::clone(queue))),
        format: Format::default(),
        schema: log_schema(),
        read: log_schema(),
        decoded: log_schema(),
        metadata: Vec::new(),
        on_error: OnError::Fail,
        event_time: None,
        reply: None,
        edges: vec![Edge::Sink(sink)],
    }
}
