//! The `generate` connector.

use crate::registry::Connector;

/// The connector, for the registry.
pub const CONNECTOR: Connector = Connector { name: "generate", source: None, sink: None };
