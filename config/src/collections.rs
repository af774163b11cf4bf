//! Settings made of other settings: lists, named entries, optional and free-form values.

use std::sync::Arc;

use serde_json::Value;

use crate::node::{Kind, Path};
use crate::reading::Scalar;
use crate::{Diagnostic, Node, Reading, Setting, Shape, Span};

impl<T: Setting> Setting for Vec<T> {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            cx.wrong_kind(node, "a list");
            return None;
        };
        read_all(items, cx)
    }

    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn written(&self) -> Option<Value> {
        self.iter().map(Setting::written).collect()
    }
}

/// All items are read, so that all their errors are said.
fn read_all<T: Setting>(items: &[Node], cx: &mut Reading<'_>) -> Option<Vec<T>> {
    let read: Vec<Option<T>> = items.iter().map(|item| T::read(item, cx)).collect();
    read.into_iter().collect()
}

/// One value or a list of them: `a` means `[a]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> OneOrMany<T> {
    /// The values, as written.
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }

    /// The values in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<'a, T> IntoIterator for &'a OneOrMany<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T> IntoIterator for OneOrMany<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T: Setting> Setting for OneOrMany<T> {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        match &node.kind {
            Kind::List(items) if items.is_empty() => {
                cx.wrong_value(node, "at least one");
                None
            }
            Kind::List(items) => read_all(items, cx).map(Self),
            _ => T::read(node, cx).map(|one| Self(vec![one])),
        }
    }

    fn shape() -> Shape {
        Shape::OneOrMany(Box::new(T::shape()))
    }

    fn written(&self) -> Option<Value> {
        match self.0.as_slice() {
            [one] => one.written(),
            many => many.iter().map(Setting::written).collect(),
        }
    }
}

/// Values by a name the user chose, in the file's order.
#[derive(Debug, Clone)]
pub struct Map<T>(pub Vec<Named<T>>);

/// One value of a [`Map`].
#[derive(Debug, Clone)]
pub struct Named<T> {
    /// The name.
    pub name: String,
    /// Where the name stands.
    pub name_span: Span,
    /// The value.
    pub value: T,
}

impl<T> Default for Map<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Map<T> {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&T> {
        let named = self.0.iter().find(|named| named.name == name)?;
        Some(&named.value)
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|named| (named.name.as_str(), &named.value))
    }

    /// The names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|named| named.name.as_str())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Setting> Setting for Map<T> {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            cx.wrong_kind(node, "a map of names and values");
            return None;
        };
        let read: Vec<Option<Named<T>>> = entries
            .iter()
            .map(|entry| {
                Some(Named {
                    name: entry.key.as_ref().into(),
                    name_span: entry.key_span,
                    value: T::read(&entry.value, cx)?,
                })
            })
            .collect();
        read.into_iter().collect::<Option<_>>().map(Self)
    }

    fn shape() -> Shape {
        Shape::Map(Box::new(T::shape()))
    }

    fn written(&self) -> Option<Value> {
        let entries = self.iter().map(|(name, value)| Some((name.into(), value.written()?)));
        entries.collect::<Option<_>>().map(Value::Object)
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        if cx.is_absent(node)? {
            return Some(None);
        }
        T::read(node, cx).map(Some)
    }

    fn shape() -> Shape {
        T::shape()
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn written(&self) -> Option<Value> {
        self.as_ref()?.written()
    }
}

/// A value that remembers where it was written, to be pointed at later.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
    /// The field path.
    pub path: Path,
    /// The text as written, if it is text.
    text: Option<Arc<Node>>,
}

impl<T> Spanned<T> {
    /// A value with its place.
    pub fn new(value: T, span: Span, path: Path) -> Self {
        Self { value, span, path, text: None }
    }

    /// An error about this value, with its place and path filled in.
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.span, message).at(&self.path)
    }

    /// See [`Node::place_in_text`].
    pub fn place_in_text(&self, line: usize, column: usize) -> Span {
        match &self.text {
            Some(node) => node.place_in_text(line, column),
            None => self.span,
        }
    }

    /// Another value at the same place.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: change(self.value), span: self.span, path: self.path, text: self.text }
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Setting> Setting for Spanned<T> {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        let is_text = matches!(node.kind, Kind::Str(_));
        Some(Self {
            value: T::read(node, cx)?,
            span: node.span,
            path: node.path.clone(),
            text: is_text.then(|| Arc::new(node.clone())),
        })
    }

    fn shape() -> Shape {
        T::shape()
    }

    fn written(&self) -> Option<Value> {
        self.value.written()
    }
}

/// Anything, for settings whose keys somebody else defines. Text stays text: what the environment gives is not read as a
/// number.
impl Setting for Value {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        match &node.kind {
            Kind::List(items) => read_all(items, cx).map(Self::Array),
            Kind::Map(_) => {
                let map = Map::<Self>::read(node, cx)?;
                let entries = map.0.into_iter().map(|named| (named.name, named.value));
                Some(Self::Object(entries.collect()))
            }
            _ => match cx.scalar(node)? {
                Scalar::Null => Some(Self::Null),
                Scalar::Bool(value) => Some(value.into()),
                Scalar::Text(text) | Scalar::Given(text) => Some(text.into()),
                Scalar::Int(number) => Some(whole(number)),
                Scalar::Float(number) if number.is_finite() => Some(number.into()),
                Scalar::Float(_) => {
                    cx.wrong_value(node, "a finite number");
                    None
                }
            },
        }
    }

    fn shape() -> Shape {
        Shape::Any
    }

    fn written(&self) -> Option<Value> {
        Some(self.clone())
    }
}

/// Beyond 64 bits JSON's numbers are as close as they can be.
fn whole(number: i128) -> Value {
    let unsigned = u64::try_from(number).map(Value::from);
    let signed = i64::try_from(number).map(Value::from);
    #[allow(clippy::cast_precision_loss, reason = "as close as a number of JSON is read by most")]
    unsigned.or(signed).unwrap_or_else(|_| (number as f64).into())
}
