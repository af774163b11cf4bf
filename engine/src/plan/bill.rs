//! Where a pipeline's ledger is and what calls cost, of a file whose nodes may be wrong or whose functions may be gone.

use std::path::PathBuf;

use riverhook_config::{MapReader, Node, Reading};

use super::{
    Surroundings,
    build::{check_name, check_prices, store},
};
use crate::config::{PipelineFile, Prices};

/// What is needed to say what functions used.
pub struct Bill {
    /// The folder of the checkpoint store.
    pub store: PathBuf,
    /// What calls cost.
    pub prices: Prices,
}

/// Of a file; reports why not.
pub fn bill(root: &Node, around: &Surroundings<'_>, cx: &mut Reading<'_>) -> Option<Bill> {
    let file = PipelineFile::read_fields(&mut MapReader::new(root), cx)?;
    check_prices(&file.prices, root, cx);
    let pipeline = check_name(&file, cx)?;
    let store = store(&file, &pipeline, around, cx)?;
    (!cx.diagnostics().has_errors()).then_some(Bill { store, prices: file.prices })
}
