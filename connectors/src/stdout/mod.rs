//! The `stdout` connector.

use crate::registry::Connector;

/// The connector, for the registry.
pub const CONNECTOR: Connector = Connector { name: "stdout", source: None, sink: None };
