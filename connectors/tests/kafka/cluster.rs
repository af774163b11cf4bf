//! A real Kafka cluster for the tests, and a task of the engine in small.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use futures::executor::block_on;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{BorrowedMessage, Headers},
    producer::{BaseProducer, BaseRecord, Producer},
};
use riverhook_config::{Diagnostics, FixedEnvironment, MapReader, Reading, SourceFile, parse};
use riverhook_connectors::{
    batch::{Batch, Input, Payloads, Rows},
    clock::SystemClock,
    error::Error,
    format::Format,
    kafka::CONNECTOR,
    position::{Partition, Position, Positions},
    registry::Setup,
    sink::{Progress, Sink, WriteContext, Writer},
    source::{BatchLimits, Polled, ReadContext, Reader, Source},
    status::Status,
};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An address that `cargo xtask test` gives; `None` says loudly that the test was left out.
pub(crate) fn server(variable: &str) -> Option<String> {
    if let Ok(value) = std::env::var(variable) {
        return Some(value);
    }
    assert!(std::env::var_os("RIVERHOOK_REQUIRE_SERVERS").is_none(), "{variable} is not set; run `cargo xtask test`");
    eprintln!("LEFT OUT: {variable} is not set; `cargo xtask test` starts a broker and runs this test");
    None
}

/// The cluster without authentication.
pub(crate) struct Cluster {
    pub(crate) brokers: String,
    admin: AdminClient<DefaultClientContext>,
}

impl Cluster {
    pub(crate) fn get() -> Option<Self> {
        let brokers = server("RIVERHOOK_TEST_KAFKA")?;
        let admin = ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
        Some(Self { brokers, admin })
    }

    /// A new topic whose name begins like this.
    pub(crate) fn topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) -> String {
        let nanos = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let name = format!("{name}-{nanos}");
        self.create(&name, partitions, settings);
        name
    }

    pub(crate) fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let made =
            block_on(self.admin.create_topics([&topic], &AdminOptions::new().request_timeout(Some(PATIENCE)))).unwrap();
        made[0].as_ref().unwrap();
        until("the topic is there", || {
            let metadata = self.admin.inner().fetch_metadata(Some(name), PATIENCE).unwrap();
            metadata.topics()[0].partitions().len() == usize::try_from(partitions).unwrap()
        });
    }

    pub(crate) fn delete(&self, name: &str) {
        block_on(self.admin.delete_topics(&[name], &AdminOptions::new().request_timeout(Some(PATIENCE)))).unwrap()[0]
            .as_ref()
            .unwrap();
        until("the topic is gone", || {
            let metadata = self.admin.inner().fetch_metadata(Some(name), PATIENCE).unwrap();
            metadata.topics()[0].error().is_some()
        });
    }

    pub(crate) fn add_partitions(&self, name: &str, count: usize) {
        let more = rdkafka::admin::NewPartitions::new(name, count);
        block_on(self.admin.create_partitions([&more], &AdminOptions::new().request_timeout(Some(PATIENCE)))).unwrap()
            [0]
        .as_ref()
        .unwrap();
    }

    /// Deletes a partition's records before an offset, as retention does.
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
        block_on(self.admin.delete_records(&list, &AdminOptions::new().request_timeout(Some(PATIENCE)))).unwrap();
    }

    /// Writes `count` records `r0`, `r1`, … with their keys, round the partitions.
    pub(crate) fn fill(&self, topic: &str, partitions: i32, from: usize, count: usize) {
        let records: Vec<_> = (from..from + count).map(|n| (format!("k{n}"), format!("r{n}"))).collect();
        let producer: BaseProducer = self.config().set("enable.idempotence", "true").create().unwrap();
        for (n, (key, value)) in (from..).zip(&records) {
            let partition = i32::try_from(n).unwrap() % partitions;
            producer.send(BaseRecord::to(topic).partition(partition).key(key).payload(value)).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    pub(crate) fn send(&self, record: BaseRecord<'_, [u8], [u8]>) {
        let producer: BaseProducer = self.config().create().unwrap();
        producer.send(record).unwrap();
        producer.flush(PATIENCE).unwrap();
    }

    /// Something that sends a record to a topic, with its connection ready.
    pub(crate) fn clone_for_sending(&self) -> impl Fn(&str) {
        let producer: BaseProducer = self.config().set("linger.ms", "0").create().unwrap();
        producer.client().fetch_metadata(None, PATIENCE).unwrap();
        move |topic| {
            producer.send(BaseRecord::<[u8], [u8]>::to(topic).payload(b"now".as_slice())).unwrap();
            producer.flush(PATIENCE).unwrap();
        }
    }

    pub(crate) fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// Everything in a topic now.
    pub(crate) fn records(&self, topic: &str) -> Vec<Record> {
        let consumer: BaseConsumer =
            self.config().set("group.id", "looking").set("enable.auto.commit", "false").create().unwrap();
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        let (mut list, mut left) = (TopicPartitionList::new(), 0);
        for partition in metadata.topics()[0].partitions() {
            let (low, high) = watermarks(&consumer, topic, partition.id());
            list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
            left += high - low;
        }
        consumer.assign(&list).unwrap();
        let deadline = Instant::now() + PATIENCE;
        let mut records = Vec::new();
        while left > 0 {
            assert!(Instant::now() < deadline, "{left} records of {topic} did not come");
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                records.push(Record::of(&message));
                left -= 1;
            }
        }
        records
    }

    /// What a group committed.
    pub(crate) fn committed(&self, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let list = consumer.committed_offsets(list, PATIENCE).unwrap();
        list.elements().iter().map(|element| element.offset().to_raw().filter(|offset| *offset >= 0)).collect()
    }
}

