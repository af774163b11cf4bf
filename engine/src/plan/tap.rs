//! Listening to a node: its rows, all columns of them, go to one more sink.

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};

use super::{Edge, Plan, SourceNode};

impl Plan {
    /// Leads the rows of a source or step also to the sink of number `sink`, which need not be one of
    /// [`Plan::sinks`]: whoever runs the plan knows what it stands for. Gives the rows' columns, or nothing if there is
    /// no such source or step.
    ///
    /// Of a source all columns are then decoded, not only those that the plan reads.
    pub fn tap(&mut self, node: &str, sink: usize) -> Option<SchemaRef> {
        if let Some(source) = self.sources.iter_mut().find(|source| &*source.name == node) {
            widen(source);
            source.edges.push(Edge::Sink(sink));
            return Some(Arc::clone(&source.schema));
        }
        let step = self.steps.iter_mut().find(|step| &*step.name == node)?;
        step.edges.push(Edge::Sink(sink));
        Some(Arc::clone(&step.schema))
    }
}

fn widen(source: &mut SourceNode) {
    let metadata = source.source.metadata().len();
    let fields = source.schema.fields();
    let payload = fields[..fields.len() - metadata].to_vec();
    source.decoded = Arc::new(Schema::new_with_metadata(payload, source.schema.metadata().clone()));
    source.metadata = (0..metadata).collect();
    source.read = Arc::clone(&source.schema);
}
