//! What the planner may see: the nodes as tables, and the functions.

use std::{collections::BTreeMap, sync::Arc};

use arrow_schema::{DataType, SchemaRef};
use datafusion::{
    common::{Result, TableReference, config::ConfigOptions, plan_err},
    execution::session_state::SessionState,
    logical_expr::{
        AggregateUDF, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF,
        planner::{ContextProvider, ExprPlanner, TypePlanner},
    },
    sql::planner::ParserOptions,
};

use super::functions::UserFunctions;

/// A node, as a table of the planner's.
#[derive(Debug)]
struct NodeTable(SchemaRef);

impl TableSource for NodeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0)
    }
}

/// The nodes a text may read, and the functions it may call: DataFusion's and the file's.
pub(super) struct Catalog<'a> {
    state: &'a SessionState,
    functions: &'a UserFunctions,
    tables: BTreeMap<&'a str, Arc<dyn TableSource>>,
}

impl<'a> Catalog<'a> {
    pub(super) fn new(
        state: &'a SessionState,
        functions: &'a UserFunctions,
        tables: &'a BTreeMap<String, SchemaRef>,
    ) -> Self {
        let source = |schema: &SchemaRef| Arc::new(NodeTable(Arc::clone(schema))) as Arc<dyn TableSource>;
        Self { state, functions, tables: tables.iter().map(|(name, schema)| (name.as_str(), source(schema))).collect() }
    }
}

/// Names are taken as written: JSON fields are often `camelCase`, and folding them to lower case would lose them.
pub(super) fn parser_options() -> ParserOptions {
    ParserOptions {
        collect_spans: true,
        enable_ident_normalization: false,
        map_string_types_to_utf8view: false,
        ..ParserOptions::default()
    }
}

impl ContextProvider for Catalog<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        match self.tables.get(name.table()) {
            Some(table) => Ok(Arc::clone(table)),
            None => plan_err!("there is no node named `{}`", name.table()),
        }
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        None
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).or_else(|| self.functions.find(name)).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().chain(self.functions.names().map(str::to_owned)).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
