//! Stateless SQL: DataFusion parses and plans it, we run it, a batch in and a batch out.
//!
//! [`Planner`] turns the text of a transform into a [`Query`]: for each table it reads, the operators that the table's
//! rows pass. Nothing here knows connectors or threads. What needs state is refused by name and place.

mod batch_time;
mod branch;
mod call;
#[cfg(test)]
mod call_tests;
mod catalog;
mod error;
mod failure;
mod functions;
mod hoist;
mod lower;
mod names;
mod operator;
mod refuse;
mod unnest;
mod words;

#[cfg(test)]
mod slt_tests;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use arrow_schema::{Schema, SchemaRef};
use datafusion::{
    common::DFSchema,
    execution::{
        FunctionRegistry,
        session_state::{SessionState, SessionStateBuilder},
    },
    logical_expr::{LogicalPlan, ScalarUDF},
    optimizer::{
        Optimizer, OptimizerContext, OptimizerRule, common_subexpr_eliminate::CommonSubexprEliminate,
        optimize_projections::OptimizeProjections, simplify_expressions::SimplifyExpressions,
    },
    physical_expr::PhysicalExpr,
    prelude::SessionConfig,
    sql::{
        planner::SqlToRel,
        sqlparser::{
            ast::Statement,
            dialect::GenericDialect,
            keywords::Keyword,
            parser::Parser,
            tokenizer::{Token, Tokenizer},
        },
    },
};

pub use batch_time::set_batch_time;
pub use branch::{BoundBranch, Branch, Ran};
pub use call::Calls;
pub use error::SqlError;
pub use functions::UserFunction;

use self::functions::UserFunctions;

/// A planned transform.
#[derive(Clone, Debug)]
pub struct Query {
    /// What is done with the rows of each table; a table that is read twice (in a UNION ALL) has two branches.
    pub branches: Vec<Branch>,
    /// The rows that come out of every branch.
    pub schema: SchemaRef,
    /// The functions of the file that the branches call, each once. [`Calls`] are told which by its index here.
    pub functions: Vec<String>,
}

/// The SELECT nesting at which parsing gives up: deeper text is a mistake or an attack, and would cost stack.
const MAX_DEPTH: usize = 64;

/// The most `+`, `AND`, `UNION` and the like in a text: each is a level of the expression, and each level costs stack when
/// it is planned and run.
const MAX_OPERATORS: usize = 1000;

/// Plans SQL texts over named tables. Costly to make (it holds all functions), cheap to use.
pub struct Planner {
    state: Arc<SessionState>,
    optimizer: Arc<Optimizer>,
    /// For texts that call functions of the file. Without common subexpressions: those would be taken out of a call's
    /// arguments in WHERE and not in SELECT, and what is one call would no longer be seen to be one.
    calling: Arc<Optimizer>,
    functions: UserFunctions,
}

impl Planner {
    /// A planner with DataFusion's scalar functions, its JSON functions, and a `now()` that is the batch's time.
    pub fn new() -> Result<Self, SqlError> {
        let mut config = SessionConfig::new();
        let options = config.options_mut();
        options.sql_parser.collect_spans = true;
        options.sql_parser.enable_ident_normalization = false;
        options.sql_parser.map_string_types_to_utf8view = false;
        let mut state = SessionStateBuilder::new().with_config(config).with_default_features().build();
        datafusion_functions_json::register_all(&mut state).map_err(|error| SqlError::planning(&error))?;
        for function in batch_time::functions() {
            state.register_udf(Arc::new(ScalarUDF::from(function))).map_err(|error| SqlError::planning(&error))?;
        }
        // Hand-picked: the default rules are for queries that end. They copy functions into pushed-down filters and
        // plan joins and limits that no stateless transform has.
        let simplify: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(SimplifyExpressions::new());
        let projections: Arc<dyn OptimizerRule + Send + Sync> = Arc::new(OptimizeProjections::new());
        let calling = Arc::new(Optimizer::with_rules(vec![Arc::clone(&simplify), Arc::clone(&projections)]));
        let rules = vec![simplify, Arc::new(CommonSubexprEliminate::new()), projections];
        let optimizer = Arc::new(Optimizer::with_rules(rules));
        Ok(Self { state: Arc::new(state), optimizer, calling, functions: UserFunctions::default() })
    }

    /// The same for texts that may call these functions too.
    pub fn with_functions(&self, functions: Vec<UserFunction>) -> Self {
        let (optimizer, calling) = (Arc::clone(&self.optimizer), Arc::clone(&self.calling));
        Self { state: Arc::clone(&self.state), optimizer, calling, functions: UserFunctions::new(functions) }
    }

