//! Functions with a signature: what SQL may call, and whether their code does what the signature says.

use std::sync::Arc;

use arrow_schema::Schema;
use riverhook_config::{Diagnostic, Reading, Spanned};
use riverhook_connectors::format::schema::{FunctionSignature, type_text};
use riverhook_udf::Function;

use super::{
    build::is_word,
    functions::{Functions, with_causes},
};
use crate::{
    config::PipelineFile,
    functions::Scalar,
    sql::{Planner, UserFunction},
};

/// A function as SQL calls it.
#[derive(Clone)]
pub(super) struct ScalarFunction {
    pub(super) signature: FunctionSignature,
    pub(super) function: Arc<dyn Function>,
}

/// The function, whose code was asked whether the signature is its own.
pub(super) fn checked(
    name: &str,
    signature: &Spanned<FunctionSignature>,
    function: Arc<dyn Function>,
    cx: &mut Reading<'_>,
) -> Option<ScalarFunction> {
    let FunctionSignature { arguments, result } = &signature.value;
    let answered = match function.describe(arguments) {
        Ok(answered) => answered,
        Err(error) => {
            let message = format!("`{name}` cannot take the arguments of its signature: {}", with_causes(&error));
            cx.push(signature.error(message));
            return None;
        }
    };
    let Some(function) = Scalar::new(function, &answered, result) else {
        let message = format!("`{name}` answers {}, and its signature says {}", columns(&answered), type_text(result));
        let help = "the columns of an answer are a struct's fields, in order; for any other type there is one column";
        cx.push(signature.error(message).help(help));
        return None;
    };
    Some(ScalarFunction { signature: signature.value.clone(), function: Arc::new(function) })
}

fn columns(schema: &Schema) -> String {
    let columns: Vec<_> =
        schema.fields().iter().map(|field| format!("{}: {}", field.name(), type_text(field))).collect();
    format!("({})", columns.join(", "))
}

/// Why rows of `input` cannot be given to a function that takes these arguments.
pub(super) fn unfit(signature: &FunctionSignature, input: &Schema) -> Option<String> {
    signature.arguments.fields().iter().find_map(|wanted| {
        let name = wanted.name();
        let Ok(field) = input.field_with_name(name) else {
            return Some(format!("they have no column `{name}`, which is its argument"));
        };
        let differs = field.data_type() != wanted.data_type();
        differs.then(|| format!("its argument `{name}` is {}, and theirs {}", type_text(wanted), type_text(field)))
    })
}

/// The planner that knows the file's functions. Reports names that SQL cannot have.
pub(super) fn planner(planner: &Planner, functions: &Functions, file: &PipelineFile, cx: &mut Reading<'_>) -> Planner {
    let mut known: Vec<UserFunction> = Vec::new();
    for (name, _, scalar) in functions.scalars() {
        let problem = if is_word(name) { planner.name_problem(name) } else { Some("SQL cannot call it by this name") };
        let twin = known.iter().find(|other| other.name.eq_ignore_ascii_case(name));
        let message = match (problem, twin) {
            (Some(problem), _) => Some(format!("a function with a signature cannot be named `{name}`: {problem}")),
            (None, Some(twin)) => Some(format!("to SQL `{name}` and `{}` are one name", twin.name)),
            (None, None) => None,
        };
        match message {
            Some(message) => {
                let named = file.functions.0.iter().find(|named| named.name == name);
                let error = |named: &riverhook_config::Named<crate::config::Part>| {
                    Diagnostic::error(named.name_span, message.clone()).at(&named.value.0.path)
                };
                cx.push(named.map(error).expect("the function was read from the file").help("give it another name"));
            }
            None => known.push(UserFunction {
                name: name.to_owned(),
                arguments: scalar.signature.arguments.fields().clone(),
                result: Arc::clone(&scalar.signature.result),
            }),
        }
    }
    planner.with_functions(known)
}
