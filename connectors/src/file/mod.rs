//! The `file` connector.

use crate::registry::Connector;

/// The connector, for the registry.
pub const CONNECTOR: Connector = Connector { name: "file", source: None, sink: None };
