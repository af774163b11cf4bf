//! From a path on the command line to a plan, with every mistake drawn on standard error.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

use riverhook_config::{Diagnostics, Environment, ProcessEnvironment, Reading, SourceFile, parse};

use super::WRONG;
use crate::{
    plan::{Plan, Surroundings, build},
    sql::Planner,
};

/// Reads and plans a file. Mistakes and warnings are printed; with mistakes there is no plan but an exit code.
pub(super) fn load(path: &Path) -> Result<Plan, ExitCode> {
    let mut diagnostics = Diagnostics::new();
    let plan = plan(path, &ProcessEnvironment, &mut diagnostics);
    if !diagnostics.is_empty() {
        eprint!("{}", diagnostics.render(std::io::stderr().is_terminal()));
    }
    plan.ok_or_else(|| {
        let errors =
            diagnostics.iter().filter(|diagnostic| diagnostic.severity == riverhook_config::Severity::Error).count();
        eprintln!("{}: {}", path.display(), plural(errors, "mistake"));
        ExitCode::from(WRONG)
    })
}

/// Plans a file, collecting what is wrong with it.
pub fn plan(path: &Path, environment: &dyn Environment, diagnostics: &mut Diagnostics) -> Option<Plan> {
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
    let working_dir = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let around = Surroundings {
        base,
        working_dir: &working_dir,
        functions: &|| riverhook_udf::Runtime::new(compile_cache().as_deref()).map_err(|error| error.to_string()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let mut reading = Reading::new(environment, diagnostics);
    build(&root, &around, &planner, &mut reading)
}

fn read(path: &Path, diagnostics: &mut Diagnostics) -> Option<SourceFile> {
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
