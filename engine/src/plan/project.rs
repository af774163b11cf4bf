//! Which columns of each source are read by anything: only those are decoded.

use std::{collections::BTreeSet, sync::Arc};

use arrow_schema::{Schema, SchemaRef};

use super::{Edge, SourceNode, StepNode, Work};

/// Leaves in each source the columns that the nodes behind it read.
pub(super) fn narrow(sources: &mut [SourceNode], steps: &[StepNode]) {
    for source in sources {
        let Some(mut wanted) = wanted(source, steps) else { continue };
        if let Some(event_time) = &source.event_time {
            wanted.insert(event_time.column.clone());
        }
        if wanted.is_empty() {
            // Rows must be counted even when none of their columns is read.
            wanted.extend(source.decoded.fields().first().map(|field| field.name().clone()));
        }
        let payload_columns = source.decoded.fields().len();
        source.metadata.retain(|column| wanted.contains(source.schema.field(payload_columns + column).name()));
        source.decoded = keep(&source.decoded, &wanted);
        source.read = keep(&source.schema, &wanted);
    }
}

/// The columns that SQL and alerts read; `None` when a sink or a function takes the rows as they are.
fn wanted(source: &SourceNode, steps: &[StepNode]) -> Option<BTreeSet<String>> {
    let mut wanted = BTreeSet::new();
    for edge in &source.edges {
        let Edge::Step { step, branch } = *edge else { return None };
        match &steps[step].work {
            Work::Sql(branches) => wanted.extend(branches[branch].columns.iter().cloned()),
            Work::Call(_) | Work::Alert(_) => return None,
        }
    }
    Some(wanted)
}

fn keep(schema: &SchemaRef, wanted: &BTreeSet<String>) -> SchemaRef {
    let fields: Vec<_> = schema.fields().iter().filter(|field| wanted.contains(field.name())).cloned().collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}
