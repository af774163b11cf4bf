//! What a stateless transform may not say, found in the parsed text so that the error can point at it.
//!
//! Two nets: this one knows the words people use (GROUP BY, JOIN, LIMIT …) and where they stand; `lower` refuses every
//! plan node it does not run. Fields of the syntax tree that the planner silently ignores are refused here too.

use std::{collections::BTreeMap, ops::ControlFlow};

use arrow_schema::{Fields, SchemaRef};
use datafusion::{
    execution::session_state::SessionState,
    sql::sqlparser::{
        ast::{
            Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Query,
            Select, SetExpr, SetOperator, SetQuantifier, Spanned, Statement, TableFactor, Visit, Visitor,
        },
        tokenizer::{Location, Span},
    },
};

use super::{
    SqlError,
    functions::{UserFunctions, wrong_count},
};

const WINDOWS: [&str; 3] = ["tumble", "hop", "session"];

/// Finds the first thing in `statement` that is not there yet or not to be had; gives the places where functions of the
/// file are called.
pub(super) fn check(
    statement: &Statement,
    state: &SessionState,
    functions: &UserFunctions,
    tables: &BTreeMap<String, SchemaRef>,
) -> Result<Vec<(String, Location)>, SqlError> {
    if !matches!(statement, Statement::Query(_)) {
        let word = statement.to_string().split_whitespace().next().unwrap_or_default().to_owned();
        return Err(SqlError::whole(format!("expected a SELECT, found {word}"))
            .help("a transform's SQL is one SELECT; sinks write its rows"));
    }
    let mut refuser = Refuser { state, functions, tables, ctes: Vec::new(), calls: Vec::new() };
    match statement.visit(&mut refuser) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(refuser.calls),
    }
}

struct Refuser<'a> {
    state: &'a SessionState,
    functions: &'a UserFunctions,
    tables: &'a BTreeMap<String, SchemaRef>,
    ctes: Vec<String>,
    /// Functions of the file, and where they are called.
    calls: Vec<(String, Location)>,
}

type Found = ControlFlow<SqlError>;

/// Needs memory of earlier rows, which comes with windows and state.
fn stateful(what: &str, span: Span) -> Found {
    let error = SqlError::at(
        format!("{what} needs state, which is not there yet: this version runs stateless SQL"),
        start(span),
    );
    ControlFlow::Break(
        error.help("stateless SQL is SELECT … FROM … WHERE, CASE, casts, functions of one row, UNNEST and UNION ALL"),
    )
}

fn unsupported(what: &str, span: Span) -> Found {
    ControlFlow::Break(SqlError::at(format!("{what} is not supported"), start(span)))
}

fn start(span: Span) -> Location {
    span.start
}

fn some<T: Spanned>(what: &str, part: Option<&T>) -> Found {
    part.map_or(ControlFlow::Continue(()), |part| stateful(what, part.span()))
}

