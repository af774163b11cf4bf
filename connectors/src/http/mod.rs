//! The `http` connector: records that others POST to us, and rows that we POST to others.
//!
//! As a source, open requests are the replay buffer: nobody keeps positions, and who was not answered with success sends
//! again. With `reply` they wait for a node's rows instead, which come by way of [`Replies`](crate::reply::Replies). As a sink, a row is durable when it was answered with success.

mod settings;
mod sink;
mod source;

pub use self::settings::{After, HttpMethod, HttpSinkSettings, HttpSourceSettings, RequestShape, Respond, Send};

use riverhook_config::Setting;

use crate::registry::{Connector, SinkEntry, SourceEntry};

/// The connector, for the registry.
pub const CONNECTOR: Connector = Connector {
    name: "http",
    source: Some(SourceEntry { shape: HttpSourceSettings::shape, read: source::read }),
    sink: Some(SinkEntry { shape: HttpSinkSettings::shape, read: sink::read }),
};
