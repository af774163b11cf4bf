//! Connections: what nodes of one server share. Their values are read by the nodes that use them; their keys are checked
//! here, because a node takes what it knows, and a misspelt `tls` would otherwise send passwords in plain text.

use riverhook_config::{Kind, MapReader, Reading};
use riverhook_connectors::registry::connectors;

use crate::{
    config::{PipelineFile, SinkSettings, SourceSettings},
    reference::connection_keys,
};

/// Reports keys of connections that neither a source nor a sink of their type has. A type that is none is told where it
/// is used.
pub(super) fn check(file: &PipelineFile, cx: &mut Reading<'_>) {
    for named in &file.connections.0 {
        let node = &named.value.0;
        let kind = node.get("type").map(|kind| &kind.kind);
        let known =
            connectors().iter().find(|connector| matches!(kind, Some(Kind::Str(kind)) if **kind == *connector.name));
        if let Some(connector) = known {
            let mut map = MapReader::new(node);
            map.know(&connection_keys(connector));
            map.know(SourceSettings::keys());
            map.know(SinkSettings::keys());
            map.finish(cx);
        }
    }
}
