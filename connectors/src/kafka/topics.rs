//! Whether the cluster answers and has the topics, before anything is read or written.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rdkafka::{
    bindings::rd_kafka_resp_err_t as Code,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    metadata::{Metadata, MetadataTopic},
};

use super::health::Health;
use crate::error::Error;

/// For how long one question may take before callbacks are looked at.
const ASK: Duration = Duration::from_millis(500);

/// A client that can be asked for metadata.
pub(super) trait Ask {
    /// Asks for one topic's metadata, or all topics'.
    fn metadata(&self, topic: Option<&str>, timeout: Duration) -> KafkaResult<Metadata>;

    /// Runs the callbacks that are due.
    fn serve(&self);
}

/// The number of partitions of each topic. Asks until the cluster answers or `timeout` is over.
pub(super) fn partitions(
    client: &impl Ask,
    topics: &[String],
    health: &Health,
    timeout: Duration,
) -> Result<BTreeMap<String, usize>, Error> {
    let begun = Instant::now();
    let mut found = BTreeMap::new();
    while found.len() < topics.len() {
        let topic = topics.iter().find(|topic| !found.contains_key(*topic)).expect("one is not found yet");
        match look(client, topic) {
            Ok(Some(count)) => {
                health.up();
                found.insert(topic.clone(), count);
            }
            Ok(None) => return Err(missing(client, topic, health)),
            Err(error) => {
                client.serve();
                health.unanswered(&error);
                if let Some(error) = health.failure() {
                    return Err(error);
                }
                if begun.elapsed() >= timeout {
                    return Err(health.unavailable(timeout));
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
    Ok(found)
}

/// The topic's partitions; `None` if there is no such topic.
pub(super) fn look(client: &impl Ask, topic: &str) -> KafkaResult<Option<usize>> {
    let metadata = client.metadata(Some(topic), ASK)?;
    let Some(topic) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match topic.error() {
        None => Ok(Some(topic.partitions().len())),
        Some(Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART | Code::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) => Ok(None),
        Some(code) => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::from(code))),
    }
}

fn missing(client: &impl Ask, topic: &str, health: &Health) -> Error {
    let all = client.metadata(None, Duration::from_secs(5));
    let names: Vec<_> = all.iter().flat_map(Metadata::topics).map(MetadataTopic::name).collect();
    let help = match riverhook_config::nearest(topic, names.into_iter().filter(|name| !name.starts_with("__"))) {
        Some(near) => format!("did you mean `{near}`? Else create it first"),
        None => "create it first".to_owned(),
    };
    Error::config(format!("kafka at {} has no topic `{topic}`; {help}", health.brokers()))
}
