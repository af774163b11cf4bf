//! From DataFusion's logical plan to our operators, one branch for each time a table is read.

use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef};
use datafusion::{
    common::DFSchema,
    execution::session_state::SessionState,
    logical_expr::{Expr, LogicalPlan, Projection},
};

use super::{
    SqlError,
    operator::{Branch, Operator, edge_type},
    physical, schema_of,
    unnest::Unnest,
};

/// The branches of a plan. UNION ALL is no operator of its own: each of its inputs is a branch of what lies above it.
pub(super) fn branches(plan: &LogicalPlan, state: &SessionState) -> Result<Vec<Branch>, SqlError> {
    match plan {
        LogicalPlan::TableScan(scan) if scan.filters.is_empty() && scan.fetch.is_none() => {
            let columns = scan.projected_schema.fields().iter().map(|field| field.name().clone()).collect();
            Ok(vec![Branch { table: scan.table_name.table().to_owned(), columns, operators: Vec::new(), output: None }])
        }
        LogicalPlan::SubqueryAlias(alias) => branches(&alias.input, state),
        LogicalPlan::Projection(projection) => {
            let operator = project(projection, state)?;
            append(branches(&projection.input, state)?, operator)
        }
        LogicalPlan::Filter(filter) => {
            let condition = physical(&filter.predicate, filter.input.schema(), state)?;
            append(branches(&filter.input, state)?, Operator::Filter(condition))
        }
        LogicalPlan::Unnest(unnest) => append(branches(&unnest.input, state)?, Operator::Unnest(Unnest::new(unnest)?)),
        LogicalPlan::Union(union) => {
            let inputs = union.inputs.iter().map(|input| branches(input, state)).collect::<Result<Vec<_>, _>>()?;
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

fn append(mut branches: Vec<Branch>, operator: Operator) -> Result<Vec<Branch>, SqlError> {
    for branch in &mut branches {
        branch.operators.push(operator.clone());
    }
    Ok(branches)
}

fn project(projection: &Projection, state: &SessionState) -> Result<Operator, SqlError> {
    let input = projection.input.schema();
    let expressions =
        projection.expr.iter().map(|expr| physical(unaliased(expr), input, state)).collect::<Result<Vec<_>, _>>()?;
    // What an expression really gives decides, not what the plan said: inside a branch only the position matters.
    let fields = expressions
        .iter()
        .zip(projection.schema.fields())
        .map(|(expression, field)| {
            let data_type = expression.data_type(input.as_arrow()).map_err(|error| SqlError::planning(&error))?;
            Ok(Arc::new(field.as_ref().clone().with_data_type(data_type).with_nullable(true)))
        })
        .collect::<Result<Vec<_>, SqlError>>()?;
    Ok(Operator::Project { expressions, schema: schema_of(fields) })
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
