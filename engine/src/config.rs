//! The pipeline file as its author wrote it: what the keys are called and which values they take.
//!
//! Only shapes and ranges are checked here; names, schemas and SQL are the plan's ([`crate::plan`]).

use std::{path::PathBuf, time::Duration};

use riverhook_config::{
    ByteSize, DurationRange, Map, Node, OneOrMany, Reading, Secret, Setting, Shape, Spanned, choices, settings,
};
use riverhook_connectors::format::{
    Format,
    schema::{FunctionSignature, SchemaSetting},
};

/// A part of the file that is read later, when it is known what it is.
#[derive(Clone, Debug)]
pub struct Part(pub Node);

impl Setting for Part {
    fn read(node: &Node, _cx: &mut Reading<'_>) -> Option<Self> {
        Some(Self(node.clone()))
    }

    fn shape() -> Shape {
        Shape::Any
    }
}

choices! {
    /// What happens to a record that a node cannot handle.
    #[derive(Default)]
    pub enum OnError {
        /// The pipeline stops with the error; nothing is lost, and it fails there again until the cause is mended.
        #[default]
        Fail = "fail",
        /// The record is counted in the metrics and left out.
        Skip = "skip",
        /// The record goes to `dead_letters` with the error and its position.
        DeadLetter = "dead_letter",
    }
}

settings! {
    /// A pipeline: sources, what is done with their records, and where the results go.
    pub struct PipelineFile {
        /// The pipeline's name: in metrics, consumer groups and the checkpoint store.
        pub name: Spanned<String>,
        /// Servers that several sources and sinks use, by name.
        pub connections: Map<Part> = Map::default(),
        /// Where records come from, by name.
        pub sources: Map<Part> = Map::default(),
        /// Users' code: code, a name and resources.
        pub functions: Map<Part> = Map::default(),
        /// What is done with records, by name: SQL or a function.
        pub transforms: Map<Part> = Map::default(),
        /// Conditions on the rows of a node that make messages, by name.
        pub alerts: Map<Part> = Map::default(),
        /// Where rows go, by name.
        pub sinks: Map<Part> = Map::default(),
        /// The sink of records that could not be handled: a sink without `from`.
        pub dead_letters: Option<Part>,
        /// Where and how often the pipeline remembers how far it is.
        pub checkpoint: Checkpoint,
        /// How much is gathered into one batch.
        pub batch: BatchSettings,
        /// Metrics and health over HTTP.
        pub server: Option<Server>,
        /// What functions' calls cost, for the cost that `riverhook usage` shows.
        pub prices: Prices,
        /// Tasks of each source that run at the same time; the machine's cores unless set.
        pub parallelism: Option<Spanned<usize>>,
        /// How long stopping may take: what is not durable by then is read again by the next run.
        pub shutdown_timeout: Duration = Duration::from_secs(30),
        /// Bytes that each source reads ahead, and that each sink may hold that are not yet durable.
        pub buffer: ByteSize = ByteSize(16 * 1024 * 1024),
        /// Bytes of a failed record's payload that its dead letter keeps; longer ones are cut, with length and hash.
        pub max_payload: ByteSize = ByteSize(512 * 1024),
    }
}

settings! {
    /// Where and how often the pipeline remembers how far it is.
    pub struct Checkpoint {
        /// A folder, as a path or a `file://` URL; `.riverhook/<pipeline>` beside the pipeline file unless set.
        pub store: Option<Spanned<String>>,
        /// How often progress is made durable and positions move.
        pub every: Duration = Duration::from_secs(1),
    }
}

settings! {
    /// A batch ends by rows, bytes or time, whichever comes first. What is queued goes at once.
    pub struct BatchSettings {
        /// Rows at most.
        pub rows: usize = 8192,
        /// Payload bytes at most; a larger record is a batch of its own.
        pub bytes: ByteSize = ByteSize(4 * 1024 * 1024),
        /// How long to wait for the first record.
        pub wait: Duration = Duration::from_millis(5),
    }
}

settings! {
    /// Metrics and health over HTTP: `/metrics`, `/healthz`, `/readyz`.
    pub struct Server {
        /// The address to listen on.
        pub listen: String = "127.0.0.1:9464".to_owned(),
    }
}

