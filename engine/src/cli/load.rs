//! From a path on the command line to a plan, with every mistake drawn on standard error.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

use riverhook_config::{Diagnostics, Environment, Node, ProcessEnvironment, Reading, Severity, SourceFile, parse};

use super::WRONG;
use crate::{
    plan::{Plan, Surroundings, build},
    sql::Planner,
};

/// Reads and plans a file. Mistakes and warnings are printed; with mistakes there is no plan but an exit code.
pub(super) fn load(path: &Path) -> Result<Plan, ExitCode> {
    let mut diagnostics = Diagnostics::new();
    let plan = plan(path, &ProcessEnvironment::beside(path), &mut diagnostics);
    draw(path, &diagnostics);
    plan.ok_or(ExitCode::from(WRONG))
}

/// Prints what was found wrong with a file, and how many mistakes that are.
pub(super) fn draw(path: &Path, diagnostics: &Diagnostics) {
    if !diagnostics.is_empty() {
        eprint!("{}", diagnostics.render(std::io::stderr().is_terminal()));
    }
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    if errors > 0 {
        eprintln!("{}: {}", path.display(), plural(errors, "mistake"));
    }
}

/// Plans a file, collecting what is wrong with it.
pub(crate) fn plan(path: &Path, environment: &dyn Environment, diagnostics: &mut Diagnostics) -> Option<Plan> {
    with_surroundings(path, environment, diagnostics, build)
}

/// Reads a file, and makes something of it with the surroundings of this process.
pub(super) fn with_surroundings<T>(
    path: &Path,
    environment: &dyn Environment,
    diagnostics: &mut Diagnostics,
    make: impl FnOnce(&Node, &Surroundings<'_>, &Planner, &mut Reading<'_>) -> Option<T>,
) -> Option<T> {
    let file = read(path, diagnostics)?;
    let root = parse(&file, diagnostics)?;
    let planner = match Planner::new() {
        Ok(planner) => planner,
        Err(error) => {
            diagnostics.push(root.error(error.to_string()));
            return None;
        }
    };
    let base = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let around = Surroundings {
        base,
        functions: &|| riverhook_udf::Runtime::new(compile_cache().as_deref()).map_err(|error| error.to_string()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let mut reading = Reading::new(environment, diagnostics);
    make(&root, &around, &planner, &mut reading)
}

/// The text of a file; says why it cannot be had.
pub(super) fn read(path: &Path, diagnostics: &mut Diagnostics) -> Option<SourceFile> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("error: cannot read {}: {error}", path.display());
            return None;
        }
    };
    SourceFile::from_bytes(path.display().to_string(), bytes, diagnostics)
}

/// Where compiled functions are kept between runs.
fn compile_cache() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let caches = folder("XDG_CACHE_HOME").or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
    Some(caches.join("riverhook").join("compiled"))
}

pub(super) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
