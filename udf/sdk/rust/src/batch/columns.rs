//! Batches and schemas in the form in which they cross from the host and back.
//!
//! `encode` and `format` are the host's own files, by symbolic link; `decode` differs, since the host checks what
//! it is given and a guest need not.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod format;
