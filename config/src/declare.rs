//! Settings as declarations: `settings!` for a map with known keys, `choices!` for a word out of several. The doc
//! comments, types and defaults written once are what is read, what the schema says and what the reference page shows.

/// Declares a struct that is read from a map.
///
/// A field is a key. Without a default it is required, unless its type can be absent (`Option`, or settings all of whose
/// fields can be). A name that is a word of Rust is written `r#type`.
///
/// ```
/// use std::time::Duration;
/// use riverhook_config::{OneOrMany, settings};
///
/// settings! {
///     /// A Kafka topic read as a consumer group.
///     pub struct KafkaSource {
///         /// The topic, or a list of topics.
///         pub topic: OneOrMany<String>,
///         /// Consumer group; the pipeline's name unless set.
///         pub group: Option<String>,
///         /// How long to wait for brokers.
///         pub connect_timeout: Duration = Duration::from_secs(30),
///     }
/// }
/// assert_eq!(KafkaSource::keys(), ["topic", "group", "connect_timeout"]);
/// ```
///
/// The struct derives `Debug` and `Clone`, implements [`Setting`](crate::Setting), and has `keys()`, the names of its
/// keys, and `read_fields(map, cx)`, which takes its keys from a [`MapReader`](crate::MapReader) that others read from
/// too.
#[macro_export]
macro_rules! settings {
    ($(
        $(#[$($meta:tt)*])*
        $vis:vis struct $name:ident {
            $(
                $(#[$($field_meta:tt)*])*
                $field_vis:vis $field:ident : $type:ty $(= $default:expr)?
            ),* $(,)?
        }
    )*) => {$(
        $(#[$($meta)*])*
        #[derive(Debug, Clone)]
        $vis struct $name {
            $(
                $(#[$($field_meta)*])*
                $field_vis $field: $type,
            )*
        }

        #[allow(dead_code, reason = "not every declaration is read in every way")]
        impl $name {
            /// The names of the keys.
            $vis const fn keys() -> &'static [&'static str] {
                const { &[$($crate::declare::key(stringify!($field))),*] }
            }

            /// Takes these keys from a map that others may read from too; reports what is wrong with them, not what
            /// else is there.
            $vis fn read_fields(
                map: &mut $crate::MapReader<'_>,
                cx: &mut $crate::Reading<'_>,
            ) -> Option<Self> {
                let _ = (&map, &cx);
                $(
                    let $field: Option<$type> =
                        $crate::__setting!(read map, cx, $field, $type $(, $default)?);
                )*
                Some(Self { $($field: $field?),* })
            }
        }

        impl $crate::Setting for $name {
            fn read(node: &$crate::Node, cx: &mut $crate::Reading<'_>) -> Option<Self> {
                let mut map = $crate::MapReader::new(node);
                let read = Self::read_fields(&mut map, cx);
                map.finish(cx);
                read
            }

            fn shape() -> $crate::Shape {
                $crate::Shape::Struct($crate::StructShape {
                    name: stringify!($name).into(),
                    doc: $crate::__setting!(doc $([$($meta)*])*),
                    fields: vec![$($crate::Field {
                        name: $crate::declare::key(stringify!($field)),
                        doc: $crate::__setting!(doc $([$($field_meta)*])*),
                        required: $crate::__setting!(absent $type $(, $default)?).is_none(),
                        default: $crate::__setting!(absent $type $(, $default)?)
                            .and_then(|default| $crate::Setting::written(&default)),
                        shape: <$type as $crate::Setting>::shape(),
                    }),*],
                })
            }

            fn absent() -> Option<Self> {
                Some(Self {
                    $($field: $crate::__setting!(absent $type $(, $default)?)?),*
                })
            }
        }
    )*};
}

/// Declares an enum that is read from a word.
///
/// ```
/// riverhook_config::choices! {
///     /// Where reading begins.
///     #[derive(Default)]
///     pub enum Start {
///         /// At the first record there is.
///         #[default]
///         Earliest = "earliest",
///         /// Behind the last one.
///         Latest = "latest",
///     }
/// }
/// assert_eq!(Start::Latest.as_str(), "latest");
/// ```
///
/// The enum derives `Debug, Clone, Copy, PartialEq, Eq`, implements [`Setting`](crate::Setting) and `Display`, and has
/// `as_str()`, the word, and `ALL`, every variant.
#[macro_export]
macro_rules! choices {
    ($(
        $(#[$($meta:tt)*])*
        $vis:vis enum $name:ident {
            $(
                $(#[$($choice_meta:tt)*])*
                $choice:ident = $word:literal
            ),* $(,)?
        }
    )*) => {$(
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $(#[$($meta)*])*
        $vis enum $name {
            $(
                $(#[$($choice_meta)*])*
                $choice,
            )*
        }

        #[allow(dead_code, reason = "not every declaration is used in every way")]
        impl $name {
            /// Every variant, in order.
            $vis const ALL: &'static [Self] = &[$(Self::$choice),*];

            /// The word for it.
            $vis const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$choice => $word,)*
                }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::Setting for $name {
            fn read(node: &$crate::Node, cx: &mut $crate::Reading<'_>) -> Option<Self> {
                $crate::declare::choose(node, cx, &[$(($word, Self::$choice)),*])
            }

            fn shape() -> $crate::Shape {
                $crate::Shape::OneOf {
                    doc: $crate::__setting!(doc $([$($meta)*])*),
                    choices: vec![$($crate::Choice {
                        name: $word,
                        doc: $crate::__setting!(doc $([$($choice_meta)*])*),
                    }),*],
                }
            }

            fn written(&self) -> Option<$crate::declare::Value> {
                Some(self.as_str().into())
            }
        }
    )*};
}

/// The parts of the two macros above that depend on whether a default is there and on which attribute it is.
#[doc(hidden)]
#[macro_export]
macro_rules! __setting {
    (read $map:ident, $cx:ident, $field:ident, $type:ty) => {
        $map.field::<$type>($crate::declare::key(stringify!($field)), $cx)
    };
    (read $map:ident, $cx:ident, $field:ident, $type:ty, $default:expr) => {
        $map.field_or::<$type>($crate::declare::key(stringify!($field)), || $default, $cx)
    };
    (absent $type:ty) => {
        <$type as $crate::Setting>::absent()
    };
    (absent $type:ty, $default:expr) => {{
        let default: $type = $default;
        Some(default)
    }};
    (doc $([$($meta:tt)*])*) => {
        $crate::declare::doc(&[$($crate::__setting!(line $($meta)*)),*])
    };
    (line doc = $line:expr) => {
        Some($line)
    };
    (line $($other:tt)*) => {
        None
    };
}

pub use serde_json::Value;

use crate::diagnostics::{listed, quoted};
use crate::reading::Scalar;
use crate::{Node, Reading, nearest};

/// A field's name as a key: without the `r#` of a name that is a word of Rust.
pub const fn key(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// The lines of a doc comment as one text: lines of a paragraph joined, paragraphs apart.
pub fn doc(lines: &[Option<&str>]) -> String {
    let mut text = String::new();
    for line in lines.iter().flatten().map(|line| line.trim()) {
        if line.is_empty() {
            text.push_str("\n\n");
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push(' ');
        }
        text.push_str(line);
    }
    text.trim().into()
}

/// The choice whose word is written.
pub fn choose<T: Copy>(node: &Node, cx: &mut Reading<'_>, choices: &[(&str, T)]) -> Option<T> {
    let words = || choices.iter().map(|(word, _)| *word);
    let (text, written) = match cx.scalar(node)? {
        Scalar::Text(text) => {
            let substituted = matches!(&node.kind, crate::Kind::Str(raw) if raw.contains("${"));
            (text, !substituted)
        }
        Scalar::Given(text) => (text, false),
        _ => {
            cx.wrong_kind(node, listed(words()));
            return None;
        }
    };
    let found = choices.iter().find(|(word, _)| *word == text);
    if let Some((_, choice)) = found {
        return Some(*choice);
    }
    if written {
        let wrong = node.error(format!("{} is not known here", quoted(&text)));
        let wrong = wrong.expected(listed(words()));
        cx.push(wrong.did_you_mean(nearest(&text, words())));
    } else {
        cx.wrong_value(node, listed(words()));
    }
    None
}
