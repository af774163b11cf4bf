//! W1 with the map as a WebAssembly batch function, beside the same pipeline with the map in SQL.
//!
//! Two comparisons. With the source's schema cut to the four columns that W1 needs, both decode the same and differ in
//! the map alone. With all seven columns, the function gets them all, because nothing says which of them it reads, while
//! SQL decodes four: what one pays for not saying so.

use anyhow::Result;

use crate::{
    bench::Bench,
    bids::{SCHEMA, SCHEMA_OF_FOUR},
    contest::{Contestant, Place, Program, contest},
    table::{Row, Spread, Target},
    w1::{Input, native, pipeline},
};

pub(crate) fn run(bench: &Bench) -> Result<Vec<Row>> {
    let input = Input::fill(bench.broker()?, bench.choose(2_000_000, 400_000))?;
    let (expected, pinned) = (Some(input.mapped), true);
    let mut contestants = vec![
        Contestant { name: "SQL, 4 columns", program: native(SCHEMA_OF_FOUR), expected, pinned },
        Contestant { name: "WASM, 4 columns", program: guest(bench, SCHEMA_OF_FOUR), expected, pinned },
        Contestant { name: "SQL, 7 columns", program: native(SCHEMA), expected, pinned },
        Contestant { name: "WASM, 7 columns", program: guest(bench, SCHEMA), expected, pinned },
    ];
    // Once unmeasured, so that the function is compiled: that happens once on a machine.
    let warm = contestants.split_off(3);
    contest(bench, &input.topic, input.count, &warm, 1)?;
    contestants.extend(warm);

    let figures = contest(bench, &input.topic, input.count, &contestants, bench.choose(5, 2))?;
    let [native4, wasm4, native7, wasm7] = &figures[..] else { unreachable!("four took part") };
    let ratio = |wasm: &Spread, native: &Spread| Spread::of(vec![wasm.median / native.median]);
    let beside = |wasm: &Spread, native: &Spread| {
        format!("CPU-s for a million: WASM {}, SQL {}", wasm.show(""), native.show(""))
    };
    Ok(vec![
        Row::new("W1 in WASM, CPU time beside SQL's, same columns decoded", ratio(&wasm4.cpu, &native4.cpu), "")
            .target(Target::AtMost(1.05))
            .beside(beside(&wasm4.cpu, &native4.cpu)),
        Row::new("the same, the function given all 7 columns", ratio(&wasm7.cpu, &native7.cpu), "")
            .beside(beside(&wasm7.cpu, &native7.cpu)),
    ])
}

/// W1 as a call of the prebuilt function.
fn guest(bench: &Bench, schema: &'static str) -> Program {
    let middle = format!(
        "functions:\n  bid_map: {{ wasm: \"{}\" }}\ntransforms:\n  mapped: {{ from: bids, call: bid_map }}",
        bench.guest("bid_map").display()
    );
    Program::Pipeline(Box::new(move |place: &Place<'_>| pipeline(place, ("bids", schema), &middle, "mapped")))
}
