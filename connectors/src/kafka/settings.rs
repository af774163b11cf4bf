//! What the pipeline file says about Kafka.

use std::{path::PathBuf, time::Duration};

use riverhook_config::{
    ByteSize, Kind, Map, Node, OneOrMany, Reading, Secret, Setting, Shape, Spanned, choices, settings,
};

use super::{
    labels::{Key, Label},
    records::Metadata,
    start::{OnGap, Start},
};

settings! {
    /// How a Kafka cluster is reached. These keys can stand in a connection or in the node itself.
    pub(super) struct KafkaConnection {
        /// Brokers to begin with, each as `host:port`. The others are found through them.
        pub(super) brokers: OneOrMany<String>,
        /// Log in with a name and a password.
        pub(super) sasl: Option<Spanned<Sasl>>,
        /// Encrypt: `true`, or a map with certificates. There is no falling back to plain text.
        pub(super) tls: Option<Tls>,
        /// How long to wait for the brokers at start before giving up.
        pub(super) connect_timeout: Duration = Duration::from_secs(30),
        /// Any property of librdkafka, such as `socket.timeout.ms`, except those that would break delivery.
        pub(super) options: Map<Spanned<Text>> = Map::default(),
    }

    /// A login.
    pub(super) struct Sasl {
        /// How the password is shown to the brokers.
        pub(super) mechanism: Mechanism,
        /// The user's name.
        pub(super) username: String,
        /// The password, best as `${NAME}` or `${file:PATH}`.
        pub(super) password: Secret,
    }

    /// Certificates.
    pub(super) struct TlsFiles {
        /// A PEM file with the authorities to trust; the system's unless set.
        pub(super) ca: Option<PathBuf>,
        /// A PEM file with our own certificate, where brokers ask for one.
        pub(super) certificate: Option<PathBuf>,
        /// A PEM file with the certificate's private key.
        pub(super) key: Option<PathBuf>,
        /// The private key's password.
        pub(super) key_password: Option<Secret>,
        /// Whether to check the brokers' certificates and names. `false` is for experiments only.
        pub(super) verify: bool = true,
    }

    /// A Kafka source: one or more topics, read as a consumer group.
    pub(super) struct KafkaSource {
        /// The topic, or a list of topics.
        pub(super) topic: OneOrMany<String>,
        /// The consumer group; the pipeline's name unless set.
        pub(super) group: Option<String>,
        /// Where partitions that the group never committed begin: `earliest`, `latest`, `{ offset: 1000 }` or
        /// `{ timestamp: 2026-01-31T12:00:00Z }`. Partitions that are added to a topic later begin at their beginning.
        pub(super) start: Start = Start::Earliest,
        /// What to do when records that were to be read next are gone (deleted by retention, or with their topic).
        pub(super) on_gap: OnGap = OnGap::Stop,
        /// Columns beside those of the payload: a list out of `topic`, `partition`, `offset`, `timestamp`, `key`,
        /// `headers`, or a map that gives them other names, as in `{ key: user_id }`.
        pub(super) metadata: Columns = Columns::default(),
    }

    /// A Kafka sink: rows become records of a topic, written idempotently.
    pub(super) struct KafkaSink {
        /// The topic. It must exist.
        pub(super) topic: String,
        /// The record's key: a column's name, or a template such as `{country}:{city}`. Records of one key go to one
        /// partition, the same as with Java's default partitioner. Without it records have no key.
        pub(super) key: Option<Key>,
        /// Headers by name: each a text that may contain `{column}`. A header that is one column and null is left out.
        pub(super) headers: Map<Label> = Map::default(),
        /// A timestamp column for the record's time; the time of writing unless set.
        pub(super) timestamp: Option<String>,
        /// How batches of records are compressed.
        pub(super) compression: Compression = Compression::None,
        /// How long a record may wait for others to be sent along with.
        pub(super) linger: Duration = Duration::from_millis(5),
        /// The largest record. Larger ones are failed records; the topic's `max.message.bytes` must allow it.
        pub(super) max_record: ByteSize = ByteSize(1_000_000),
    }
}

choices! {
    /// How a password is shown to the brokers.
    pub(super) enum Mechanism {
        /// As it is: over TLS only, or in a network that nobody else can see.
        Plain = "PLAIN",
        /// By a proof that does not give it away, with SHA-256.
        ScramSha256 = "SCRAM-SHA-256",
        /// The same with SHA-512.
        ScramSha512 = "SCRAM-SHA-512",
    }

    /// How batches of records are compressed.
    pub(super) enum Compression {
        /// Not at all.
        None = "none",
        /// Slow and small.
        Gzip = "gzip",
        /// Fast.
        Snappy = "snappy",
        /// Fast.
        Lz4 = "lz4",
        /// Small, and faster than gzip.
        Zstd = "zstd",
    }

    /// What to do when records that were to be read next are gone.
    pub(super) enum Gap {
        /// Stop, and say how many are lost.
        Stop = "stop",
        /// Warn, and go on with the first one there is.
        Continue = "continue",
    }

    /// Where a partition that was never committed begins.
    pub(super) enum End {
        /// At the first record there is.
        Earliest = "earliest",
        /// Behind the last one.
        Latest = "latest",
    }
}

