//! `signature:` as a setting: the arguments and the result of a function that SQL calls.

use std::{fmt, sync::Arc};

use arrow_schema::{DataType, FieldRef, Schema, SchemaRef};
use riverhook_config::{Diagnostic, Node, Reading, Setting, Shape};

use super::{
    parse::{TypeError, parse_signature},
    type_text,
};

/// What the column of results is called.
const RESULT: &str = "value";

/// What a function takes and gives, such as `(ip: string) -> struct<country: string, lat: float64>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSignature {
    /// The arguments, in order: the columns that the function is given.
    pub arguments: SchemaRef,
    /// The result: a column named `value`.
    pub result: FieldRef,
}

impl FunctionSignature {
    /// The columns of a record that the function answers: a struct's fields, or the only column `value`.
    pub fn columns(&self) -> SchemaRef {
        match self.result.data_type() {
            DataType::Struct(fields) => Arc::new(Schema::new(fields.clone())),
            _ => Arc::new(Schema::new(vec![Arc::clone(&self.result)])),
        }
    }
}

impl fmt::Display for FunctionSignature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arguments = self.arguments.fields().iter();
        let arguments: Vec<_> = arguments.map(|field| format!("{}: {}", field.name(), type_text(field))).collect();
        write!(formatter, "({}) -> {}", arguments.join(", "), type_text(&self.result))
    }
}

impl Setting for FunctionSignature {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        let text = cx.text(node, "a signature such as \"(ip: string) -> struct<country: string, lat: float64>\"")?;
        match parse_signature(&text, RESULT) {
            Ok((arguments, result)) => {
                Some(Self { arguments: Arc::new(Schema::new(arguments)), result: Arc::new(result) })
            }
            Err(error) => {
                cx.push(diagnostic(node, &text, &error));
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Str
    }
}

fn diagnostic(node: &Node, text: &str, error: &TypeError) -> Diagnostic {
    let column = text[..error.at.start].chars().count() + 1;
    let diagnostic = Diagnostic::error(node.place_in_text(1, column), &error.message).at(&node.path);
    diagnostic.did_you_mean(error.suggestion.as_deref())
}