    /// Why a function that SQL may call cannot have this name.
    pub fn name_problem(&self, name: &str) -> Option<&'static str> {
        names::problem(name, &self.state)
    }

    /// Plans one SELECT over `tables`.
    pub fn plan(&self, sql: &str, tables: &BTreeMap<String, SchemaRef>) -> Result<Query, SqlError> {
        let statement = parse(sql)?;
        let calls = refuse::check(&statement, &self.state, &self.functions, tables)?;
        let optimizer = if calls.is_empty() { &self.optimizer } else { &self.calling };
        self.lowered(statement, tables, optimizer).map_err(|error| error.of_the_only(&calls))
    }

    fn lowered(
        &self,
        statement: Statement,
        tables: &BTreeMap<String, SchemaRef>,
        optimizer: &Optimizer,
    ) -> Result<Query, SqlError> {
        let catalog = catalog::Catalog::new(&self.state, &self.functions, tables);
        let planned = SqlToRel::new_with_options(&catalog, catalog::parser_options())
            .sql_statement_to_plan(statement)
            .map_err(|error| SqlError::planning(&error))?;
        let plan = self.optimize(planned, optimizer)?;
        let (branches, functions) = lower::branches(&plan, &self.state)?;
        let schema = lower::output_schema(plan.schema())?;
        let branches = branches.into_iter().map(|branch| branch.finish(Arc::clone(&schema))).collect();
        Ok(Query { branches, schema, functions })
    }

    /// Plans a condition over the rows of one node, such as an alert's `when`.
    pub fn condition(&self, sql: &str, table: &str, schema: &SchemaRef) -> Result<Query, SqlError> {
        // Parsed alone first, so that the text cannot bring clauses of its own into the SELECT it is put in.
        let dialect = GenericDialect {};
        let mut parser =
            Parser::new(&dialect).with_recursion_limit(MAX_DEPTH).try_with_sql(sql).map_err(SqlError::parsing)?;
        parser.parse_expr().map_err(SqlError::parsing)?;
        let rest = parser.peek_token();
        if rest.token != Token::EOF {
            return Err(SqlError::at(format!("expected the end of the condition, found `{rest}`"), rest.span.start));
        }
        // The text comes first in a line of its own, so that the places in errors are the text's, one line down.
        let select = format!("SELECT * FROM \"{table}\" WHERE (\n{sql}\n)");
        let tables = BTreeMap::from([(table.to_owned(), Arc::clone(schema))]);
        self.plan(&select, &tables).map_err(|error| error.up_one_line())
    }

    /// The tables that a text reads, whether or not they exist: what a transform's edges are made from.
    pub fn tables(&self, sql: &str) -> Result<Vec<String>, SqlError> {
        let statement = parse(sql)?;
        let statement = datafusion::sql::parser::Statement::Statement(Box::new(statement));
        let references = self.state.resolve_table_references(&statement).map_err(|error| SqlError::planning(&error))?;
        Ok(references.iter().map(|reference| reference.table().to_owned()).collect())
    }

    fn optimize(&self, plan: LogicalPlan, optimizer: &Optimizer) -> Result<LogicalPlan, SqlError> {
        let options = self.state.config_options();
        let analyzed = self
            .state
            .analyzer()
            .execute_and_check(plan, options, |_, _| {})
            .map_err(|error| SqlError::planning(&error))?;
        let context =
            OptimizerContext::new_with_config_options(Arc::clone(options)).without_query_execution_start_time();
        optimizer.optimize(analyzed, &context, |_, _| {}).map_err(|error| SqlError::planning(&error))
    }
}

fn parse(sql: &str) -> Result<Statement, SqlError> {
    let dialect = GenericDialect {};
    refuse_long_chains(sql, &dialect)?;
    let mut statements = Parser::new(&dialect)
        .with_recursion_limit(MAX_DEPTH)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_statements())
        .map_err(SqlError::parsing)?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (None, _) => Err(SqlError::whole("there is no SQL here: expected one SELECT")),
        (Some(_), false) => Err(SqlError::whole("expected one SELECT, found several statements")),
    }
}

/// Refuses a text with more operators than [`MAX_OPERATORS`].
fn refuse_long_chains(sql: &str, dialect: &GenericDialect) -> Result<(), SqlError> {
    // What cannot be cut into words is reported by the parser.
    let Ok(tokens) = Tokenizer::new(dialect, sql).tokenize() else { return Ok(()) };
    let chains = |token: &&Token| match token {
        Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::Mod | Token::StringConcat => true,
        Token::Word(word) => matches!(word.keyword, Keyword::AND | Keyword::OR | Keyword::UNION | Keyword::NOT),
        _ => false,
    };
    let count = tokens.iter().filter(chains).count();
    if count > MAX_OPERATORS {
        return Err(SqlError::whole(format!(
            "this SQL has {count} operators, more than {MAX_OPERATORS}: cut it into several transforms, or use IN (…) for lists of values"
        )));
    }
    Ok(())
}

/// An expression of DataFusion's made ready to be evaluated on batches of `schema`.
fn physical(
    expr: &datafusion::logical_expr::Expr,
    schema: &DFSchema,
    state: &SessionState,
) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
    datafusion::physical_expr::create_physical_expr(expr, schema, state.execution_props(), &Default::default())
        .map_err(|error| SqlError::planning(&error))
}

/// A schema by its fields.
fn schema_of(fields: Vec<arrow_schema::FieldRef>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}
