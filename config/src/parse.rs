//! From YAML text to a tree of [`Node`]s. Knows YAML's events and what a file may cost, nothing of settings.
//!
//! Aliases are copied in, so their cost is bounded by what they expand to; merge keys (`<<`) fill in what a map does
//! not say itself. Numbers and truth values follow YAML 1.2's core schema: `yes`, `on` and `1_000` are text.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use crate::diagnostics::quoted;
use crate::node::{Entry, Kind, Path};
use crate::source::{MAX_FILE_BYTES, too_large};
use crate::{Diagnostic, Diagnostics, Node, SourceFile, Span};

/// How deep values may lie within values.
pub const MAX_DEPTH: usize = 64;

/// How many values a file may hold, those behind an alias counted each time it is used.
pub const MAX_VALUES: usize = 200_000;

/// Reads a file's YAML. Whatever is wrong is added to `diagnostics`; there is no tree if the text is not YAML or is
/// beyond the limits. An empty file is an error too.
pub fn parse(file: &SourceFile, diagnostics: &mut Diagnostics) -> Option<Node> {
    diagnostics.add_source(file);
    if file.text().len() > MAX_FILE_BYTES {
        diagnostics.push(too_large(file, file.text().len()));
        return None;
    }
    let mut builder = Builder::new(file, diagnostics);
    match builder.document() {
        Ok(mut root) => {
            settle(&mut root, Path::root(), None);
            Some(root)
        }
        Err(diagnostic) => {
            diagnostics.push(*diagnostic);
            None
        }
    }
}

/// Ends the reading: nothing that follows could be trusted.
type Fatal = Box<Diagnostic>;

struct Builder<'a> {
    file: &'a SourceFile,
    diagnostics: &'a mut Diagnostics,
    /// Where each character begins, unless all are one byte long.
    characters: Option<Vec<usize>>,
    anchors: HashMap<usize, Anchor>,
    values: usize,
    bytes: usize,
    /// How many values were copied to serve aliases.
    copied: usize,
}

/// What an alias would copy, and what that costs.
struct Anchor {
    node: Node,
    values: usize,
    bytes: usize,
    depth: usize,
}

/// A key's text and place; no text if it cannot be a key, so that its value is left out.
type Key = (Option<Arc<str>>, Span);

/// A list or map whose end has not been seen.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value.
    key: Option<Key>,
    keys: HashMap<Arc<str>, Span>,
    values_before: usize,
    bytes_before: usize,
    /// How many levels lie within it.
    depth: usize,
}

impl<'a> Builder<'a> {
    fn new(file: &'a SourceFile, diagnostics: &'a mut Diagnostics) -> Self {
        let text = file.text();
        let characters = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
        Self { file, diagnostics, characters, anchors: HashMap::new(), values: 0, bytes: 0, copied: 0 }
    }

