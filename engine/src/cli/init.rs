//! `riverhook init`: a folder with a first pipeline, its data and its test; or one with a function.

mod function;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use self::function::Language;
use super::{FAILED, WRONG};

#[derive(Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct InitArguments {
    /// Make a function in this language instead of a pipeline
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    function: Option<Language>,
    /// The folder to make; its name becomes the pipeline's, or the function's
    #[arg(value_name = "NAME")]
    folder: PathBuf,
}

const EXAMPLE: &str = "\
Examples:
  riverhook init my-pipeline                    a pipeline
  riverhook run my-pipeline/pipeline.yaml
  riverhook init --function python my-function  a function; its README says how to build and test it";

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
    if arguments.function.is_some() && !is_package_name(&name) {
        eprintln!(
            "error: {} cannot be a function's name: use lower-case letters, digits, `-` and `_`, a letter first, such as \
             my-function",
            folder.display()
        );
        return ExitCode::from(WRONG);
    }
    let files = match arguments.function {
        Some(language) => language.files(&name),
        None => FILES.iter().map(|(file, text)| (*file, text.replace("NAME", &name))).collect(),
    };
    if let Some(taken) = files.iter().map(|(file, _)| folder.join(file)).find(|path| path.exists()) {
        eprintln!("error: {} is already there, and nothing is overwritten: choose another name", taken.display());
        return ExitCode::from(WRONG);
    }
    for (file, text) in files {
        let path = folder.join(file);
        if let Err(error) = write_new(&path, &text) {
            eprintln!("error: cannot write {}: {error}", path.display());
            return ExitCode::from(FAILED);
        }
        println!("wrote {}", path.display());
    }
    println!("\nNext:\n{}", next(folder, arguments.function));
    ExitCode::SUCCESS
}

/// What a person does with the new folder.
fn next(folder: &Path, function: Option<Language>) -> String {
    match function {
        Some(_) => format!("  read {}: it has the one command that builds it", folder.join("README.md").display()),
        None => {
            let pipeline = folder.join("pipeline.yaml");
            format!("  riverhook run {0}\n  riverhook test {0}", pipeline.display())
        }
    }
}

/// The folder's name, if a pipeline can have it.
fn name_of(folder: &Path) -> Option<String> {
    let name = folder.file_name()?.to_str()?;
    let fine = !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    fine.then(|| name.to_owned())
}

/// Whether packages of every language can have the name.
fn is_package_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits)
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}
