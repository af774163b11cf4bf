//! Which of the two worlds a component is made for, and where its exports are.

use wasmtime::component::{Component, ComponentExportIndex};

use super::{LoadError, abi};

/// Where a function's exports are in its component.
#[derive(Clone, Copy)]
pub(crate) enum Exports {
    /// Arrow batches.
    Batch(BatchExports),
    /// JSON records.
    Records {
        /// The function `process`.
        process: ComponentExportIndex,
    },
}

/// The exports of the batch world.
#[derive(Clone, Copy)]
pub(crate) struct BatchExports {
    pub(crate) open: ComponentExportIndex,
    pub(crate) process: ComponentExportIndex,
}

impl Exports {
    /// Finds them by name; their types are checked when a copy starts. A component of both worlds gets batches, since
    /// that world says itself what it answers.
    pub(crate) fn find(component: &Component) -> Result<Self, LoadError> {
        let interface = |name| component.get_export_index(None, name);
        let function = |interface: &ComponentExportIndex, of: &str, name: &str| {
            component
                .get_export_index(Some(interface), name)
                .ok_or_else(|| LoadError::MissingExport(format!("{of}#{name}")))
        };
        if let Some(batch) = interface(abi::BATCH) {
            let open = function(&batch, abi::BATCH, "open")?;
            return Ok(Self::Batch(BatchExports { open, process: function(&batch, abi::BATCH, "process")? }));
        }
        let Some(records) = interface(abi::RECORDS) else {
            return Err(LoadError::MissingExport(format!("{}` or `{}", abi::BATCH, abi::RECORDS)));
        };
        Ok(Self::Records { process: function(&records, abi::RECORDS, "process")? })
    }
}
