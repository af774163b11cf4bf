//! Functions of the pipeline file, as the planner knows them: typed, volatile, and never evaluated by it.
//!
//! Volatile, so that the planner neither folds a call into a constant nor makes two of one. `hoist` takes the calls out of
//! the expressions before anything is evaluated.

use std::sync::Arc;

use arrow_schema::{DataType, FieldRef, Fields, TimeUnit};
use datafusion::{
    common::{Result, exec_err, plan_err},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
        Volatility,
    },
};
use riverhook_connectors::format::schema::type_text;

use super::operator::edge_type;

/// A function that SQL may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserFunction {
    /// Its name, in SQL without quotes in any case.
    pub name: String,
    /// Its arguments, in order.
    pub arguments: Fields,
    /// Its result.
    pub result: FieldRef,
}

/// The functions that SQL may call besides those it has.
#[derive(Clone, Debug, Default)]
pub(super) struct UserFunctions(Vec<Arc<ScalarUDF>>);

impl UserFunctions {
    pub(super) fn new(functions: Vec<UserFunction>) -> Self {
        Self(functions.into_iter().map(|function| Arc::new(ScalarUDF::from(UserUdf::new(function)))).collect())
    }

    /// The function of this name as SQL has it: the planner hands over names without quotes in lower case.
    pub(super) fn find(&self, name: &str) -> Option<&Arc<ScalarUDF>> {
        self.0.iter().find(|function| function.name().eq_ignore_ascii_case(name))
    }

    /// What the function of this name takes.
    pub(super) fn arguments(&self, name: &str) -> Option<&Fields> {
        let function = self.find(name)?.inner();
        function.downcast_ref::<UserUdf>().map(|function| &function.arguments)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|function| function.name())
    }
}

/// A [`UserFunction`] for the planner.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct UserUdf {
    name: String,
    pub(super) arguments: Fields,
    pub(super) result: FieldRef,
    signature: Signature,
}

impl UserUdf {
    fn new(function: UserFunction) -> Self {
        let UserFunction { name, arguments, result } = function;
        let signature = Signature {
            type_signature: TypeSignature::UserDefined,
            volatility: Volatility::Volatile,
            // So that arguments can be given by name: `geo(ip => address)`.
            parameter_names: Some(arguments.iter().map(|argument| argument.name().clone()).collect()),
        };
        let result = Arc::new(result.as_ref().clone().with_nullable(true));
        Self { name, arguments, result, signature }
    }
}

impl ScalarUDFImpl for UserUdf {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.result.data_type().clone())
    }

    fn return_field_from_args(&self, _arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::clone(&self.result))
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let name = &self.name;
        if given.len() != self.arguments.len() {
            return plan_err!("{}", wrong_count(name, &self.arguments, given.len()));
        }
        self.arguments
            .iter()
            .zip(given)
            .map(|(wanted, given)| {
                if is_lossless(given, wanted.data_type()) {
                    return Ok(wanted.data_type().clone());
                }
                let (argument, wanted) = (wanted.name(), type_text(&wanted.as_ref().clone().with_nullable(true)));
                let given = type_text(&arrow_schema::Field::new("", edge_type(given), true));
                plan_err!("`{name}` takes {wanted} as `{argument}`, and is given {given}: CAST it")
            })
            .collect()
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!("`{}` is called by an operator of its own", self.name)
    }
}

/// What is wrong with a call of so many arguments.
pub(super) fn wrong_count(name: &str, arguments: &Fields, given: usize) -> String {
    let names: Vec<&str> = arguments.iter().map(|argument| argument.name().as_str()).collect();
    format!("`{name}` takes {} (`{}`), and is given {given}", count(arguments.len()), names.join("`, `"))
}

fn count(arguments: usize) -> String {
    if arguments == 1 { "1 argument".to_owned() } else { format!("{arguments} arguments") }
}

/// Whether the planner's expression calls a function of the file.
pub(super) fn is_call(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(function) if function.func.inner().is::<UserUdf>())
}

/// Whether every value of `from` is one of `to`, so that nobody has to ask for the cast.
fn is_lossless(from: &DataType, to: &DataType) -> bool {
    let from = edge_type(from);
    if from == DataType::Null || is_alike(&from, to) {
        return true;
    }
    match (&from, to) {
        (DataType::Timestamp(from, from_zone), DataType::Timestamp(to, to_zone)) => {
            fineness(*from) <= fineness(*to) && from_zone.is_some() == to_zone.is_some()
        }
        (from, DataType::Float64) => from.is_integer() || matches!(from, DataType::Float16 | DataType::Float32),
        (from, DataType::Float32) => {
            matches!(from, DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 | DataType::Float16)
        }
        (from, to) if from.is_integer() && to.is_integer() => fits(from, to),
        _ => false,
    }
}

/// Whether the types are the same but for what may be null.
fn is_alike(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::List(one), DataType::List(other)) => is_alike(one.data_type(), other.data_type()),
        (DataType::Map(one, _), DataType::Map(other, _)) => is_alike(one.data_type(), other.data_type()),
        (DataType::Struct(one), DataType::Struct(other)) => {
            let alike = |(one, other): (&FieldRef, &FieldRef)| {
                one.name() == other.name() && is_alike(one.data_type(), other.data_type())
            };
            one.len() == other.len() && one.iter().zip(other).all(alike)
        }
        (one, other) => one == other,
    }
}

fn fineness(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

fn fits(from: &DataType, to: &DataType) -> bool {
    let width = |data_type: &DataType| data_type.primitive_width().unwrap_or(0);
    match (from.is_signed_integer(), to.is_signed_integer()) {
        (true, true) | (false, false) => width(from) <= width(to),
        (false, true) => width(from) < width(to),
        (true, false) => false,
    }
}
