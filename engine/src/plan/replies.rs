//! `reply:` of sources: the node whose rows are the answers must be a step that the source's rows reach.

use std::{collections::BTreeSet, sync::Arc};

use riverhook_config::{Kind, Reading};

use super::{SourceNode, StepNode};
use crate::config::PipelineFile;

/// The nodes that sources name for their answers, whether there are such or not.
pub(super) fn named(file: &PipelineFile) -> BTreeSet<&str> {
    let names = file.sources.0.iter().filter_map(|source| match &source.value.0.get("reply")?.kind {
        Kind::Str(name) => Some(&**name),
        _ => None,
    });
    names.collect()
}

/// Finds each source's node for answers. Reports one that is no step, or that the source's rows do not reach.
pub(super) fn connect(sources: &mut [SourceNode], steps: &[StepNode], cx: &mut Reading<'_>) -> Option<()> {
    let mut good = true;
    for source in sources {
        let Some(replies) = source.source.replies() else { continue };
        let wanted = replies.node();
        let reached = reached(&source.name, steps);
        source.reply = steps.iter().position(|step| *step.name == *wanted.value && reached.contains(&step.name));
        if source.reply.is_none() {
            let nearest = riverhook_config::nearest(wanted, reached.iter().map(|name| &**name));
            let error =
                wanted.error(format!("no rows of `{}` reach a transform named `{}`", source.name, wanted.value));
            cx.push(
                error.did_you_mean(nearest).help("a request is answered with the rows that a transform makes of it"),
            );
            good = false;
        }
    }
    good.then_some(())
}

/// The steps that a source's rows reach. Each step is behind what it reads.
fn reached(source: &Arc<str>, steps: &[StepNode]) -> BTreeSet<Arc<str>> {
    let mut reached = BTreeSet::from([Arc::clone(source)]);
    for step in steps {
        if step.inputs.iter().any(|input| reached.contains(input)) {
            reached.insert(Arc::clone(&step.name));
        }
    }
    reached
}
