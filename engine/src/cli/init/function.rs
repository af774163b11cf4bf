//! `riverhook init --function`: a folder with a function to edit, its test, and how to build it.
//!
//! What the files are called here and there is in `functions/README.md`.

use clap::ValueEnum;

/// A language that functions are written in.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Language {
    /// Batches of columns or records, compiled by cargo
    Rust,
    /// Records, compiled with Python itself by componentize-py
    Python,
    /// Records, compiled with QuickJS
    Js,
}

/// A file's path in the new folder, and its text.
type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($here:literal => $there:literal),* $(,)?) => {
        &[$(($there, include_str!(concat!("functions/", $folder, "/", $here)))),*]
    };
}

const RUST: &[File] = files!("rust":
    "README.md" => "README.md",
    "crate.toml" => "Cargo.toml",
    "cargo-config.toml" => ".cargo/config.toml",
    "gitignore" => ".gitignore",
    "pipeline.yaml" => "pipeline.yaml",
    "src/lib.rs" => "src/lib.rs",
);
const PYTHON: &[File] = files!("python":
    "README.md" => "README.md",
    "function.py" => "function.py",
    "test_function.py" => "test_function.py",
    "requirements.txt" => "requirements.txt",
    "gitignore" => ".gitignore",
    "pipeline.yaml" => "pipeline.yaml",
);
const JS: &[File] = files!("js":
    "README.md" => "README.md",
    "function.js" => "function.js",
    "function.test.js" => "function.test.js",
    "package.json" => "package.json",
    "gitignore" => ".gitignore",
    "pipeline.yaml" => "pipeline.yaml",
);

/// What the pipeline of every language reads.
const ORDERS: File = ("orders.jsonl", include_str!("functions/orders.jsonl"));

impl Language {
    /// The files of a function of this name, which is one that a pipeline can have.
    pub(super) fn files(self, name: &str) -> Vec<(&'static str, String)> {
        let files = match self {
            Self::Rust => RUST,
            Self::Python => PYTHON,
            Self::Js => JS,
        };
        let word = name.replace('-', "_");
        let files = files.iter().chain([&ORDERS]);
        files.map(|(path, text)| (*path, text.replace("NAME", name).replace("CRATE", &word))).collect()
    }
}
