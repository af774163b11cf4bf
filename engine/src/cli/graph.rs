//! `riverhook graph`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};

use super::load::load;
use crate::plan::{dot, mermaid};

#[derive(Args)]
#[command(after_help = "\
Examples:
  riverhook graph pipeline.yaml                                        for a Markdown page
  riverhook graph --format dot pipeline.yaml | dot -Tsvg > graph.svg   as a picture")]
pub(super) struct GraphArguments {
    /// The pipeline file
    file: PathBuf,
    /// The language of the drawing
    #[arg(long, value_enum, default_value = "mermaid")]
    format: Language,
}

#[derive(Clone, Copy, ValueEnum)]
enum Language {
    /// For Markdown pages
    Mermaid,
    /// For Graphviz: `riverhook graph --format dot FILE | dot -Tsvg`
    Dot,
}

pub(super) fn graph(arguments: &GraphArguments) -> ExitCode {
    let plan = match load(&arguments.file) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    match arguments.format {
        Language::Mermaid => print!("{}", mermaid(&plan)),
        Language::Dot => print!("{}", dot(&plan)),
    }
    ExitCode::SUCCESS
}