settings! {
    /// What functions' calls cost, in any currency.
    pub struct Prices {
        /// A GB-second, by increments of 1 ms.
        pub gb_second: Option<f64>,
        /// A million calls.
        pub million_calls: Option<f64>,
    }
}

settings! {
    /// What every source has.
    pub struct SourceSettings {
        /// The connector, such as `file`; a `connection` says it too.
        pub r#type: Option<Spanned<String>>,
        /// A connection of `connections`.
        pub connection: Option<Spanned<String>>,
        /// How bytes become rows.
        pub format: Option<Spanned<Format>>,
        /// The columns of a record and their types.
        pub schema: Option<Spanned<SchemaSetting>>,
        /// Which column is the time at which a record happened.
        pub event_time: Option<EventTimeSettings>,
        /// What happens to records that cannot be decoded.
        pub on_error: OnError = OnError::Fail,
    }
}

settings! {
    /// The time at which records happened.
    pub struct EventTimeSettings {
        /// A timestamp column.
        pub column: Spanned<String>,
        /// How much later than others a record may come.
        pub delay: Duration = Duration::ZERO,
        /// A partition that is silent for so long no longer holds time back.
        pub idle: Duration = Duration::from_secs(10),
    }
}

settings! {
    /// A transform: either `sql`, or `from` and `call`.
    pub struct TransformSettings {
        /// One SELECT; it names the nodes it reads.
        pub sql: Option<Spanned<String>>,
        /// The node whose rows the function gets.
        pub from: Option<Spanned<String>>,
        /// The function that is called on every batch.
        pub call: Option<Spanned<String>>,
        /// What happens to rows that fail.
        pub on_error: OnError = OnError::Fail,
    }
}

settings! {
    /// A function: code and resources. Its code is one of `wasm`, `process` and `http`.
    pub struct FunctionSettings {
        /// A WebAssembly component, relative to the pipeline file.
        pub wasm: Option<Spanned<PathBuf>>,
        /// A program that speaks the AWS Lambda Runtime API, such as a Lambda runtime client, and its arguments.
        pub process: Option<Spanned<OneOrMany<String>>>,
        /// A URL that takes events by POST and answers with records.
        pub http: Option<Spanned<String>>,
        /// For `process`: which handler in it to call, such as `app.handler`.
        pub handler: Option<Spanned<String>>,
        /// For `process`: the folder it runs in, relative to the pipeline file; the pipeline file's unless set.
        pub working_dir: Option<Spanned<PathBuf>>,
        /// For `process`: how long it may take to ask for its first event.
        pub init_timeout: Option<Spanned<Duration>>,
        /// For `http`: sent as bearer token.
        pub token: Option<Spanned<Secret>>,
        /// For `http`: signs each request, in the header `riverhook-signature`.
        pub hmac: Option<Spanned<Secret>>,
        /// Configuration: variables of a process's environment, values that a component may ask for.
        pub env: Map<Spanned<String>> = Map::default(),
        /// Memory that one copy may use: 64 MiB for `wasm`, 128 MiB for `process` unless set.
        pub memory: Option<Spanned<ByteSize>>,
        /// How long one call may take: 1 s for `wasm`, 3 s for `process`, 30 s for `http` unless set.
        pub timeout: Option<Duration>,
        /// Bytes that one call may answer: 16 MiB for `wasm`, 6 MiB for the others unless set.
        pub max_output: Option<ByteSize>,
        /// For `process` and `http`: bytes that the event of one call may have.
        pub max_request: Option<Spanned<ByteSize>>,
        /// For `wasm`: what of the machine the component may have; nothing unless named here.
        pub allow: Option<Spanned<OneOrMany<Grant>>>,
        /// For `process` and `http`: what a call is given.
        pub payload: Option<Spanned<Payload>>,
        /// The columns of the records that it answers, where its code cannot say; without them each record is passed on
        /// as JSON in the column `value`.
        pub output: Option<Spanned<SchemaSetting>>,
        /// Makes it a function of SQL: its arguments and its result, such as
        /// `(ip: string) -> struct<country: string, lat: float64>`.
        pub signature: Option<Spanned<FunctionSignature>>,
        /// Copies that may run at the same time; the machine's cores unless set.
        pub concurrency: Option<Spanned<usize>>,
        /// How many records one call gets.
        pub batch: FunctionBatch,
        /// Whether the same rows always give the same answer.
        pub deterministic: bool = false,
        /// What is done when a call fails.
        pub retries: Retries,
        /// Whether a batch that fails is halved until the record that is to blame is alone.
        pub bisect: bool = true,
        /// Whether rows keep their order when some of them are tried again.
        pub ordered: bool = true,
        /// How old a record may become while the function is unavailable; it waits for ever unless set.
        pub max_age: Option<Duration>,
        /// How long a copy that nobody needs is kept.
        pub idle_timeout: Duration = Duration::from_secs(300),
        /// A sink without `from` that gets, as rows, the lines that the function logs, and the START, END and REPORT of each
        /// call. Columns: `time`, `pipeline`, `node`, `function`, `version`, `invocation`, `level`, `message`.
        pub logs: Option<Spanned<String>>,
    }
}