/// A record as another client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        Self {
            partition: message.partition(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            timestamp: message.timestamp().to_millis(),
            headers: headers.unwrap_or_default(),
        }
    }
}

/// The ends of a partition. One that is new may have no leader yet.
fn watermarks(consumer: &BaseConsumer, topic: &str, partition: i32) -> (i64, i64) {
    let mut ends = None;
    until("the partition has a leader", || {
        ends = consumer.fetch_watermarks(topic, partition, PATIENCE).ok();
        ends.is_some()
    });
    ends.unwrap()
}

/// Waits for something.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it took too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn setup(pipeline: &str) -> Setup {
    Setup { pipeline: pipeline.into(), node: "node".into(), base: "/".into(), format: Format::default(), schema: None }
}

fn read<T>(text: &str, make: impl FnOnce(&mut MapReader<'_>, &mut Reading<'_>) -> Option<T>) -> Result<T, String> {
    let mut diagnostics = Diagnostics::new();
    let root = parse(&SourceFile::new("test.yaml", text), &mut diagnostics);
    let environment = FixedEnvironment::new();
    let made = root.and_then(|root| {
        let mut cx = Reading::new(&environment, &mut diagnostics);
        let mut map = MapReader::new(&root);
        let made = make(&mut map, &mut cx);
        map.finish(&mut cx);
        made
    });
    match made {
        Some(made) if !diagnostics.has_errors() => Ok(made),
        _ => Err(diagnostics
            .iter()
            .map(|found| format!("{}: {} {}\n", found.path, found.message, found.help.as_deref().unwrap_or_default()))
            .collect()),
    }
}

/// A source from its settings, or what is wrong with them.
pub(crate) fn source(pipeline: &str, settings: &str) -> Result<Box<dyn Source>, String> {
    read(settings, |map, cx| (CONNECTOR.source.unwrap().read)(map, cx, &setup(pipeline)))
}

/// A sink from its settings, or what is wrong with them.
pub(crate) fn sink(settings: &str) -> Result<Box<dyn Sink>, String> {
    read(settings, |map, cx| (CONNECTOR.sink.unwrap().read)(map, cx, &setup("p")))
}

/// What a source is opened with.
pub(crate) fn read_context(pipeline: &str, folder: &Path, parallelism: usize) -> ReadContext {
    ReadContext {
        source: "clicks".into(),
        pipeline: pipeline.into(),
        parallelism,
        positions: Positions::new(),
        schema: Arc::new(arrow_schema::Schema::empty()),
        limits: BatchLimits { rows: 8192, bytes: 4 << 20, wait: Duration::from_millis(5) },
        prefetch_bytes: 32 << 20,
        state_dir: folder.to_path_buf(),
        clock: SystemClock::shared(),
        status: Status::starting("test"),
        io: runtime().handle().clone(),
    }
}

