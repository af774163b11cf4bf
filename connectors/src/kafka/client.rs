//! From settings to librdkafka's properties, and which of them a user may not set.

use std::path::{Path, PathBuf};

use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError, types::RDKafkaConfRes};
use riverhook_config::{Diagnostic, Reading};

use super::settings::{KafkaConnection, KafkaSink, Mechanism, Tls, TlsFiles};
use crate::error::Error;

/// Bytes that one queued record costs librdkafka beside its key and value.
const RECORD_OVERHEAD: usize = 400;

/// Properties that are refused in `options`, and why.
const REFUSED: &[(&[&str], &str)] = &[
    (&["bootstrap.servers", "metadata.broker.list"], "use `brokers`"),
    (&["security.protocol"], "it follows from `tls` and `sasl`"),
    (
        &["sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password"],
        "use `sasl: { mechanism, username, password }`",
    ),
    (
        &[
            "ssl.ca.location",
            "ssl.ca.pem",
            "ssl.certificate.location",
            "ssl.certificate.pem",
            "ssl.key.location",
            "ssl.key.pem",
            "ssl.key.password",
            "enable.ssl.certificate.verification",
            "ssl.endpoint.identification.algorithm",
        ],
        "use `tls: { ca, certificate, key, key_password, verify }`",
    ),
    (&["group.id"], "use `group`"),
    (
        &["group.instance.id", "group.protocol"],
        "riverhook gives each process a name of its own in the group, so that a restart moves no partition",
    ),
    (
        &["auto.offset.reset"],
        "use `start`; librdkafka's own reset would skip lost records without a word (see `on_gap`)",
    ),
    (
        &[
            "enable.auto.commit",
            "enable.auto.offset.store",
            "auto.commit.interval.ms",
            "auto.commit.enable",
            "offset.store.method",
        ],
        "offsets are committed when every sink has stored what was read, else records would be lost in a crash",
    ),
    (&["enable.idempotence"], "the sink is always idempotent, else a retry would write records twice or out of order"),
    (
        &["acks", "request.required.acks"],
        "the sink always waits for all in-sync replicas, else acknowledged records could be lost",
    ),
    (
        &["max.in.flight", "max.in.flight.requests.per.connection"],
        "idempotent writing decides it, else retries would change the order",
    ),
    (
        &["retries", "message.send.max.retries", "message.timeout.ms", "delivery.timeout.ms"],
        "the sink tries until a record is stored; giving up would lose it",
    ),
    (
        &["partitioner"],
        "records go where Java's default partitioner would put them, else records of one key would be spread",
    ),
    (
        &["transactional.id", "delivery.report.only.error", "queuing.strategy"],
        "the sink's bookkeeping of what is stored depends on it",
    ),
    (&["queue.buffering.max.messages", "queue.buffering.max.kbytes"], "the engine bounds what is in flight"),
    (&["linger.ms", "queue.buffering.max.ms"], "use `linger`"),
    (&["compression.type", "compression.codec"], "use `compression`"),
    (&["message.max.bytes"], "use `max_record`"),
    (
        &["plugin.library.paths", "ssl.engine.location", "ssl.providers", "sasl.kerberos.kinit.cmd"],
        "it would load or run programs; a pipeline file only does that with `functions`",
    ),
    (
        &["test.mock.num.brokers", "test.mock.broker.rtt"],
        "it would put brokers that only this process sees in the place of the real ones, and records would be lost with it",
    ),
    (
        &["partition.assignment.strategy"],
        "partitions move by `cooperative-sticky`, so that a process that joins or leaves stops only those that move",
    ),
    (&["opaque", "interceptors", "default_topic_conf", "log.queue"], "it is for programs, not for files"),
];

/// Why an option may not be set.
fn refusal(option: &str) -> Option<&'static str> {
    if option.ends_with("_cb") {
        return Some("it is for programs, not for files");
    }
    REFUSED.iter().find(|(names, _)| names.contains(&option)).map(|(_, why)| *why)
}

/// Reports what is wrong with a connection, and makes its files' paths absolute.
pub(super) fn check(mut connection: KafkaConnection, base: &Path, cx: &mut Reading<'_>) -> Option<KafkaConnection> {
    let mut good = true;
    let mut wrong = |diagnostic: Diagnostic| {
        good = false;
        cx.push(diagnostic);
    };
    for option in &connection.options.0 {
        let (name, value) = (option.name.as_str(), &option.value.value.0);
        let error = |message| Diagnostic::error(option.name_span, message).at(&option.value.path);
        if let Some(why) = refusal(name) {
            wrong(error(format!("the option `{name}` cannot be set here")).help(why));
        } else if let Err(refused) = ClientConfig::new().set(name, value).create_native_config() {
            wrong(error(reason(&refused, name)));
        }
    }
    if let (Some(sasl), None) = (&connection.sasl, &connection.tls)
        && sasl.mechanism == Mechanism::Plain
    {
        let help = "add `tls: true`, or `tls: false` if nobody else can see this network";
        wrong(sasl.error("the mechanism PLAIN sends the password as it is, so say whether to encrypt").help(help));
    }
    if let Some(Tls::On(files)) = &mut connection.tls {
        for path in [&mut files.ca, &mut files.certificate, &mut files.key].into_iter().flatten() {
            *path = base.join(&path);
        }
    }
    good.then_some(connection)
}

/// What librdkafka says about an option, without the value, which may be a secret.
fn reason(error: &KafkaError, name: &str) -> String {
    if is_unknown(error) {
        format!("librdkafka has no property `{name}`")
    } else {
        format!("the option `{name}` cannot have this value")
    }
}

fn is_unknown(error: &KafkaError) -> bool {
    matches!(error, KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..))
}

