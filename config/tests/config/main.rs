//! What a person sees when a file is wrong, and what a program gets when it is right.

#![allow(clippy::unwrap_used, reason = "a test")]

mod collections;
mod environment;
mod fields;
mod fuzz;
mod limits;
mod places;
mod quantities;
mod shapes;
mod yaml;

use std::time::Duration;

use expect_test::Expect;
use riverhook_config::{
    ByteSize, Diagnostics, DurationRange, Environment, FixedEnvironment, Map, OneOrMany, Reading, Secret, Setting,
    SourceFile, choices, parse, settings,
};
use serde_json::Value;

settings! {
    /// A pipeline, as far as these tests need one.
    pub struct Pipeline {
        /// What it is called.
        pub name: Option<String>,
        /// Where records come from, by name.
        pub sources: Map<Source>,
    }

    /// A Kafka topic read as a consumer group.
    ///
    /// One member reads each partition.
    pub struct Source {
        /// The topic, or a list of topics.
        pub topic: OneOrMany<String>,
        /// Consumer group; the pipeline's name unless set.
        pub group: Option<String>,
        /// Where reading begins.
        pub start: Start = Start::Earliest,
        /// The broker's port.
        pub port: u16 = 9092,
        /// The share of records that is read.
        pub share: f64 = 1.0,
        /// Whether records are counted.
        pub counted: bool = true,
        /// How long to wait for brokers.
        pub connect_timeout: Duration = Duration::from_secs(30),
        /// Between the attempts to reach one.
        pub backoff: Option<DurationRange>,
        /// Who is let in.
        pub password: Option<Secret>,
        /// How much is read ahead.
        pub ahead: ByteSize = ByteSize::mib(4),
        /// How records are gathered.
        pub batch: Batch,
        /// Handed to the client as it is.
        pub options: Option<Value>,
    }

    /// When a batch ends.
    pub struct Batch {
        /// After so many rows.
        pub rows: usize = 8192,
        /// After so long.
        pub r#for: Duration = Duration::from_millis(5),
    }
}

choices! {
    /// Where reading begins.
    #[derive(Default)]
    pub enum Start {
        /// At the first record there is.
        #[default]
        Earliest = "earliest",
        /// Behind the last one.
        Latest = "latest",
    }
}

/// Reads `yaml` as a `T`, without a look at what was wrong.
fn read<T: Setting>(yaml: &str, environment: &dyn Environment) -> (Option<T>, Diagnostics) {
    let file = SourceFile::new("pipeline.yaml", yaml);
    let mut diagnostics = Diagnostics::new();
    let root = parse(&file, &mut diagnostics);
    let value = root.and_then(|root| T::read(&root, &mut Reading::new(environment, &mut diagnostics)));
    assert!(value.is_some() || diagnostics.has_errors(), "nothing was read, and nothing said why");
    (value, diagnostics)
}

/// Reads what is right.
fn read_ok<T: Setting>(yaml: &str) -> T {
    let (value, diagnostics) = read(yaml, &FixedEnvironment::new());
    assert!(diagnostics.is_empty(), "{}", diagnostics.render(false));
    value.unwrap()
}

/// Reads `yaml` as a [`Pipeline`] and compares what is drawn.
fn check(yaml: &str, expect: Expect) {
    check_with(yaml, &FixedEnvironment::new(), expect);
}

fn check_with(yaml: &str, environment: &dyn Environment, expect: Expect) {
    let (_, diagnostics) = read::<Pipeline>(yaml, environment);
    expect.assert_eq(&diagnostics.render(false));
}
