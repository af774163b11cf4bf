//! The types of `wit/function.wit` as wasmtime passes them. They mirror the WIT field by field.

use wasmtime::component::{ComponentType, Lift, Lower};

use crate::columns::format::FlatField;
use crate::contract::{self, LogLevel};

/// The interface that a batch function exports.
pub(crate) const BATCH: &str = "riverhook:function/batch@0.1.0";
/// The interface that a record function exports.
pub(crate) const RECORDS: &str = "riverhook:function/records@0.1.0";
/// The interface that a function may import.
pub(crate) const HOST: &str = "riverhook:function/host@0.1.0";

/// The parameters and results of `open` and `process` of the batch world.
pub(crate) type OpenParams<'a> = (&'a [Field],);
pub(crate) type OpenResults = (Result<Vec<Field>, String>,);
pub(crate) type ProcessParams<'a> = (u32, &'a [&'a [u8]]);
pub(crate) type ProcessResults = (Result<Reply, Failure>,);
/// The parameters and results of `process` of the record world.
pub(crate) type RecordsParams<'a> = (&'a [&'a str],);
pub(crate) type RecordsResults = (Result<Vec<Answer>, Failure>,);

#[derive(Debug, Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Field {
    name: String,
    format: String,
    nullable: bool,
    children: u32,
    metadata: Vec<(String, String)>,
}

#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) retryable: bool,
}

#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct FailedRow {
    pub(crate) row: u32,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) retryable: bool,
}

#[derive(Debug, Clone, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Origin {
    #[component(name = "same")]
    Same,
    #[component(name = "rows")]
    Rows(Vec<u32>),
    #[component(name = "whole-batch")]
    WholeBatch,
}

#[derive(Debug, Clone, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Reply {
    pub(crate) rows: u32,
    pub(crate) buffers: Vec<Vec<u8>>,
    pub(crate) origin: Origin,
    pub(crate) failed: Vec<FailedRow>,
}

#[derive(Debug, Clone, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Answer {
    #[component(name = "records")]
    Records(Vec<String>),
    #[component(name = "failed")]
    Failed(Failure),
}

#[derive(Debug, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Invocation {
    pub(crate) pipeline: String,
    pub(crate) node: String,
    pub(crate) function: String,
    #[component(name = "invocation-id")]
    pub(crate) invocation_id: String,
    #[component(name = "deadline-ms")]
    pub(crate) deadline_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "wasmtime makes the values, out of what a guest passes")]
pub(crate) enum Level {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
    #[component(name = "trace")]
    Trace,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}

impl From<Origin> for contract::Origin {
    fn from(origin: Origin) -> Self {
        match origin {
            Origin::Same => Self::Same,
            Origin::Rows(rows) => Self::Rows(rows),
            Origin::WholeBatch => Self::WholeBatch,
        }
    }
}

impl From<FlatField> for Field {
    fn from(field: FlatField) -> Self {
        let FlatField { name, format, nullable, children, metadata } = field;
        Self { name, format, nullable, children, metadata }
    }
}

impl From<Field> for FlatField {
    fn from(field: Field) -> Self {
        let Field { name, format, nullable, children, metadata } = field;
        Self { name, format, nullable, children, metadata }
    }
}
