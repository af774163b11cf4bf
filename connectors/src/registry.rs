//! The one list of connectors, and how the engine makes one from a node of the pipeline file.

use std::{path::PathBuf, sync::Arc};

use arrow_schema::SchemaRef;
use riverhook_config::{MapReader, Reading, Shape};

use crate::{format::Format, sink::Sink, source::Source};

/// What a connector knows of the node it is made for.
#[derive(Clone)]
pub struct Setup {
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// The node's name.
    pub node: Arc<str>,
    /// The folder relative paths begin at: the pipeline file's.
    pub base: PathBuf,
    /// The node's `format`; JSON unless set. Connectors without bytes ignore it.
    pub format: Format,
    /// The node's `schema`, where it has one.
    pub schema: Option<SchemaRef>,
}

impl Setup {
    /// What a pipeline is called while somebody only looks at its sources' records: by a mark that is in no pipeline's
    /// name, so that the look is told from every pipeline, and with the process, so that two looks do not meet.
    pub fn look_at(pipeline: &str) -> Arc<str> {
        format!("{pipeline}~look-{}", std::process::id()).into()
    }

    /// Whether nothing may be left behind on a server: nobody goes on where a look ends.
    pub fn is_look(&self) -> bool {
        self.pipeline.contains("~look-")
    }
}

/// How a source of one kind is made.
pub struct SourceEntry {
    /// Its settings, for the reference page and the JSON Schema.
    pub shape: fn() -> Shape,
    /// Reads the settings, reports every problem, and makes the source if there was none.
    pub read: fn(&mut MapReader<'_>, &mut Reading<'_>, &Setup) -> Option<Box<dyn Source>>,
}

/// How a sink of one kind is made.
pub struct SinkEntry {
    /// Its settings, for the reference page and the JSON Schema.
    pub shape: fn() -> Shape,
    /// Reads the settings, reports every problem, and makes the sink if there was none.
    pub read: fn(&mut MapReader<'_>, &mut Reading<'_>, &Setup) -> Option<Box<dyn Sink>>,
}

/// A connector.
pub struct Connector {
    /// Its name: what `type:` says.
    pub name: &'static str,
    /// Its source, if it has one.
    pub source: Option<SourceEntry>,
    /// Its sink, if it has one.
    pub sink: Option<SinkEntry>,
}

/// All connectors, in the order of the documentation.
pub fn connectors() -> &'static [Connector] {
    static ALL: [Connector; 7] = [
        crate::kafka::CONNECTOR,
        crate::file::CONNECTOR,
        crate::http::CONNECTOR,
        crate::generate::CONNECTOR,
        crate::schedule::CONNECTOR,
        crate::stdout::CONNECTOR,
        crate::memory::CONNECTOR,
    ];
    &ALL
}