impl Visitor for Refuser<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &Query) -> Found {
        if let Some(with) = &query.with {
            if with.recursive {
                return stateful("WITH RECURSIVE", query.span());
            }
            self.ctes.extend(with.cte_tables.iter().map(|cte| cte.alias.name.value.clone()));
        }
        some("ORDER BY", query.order_by.as_ref())?;
        some("LIMIT", query.limit_clause.as_ref())?;
        let others = [
            (query.fetch.is_some(), "FETCH"),
            (!query.locks.is_empty(), "FOR UPDATE"),
            (query.for_clause.is_some(), "FOR"),
            (query.settings.is_some(), "SETTINGS"),
            (query.format_clause.is_some(), "FORMAT"),
            (!query.pipe_operators.is_empty(), "the pipe syntax"),
        ];
        others
            .iter()
            .find(|(present, _)| *present)
            .map_or(ControlFlow::Continue(()), |(_, what)| unsupported(what, query.span()))?;
        self.set_expression(&query.body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> Found {
        match &select.distinct {
            Some(Distinct::Distinct | Distinct::On(_)) => return stateful("DISTINCT", select.span()),
            Some(Distinct::All) | None => {}
        }
        match &select.group_by {
            GroupByExpr::Expressions(expressions, modifiers) if expressions.is_empty() && modifiers.is_empty() => {}
            group_by => return stateful("GROUP BY", group_by.span()),
        }
        some("HAVING", select.having.as_ref())?;
        some("QUALIFY", select.qualify.as_ref())?;
        let others = [
            (select.top.is_some(), "TOP"),
            (select.into.is_some(), "SELECT INTO"),
            (!select.lateral_views.is_empty(), "LATERAL VIEW"),
            (select.prewhere.is_some(), "PREWHERE"),
            (!select.connect_by.is_empty(), "CONNECT BY"),
            (!select.cluster_by.is_empty(), "CLUSTER BY"),
            (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
            (!select.sort_by.is_empty(), "SORT BY"),
            (!select.named_window.is_empty(), "WINDOW"),
            (select.value_table_mode.is_some(), "SELECT AS"),
            (select.select_modifiers.is_some(), "a select modifier"),
        ];
        others
            .iter()
            .find(|(present, _)| *present)
            .map_or(ControlFlow::Continue(()), |(_, what)| unsupported(what, select.span()))?;
        for from in &select.from {
            some("JOIN", from.joins.first())?;
        }
        // UNNEST beside a table is the lateral form; DataFusion plans it as a join that we do not run.
        match select.from.get(1) {
            Some(second) => stateful("reading two tables in one FROM (a join)", second.span()),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> Found {
        match factor {
            TableFactor::Table {
                name,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
                ..
            } => {
                let place = name.span();
                let text = name.to_string();
                if args.is_some() {
                    return if WINDOWS.contains(&text.to_lowercase().as_str()) {
                        stateful(&format!("the window {text}(…)"), place)
                    } else {
                        unsupported(&format!("the table function {text}(…)"), place)
                    };
                }
                let others = [
                    (version.is_some(), "FOR SYSTEM_TIME AS OF"),
                    (!with_hints.is_empty(), "WITH (…)"),
                    (*with_ordinality, "WITH ORDINALITY"),
                    (!partitions.is_empty(), "PARTITION (…)"),
                    (json_path.is_some(), "a path behind a table's name"),
                    (sample.is_some(), "TABLESAMPLE"),
                    (!index_hints.is_empty(), "an index hint"),
                ];
                if let Some((_, what)) = others.iter().find(|(present, _)| *present) {
                    return unsupported(what, place);
                }
                match name.0.as_slice() {
                    [part] => {
                        self.known_table(part.as_ident().map_or(text.as_str(), |ident| ident.value.as_str()), place)
                    }
                    _ => unsupported(&format!("the qualified table name {text}"), place),
                }
            }
            TableFactor::Derived { lateral: false, sample: None, .. } => ControlFlow::Continue(()),
            TableFactor::UNNEST { .. } => unsupported("UNNEST in FROM", factor.span())
                .map_break(|error| error.help("write it in the SELECT list: SELECT id, unnest(tags) AS tag FROM …")),
            other => unsupported(&format!("`{other}` in FROM"), other.span()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> Found {
        match expr {
            Expr::Function(function) => self.function(function, expr.span()),
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                stateful("a subquery in an expression", expr.span())
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Refuser<'_> {
    fn set_expression(&self, body: &SetExpr) -> Found {
        match body {
            SetExpr::Select(_) | SetExpr::Query(_) => ControlFlow::Continue(()),
            SetExpr::SetOperation { op: SetOperator::Union, set_quantifier: SetQuantifier::All, left, right } => {
                self.set_expression(left)?;
                self.set_expression(right)
            }
            SetExpr::SetOperation { op, right, .. } => {
                let help = |error: SqlError| error.help("UNION ALL needs no state");
                stateful(&format!("{op} (which compares all rows)"), right.span()).map_break(help)
            }
            other => unsupported(
                &format!("`{}`", other.to_string().split_whitespace().next().unwrap_or_default()),
                other.span(),
            ),
        }
    }

    fn known_table(&self, name: &str, place: Span) -> Found {
        if self.tables.contains_key(name) || self.ctes.iter().any(|cte| cte == name) {
            return ControlFlow::Continue(());
        }
        let error = SqlError::at(format!("there is no node named `{name}`"), start(place));
        ControlFlow::Break(match riverhook_config::nearest(name, self.tables.keys().map(String::as_str)) {
            Some(nearest) => error.help(format!("did you mean `{nearest}`?")),
            None => error,
        })
    }

    fn function(&mut self, function: &Function, span: Span) -> Found {
        let name = function.name.to_string().to_lowercase();
        if function.over.is_some() {
            return stateful(&format!("the window function {name}(…) OVER"), span);
        }
        if self.state.aggregate_functions().contains_key(&name) && !self.state.scalar_functions().contains_key(&name) {
            return stateful(&format!("the aggregate {name}(…)"), span);
        }
        self.call(function, span)
    }

    /// A function of the file takes its arguments and nothing else; the planner would ignore the rest.
    fn call(&mut self, function: &Function, span: Span) -> Found {
        let Some(name) = function.name.0.first().and_then(|part| part.as_ident()).map(|name| name.value.as_str())
        else {
            return ControlFlow::Continue(());
        };
        let Some(arguments) = self.functions.arguments(name).filter(|_| function.name.0.len() == 1) else {
            return ControlFlow::Continue(());
        };
        let FunctionArguments::List(list) = &function.args else {
            return unsupported(&format!("`{name}` without arguments in parentheses"), span);
        };
        let others = [
            (function.filter.is_some(), "FILTER"),
            (!function.within_group.is_empty(), "WITHIN GROUP"),
            (function.null_treatment.is_some(), "IGNORE NULLS or RESPECT NULLS"),
            (list.duplicate_treatment.is_some(), "DISTINCT or ALL"),
            (!list.clauses.is_empty(), "a clause behind the arguments"),
        ];
        if let Some((_, what)) = others.iter().find(|(present, _)| *present) {
            return unsupported(&format!("{what} in a call of `{name}`"), span);
        }
        if list.args.len() != arguments.len() {
            let error = SqlError::at(wrong_count(name, arguments, list.args.len()), start(span));
            return ControlFlow::Break(error);
        }
        for argument in &list.args {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(_)) => {}
                FunctionArg::Named { name: given, arg: FunctionArgExpr::Expr(_), .. } => {
                    known_argument(name, arguments, given)?;
                }
                other => return unsupported(&format!("`{other}` in a call of `{name}`"), span),
            }
        }
        self.calls.push((name.to_owned(), start(span)));
        ControlFlow::Continue(())
    }
}

fn known_argument(function: &str, arguments: &Fields, given: &Ident) -> Found {
    let known = arguments.iter().map(|argument| argument.name().as_str());
    if known.clone().any(|known| known.eq_ignore_ascii_case(&given.value)) {
        return ControlFlow::Continue(());
    }
    let error = SqlError::at(format!("`{function}` has no argument `{}`", given.value), start(given.span));
    ControlFlow::Break(match riverhook_config::nearest(&given.value, known) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error,
    })
}
