//! From a pipeline file's text to typed settings, with everything that is wrong said at once.
//!
//! 1. [`parse`] makes a tree of [`Node`]s from YAML: values with their places, bounded in size and depth.
//! 2. [`Setting::read`] makes values of it. Structs are declared by [`settings!`] and words by [`choices!`]; `${NAME}`
//!    is replaced here, in text that is already parsed, so what comes from outside can never become YAML.
//! 3. What is wrong is collected in [`Diagnostics`], with places, and drawn for people or written as JSON.
//!
//! The same declarations have a [`Shape`], from which come the JSON Schema and the reference page.
//!
//! This crate knows nothing of connectors, SQL or functions.
//!
//! ```
//! use riverhook_config::{Diagnostics, FixedEnvironment, Reading, Setting, SourceFile, parse, settings};
//!
//! settings! {
//!     /// Where to listen.
//!     pub struct Listen {
//!         /// The port.
//!         pub port: u16,
//!     }
//! }
//!
//! let file = SourceFile::new("pipeline.yaml", "port: ${PORT}\n");
//! let mut diagnostics = Diagnostics::new();
//! let root = parse(&file, &mut diagnostics).expect("this is YAML");
//! let environment = FixedEnvironment::new().with_var("PORT", "8080");
//! let listen = Listen::read(&root, &mut Reading::new(&environment, &mut diagnostics));
//! assert_eq!(listen.map(|listen| listen.port), Some(8080));
//! ```

mod collections;
#[doc(hidden)]
pub mod declare;
mod diagnostics;
mod draw;
mod environment;
mod map;
mod nearest;
mod node;
mod parse;
mod place;
mod quantities;
mod reading;
mod reference;
mod scalars;
mod schema;
mod shape;
mod source;
mod substitute;
mod syntax;

pub use collections::{Map, Named, OneOrMany, Spanned};
pub use diagnostics::{Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Severity};
pub use environment::{Environment, FixedEnvironment, MAX_INCLUDED_BYTES, ProcessEnvironment};
pub use map::MapReader;
pub use nearest::nearest;
pub use node::{Entry, Kind, Node, Path};
pub use parse::{MAX_DEPTH, MAX_VALUES, parse};
pub use quantities::{ByteSize, DurationRange, parse_duration};
pub use reading::{Reading, Setting};
pub use scalars::Secret;
pub use shape::{Choice, Field, Shape, StructShape};
pub use source::{FileId, MAX_FILE_BYTES, SourceFile, Span};
