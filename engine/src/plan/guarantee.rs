//! What each path from a source to a sink promises, and why.

use riverhook_connectors::{sink::Guarantee, source::Keeper};

use super::{Edge, Plan};

/// One path's promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathGuarantee {
    /// The source.
    pub source: String,
    /// The sink.
    pub sink: String,
    /// The promise, such as `at least once`.
    pub promise: &'static str,
    /// Why it is that.
    pub why: String,
}

/// The promise of every path, dead letters included.
pub fn guarantees(plan: &Plan) -> Vec<PathGuarantee> {
    let mut paths = Vec::new();
    for source in &plan.sources {
        let mut reached = vec![false; plan.sinks.len()];
        let mut waiting = source.edges.clone();
        while let Some(edge) = waiting.pop() {
            match edge {
                Edge::Sink(sink) => reached[sink] = true,
                Edge::Step { step, .. } => waiting.extend(&plan.steps[step].edges),
            }
        }
        if let Some(letters) = plan.letters {
            reached[letters] = true;
        }
        for (sink, _) in plan.sinks.iter().zip(reached).filter(|(_, reached)| *reached) {
            let (promise, why) = promise(source.source.keeper(), sink.sink.guarantee());
            paths.push(PathGuarantee {
                source: source.name.to_string(),
                sink: sink.name.to_string(),
                promise,
                why: why.to_owned(),
            });
        }
    }
    paths.extend(plan.logs.iter().flat_map(|node| {
        let sinks = plan.sinks.iter().filter(|sink| sink.inputs.contains(&node.source.name));
        sinks.map(|sink| PathGuarantee {
            source: node.source.name.to_string(),
            sink: sink.name.to_string(),
            promise: "best effort",
            why: "functions never wait for their log: lines that the sink takes too slowly are counted and dropped"
                .to_owned(),
        })
    }));
    paths
}

fn promise(keeper: Keeper, guarantee: Guarantee) -> (&'static str, &'static str) {
    match (guarantee, keeper) {
        (Guarantee::Display, _) => ("shown", "the sink shows rows and stores nothing"),
        (Guarantee::AtLeastOnce, Keeper::Server) => {
            ("at least once", "offsets are committed behind durable writes; after a crash some rows are written again")
        }
        (Guarantee::AtLeastOnce, Keeper::Manifest) => {
            ("at least once", "positions are stored behind durable writes; after a crash some rows are written again")
        }
        (Guarantee::AtLeastOnce, Keeper::Nobody) => {
            ("at least once", "by the sender's retry: a request is answered when its rows are durable")
        }
    }
}