settings! {
    /// A starting point by number or time: one of the two.
    pub(super) struct Point {
        /// The offset, in every partition.
        pub(super) offset: Option<u64>,
        /// The time of the first record to read: RFC 3339, or milliseconds since 1970.
        pub(super) timestamp: Option<Text>,
    }
}

/// Whether and how to encrypt.
#[derive(Clone, Debug)]
pub(super) enum Tls {
    /// Plain text.
    Off,
    /// Encrypted, with these certificates.
    On(TlsFiles),
}

impl Setting for Tls {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        if matches!(node.kind, Kind::Map(_)) {
            return TlsFiles::read(node, cx).map(Self::On);
        }
        Some(match bool::read(node, cx)? {
            true => Self::On(TlsFiles { ca: None, certificate: None, key: None, key_password: None, verify: true }),
            false => Self::Off,
        })
    }

    fn shape() -> Shape {
        Shape::Either(vec![Shape::Bool, TlsFiles::shape()])
    }
}

/// A value given as text, a number or a truth value, and kept as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl Setting for Text {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Bool(value) => Some(Self(value.to_string())),
            Kind::Int(value) => Some(Self(value.to_string())),
            Kind::Float(value) => Some(Self(value.to_string())),
            _ => cx.text(node, "text or a number").map(Self),
        }
    }

    fn shape() -> Shape {
        Shape::Either(vec![Shape::Str, Shape::Float, Shape::Bool])
    }
}

impl Setting for Start {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        if !matches!(node.kind, Kind::Map(_)) {
            return Some(match End::read(node, cx)? {
                End::Earliest => Self::Earliest,
                End::Latest => Self::Latest,
            });
        }
        match Point::read(node, cx)? {
            Point { offset: Some(offset), timestamp: None } => {
                Some(Self::Offset(i64::try_from(offset).unwrap_or(i64::MAX)))
            }
            Point { offset: None, timestamp: Some(Text(text)) } => {
                let millis = text
                    .parse()
                    .ok()
                    .or_else(|| Some(chrono::DateTime::parse_from_rfc3339(&text).ok()?.timestamp_millis()));
                if millis.is_none() {
                    let expected = "a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970";
                    cx.wrong_value(node.get("timestamp").unwrap_or(node), expected);
                }
                millis.map(Self::Timestamp)
            }
            _ => {
                cx.wrong_value(node, "one of `offset` and `timestamp`");
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Either(vec![End::shape(), Point::shape()])
    }

    fn written(&self) -> Option<serde_json::Value> {
        match self {
            Self::Earliest => End::Earliest.written(),
            Self::Latest => End::Latest.written(),
            Self::Offset(_) | Self::Timestamp(_) => None,
        }
    }
}

impl Setting for OnGap {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        Some(match Gap::read(node, cx)? {
            Gap::Stop => Self::Stop,
            Gap::Continue => Self::Continue,
        })
    }

    fn shape() -> Shape {
        Gap::shape()
    }

    fn written(&self) -> Option<serde_json::Value> {
        match self {
            Self::Stop => Gap::Stop.written(),
            Self::Continue => Gap::Continue.written(),
        }
    }
}

/// Metadata columns and their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns(pub(super) Vec<(Metadata, String)>);

impl Columns {
    fn choose(node: &Node, name: &str, cx: &mut Reading<'_>) -> Option<Metadata> {
        let found = Metadata::ALL.into_iter().find(|column| column.name() == name);
        if found.is_none() {
            let known = || Metadata::ALL.into_iter().map(Metadata::name);
            let wrong = node.error(format!("kafka records have no `{name}`"));
            let wrong = wrong.expected("topic, partition, offset, timestamp, key or headers");
            cx.push(wrong.did_you_mean(riverhook_config::nearest(name, known())));
        }
        found
    }
}

impl Setting for Columns {
    fn read(node: &Node, cx: &mut Reading<'_>) -> Option<Self> {
        if let Kind::Map(entries) = &node.kind {
            let read = |entry: &riverhook_config::Entry, cx: &mut Reading<'_>| {
                Some((Self::choose(&entry.value, &entry.key, cx)?, String::read(&entry.value, cx)?))
            };
            let columns: Vec<_> = entries.iter().map(|entry| read(entry, cx)).collect();
            return columns.into_iter().collect::<Option<_>>().map(Self);
        }
        let Kind::List(items) = &node.kind else {
            cx.wrong_kind(node, "a list such as [key, timestamp], or a map such as { key: user_id }");
            return None;
        };
        let read = |item: &Node, cx: &mut Reading<'_>| {
            let name = String::read(item, cx)?;
            Some((Self::choose(item, &name, cx)?, name))
        };
        let columns: Vec<_> = items.iter().map(|item| read(item, cx)).collect();
        columns.into_iter().collect::<Option<_>>().map(Self)
    }

    fn shape() -> Shape {
        Shape::Either(vec![Shape::List(Box::new(Shape::Str)), Shape::Map(Box::new(Shape::Str))])
    }
}
