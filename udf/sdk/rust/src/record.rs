//! Functions over single records.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use self::bindings::exports::riverhook::function::records as wit;
use crate::Failure;

/// What `wit-bindgen` makes of the WIT package.
#[doc(hidden)]
#[allow(missing_docs, unreachable_pub)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "record-function",
        pub_export_macro: true,
        with: { "riverhook:function/host@0.1.0": crate::host::bindings::riverhook::function::host },
    });
}

/// A function over single records, as JSON texts. [`record`](macro@crate::record) implements it for a plain function;
/// implement it by hand only where serde's structs are in the way.
pub trait RecordFunction {
    /// The records that one record becomes.
    fn process(record: &str) -> Result<Vec<String>, Failure>;
}

/// What the engine gets for one record: reads the JSON text, calls the function, and writes what it answers. A unit test
/// can call it to see that the structs fit the JSON.
///
/// What the function returns is one record, an `Option` of one, or a `Vec` of any number.
pub fn call<I, O, E>(function: impl Fn(I) -> Result<O, E>, record: &str) -> Result<Vec<String>, Failure>
where
    I: DeserializeOwned,
    O: Serialize,
    E: Into<Failure>,
{
    let input = serde_json::from_str(record).map_err(|error| Failure::new("Record.Invalid", error.to_string()))?;
    let output = serde_json::to_string(&function(input).map_err(Into::into)?)?;
    if output == "null" {
        return Ok(Vec::new());
    }
    if !output.starts_with('[') {
        return Ok(vec![output]);
    }
    let many: Vec<&RawValue> = serde_json::from_str(&output)?;
    Ok(many.into_iter().map(|one| one.get().to_owned()).collect())
}

/// Makes the exports of a [`RecordFunction`].
#[doc(hidden)]
#[derive(Debug)]
pub struct RecordAdapter<F>(PhantomData<F>);

impl<F: RecordFunction> wit::Guest for RecordAdapter<F> {
    fn process(records: Vec<String>) -> Result<Vec<wit::Answer>, wit::Failure> {
        crate::log::panics();
        let answer = |record: String| match F::process(&record) {
            Ok(records) => wit::Answer::Records(records),
            Err(Failure { code, message, retryable }) => wit::Answer::Failed(wit::Failure { code, message, retryable }),
        };
        Ok(records.into_iter().map(answer).collect())
    }
}

/// Makes a component of a function `fn(impl DeserializeOwned) -> Result<impl Serialize, impl Into<Failure>>`. Use it
/// once in a crate.
#[macro_export]
macro_rules! export_record_function {
    ($function:expr $(,)?) => {
        struct RiverhookFunction;

        impl $crate::RecordFunction for RiverhookFunction {
            fn process(
                record: &str,
            ) -> ::core::result::Result<::std::vec::Vec<::std::string::String>, $crate::Failure> {
                $crate::call($function, record)
            }
        }

        type RiverhookAdapter = $crate::RecordAdapter<RiverhookFunction>;
        // A component's exports exist on WebAssembly alone; elsewhere the crate is an ordinary one with tests.
        #[cfg(target_family = "wasm")]
        $crate::record_bindings::export!(RiverhookAdapter with_types_in $crate::record_bindings);
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves(n: u32) -> Result<Option<Vec<u32>>, Failure> {
        match n {
            0 => Ok(None),
            n if n % 2 == 0 => Ok(Some(vec![n / 2; 2])),
            _ => Err(Failure::new("Number.Odd", "is odd").retryable()),
        }
    }

    #[test]
    fn a_record_becomes_none_one_or_many_or_fails() {
        assert_eq!(call(halves, "0"), Ok(vec![]));
        assert_eq!(call(halves, " 8 "), Ok(vec!["4".to_owned(), "4".to_owned()]));
        assert_eq!(call(|n: u32| Ok::<_, Failure>(n + 1), "8"), Ok(vec!["9".to_owned()]));
        assert_eq!(call(halves, "7"), Err(Failure::new("Number.Odd", "is odd").retryable()));
        assert_eq!(call(halves, "{}").unwrap_err().code, "Record.Invalid");
    }
}