/// The runtime of all tests.
fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().unwrap())
}

/// A task that reads from all readers, as the engine does with one thread.
pub(crate) struct Task {
    pub(crate) readers: Vec<Box<dyn Reader>>,
    pub(crate) read: Vec<Payloads>,
    pub(crate) barriers: usize,
}

impl Task {
    pub(crate) fn open(source: &dyn Source, context: ReadContext) -> Result<Self, Error> {
        Ok(Self { readers: source.open(context)?, read: Vec::new(), barriers: 0 })
    }

    /// Polls every reader once; barriers that are asked for are durable at once.
    pub(crate) fn step(&mut self) -> Result<(), Error> {
        for reader in &mut self.readers {
            if let Polled::Payloads(payloads) = reader.poll(Duration::from_millis(5))? {
                self.read.push(payloads);
            }
            if reader.wants_barrier() {
                self.barriers += 1;
                let positions = reader.positions();
                reader.commit(&positions)?;
            }
        }
        Ok(())
    }

    /// Reads until there are so many records.
    pub(crate) fn read(&mut self, count: usize) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while self.count() < count {
            assert!(Instant::now() < deadline, "{} of {count} records came", self.count());
            self.step()?;
        }
        Ok(())
    }

    /// Polls for a while, however much comes.
    pub(crate) fn idle(&mut self, duration: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + duration;
        while Instant::now() < deadline {
            self.step()?;
        }
        Ok(())
    }

    pub(crate) fn count(&self) -> usize {
        self.read.iter().map(|payloads| payloads.input.len()).sum()
    }

    /// Values by partition, in the order they came.
    pub(crate) fn values(&self) -> BTreeMap<Partition, Vec<String>> {
        let mut values: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for payloads in &self.read {
            let texts =
                payloads.values.iter().map(|value| String::from_utf8(value.unwrap_or(b"NULL").to_vec()).unwrap());
            values.entry(payloads.input.partition.clone()).or_default().extend(texts);
        }
        values
    }

    pub(crate) fn all(&self) -> Vec<String> {
        let mut all: Vec<_> = self.values().into_values().flatten().collect();
        all.sort();
        all
    }

    /// Everything read is durable.
    pub(crate) fn commit(&mut self) {
        for reader in &mut self.readers {
            let positions = reader.positions();
            reader.commit(&positions).unwrap();
        }
    }

    pub(crate) fn close(mut self) {
        self.readers.iter_mut().for_each(|reader| reader.close());
    }
}

/// What a writer is opened with.
pub(crate) fn write_context(folder: &Path, schema: &RecordBatch) -> WriteContext {
    WriteContext {
        sink: "out".into(),
        pipeline: "p".into(),
        schema: schema.schema(),
        task: 0,
        inflight_bytes: 16 << 20,
        state_dir: folder.to_path_buf(),
        clock: SystemClock::shared(),
        status: Status::starting("test"),
        io: runtime().handle().clone(),
    }
}

/// Rows of text columns.
pub(crate) fn rows(columns: &[(&str, Vec<Option<&str>>)]) -> Batch {
    let columns = columns.iter().map(|(name, values)| (*name, Arc::new(StringArray::from(values.clone())) as ArrayRef));
    batch(RecordBatch::try_from_iter(columns).unwrap())
}

/// Rows with an origin.
pub(crate) fn batch(records: RecordBatch) -> Batch {
    let positions = (0..records.num_rows() as u64).map(Position::Offset).collect();
    let input = Input {
        source: "s".into(),
        partition: Partition::new("p-0"),
        positions,
        keys: None,
        headers: None,
        times: None,
        read_at: 0,
    };
    Batch { records, rows: Rows::Same, input: Arc::new(input) }
}

/// Writes batches and closes; everything is durable then.
pub(crate) fn write_all(sink: &dyn Sink, batches: &[Batch]) -> Result<Progress, Error> {
    let folder = tempfile::tempdir().unwrap();
    let mut writer: Box<dyn Writer> = sink.open(write_context(folder.path(), &batches[0].records))?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.barrier(1)?;
    writer.close()
}
