//! `riverhook schema`: the language of the pipeline file, for editors and for people.

use std::{
    io::{ErrorKind, Write},
    process::ExitCode,
};

use clap::Args;

use super::FAILED;
use crate::reference;

#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct SchemaArguments {
    /// Print the reference page, as Markdown, instead of the JSON Schema
    #[arg(long)]
    markdown: bool,
}

const EXAMPLE: &str = "\
With the schema an editor completes keys, shows what they mean, and marks mistakes. Write it to a file,

  riverhook schema > riverhook.schema.json

and name that file in the first line of a pipeline file, which VS Code (with the YAML extension), Neovim, Helix,
Zed and the JetBrains editors understand:

  # yaml-language-server: $schema=riverhook.schema.json";

pub(super) fn schema(arguments: &SchemaArguments) -> ExitCode {
    let text = if arguments.markdown {
        reference::page()
    } else {
        format!("{:#}\n", reference::pipeline_file().to_json_schema())
    };
    // Long, and often read through `head` or a pager that closes early: that is no failure.
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot print the schema: {error}");
            ExitCode::from(FAILED)
        }
    }
}