    fn document(&mut self) -> Result<Node, Fatal> {
        let mut root = None;
        let mut open: Vec<Open> = Vec::new();
        let file = self.file;
        let mut parser = Parser::new_from_str(file.text());
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.syntax(&error))?;
            let span = self.span(span);
            let done = match event {
                Event::DocumentStart(_) if root.is_some() => {
                    return Err(second_document(span));
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let span = self.behind_properties(span, style, anchor != 0 || tag.is_some());
                    let node = self.scalar(&text, style, tag.as_deref(), span);
                    self.spend(1, text.len(), span)?;
                    self.remember(anchor, &node, 1, text.len(), 0);
                    Some((node, 0))
                }
                Event::Alias(anchor) => Some(self.alias(anchor, span)?),
                Event::SequenceStart(anchor, tag) => {
                    self.begin(&mut open, Kind::List(Vec::new()), anchor, tag.as_deref(), span)?;
                    None
                }
                Event::MappingStart(anchor, tag) => {
                    self.begin(&mut open, Kind::Map(Vec::new()), anchor, tag.as_deref(), span)?;
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => open.pop().map(|closed| self.end(closed, span)),
                _ => None,
            };
            if let Some((node, depth)) = done {
                if open.len() + depth > MAX_DEPTH {
                    return Err(too_deep(span));
                }
                match open.last_mut() {
                    Some(parent) => self.add(parent, node, depth),
                    None => root = Some(node),
                }
            }
        }
        root.filter(|root| !root.is_null())
            .ok_or_else(|| Box::new(Diagnostic::error(file.span(0, 0), "this file is empty")))
    }

    /// A scalar's value, by its text if it is plain.
    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Node {
        let as_text = style != ScalarStyle::Plain || self.says_text(tag, span);
        let kind = if as_text { Kind::Str(text.into()) } else { plain(text) };
        let mut node = self.node(kind, span);
        node.quoted = matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted);
        node
    }

    /// Only `!!str` means something here; other tags would promise what nobody keeps.
    fn says_text(&mut self, tag: Option<&Tag>, span: Span) -> bool {
        let Some(tag) = tag else { return false };
        if tag.is_yaml_core_schema() && tag.suffix == "str" {
            return true;
        }
        let unknown = Diagnostic::error(span, "tags other than `!!str` mean nothing here")
            .help("remove the tag; the field decides how its value is read");
        self.diagnostics.push(unknown);
        true
    }

    /// A value's place without the anchor and tag before it, and without the header of a block.
    fn behind_properties(&self, span: Span, style: ScalarStyle, properties: bool) -> Span {
        let text = &self.file.text()[span.range()];
        let mut rest = text;
        while properties && rest.starts_with(['&', '!']) {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            rest = rest[end..].trim_start();
        }
        let header = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) && rest.len() < text.len();
        if header && let Some((_, content)) = rest.split_once('\n') {
            rest = content.trim_start();
        }
        Span { start: span.start + text.len() - rest.len(), ..span }
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Result<(Node, usize), Fatal> {
        let Some(anchor) = self.anchors.get(&anchor) else {
            let message = "this alias stands inside the value it repeats, or repeats too much";
            return Err(Box::new(Diagnostic::error(span, message)));
        };
        let (mut node, depth) = (anchor.node.clone(), anchor.depth);
        let (values, bytes) = (anchor.values, anchor.bytes);
        self.spend(values, bytes, span)?;
        node.key_span = span;
        Ok((node, depth))
    }

    /// Counts what has been built, so that a small file cannot expand to a large tree.
    fn spend(&mut self, values: usize, bytes: usize, span: Span) -> Result<(), Fatal> {
        self.values += values;
        self.bytes += bytes;
        if self.values <= MAX_VALUES && self.bytes <= 2 * MAX_FILE_BYTES {
            return Ok(());
        }
        let message = format!("this file holds more than {MAX_VALUES} values, or too much text");
        Err(Box::new(
            Diagnostic::error(span, message).help("an alias (`*name`) counts as all it repeats: use fewer of them"),
        ))
    }

    fn remember(&mut self, anchor: usize, node: &Node, values: usize, bytes: usize, depth: usize) {
        if anchor != 0 && self.copied + values <= MAX_VALUES {
            self.copied += values;
            let node = node.clone();
            let anchored = Anchor { node, values, bytes, depth };
            self.anchors.insert(anchor, anchored);
        }
    }

    fn begin(
        &mut self,
        open: &mut Vec<Open>,
        kind: Kind,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), Fatal> {
        if open.len() == MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.says_text(tag, span);
        let (values_before, bytes_before) = (self.values, self.bytes);
        self.spend(1, 0, span)?;
        open.push(Open {
            node: self.node(kind, self.behind_properties(span, ScalarStyle::Plain, true)),
            anchor,
            key: None,
            keys: HashMap::new(),
            values_before,
            bytes_before,
            depth: 0,
        });
        Ok(())
    }

    /// A finished list or map, and how deep it is.
    fn end(&mut self, closed: Open, end: Span) -> (Node, usize) {
        let mut node = closed.node;
        // The end of an indented block is only noticed at what comes next.
        let last = match &node.kind {
            Kind::List(items) => items.last().map(|item| item.span.end),
            Kind::Map(entries) => entries.last().map(|entry| entry.value.span.end),
            _ => None,
        };
        let bracket = (end.start < end.end).then_some(end.end);
        let end = bracket.or(last).unwrap_or(node.span.end);
        node.span.end = end.max(node.span.start);
        if let Kind::Map(entries) = &mut node.kind {
            self.merge(entries);
        }
        let values = self.values - closed.values_before;
        let bytes = self.bytes - closed.bytes_before;
        self.remember(closed.anchor, &node, values, bytes, closed.depth + 1);
        (node, closed.depth + 1)
    }

    /// Puts a finished value where it belongs: an item, a key or a key's value.
    fn add(&mut self, parent: &mut Open, node: Node, depth: usize) {
        parent.depth = parent.depth.max(depth);
        let entries = match &mut parent.node.kind {
            Kind::List(items) => return items.push(node),
            Kind::Map(entries) => entries,
            _ => return,
        };
        let Some((key, key_span)) = parent.key.take() else {
            parent.key = Some(self.key(&node));
            return;
        };
        let Some(key) = key else { return };
        if let Some(first) = parent.keys.get(&key) {
            let twice = Diagnostic::error(key_span, format!("the key {} is there twice", quoted(&key)))
                .also(*first, "first here")
                .help("remove one of the two");
            self.diagnostics.push(twice);
            return;
        }
        parent.keys.insert(key.clone(), key_span);
        entries.push(Entry { key, key_span, value: node });
    }

    fn key(&mut self, node: &Node) -> Key {
        let key = match &node.kind {
            Kind::Str(text) => Some(text.clone()),
            Kind::List(_) | Kind::Map(_) => {
                let message = format!("a key cannot be {}", node.found());
                self.diagnostics.push(
                    Diagnostic::error(node.span, message)
                        .help("write `name: value`; text that begins with `{` or `[` needs quotes"),
                );
                None
            }
            _ => Some(node.written().into()),
        };
        (key, node.span)
    }

    /// Replaces `<<: *other` by the entries of the other map that this one does not have.
    fn merge(&mut self, entries: &mut Vec<Entry>) {
        let Some(at) = entries.iter().position(|entry| &*entry.key == "<<") else {
            return;
        };
        let merged = entries.remove(at).value;
        let maps = match merged.kind {
            Kind::List(maps) => maps,
            _ => vec![merged],
        };
        let mut names: HashSet<Arc<str>> = entries.iter().map(|entry| entry.key.clone()).collect();
        for map in maps {
            let Kind::Map(others) = map.kind else {
                let message = format!("`<<` takes in a map, it cannot be {}", map.found());
                self.diagnostics.push(Diagnostic::error(map.span, message));
                continue;
            };
            entries.extend(others.into_iter().filter(|other| names.insert(other.key.clone())));
        }
    }

    fn node(&self, kind: Kind, span: Span) -> Node {
        Node { kind, span, key_span: span, path: Path::root(), file: self.file.clone(), quoted: false }
    }

    fn span(&self, span: saphyr_parser::Span) -> Span {
        let (start, end) = (self.byte(span.start.index()), self.byte(span.end.index()));
        self.file.span(start, end)
    }

    fn byte(&self, character: usize) -> usize {
        match &self.characters {
            None => character,
            Some(starts) => starts.get(character).copied().unwrap_or(self.file.text().len()),
        }
    }

    fn syntax(&self, error: &ScanError) -> Fatal {
        let at = self.byte(error.marker().index());
        Box::new(crate::syntax::explain(self.file, at, error.info()))
    }
}

