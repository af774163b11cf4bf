//! Takes calls of the file's functions out of expressions: each becomes an operator of its own, and the expression reads
//! the column that it leaves behind.
//!
//! Calls within calls come first. The same call with the same arguments is made once, also where WHERE and SELECT both
//! have it; but not if its arguments differ each time, as `random()` does.

use std::sync::Arc;

use arrow_schema::{FieldRef, SchemaRef};
use datafusion::{
    common::tree_node::{Transformed, TreeNode},
    physical_expr::{
        PhysicalExpr, ScalarFunctionExpr,
        expressions::{Column, cast},
    },
};

use super::{SqlError, branch::Branch, call::Call, functions::UserUdf, operator::Operator, schema_of};

/// The most calls of one branch: each costs a crossing for every batch.
const MAX_CALLS: usize = 100;

/// A branch while it is made.
pub(super) struct Draft {
    pub(super) branch: Branch,
    /// The columns behind the last operator. The planner knows the first of them; what calls left stands behind those.
    pub(super) fields: Vec<FieldRef>,
    /// The calls whose results are among the columns.
    made: Vec<Made>,
    calls: usize,
}

struct Made {
    call: Arc<dyn PhysicalExpr>,
    column: usize,
}

impl Draft {
    pub(super) fn new(table: &str, fields: Vec<FieldRef>) -> Self {
        let columns = fields.iter().map(|field| field.name().clone()).collect();
        let branch = Branch { table: table.to_owned(), columns, operators: Vec::new(), output: None };
        Self { branch, fields, made: Vec::new(), calls: 0 }
    }

    /// The columns behind the last operator.
    pub(super) fn schema(&self) -> SchemaRef {
        schema_of(self.fields.clone())
    }

    /// Appends an operator that leaves the columns as they are.
    pub(super) fn filter(&mut self, condition: Arc<dyn PhysicalExpr>) {
        self.branch.operators.push(Operator::Filter(condition));
    }

    /// Appends an operator that leaves other columns.
    pub(super) fn replace(&mut self, operator: Operator, fields: Vec<FieldRef>) {
        self.branch.operators.push(operator);
        self.fields = fields;
        self.made.clear();
    }

    /// Appends the calls that the expressions make; gives the expressions without them. The functions' names are
    /// appended to `functions`, where they are not among them yet.
    pub(super) fn hoist(
        &mut self,
        mut expressions: Vec<Arc<dyn PhysicalExpr>>,
        functions: &mut Vec<String>,
    ) -> Result<Vec<Arc<dyn PhysicalExpr>>, SqlError> {
        while let Some(call) = expressions.iter().find_map(innermost) {
            let column = match self.made.iter().find(|made| made.call.as_ref() == call.as_ref()) {
                Some(made) => made.column,
                None => self.call(&call, functions)?,
            };
            let name = self.fields[column].name().clone();
            let read: Arc<dyn PhysicalExpr> = Arc::new(Column::new(&name, column));
            let repeats = is_repeatable(&call);
            let replaced = expressions.into_iter().map(|expression| replace(expression, &call, repeats, &read));
            expressions = replaced.collect::<Result<_, _>>()?;
        }
        Ok(expressions)
    }

    /// Appends a call, with its arguments as columns before it; the column of its result.
    fn call(&mut self, call: &Arc<dyn PhysicalExpr>, functions: &mut Vec<String>) -> Result<usize, SqlError> {
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return Err(SqlError::whole(format!(
                "this SQL calls functions more than {MAX_CALLS} times: cut it into several transforms"
            )));
        }
        let (expr, function) = parts(call).expect("only calls are hoisted");
        let before = self.schema();
        let columns = self.fields.iter().enumerate();
        let mut expressions: Vec<Arc<dyn PhysicalExpr>> =
            columns.map(|(index, field)| Arc::new(Column::new(field.name(), index)) as Arc<dyn PhysicalExpr>).collect();
        for (argument, wanted) in expr.args().iter().zip(&function.arguments) {
            // What an expression really gives decides, and not what the planner said.
            let argument = cast(Arc::clone(argument), &before, wanted.data_type().clone());
            expressions.push(argument.map_err(|error| SqlError::planning(&error))?);
        }
        let arguments = function.arguments.iter().cloned();
        let schema = schema_of(self.fields.iter().cloned().chain(arguments).collect());
        self.branch.operators.push(Operator::Project { expressions, schema });

        let name = expr.name();
        let index = functions.iter().position(|known| known == name).unwrap_or_else(|| {
            functions.push(name.to_owned());
            functions.len() - 1
        });
        let column = self.fields.len();
        self.fields.push(Arc::clone(&function.result));
        let input = schema_of(function.arguments.to_vec());
        self.branch.operators.push(Operator::Call(Call { function: index, input, schema: self.schema() }));
        if is_repeatable(call) {
            self.made.push(Made { call: Arc::clone(call), column });
        }
        Ok(column)
    }
}

/// A call of a function of the file, and that function.
fn parts(expr: &Arc<dyn PhysicalExpr>) -> Option<(&ScalarFunctionExpr, &UserUdf)> {
    let expr = expr.downcast_ref::<ScalarFunctionExpr>()?;
    Some((expr, expr.fun().inner().downcast_ref::<UserUdf>()?))
}

/// The first call whose arguments have no calls.
fn innermost(expr: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
    let within = expr.children().into_iter().find_map(innermost);
    within.or_else(|| parts(expr).map(|_| Arc::clone(expr)))
}

/// Whether the arguments of a call are the same each time they are evaluated on the same row.
fn is_repeatable(call: &Arc<dyn PhysicalExpr>) -> bool {
    !call.children().into_iter().any(datafusion::physical_expr_common::physical_expr::is_volatile)
}

fn replace(
    expression: Arc<dyn PhysicalExpr>,
    call: &Arc<dyn PhysicalExpr>,
    repeats: bool,
    read: &Arc<dyn PhysicalExpr>,
) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
    let is_it = |expr: &Arc<dyn PhysicalExpr>| {
        parts(expr).is_some() && if repeats { expr.as_ref() == call.as_ref() } else { Arc::ptr_eq(expr, call) }
    };
    let replaced = expression
        .transform_up(|expr| Ok(if is_it(&expr) { Transformed::yes(Arc::clone(read)) } else { Transformed::no(expr) }));
    Ok(replaced.map_err(|error| SqlError::planning(&error))?.data)
}
