//! Settings of one value: truth values, numbers, text, paths and secrets.

use std::fmt;
use std::path::PathBuf;

use serde_json::Value;

use crate::node::Kind;
use crate::reading::Scalar;
use crate::{Node, Reading, Setting, Shape};

impl Setting for bool {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        match cx.typed_scalar(node)? {
            Scalar::Bool(value) => Some(value),
            _ => {
                cx.wrong_kind(node, "true or false");
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Bool
    }

    fn written(&self) -> Option<Value> {
        Some((*self).into())
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl Setting for $number {
            fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
                whole_number(node, cx, <$number>::MIN.into_wide(), <$number>::MAX.into_wide())?
                    .try_into()
                    .ok()
            }

            fn shape() -> Shape {
                Shape::Int { min: <$number>::MIN.into_wide(), max: <$number>::MAX.into_wide() }
            }

            fn written(&self) -> Option<Value> {
                Some((*self).into())
            }
        }

        impl Wide for $number {
            fn into_wide(self) -> i128 {
                self as i128
            }
        }
    )*};
}

/// To the type whole numbers are read as; there is no `From<usize>` for it.
trait Wide {
    fn into_wide(self) -> i128;
}

whole_numbers!(u8, u16, u32, u64, usize, i32, i64);

fn whole_number(node: &Node, cx: &mut Reading<'_>, min: i128, max: i128) -> Option<i128> {
    let range = Range { min, max };
    match cx.typed_scalar(node)? {
        Scalar::Int(number) if (min..=max).contains(&number) => Some(number),
        Scalar::Int(_) => {
            cx.wrong_value(node, format_args!("a whole number {range}"));
            None
        }
        _ => {
            cx.wrong_kind(node, format_args!("a whole number {range}"));
            None
        }
    }
}

/// Limits, in words; those of 64 bits tell a reader nothing.
struct Range {
    min: i128,
    max: i128,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (0, max) if max >= i128::from(u64::MAX) => write!(f, "of at least 0"),
            (min, max) if max >= i128::from(i64::MAX) => write!(f, "of at least {min}"),
            (min, max) => write!(f, "from {min} to {max}"),
        }
    }
}

impl Setting for f64 {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        match cx.typed_scalar(node)? {
            Scalar::Float(number) if number.is_finite() => Some(number),
            #[allow(clippy::cast_precision_loss, reason = "as close as this type can be")]
            Scalar::Int(number) => Some(number as f64),
            Scalar::Float(_) => {
                cx.wrong_value(node, "a finite number");
                None
            }
            _ => {
                cx.wrong_kind(node, "a number");
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Float
    }

    fn written(&self) -> Option<Value> {
        Some((*self).into())
    }
}

impl Setting for String {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        match cx.scalar(node)? {
            Scalar::Text(text) | Scalar::Given(text) => Some(text),
            _ if matches!(node.kind, Kind::Bool(_) | Kind::Int(_) | Kind::Float(_)) => {
                let message = format!("this is {}, not text", node.found());
                let quoted = crate::diagnostics::quoted(&format!("\"{}\"", node.written()));
                let wrong = node.error(message).expected("text");
                cx.push(wrong.help(format!("put it in quotes: {quoted}")));
                None
            }
            _ => {
                cx.wrong_kind(node, "text");
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Str
    }

    fn written(&self) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl Setting for PathBuf {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        cx.text(node, "a path").map(PathBuf::from)
    }

    fn shape() -> Shape {
        Shape::Str
    }

    fn written(&self) -> Option<Value> {
        Some(self.to_str()?.into())
    }
}

/// Text that must not be seen: prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being seen.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, to be handed to whoever checks it, not to a log.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Setting for Secret {
    /// A number is taken as it is written: a password of digits must not be shown in an error about it.
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        match cx.scalar(node)? {
            Scalar::Text(text) | Scalar::Given(text) => Some(Self(text)),
            Scalar::Null => {
                cx.wrong_kind(node, "text, best as ${NAME} or ${file:PATH}");
                None
            }
            _ => Some(Self(node.written().into())),
        }
    }

    fn shape() -> Shape {
        Shape::Secret
    }
}
