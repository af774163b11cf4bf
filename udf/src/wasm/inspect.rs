//! Looks at a component before it is compiled: is it one, what does it import, is any part absurdly large.
//!
//! This costs a walk over the section headers, so hostile or mistaken files are refused before the compiler sees them.

use wasmparser::{ComponentTypeRef, Encoding, Parser, Payload};

use super::LoadError;

/// The largest body of one function. The largest in real guests (interpreters of Python and JavaScript) are below
/// half of it, and the compiler's time and memory grow faster than a body's size.
const MAX_BODY: usize = 1 << 20;
/// The most functions in all modules of a component: SpiderMonkey has about 30,000.
const MAX_BODIES: usize = 250_000;

/// The packages of WASI 0.2 that are linked.
const WASI: [&str; 6] = ["wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:filesystem/", "wasi:sockets/", "wasi:cli/"];

/// What is known of a component without compiling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Whether it imports anything of WASI.
    pub(crate) uses_wasi: bool,
}

pub(crate) fn inspect(code: &[u8]) -> Result<Facts, LoadError> {
    if !code.starts_with(b"\0asm") {
        return Err(LoadError::NotAComponent("is not a WebAssembly file".to_owned()));
    }
    let mut uses_wasi = false;
    let mut bodies = 0;
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(code) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(LoadError::NotAComponent(
                    "is a core WebAssembly module, not a component; in Rust, link with wasm-component-ld".to_owned(),
                ));
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(imports) if depth == 0 => {
                for import in imports {
                    let import = import.map_err(invalid)?;
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        uses_wasi |= check_import(import.name.name)?;
                    }
                }
            }
            Payload::CodeSectionEntry(body) => {
                bodies += 1;
                check_body(body.range().len(), bodies)?;
            }
            _ => {}
        }
    }
    Ok(Facts { uses_wasi })
}

/// Whether the import is of WASI; an error if it is of nothing that is linked.
fn check_import(name: &str) -> Result<bool, LoadError> {
    if name.starts_with("riverhook:function/host@0.1.") {
        return Ok(false);
    }
    if name.contains("@0.2.") && WASI.iter().any(|package| name.starts_with(package)) {
        return Ok(true);
    }
    Err(LoadError::UnknownImport(name.to_owned()))
}

fn check_body(size: usize, bodies: usize) -> Result<(), LoadError> {
    if size > MAX_BODY {
        return Err(LoadError::TooLarge(format!(
            "has a function of {size} bytes; at most {MAX_BODY} are allowed in one"
        )));
    }
    if bodies > MAX_BODIES {
        return Err(LoadError::TooLarge(format!("has more than {MAX_BODIES} functions")));
    }
    Ok(())
}

fn invalid(error: wasmparser::BinaryReaderError) -> LoadError {
    LoadError::Invalid(error.to_string())
}