settings! {
    /// How many records one call gets.
    pub struct FunctionBatch {
        /// Rows at most; all rows of a batch unless set. 1: every record on its own.
        pub rows: Option<Spanned<usize>>,
        /// Bytes at most.
        pub bytes: ByteSize = ByteSize(4 * 1024 * 1024),
        /// How long rows that are fewer wait for more; not at all unless set.
        pub wait: Option<Spanned<Duration>>,
    }
}

settings! {
    /// What is done when a call fails.
    pub struct Retries {
        /// Tries of a whole batch, the first included.
        pub attempts: u32 = 2,
        /// How long to wait before the next try: the first time, and at most.
        pub backoff: DurationRange = DurationRange { min: Duration::from_millis(100), max: Duration::from_secs(5) },
    }
}

choices! {
    /// What of the machine a component may have.
    pub enum Grant {
        /// The time.
        Clock = "clock",
        /// Random numbers fit for secrets.
        Random = "random",
    }
}

choices! {
    /// What a call of a process or a server is given.
    #[derive(Default)]
    pub enum Payload {
        /// An event as AWS Lambda shapes it, by the source that the records came from.
        #[default]
        Event = "event",
        /// A JSON array of the records.
        Records = "records",
    }
}

settings! {
    /// An alert, first form: a message for rows that meet a condition.
    pub struct AlertSettings {
        /// The node whose rows are looked at.
        pub from: Spanned<String>,
        /// A SQL condition on one row.
        pub when: Spanned<String>,
        /// The columns that tell one subject from another.
        pub key: Option<OneOrMany<Spanned<String>>>,
        /// How long a subject is silent after a message; every matching row gives a message unless set.
        pub repeat: Option<Duration>,
        /// What to say; `{column}` is replaced by the row's value.
        pub message: Option<Spanned<String>>,
        /// The sinks that get the messages.
        pub notify: OneOrMany<Spanned<String>>,
        /// What happens to rows on which the condition fails.
        pub on_error: OnError = OnError::Fail,
    }
}

settings! {
    /// What every sink has.
    pub struct SinkSettings {
        /// The connector, such as `file`; a `connection` says it too.
        pub r#type: Option<Spanned<String>>,
        /// A connection of `connections`.
        pub connection: Option<Spanned<String>>,
        /// The node, or nodes, whose rows it takes. An alert names its sinks itself.
        pub from: Option<OneOrMany<Spanned<String>>>,
        /// How rows become bytes.
        pub format: Option<Format>,
        /// What happens to rows that the sink can never take.
        pub on_error: OnError = OnError::Fail,
    }
}

/// The names in a `from` or `notify` that was read before, quietly: what is wrong with it was said then.
pub fn names_of(node: &Node, cx: &mut Reading<'_>) -> Option<Vec<Spanned<String>>> {
    let mut quiet = riverhook_config::Diagnostics::new();
    let mut again = Reading::new(cx.environment(), &mut quiet);
    OneOrMany::<Spanned<String>>::read(node, &mut again).map(|names| names.0)
}
