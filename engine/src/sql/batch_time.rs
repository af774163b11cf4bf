//! `now()`: the time of the batch that is evaluated, from the injected clock, the same for all its rows.
//!
//! DataFusion's own is fixed when a query is planned, which for a stream would be for ever.

use std::{cell::Cell, sync::Arc};

use arrow_schema::{DataType, TimeUnit};
use datafusion::{
    common::{Result, ScalarValue},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility},
};

thread_local! {
    /// Microseconds since 1970-01-01 UTC. A chain runs on one thread, so this is the batch's own.
    static BATCH_TIME: Cell<i64> = const { Cell::new(0) };
}

/// Sets what `now()` is for what this thread evaluates next: microseconds since 1970-01-01 UTC.
pub fn set_batch_time(micros: i64) {
    BATCH_TIME.with(|time| time.set(micros));
}

const MICROS_A_DAY: i64 = 86_400_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Now,
    CurrentDate,
}

/// `now()` or `current_date()`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct BatchTime {
    kind: Kind,
    aliases: Vec<String>,
    signature: Signature,
}

/// The functions of this module, to be registered in place of DataFusion's.
pub(super) fn functions() -> [BatchTime; 2] {
    // Volatile to the planner, so that it never folds them into a constant.
    let signature = Signature::nullary(Volatility::Volatile);
    let aliases = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    [
        BatchTime { kind: Kind::Now, aliases: aliases(&["current_timestamp"]), signature: signature.clone() },
        BatchTime { kind: Kind::CurrentDate, aliases: aliases(&["today"]), signature },
    ]
}

impl ScalarUDFImpl for BatchTime {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Now => "now",
            Kind::CurrentDate => "current_date",
        }
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.kind {
            Kind::Now => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("+00:00"))),
            Kind::CurrentDate => DataType::Date32,
        })
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let micros = BATCH_TIME.with(Cell::get);
        Ok(ColumnarValue::Scalar(match self.kind {
            Kind::Now => ScalarValue::TimestampMicrosecond(Some(micros), Some(Arc::from("+00:00"))),
            Kind::CurrentDate => ScalarValue::Date32(i32::try_from(micros.div_euclid(MICROS_A_DAY)).ok()),
        }))
    }
}
