//! From DataFusion's logical plan to our operators, one branch for each time a table is read.

use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef};
use datafusion::{
    common::{DFSchema, tree_node::TreeNode},
    execution::session_state::SessionState,
    logical_expr::{
        Expr, Filter, LogicalPlan, Projection,
        utils::{conjunction, split_conjunction},
    },
};

use super::{
    SqlError,
    branch::Branch,
    functions::is_call,
    hoist::Draft,
    operator::{Operator, edge_type},
    physical, schema_of,
    unnest::Unnest,
};

/// The branches of a plan, and the functions of the file that they call.
pub(super) fn branches(plan: &LogicalPlan, state: &SessionState) -> Result<(Vec<Branch>, Vec<String>), SqlError> {
    let mut lowering = Lowering { state, functions: Vec::new() };
    let drafts = lowering.branches(plan)?;
    Ok((drafts.into_iter().map(|draft| draft.branch).collect(), lowering.functions))
}

struct Lowering<'a> {
    state: &'a SessionState,
    /// The functions that are called, each once: operators name them by their index.
    functions: Vec<String>,
}

impl Lowering<'_> {
    /// UNION ALL is no operator of its own: each of its inputs is a branch of what lies above it.
    fn branches(&mut self, plan: &LogicalPlan) -> Result<Vec<Draft>, SqlError> {
        match plan {
            LogicalPlan::TableScan(scan) if scan.filters.is_empty() && scan.fetch.is_none() => {
                let fields = scan.projected_schema.fields().iter().cloned().collect();
                Ok(vec![Draft::new(scan.table_name.table(), fields)])
            }
            LogicalPlan::SubqueryAlias(alias) => self.branches(&alias.input),
            LogicalPlan::Projection(projection) => {
                let mut drafts = self.branches(&projection.input)?;
                drafts.iter_mut().try_for_each(|draft| self.project(draft, projection))?;
                Ok(drafts)
            }
            LogicalPlan::Filter(filter) => {
                let mut drafts = self.branches(&filter.input)?;
                drafts.iter_mut().try_for_each(|draft| self.filter(draft, filter))?;
                Ok(drafts)
            }
            LogicalPlan::Unnest(unnest) => {
                let mut drafts = self.branches(&unnest.input)?;
                let unnest = Unnest::new(unnest)?;
                for draft in &mut drafts {
                    let fields = unnest.schema.fields().iter().cloned().collect();
                    draft.replace(Operator::Unnest(unnest.clone()), fields);
                }
                Ok(drafts)
            }
            LogicalPlan::Union(union) => {
                let inputs = union.inputs.iter().map(|input| self.branches(input)).collect::<Result<Vec<_>, _>>()?;
                Ok(inputs.into_iter().flatten().collect())
            }
            LogicalPlan::EmptyRelation(_) => {
                Err(SqlError::whole("this SELECT reads no node").help("name a source or transform in FROM"))
            }
            other => {
                let name = other.display().to_string();
                let name = name.split(':').next().unwrap_or_default().to_owned();
                Err(SqlError::whole(format!("{name} is not there yet: this version runs stateless SQL")))
            }
        }
    }

    /// What needs no call comes first, so that functions are called for the rows that are left. Conditions with calls
    /// follow one by one, for the same reason.
    fn filter(&mut self, draft: &mut Draft, filter: &Filter) -> Result<(), SqlError> {
        let calls = |expr: &Expr| expr.exists(|expr| Ok(is_call(expr))).expect("looking cannot fail");
        let (calling, plain): (Vec<&Expr>, Vec<&Expr>) =
            split_conjunction(&filter.predicate).into_iter().partition(|expr| calls(expr));
        let input = filter.input.schema();
        if let Some(condition) = conjunction(plain.into_iter().cloned()) {
            draft.filter(physical(&condition, input, self.state)?);
        }
        for condition in calling {
            let condition = physical(condition, input, self.state)?;
            let hoisted = draft.hoist(vec![condition], &mut self.functions)?;
            hoisted.into_iter().for_each(|condition| draft.filter(condition));
        }
        Ok(())
    }

    fn project(&mut self, draft: &mut Draft, projection: &Projection) -> Result<(), SqlError> {
        let input = projection.input.schema();
        let expressions = projection.expr.iter().map(|expr| physical(unaliased(expr), input, self.state));
        let expressions = draft.hoist(expressions.collect::<Result<_, _>>()?, &mut self.functions)?;
        // What an expression really gives decides, not what the plan said: inside a branch only the position matters.
        let before = draft.schema();
        let fields = expressions
            .iter()
            .zip(projection.schema.fields())
            .map(|(expression, field)| {
                let data_type = expression.data_type(&before).map_err(|error| SqlError::planning(&error))?;
                Ok(Arc::new(field.as_ref().clone().with_data_type(data_type).with_nullable(true)))
            })
            .collect::<Result<Vec<_>, SqlError>>()?;
        draft.replace(Operator::Project { expressions, schema: schema_of(fields.clone()) }, fields);
        Ok(())
    }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}

/// The rows that leave a query: unique plain names, and types that edges have.
pub(super) fn output_schema(schema: &DFSchema) -> Result<SchemaRef, SqlError> {
    let mut fields: Vec<arrow_schema::FieldRef> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        if fields.iter().any(|other| other.name() == field.name()) {
            return Err(SqlError::whole(format!("two columns are named `{}`", field.name()))
                .help("give one of them another name with AS"));
        }
        let data_type = edge_type(field.data_type());
        match data_type {
            DataType::Null => {
                return Err(SqlError::whole(format!("the column `{}` is always NULL and has no type", field.name()))
                    .help("give it one: CAST(NULL AS VARCHAR)"));
            }
            DataType::Union(..) => {
                return Err(SqlError::whole(format!("the column `{}` has no single type", field.name()))
                    .help("use json_get_str, json_get_int, json_get_float, json_get_bool or json_get_json"));
            }
            _ => {}
        }
        fields.push(Arc::new(field.as_ref().clone().with_data_type(data_type)));
    }
    if fields.is_empty() {
        return Err(SqlError::whole("this SELECT has no columns"));
    }
    Ok(schema_of(fields))
}
