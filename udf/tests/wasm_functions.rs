//! WebAssembly functions keep the contract of all kinds, in both worlds.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use riverhook_udf::conformance::{Abilities, Behaviour, Subject, check};
use riverhook_udf::{Function, Limits, LogSink, Records, Settings};
use support::json::{ArrowJson, passthrough};
use support::{built, prebuilt, runtime};

/// One component, which learns from its configuration what to do.
struct Guest {
    code: Vec<u8>,
    abilities: Abilities,
}

impl Subject for Guest {
    fn function(&mut self, behaviour: Behaviour, limits: &Limits) -> Box<dyn Function> {
        let output = Some(behaviour.output());
        let settings = Settings {
            limits: *limits,
            config: vec![("BEHAVIOUR".to_owned(), behaviour.name().to_owned())],
            records: Some(Records { codecs: Arc::new(ArrowJson), output, passthrough: passthrough() }),
            ..Settings::default()
        };
        Box::new(runtime().load(behaviour.name(), &self.code, settings, LogSink::none()).unwrap())
    }

    fn abilities(&self) -> Abilities {
        self.abilities
    }
}

fn over_batches(code: Vec<u8>) {
    check(&mut Guest { code, abilities: Abilities::default() });
}

fn over_records(code: Vec<u8>) {
    // Nothing of theirs runs before the first call.
    let abilities = Abilities { slow_start: false, ..Abilities::default() };
    check(&mut Guest { code, abilities });
}

#[test]
fn functions_over_batches_keep_the_contract() {
    over_batches(prebuilt("conform"));
}

#[test]
fn functions_over_records_keep_the_contract() {
    over_records(prebuilt("conform_records"));
}

/// The prebuilt components are the ones that their sources make: where the tools are there, fresh ones do the same.
#[test]
fn functions_as_built_now_keep_the_contract() {
    if let Some(code) = built("conform") {
        over_batches(code);
    }
    if let Some(code) = built("conform_records") {
        over_records(code);
    }
}
