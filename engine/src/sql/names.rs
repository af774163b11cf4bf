//! Which names a function of the file can have in SQL.

use datafusion::{
    execution::session_state::SessionState,
    sql::sqlparser::{
        ast::{Expr, FunctionArguments},
        dialect::GenericDialect,
        parser::Parser,
        tokenizer::Token,
    },
};

/// What looks like a function and is planned in its own way.
const OWN: [&str; 6] = ["tumble", "hop", "session", "proctime", "unnest", "grouping"];

/// Why a function cannot have this name.
pub(super) fn problem(name: &str, state: &SessionState) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let known = state.scalar_functions().contains_key(&lower)
        || state.aggregate_functions().contains_key(&lower)
        || state.window_functions().contains_key(&lower)
        || state.higher_order_functions().contains_key(&lower)
        || OWN.contains(&lower.as_str());
    if known {
        return Some("SQL has a function of this name");
    }
    (!is_called_by(name)).then_some("SQL cannot call a function of this name")
}

/// Whether the parser takes the name, with an argument in parentheses, as a call.
fn is_called_by(name: &str) -> bool {
    let text = format!("{name}(a)");
    let Ok(mut parser) = Parser::new(&GenericDialect {}).try_with_sql(&text) else { return false };
    let Ok(Expr::Function(function)) = parser.parse_expr() else { return false };
    if parser.peek_token().token != Token::EOF {
        return false;
    }
    matches!(function.args, FunctionArguments::List(_))
        && matches!(function.name.0.as_slice(), [part] if part.as_ident().is_some_and(|ident| ident.value == name))
}
