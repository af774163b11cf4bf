//! The `http` connector.

use crate::registry::Connector;

/// The connector, for the registry.
pub const CONNECTOR: Connector = Connector { name: "http", source: None, sink: None };
