//! What may be written where: the tree behind the JSON Schema and the reference page.

use serde_json::Value;

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// Anything.
    Any,
    /// `true` or `false`.
    Bool,
    /// A whole number within limits, both included.
    Int {
        /// The least.
        min: i128,
        /// The greatest.
        max: i128,
    },
    /// A number.
    Float,
    /// Text.
    Str,
    /// Text that is not to be seen.
    Secret,
    /// Such as `5s`.
    Duration,
    /// Such as `100ms..5s`.
    DurationRange,
    /// Such as `64MiB`.
    Size,
    /// One of several words.
    OneOf {
        /// What is chosen.
        doc: String,
        /// The words.
        choices: Vec<Choice>,
    },
    /// Values of one shape.
    List(Box<Shape>),
    /// A value, or a list of such values.
    OneOrMany(Box<Shape>),
    /// Values of one shape by names of the user's choice.
    Map(Box<Shape>),
    /// Keys that are known.
    Struct(StructShape),
    /// One of several shapes, told apart by what is written.
    Either(Vec<Shape>),
    /// One of several sets of keys, told apart by the word under one key.
    Tagged {
        /// The key that tells.
        tag: &'static str,
        /// Its words, each with the keys that go with it.
        variants: Vec<(&'static str, StructShape)>,
    },
}

/// A word that may be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The word.
    pub name: &'static str,
    /// What it means.
    pub doc: String,
}

/// A set of known keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StructShape {
    /// What the code calls it.
    pub name: String,
    /// What it is for.
    pub doc: String,
    /// The keys, in the order of the documentation.
    pub fields: Vec<Field>,
}

/// A known key.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The key.
    pub name: &'static str,
    /// What it is for.
    pub doc: String,
    /// Whether it must be there.
    pub required: bool,
    /// The value if it is not there, as it would be written.
    pub default: Option<Value>,
    /// What it may be.
    pub shape: Shape,
}

impl Shape {
    /// Two sets of keys as one, for settings that are read from the same map. Of a key in both, this one's stays. Other
    /// shapes have nothing to merge: this one stays.
    pub fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Struct(one), Self::Struct(other)) => Self::Struct(one.merge(other)),
            (one, _) => one,
        }
    }

    /// The keys, if these are known keys.
    pub fn fields(&self) -> &[Field] {
        match self {
            Self::Struct(shape) => &shape.fields,
            _ => &[],
        }
    }
}

impl StructShape {
    /// See [`Shape::merge`].
    pub fn merge(mut self, other: Self) -> Self {
        for field in other.fields {
            if self.fields.iter().all(|own| own.name != field.name) {
                self.fields.push(field);
            }
        }
        self
    }
}
