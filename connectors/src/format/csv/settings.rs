//! The settings of CSV.

use riverhook_config::{Node, Reading, Setting, Shape, settings};
use serde_json::Value;

use super::split::Dialect;

settings! {
    /// Comma-separated values.
    pub struct CsvSettings {
        /// What stands between two fields: one ASCII character, or `tab`.
        pub delimiter: Character = Character(b','),
        /// What stands around a field that holds delimiters or line ends.
        pub quote: Character = Character(b'"'),
        /// What stands before a quote inside quotes; unless set, the quote is doubled.
        pub escape: Option<Character>,
        /// Whether the first line names the columns. Without it they come in the order of `schema:`.
        pub header: bool = true,
        /// What stands for null, without quotes; nothing at all unless set.
        pub null: String = String::new(),
    }
}

impl Default for CsvSettings {
    fn default() -> Self {
        Self::absent().expect("every key has a default")
    }
}

impl CsvSettings {
    /// The characters that structure a record.
    pub(crate) fn dialect(&self) -> Dialect {
        Dialect {
            delimiter: self.delimiter.0,
            quote: self.quote.0,
            escape: self.escape.map(|escape| escape.0).filter(|escape| *escape != self.quote.0),
        }
    }

    /// What is wrong with the settings together.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.delimiter == self.quote || self.escape == Some(self.delimiter) {
            return Some("the delimiter must be another character than `quote` and `escape`".into());
        }
        let structural = |byte: u8| byte == self.delimiter.0 || byte == self.quote.0;
        self.null.bytes().any(structural).then(|| "`null` must hold neither delimiter nor quote".into())
    }
}

/// One ASCII character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Character(pub u8);

impl Setting for Character {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        let expected = "one ASCII character, or `tab`";
        let text = cx.text(node, expected)?;
        match text.as_bytes() {
            b"tab" => Some(Self(b'\t')),
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Some(Self(*byte)),
            _ => {
                cx.wrong_value(node, expected);
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Str
    }

    fn written(&self) -> Option<Value> {
        Some(if self.0 == b'\t' { "tab".into() } else { char::from(self.0).to_string().into() })
    }
}
