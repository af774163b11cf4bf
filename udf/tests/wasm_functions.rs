//! WebAssembly functions keep the contract of all kinds, in both worlds.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use riverhook_udf::conformance::{Abilities, Behaviour, Subject, check};
use riverhook_udf::{Function, Limits, LogSink, Records, Settings};
use support::json::{ArrowJson, passthrough};
use support::{prebuilt, runtime};

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

#[test]
fn functions_over_batches_keep_the_contract() {
    check(&mut Guest { code: prebuilt("conform"), abilities: Abilities::default() });
}

#[test]
fn functions_over_records_keep_the_contract() {
    // Nothing of theirs runs before the first call.
    let abilities = Abilities { slow_start: false, ..Abilities::default() };
    check(&mut Guest { code: prebuilt("conform_records"), abilities });
}
