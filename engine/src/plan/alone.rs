//! Sources of a file without the rest of it: for looking at their records and moving their positions while the file is
//! not finished.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use riverhook_config::{Diagnostic, Kind, MapReader, Node, Reading};
use riverhook_connectors::{format::Format, registry::Setup, source::Source};

use super::{
    Surroundings,
    build::{Builder, check_name, store},
    functions::Functions,
    source::configured,
};
use crate::{
    config::{PipelineFile, SourceSettings},
    sql::Planner,
};

/// What a source is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To ask for its positions, as the pipeline itself has them.
    Positions,
    /// To read some records without the pipeline noticing: not as a member of its consumer group.
    Look,
}

/// A source without the nodes that read it, and without a schema.
pub struct Alone {
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// The source's name.
    pub name: Arc<str>,
    /// The connector.
    pub source: Box<dyn Source>,
    /// How its payloads are decoded.
    pub format: Format,
    /// The folder of the pipeline's checkpoint store.
    pub store: PathBuf,
}

/// The keys by which a source would join the pipeline's group, or begin where the group is to begin.
const OF_THE_GROUP: [&str; 2] = ["group", "start"];

/// The sources of a file, or the one of this name; reports why not. Other parts of the file may be wrong.
pub fn alone(
    root: &Node,
    around: &Surroundings<'_>,
    planner: &Planner,
    only: Option<&str>,
    purpose: Purpose,
    cx: &mut Reading<'_>,
) -> Option<Vec<Alone>> {
    let mut file = PipelineFile::read_fields(&mut MapReader::new(root), cx)?;
    let pipeline: Arc<str> = check_name(&file, cx)?.into();
    let store = store(&file, &pipeline, around, cx)?;
    // Not loaded: a source does not need them.
    file.functions = Default::default();
    let functions = Functions::read(&file, &pipeline, around, cx);
    let builder = Builder {
        base: around.base.to_owned(),
        pipeline: match purpose {
            Purpose::Positions => Arc::clone(&pipeline),
            Purpose::Look => Setup::look_at(&pipeline),
        },
        planner,
        functions,
        tables: BTreeMap::new(),
        event_times: BTreeMap::new(),
        names: BTreeMap::new(),
        file,
    };
    if let Some(name) = only
        && builder.file.sources.get(name).is_none()
    {
        cx.push(unknown(name, &builder, root));
        return None;
    }
    let wanted = builder.file.sources.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    let mut all = Vec::new();
    for (name, part) in wanted {
        let stripped = (purpose == Purpose::Look).then(|| without(&part.0, &OF_THE_GROUP));
        let node = stripped.as_ref().unwrap_or(&part.0);
        let made: Option<(SourceSettings, Box<dyn Source>, _)> = configured(&builder, name, node, cx);
        let made = made.map(|(_, source, setup)| Alone {
            pipeline: Arc::clone(&builder.pipeline),
            name: name.into(),
            source,
            format: setup.format,
            store: store.clone(),
        });
        all.push(made);
    }
    all.into_iter().collect()
}

fn unknown(name: &str, builder: &Builder<'_>, root: &Node) -> Diagnostic {
    let place = root.get("sources").map_or(root.span, |sources| sources.key_span);
    let known: Vec<&str> = builder.file.sources.names().collect();
    let error = Diagnostic::error(place, format!("there is no source named `{name}`"));
    let error = if known.is_empty() { error } else { error.expected(format!("one of {}", known.join(", "))) };
    error.did_you_mean(riverhook_config::nearest(name, known.iter().copied()))
}

fn without(node: &Node, keys: &[&str]) -> Node {
    let mut node = node.clone();
    if let Kind::Map(entries) = &mut node.kind {
        entries.retain(|entry| !keys.contains(&&*entry.key));
    }
    node
}
