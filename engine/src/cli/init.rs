//! `riverhook init`: a folder with a first pipeline, its data and its test.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use super::{FAILED, WRONG};

#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct InitArguments {
    /// The folder to make; its name becomes the pipeline's
    #[arg(value_name = "NAME")]
    folder: PathBuf,
}

const EXAMPLE: &str = "\
Example:
  riverhook init my-pipeline
  riverhook run my-pipeline/pipeline.yaml";

/// The files of the folder. `NAME` in them is the pipeline's name.
const FILES: [(&str, &str); 4] = [
    ("pipeline.yaml", include_str!("init/pipeline.yaml")),
    ("pipeline.test.yaml", include_str!("init/pipeline.test.yaml")),
    ("data/orders.jsonl", include_str!("init/orders.jsonl")),
    (".gitignore", "/out/\n/.riverhook/\n"),
];

pub(super) fn init(arguments: &InitArguments) -> ExitCode {
    let folder = &arguments.folder;
    let Some(name) = name_of(folder) else {
        eprintln!(
            "error: {} cannot be a pipeline's name: use letters, digits, `-`, `_` and `.`, such as my-pipeline",
            folder.display()
        );
        return ExitCode::from(WRONG);
    };
    if let Some(taken) = FILES.iter().map(|(file, _)| folder.join(file)).find(|path| path.exists()) {
        eprintln!("error: {} is already there, and nothing is overwritten: choose another name", taken.display());
        return ExitCode::from(WRONG);
    }
    for (file, text) in FILES {
        let path = folder.join(file);
        if let Err(error) = write_new(&path, &text.replace("NAME", &name)) {
            eprintln!("error: cannot write {}: {error}", path.display());
            return ExitCode::from(FAILED);
        }
        println!("wrote {}", path.display());
    }
    let pipeline = folder.join("pipeline.yaml");
    println!("\nNext:\n  riverhook run {0}\n  riverhook test {0}", pipeline.display());
    ExitCode::SUCCESS
}

/// The folder's name, if a pipeline can have it.
fn name_of(folder: &Path) -> Option<String> {
    let name = folder.file_name()?.to_str()?;
    let fine = !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    fine.then(|| name.to_owned())
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}
