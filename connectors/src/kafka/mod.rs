//! The `kafka` connector.

use crate::registry::Connector;

/// The connector, for the registry.
pub const CONNECTOR: Connector = Connector { name: "kafka", source: None, sink: None };
