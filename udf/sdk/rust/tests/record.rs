//! The attribute on a function over one record, and on one over batches that names its schema itself.

use riverhook_function::{Failure, RecordFunction as _};

#[riverhook_function::record]
fn double(n: u32) -> Result<u32, Failure> {
    n.checked_mul(2).ok_or_else(|| Failure::new("Number.TooLarge", "does not fit").retryable())
}

#[test]
fn the_engine_gets_texts_or_the_failure() {
    assert_eq!(double(2), Ok(4));
    assert_eq!(RiverhookFunction::process("21"), Ok(vec!["42".to_owned()]));
    assert!(RiverhookFunction::process("4294967295").unwrap_err().retryable);
}

mod with_a_schema {
    use riverhook_function::BatchFunction as _;
    use riverhook_function::arrow_array::RecordBatch;
    use riverhook_function::arrow_schema::Schema;

    fn columns(input: &Schema) -> Result<Schema, String> {
        if input.fields().is_empty() { Ok(Schema::empty()) } else { Err("takes no columns".to_owned()) }
    }

    #[riverhook_function::function(schema = columns)]
    fn nothing(batch: RecordBatch) -> Result<RecordBatch, String> {
        Ok(batch)
    }

    #[test]
    fn is_asked_for_it() {
        assert_eq!(RiverhookFunction::schema(&Schema::empty()), Ok(Schema::empty()));
    }
}