/// Gives every value its path and the place of its key, now that it is where it stays.
fn settle(node: &mut Node, path: Path, key_span: Option<Span>) {
    node.key_span = key_span.unwrap_or(node.span);
    match &mut node.kind {
        Kind::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                settle(item, path.index(index), None);
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                let path = path.key(entry.key.clone());
                settle(&mut entry.value, path, Some(entry.key_span));
            }
        }
        _ => {}
    }
    node.path = path;
}

/// What a plain scalar is by YAML 1.2's core schema.
pub(crate) fn plain(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "true" | "True" | "TRUE" => return Kind::Bool(true),
        "false" | "False" | "FALSE" => return Kind::Bool(false),
        ".inf" | ".Inf" | ".INF" | "+.inf" => return Kind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Kind::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Kind::Float(f64::NAN),
        _ => {}
    }
    let based = |prefix, radix| {
        let digits: &str = text.strip_prefix(prefix)?;
        let signed = digits.starts_with(['+', '-']);
        (!signed).then(|| i128::from_str_radix(digits, radix).ok())?
    };
    let whole = text.parse().ok();
    if let Some(number) = whole.or(based("0x", 16)).or(based("0o", 8)) {
        return Kind::Int(number);
    }
    // Rust also reads `inf` and `nan`, which are words in YAML.
    let digits = text.trim_start_matches(['+', '-', '.']);
    match text.parse() {
        Ok(number) if digits.starts_with(|c: char| c.is_ascii_digit()) => Kind::Float(number),
        _ => Kind::Str(text.into()),
    }
}

fn too_deep(span: Span) -> Fatal {
    let message = format!("values lie more than {MAX_DEPTH} levels deep");
    Box::new(Diagnostic::error(span, message))
}

fn second_document(span: Span) -> Fatal {
    let message = "a second document begins here, and a file holds one";
    Box::new(Diagnostic::error(span, message).help("remove the `---`, or make it a file of its own"))
}
