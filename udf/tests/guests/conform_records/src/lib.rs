//! What the conformance suite asks of a function over records: `BEHAVIOUR` in its configuration names what it does. It
//! goes around the SDK's attribute, which would keep it from breaking the contract.
//!
//! Build it, from the repository's root:
//! `udf/sdk/rust/build.sh udf/tests/guests/conform_records udf/tests/guests/conform_records.wasm`

use std::time::Duration;

use riverhook_function::record_bindings::exports::riverhook::function::records::{Answer, Failure, Guest};
use riverhook_function::{config, context};

struct Conform;

riverhook_function::record_bindings::export!(Conform with_types_in riverhook_function::record_bindings);

impl Guest for Conform {
    fn process(records: Vec<String>) -> Result<Vec<Answer>, Failure> {
        let behaviour = config("BEHAVIOUR").unwrap_or_default();
        let ids: Vec<i64> = records.iter().map(|record| id(record)).collect();
        if ids.iter().any(|id| *id < 0) {
            match behaviour.as_str() {
                "fail-batch" => return Err(failure("Batch.Bad", "has a bad row")),
                "garbage" => return Ok(Vec::new()),
                other => misbehave(other),
            }
        }
        Ok(ids.into_iter().zip(records).map(|(id, record)| answer(&behaviour, id, record)).collect())
    }
}

fn answer(behaviour: &str, id: i64, record: String) -> Answer {
    match behaviour {
        "filter" if id < 0 => Answer::Records(vec![]),
        "twice" => Answer::Records(vec![record.clone(), record]),
        "relabel" => Answer::Records(vec![format!(r#"{{"label":"row {id}"}}"#)]),
        "fail-rows" if id < 0 => Answer::Failed(failure("Row.Bad", "its id is negative")),
        "flood" if id < 0 => Answer::Records(vec![format!(r#"{{"id":1,"text":"{}"}}"#, "x".repeat(2 << 20))]),
        _ => Answer::Records(vec![record]),
    }
}

/// What happens when there is a bad row.
fn misbehave(behaviour: &str) {
    match behaviour {
        "hang" => loop {
            std::hint::spin_loop();
        },
        "crash" => panic!("told to"),
        "grow" => {
            let mut held = Vec::new();
            loop {
                held.push(std::hint::black_box(vec![1u8; 1 << 20]));
            }
        }
        "nap" => {
            let end = context().time_left.saturating_sub(Duration::from_millis(400));
            while context().time_left > end {}
        }
        _ => {}
    }
}

fn failure(code: &str, message: &str) -> Failure {
    Failure { code: code.to_owned(), message: message.to_owned(), retryable: false }
}

fn id(record: &str) -> i64 {
    let value: serde_json::Value = serde_json::from_str(record).expect("the engine sends JSON");
    value["id"].as_i64().expect("the suite's rows have an id")
}
