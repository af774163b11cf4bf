//! A map that several settings read from: each takes its keys, and what nobody took is an error.

use crate::diagnostics::{listed, quoted};
use crate::node::Kind;
use crate::{Diagnostic, Node, Reading, Setting, nearest};

/// Reads keys from a map, and from another one behind it, and remembers which were asked for.
///
/// Call [`MapReader::finish`] when all settings have taken theirs. A value that is not a map at all is also said there,
/// once; an empty value counts as an empty map.
#[derive(Debug)]
pub struct MapReader<'n> {
    node: &'n Node,
    fallback: Option<&'n Node>,
    known: Vec<&'static str>,
}

impl<'n> MapReader<'n> {
    /// Reads from this map.
    pub fn new(node: &'n Node) -> Self {
        Self { node, fallback: None, known: Vec::new() }
    }

    /// Reads from `node`, and from `fallback` what `node` does not have. What nobody takes from `fallback` is no error:
    /// it is there for others too.
    pub fn with_fallback(node: &'n Node, fallback: &'n Node) -> Self {
        Self { fallback: Some(fallback), ..Self::new(node) }
    }

    /// The map itself.
    pub fn node(&self) -> &'n Node {
        self.node
    }

    /// Takes a key's value as it is, if the key is there.
    pub fn take(&mut self, key: &'static str) -> Option<&'n Node> {
        self.known.push(key);
        let behind = || self.fallback.and_then(|fallback| fallback.get(key));
        self.node.get(key).or_else(behind)
    }

    /// Makes names known without taking a value, as names to suggest and to accept.
    pub fn know(&mut self, keys: &[&'static str]) {
        self.known.extend_from_slice(keys);
    }

    /// Takes and reads a key. If it is not there: its [`Setting::absent`] value, else an error.
    pub fn field<T: Setting>(&mut self, key: &'static str, cx: &mut Reading<'_>) -> Option<T> {
        match self.take(key) {
            Some(node) => T::read(node, cx),
            None => T::absent().or_else(|| {
                self.missing(key, cx);
                None
            }),
        }
    }

    /// Takes and reads a key, with a value for when it is not there.
    pub fn field_or<T: Setting>(
        &mut self,
        key: &'static str,
        default: impl FnOnce() -> T,
        cx: &mut Reading<'_>,
    ) -> Option<T> {
        match self.take(key) {
            Some(node) => T::read(node, cx),
            None => Some(default()),
        }
    }

    /// Says which keys nobody took, and whether this is a map at all.
    pub fn finish(mut self, cx: &mut Reading<'_>) {
        if !self.is_map() {
            cx.wrong_kind(self.node, "a map of keys and values");
            return;
        }
        self.known.sort_unstable();
        self.known.dedup();
        for entry in self.node.entries() {
            if self.known.contains(&entry.key.as_ref()) {
                continue;
            }
            let message = format!("there is no key {} here", quoted(&entry.key));
            let unknown = Diagnostic::error(entry.key_span, message)
                .at(&entry.value.path)
                .expected(listed(self.known.iter().copied()));
            // Within `{…}` a comma ends a text that has no quotes.
            cx.push(if entry.key.contains(' ') {
                unknown.help("put a text in quotes if it has a `,` within `{…}`")
            } else {
                unknown.did_you_mean(nearest(&entry.key, self.known.iter().copied()))
            });
        }
    }

    fn missing(&self, key: &'static str, cx: &mut Reading<'_>) {
        if self.is_map() {
            let message = format!("the key {} is missing here", quoted(key));
            let missing = Diagnostic::error(self.node.key_span, message);
            cx.push(missing.at(&self.node.path.key(key)));
        }
    }

    fn is_map(&self) -> bool {
        matches!(self.node.kind, Kind::Map(_) | Kind::Null)
    }
}
