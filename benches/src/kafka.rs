//! The broker, and topics on it: filled before a run, read back and removed after it.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use futures::executor::block_on;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseProducer, BaseRecord, Producer},
};

use crate::{bids::Digest, process::Cores};

/// The variable that names a broker that runs already.
const VARIABLE: &str = "RIVERHOOK_TEST_KAFKA";
/// The partitions of every topic.
pub(crate) const PARTITIONS: i32 = 4;
/// How long the broker may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// A broker: one that runs already, or one that is stopped with this.
pub(crate) struct Broker {
    /// `host:port`.
    pub(crate) address: String,
    /// What it is and where it runs, for the report.
    pub(crate) about: String,
    process: Option<Child>,
    topics: AtomicU32,
}

impl Broker {
    /// Takes the broker that the environment names, else starts one: beside this program, off the measured core.
    pub(crate) fn find_or_start(cargo: &Path, workspace: &Path, cores: Cores) -> Result<Self> {
        if let Ok(address) = std::env::var(VARIABLE) {
            let about = format!("the broker of {VARIABLE}, wherever it runs");
            return Ok(Self { address, about, process: None, topics: AtomicU32::new(0) });
        }
        let mut command = Command::new(cargo);
        command.args(["xtask", "serve-kafka"]).current_dir(workspace).stdin(Stdio::null()).stdout(Stdio::piped());
        // The broker of the tests is started for a short life. Here it must keep up on one core that it shares.
        command.env("_JAVA_OPTIONS", "-XX:TieredStopAtLevel=4 -Xms1g -Xmx1g");
        let mut child = command.spawn().context("cannot run `cargo xtask serve-kafka`")?;
        let output = child.stdout.take().expect("standard output was asked for");
        let mut address = None;
        for line in BufReader::new(output).lines() {
            let line = line?;
            if let Some(value) = line.strip_prefix("export RIVERHOOK_TEST_KAFKA=") {
                address = Some(value.to_owned());
            } else if line == "ready" {
                break;
            }
        }
        let Some(address) = address else {
            bail!("`cargo xtask serve-kafka` did not start a broker: run it to see why, or set {VARIABLE}");
        };
        let about =
            format!("`cargo xtask serve-kafka` with 1 GiB and all of Java's optimisations, on core {}", cores.others());
        Ok(Self { address, about, process: Some(child), topics: AtomicU32::new(0) })
    }

    /// A client's settings.
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.address);
        config
    }

    /// A new topic, removed when it is dropped. Its records get the broker's time, so that one can tell when the first
    /// and the last one arrived.
    pub(crate) fn topic(&self, purpose: &str) -> Result<Topic<'_>> {
        let number = self.topics.fetch_add(1, Ordering::Relaxed);
        let name = format!("riverhook-bench-{}-{number}-{purpose}", std::process::id());
        let admin: AdminClient<DefaultClientContext> = self.client().create()?;
        let new = NewTopic::new(&name, PARTITIONS, TopicReplication::Fixed(1))
            .set("message.timestamp.type", "LogAppendTime")
            .set("retention.ms", "-1");
        let options = AdminOptions::new().operation_timeout(Some(ANSWER));
        for result in block_on(admin.create_topics([&new], &options))? {
            result.map_err(|(topic, code)| anyhow::anyhow!("Kafka does not create the topic {topic}: {code}"))?;
        }
        let topic = Topic { broker: self, name };
        topic.wait_for_leaders()?;
        Ok(topic)
    }

    /// A producer for filling topics. Its records go at once unless `linger` says otherwise.
    pub(crate) fn producer(&self, linger: &str) -> Result<BaseProducer> {
        let mut config = self.client();
        config.set("linger.ms", linger).set("queue.buffering.max.messages", "500000");
        config.create().context("no Kafka producer")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(child) = &mut self.process {
            let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
            let _ = child.wait();
        }
    }
}

/// A topic of the benchmark's own.
pub(crate) struct Topic<'b> {
    broker: &'b Broker,
    pub(crate) name: String,
}

/// What a topic holds.
pub(crate) struct Held {
    pub(crate) digest: Digest,
    /// When its first record arrived at the broker, to the millisecond.
    pub(crate) first: SystemTime,
    /// When its last record arrived.
    pub(crate) last: SystemTime,
}

impl Topic<'_> {
    fn wait_for_leaders(&self) -> Result<()> {
        let consumer: BaseConsumer = self.broker.client().create()?;
        let deadline = Instant::now() + ANSWER;
        loop {
            let metadata = consumer.fetch_metadata(Some(&self.name), ANSWER)?;
            let led = metadata.topics()[0].partitions().iter().filter(|partition| partition.leader() >= 0).count();
            if led == PARTITIONS as usize {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "Kafka does not make the topic {} ready", self.name);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Writes `count` records in turn to the partitions; `record` puts the next one into the buffer it is given.
    pub(crate) fn fill(&self, count: u64, mut record: impl FnMut(&mut Vec<u8>)) -> Result<()> {
        let producer = self.broker.producer("20")?;
        let mut buffer = Vec::new();
        for number in 0..count {
            record(&mut buffer);
            let partition = i32::try_from(number % PARTITIONS as u64).expect("there are few partitions");
            send(&producer, BaseRecord::<[u8], [u8]>::to(&self.name).partition(partition).payload(&buffer))?;
        }
        producer.flush(ANSWER * 4).context("Kafka does not take the input of a benchmark")
    }

    /// A consumer of the whole topic from its beginning.
    pub(crate) fn consumer(&self) -> Result<BaseConsumer> {
        consumer(self.broker.client(), &self.name)
    }

    /// Reads the topic from its beginning to its end.
    pub(crate) fn read(&self, hash: fn(&[u8]) -> Result<u64>) -> Result<Held> {
        let consumer = self.consumer()?;
        let mut left = 0;
        for partition in 0..PARTITIONS {
            let (low, high) = consumer.fetch_watermarks(&self.name, partition, ANSWER)?;
            left += high - low;
        }
        let (mut digest, mut first, mut last) = (Digest::default(), i64::MAX, 0);
        while left > 0 {
            let record = consumer.poll(ANSWER).context("Kafka does not give back what a run has written")??;
            digest.add(hash(record.payload().unwrap_or_default())?);
            let time = record.timestamp().to_millis().context("a record without a time")?;
            (first, last) = (first.min(time), last.max(time));
            left -= 1;
        }
        ensure!(digest.records > 0, "a run has written nothing");
        let at = |millis: i64| UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs());
        Ok(Held { digest, first: at(first), last: at(last) })
    }
}

impl Drop for Topic<'_> {
    fn drop(&mut self) {
        // A topic that stays is a nuisance, not a wrong result.
        if let Ok(admin) = self.broker.client().create::<AdminClient<DefaultClientContext>>() {
            let _ = block_on(admin.delete_topics(&[&self.name], &AdminOptions::new()));
        }
    }
}

/// A consumer of a whole topic from its beginning, outside of any group.
pub(crate) fn consumer(mut config: ClientConfig, topic: &str) -> Result<BaseConsumer> {
    // librdkafka wants a group's name even where there is no group.
    config.set("group.id", "riverhook-bench").set("enable.auto.commit", "false");
    // Its default of 1 s leaves a partition idle for that long whenever its queue was full.
    config.set("fetch.queue.backoff.ms", "1");
    let consumer: BaseConsumer = config.create().context("no Kafka consumer")?;
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&all)?;
    Ok(consumer)
}

/// Hands a record to the producer, waiting while its queue is full.
pub(crate) fn send(producer: &BaseProducer, mut record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => return Err(error).context("Kafka does not take a record"),
        }
    }
}