/// What every client has in common.
pub(super) fn base(connection: &KafkaConnection) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Info);
    config.set("bootstrap.servers", connection.brokers.as_slice().join(","));
    config.set("client.id", "riverhook");
    // The default of 10 s would leave a broker that is back unused for that long.
    config.set("reconnect.backoff.max.ms", "1000");
    let encrypted = match &connection.tls {
        Some(Tls::On(files)) => {
            certificates(&mut config, files);
            true
        }
        Some(Tls::Off) | None => false,
    };
    if let Some(sasl) = &connection.sasl {
        config.set("sasl.mechanism", sasl.mechanism.as_str());
        config.set("sasl.username", &sasl.username).set("sasl.password", sasl.password.expose());
    }
    config.set(
        "security.protocol",
        match (encrypted, connection.sasl.is_some()) {
            (false, false) => "plaintext",
            (false, true) => "sasl_plaintext",
            (true, false) => "ssl",
            (true, true) => "sasl_ssl",
        },
    );
    config
}

fn certificates(config: &mut ClientConfig, files: &TlsFiles) {
    let path = |path: &PathBuf| path.to_string_lossy().into_owned();
    // OpenSSL is linked in and does not know where this system keeps its authorities: `probe` looks in the usual places.
    config.set("ssl.ca.location", files.ca.as_ref().map_or_else(|| "probe".to_owned(), path));
    if let Some(file) = &files.certificate {
        config.set("ssl.certificate.location", path(file));
    }
    if let Some(file) = &files.key {
        config.set("ssl.key.location", path(file));
    }
    if let Some(password) = &files.key_password {
        config.set("ssl.key.password", password.expose());
    }
    if !files.verify {
        config.set("enable.ssl.certificate.verification", "false");
    }
}

/// The user's own options, last.
fn options(config: &mut ClientConfig, connection: &KafkaConnection) {
    for (name, value) in connection.options.iter() {
        config.set(name, &value.value.0);
    }
}

/// A client that only asks questions.
pub(super) fn asking(connection: &KafkaConnection) -> ClientConfig {
    let mut config = base(connection);
    options(&mut config, connection);
    config
}

/// A member of a group, which may hold `prefetch` bytes of `partitions` partitions.
pub(super) fn reading(
    connection: &KafkaConnection,
    group: &str,
    member: &str,
    prefetch: usize,
    partitions: usize,
) -> ClientConfig {
    let mut config = base(connection);
    config.set("group.id", group).set("group.instance.id", member);
    config.set("session.timeout.ms", "10000").set("heartbeat.interval.ms", "1000");
    // Only the partitions that move are taken away when a process joins or leaves.
    config.set("partition.assignment.strategy", "cooperative-sticky");
    config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    config.set("auto.offset.reset", "error");
    // So that new partitions are noticed within a minute.
    config.set("topic.metadata.refresh.interval.ms", "60000");
    // The default of 1 s halves the throughput: a partition whose queue was full would wait that long.
    config.set("fetch.queue.backoff.ms", "1");
    // Half of a partition's share is what its queue may hold, the rest what one more answer may add. Small records cost
    // several times their size, so their number is bounded, and an answer is an eighth of the share.
    let share = (prefetch / partitions.max(1)).max(64 * 1024);
    config.set("queued.max.messages.kbytes", (share / 2 / 1024).max(1).to_string());
    config.set("queued.min.messages", (share / 2 / RECORD_OVERHEAD).clamp(100, 10_000_000).to_string());
    config.set("fetch.message.max.bytes", (share / 8).min(1024 * 1024).to_string());
    config.set("fetch.max.bytes", (prefetch / 2).clamp(1_000_000, 50 * 1024 * 1024).to_string());
    options(&mut config, connection);
    config
}

/// A producer.
pub(super) fn writing(connection: &KafkaConnection, sink: &KafkaSink) -> ClientConfig {
    let mut config = base(connection);
    config.set("enable.idempotence", "true");
    config.set("linger.ms", format!("{}", sink.linger.as_secs_f64() * 1000.0));
    config.set("compression.codec", sink.compression.as_str());
    config.set("partitioner", "murmur2_random");
    config.set("message.max.bytes", sink.max_record.0.to_string());
    // A broker that is down is waited for, however long.
    config.set("message.timeout.ms", "0");
    // What is in flight is bounded in bytes before it gets here.
    config.set("queue.buffering.max.messages", "0").set("queue.buffering.max.kbytes", "2147483647");
    options(&mut config, connection);
    config
}

/// What went wrong when a client was made: nothing was connected yet.
pub(super) fn unusable(error: KafkaError) -> Error {
    Error::config("the settings of this kafka connection cannot be used; check `tls` (are the files there and PEM?) and `options`")
        .caused_by(error)
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;

    use super::{is_unknown, refusal};

    #[test]
    fn what_would_break_delivery_is_refused_with_a_reason() {
        for option in [
            "enable.auto.commit",
            "acks",
            "partitioner",
            "group.id",
            "max.in.flight",
            "dr_msg_cb",
            "security.protocol",
            "plugin.library.paths",
            "test.mock.num.brokers",
        ] {
            assert!(refusal(option).is_some_and(|why| why.len() > 8), "{option}");
        }
        assert_eq!(refusal("socket.timeout.ms"), None);
    }

    #[test]
    fn every_refused_name_is_a_property_of_librdkafka() {
        for name in super::REFUSED.iter().flat_map(|(names, _)| *names) {
            // The value may be wrong, or only for programs to set: what counts is that the name is known.
            let error = ClientConfig::new().set(*name, "?").create_native_config().err();
            assert!(error.is_none_or(|error| !is_unknown(&error)), "{name}");
        }
    }
}
