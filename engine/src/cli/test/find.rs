//! Which test files are meant by what stands on the command line.

use std::path::{Path, PathBuf};

use riverhook_config::{Diagnostics, Kind, SourceFile, parse};

/// How the names of test files end.
const ENDING: &str = ".test.yaml";

/// The test files that these paths mean, in order.
pub(super) fn test_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(of(path)?);
    }
    Ok(files)
}

fn of(path: &Path) -> Result<Vec<PathBuf>, String> {
    if path.is_dir() {
        let found = in_folder(path)?;
        return if found.is_empty() {
            Err(format!("no file in {} ends in {ENDING}", path.display()))
        } else {
            Ok(found)
        };
    }
    if is_test(path) {
        return Ok(vec![path.to_owned()]);
    }
    let pipeline = path.canonicalize().map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = in_folder(folder)?;
    found.retain(|test| is_of(test, &pipeline));
    if found.is_empty() {
        return Err(format!(
            "no test beside {} is of it: write one that ends in {ENDING} and says `pipeline: {}`",
            path.display(),
            path.file_name().unwrap_or_default().to_string_lossy()
        ));
    }
    Ok(found)
}

fn is_test(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(ENDING))
}

fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |error: std::io::Error| format!("cannot read the folder {}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(cannot)?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(cannot)?.path();
        if is_test(&path) {
            // `./a.test.yaml` of the folder `.` is shown as `a.test.yaml`.
            found.push(path.strip_prefix(".").map(Path::to_owned).unwrap_or(path));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a test file names this pipeline. What is wrong with it is said when it is run.
fn is_of(test: &Path, pipeline: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(test) else { return false };
    let root = parse(&SourceFile::new("", text), &mut Diagnostics::new());
    let named = root.as_ref().and_then(|root| root.get("pipeline"));
    let Some(Kind::Str(name)) = named.map(|node| &node.kind) else { return false };
    let folder = test.parent().unwrap_or(Path::new("."));
    folder.join(&**name).canonicalize().is_ok_and(|path| path == pipeline)
}
