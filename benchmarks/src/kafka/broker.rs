//! One real broker: our client, raw rdkafka and Kafka's own performance tools write and read the same records.
//!
//! What is the same for all: acks of all replicas, idempotence, no compression, 5 ms linger, batches of 1 MB, 12 partitions, values of one
//! size and no keys. Consumers have a new group each round and begin at the first record; the time starts with the first
//! message, so that joining the group is not measured. The raw consumer fetches again as soon after its queue was full as ours does:
//! with librdkafka's default of a second it waits most of the time.
//!
//! What is copied: our consumer copies key, value and headers of each message. The raw consumer copies the payload
//! into a `Vec` and nothing else, which is the least that an application needs to keep a message.

use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use networking_impls::kafka::rdkafka::RdKafkaClient;
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::kafka::{
    ConsumeOptions, ConsumerConfig, KafkaClient, NewTopic, OffsetReset, ProducerConfig, ProducerId, ProducerRecord,
    TopicName,
};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, FutureProducer, FutureRecord, Producer, ProducerContext, ThreadedProducer,
};

use crate::measure::{Rounds, Samples, alternate, per_second};
use crate::report::{Better, Row};

/// Records per call of `produce_messages` and `consume_messages`.
const BATCH: usize = 1_000;
/// Records that have been passed to a client and are not acknowledged.
const WINDOW: usize = 20_000;
const PARTITIONS: i32 = 12;
const LINGER: Duration = Duration::from_millis(5);
const BATCH_BYTES: usize = 1_000_000;
/// The time limit for anything that must not take long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The work of one side of a row.
#[derive(Debug, Clone, Copy)]
struct Load {
    size: usize,
    records: usize,
}

/// All rows of the part.
pub(crate) fn run(rounds: Rounds) -> Vec<Row> {
    let bootstrap = std::env::var("KAFKA_BOOTSTRAP").expect("`cargo xtask bench kafka` starts a broker and names it");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let mut rows = Vec::new();
    // All rounds together: at least 5,000,000 records of 100 B and 1,000,000 of 1 KiB.
    for (name, size, total) in [("100 B", 100, 5_000_000), ("1 KiB", 1_024, 1_000_000)] {
        let records = usize::div_ceil(total, rounds.0 * BATCH) * BATCH;
        let bench = Bench {
            bootstrap: &bootstrap,
            runtime: &runtime,
            load: Load { size, records },
            topics: AtomicUsize::new(0),
        };
        rows.extend(bench.rows(rounds, name));
    }
    rows
}

struct Bench<'a> {
    bootstrap: &'a str,
    runtime: &'a tokio::runtime::Runtime,
    load: Load,
    /// Numbers topics and groups.
    topics: AtomicUsize,
}

impl Bench<'_> {
    fn rows(&self, rounds: Rounds, name: &str) -> Vec<Row> {
        let row = |work: String, peer: &str, (ours, theirs): (Samples, Samples), goal: f64| {
            Row::in_pairs(work, "records/s", Better::Higher, peer, (&ours, &theirs), Some(goal))
        };
        let batches = format!("produce in batches of {BATCH}, {name}");
        let singles = format!("produce one by one, {WINDOW} in flight, {name}");
        let consume = format!("consume, {name}");
        let mut rows = vec![
            row(
                batches.clone(),
                "rdkafka ThreadedProducer",
                alternate(rounds, || self.produce_batches(), || self.raw_threaded()),
                0.95,
            ),
            row(
                singles,
                "rdkafka FutureProducer",
                alternate(rounds, || self.produce_singles(), || self.raw_futures()),
                0.95,
            ),
        ];
        let topic = self.filled_topic();
        rows.push(row(
            consume.clone(),
            "rdkafka BaseConsumer, payload detached",
            alternate(rounds, || self.consume(&topic), || self.raw_consume(&topic)),
            0.95,
        ));
        if let Some(tools) = Tools::find() {
            rows.push(row(
                batches,
                "kafka-producer-perf-test",
                alternate(rounds, || self.produce_batches(), || tools.produce(self)),
                1.0,
            ));
            rows.push(row(
                consume,
                "kafka-consumer-perf-test",
                alternate(rounds, || self.consume(&topic), || tools.consume(self, &topic)),
                1.0,
            ));
        }
        self.delete(&topic);
        rows
    }

    fn number(&self) -> usize {
        self.topics.fetch_add(1, Ordering::Relaxed)
    }

    fn client(&self) -> RdKafkaClient {
        RdKafkaClient::builder(self.bootstrap).build().expect("valid settings")
    }

    /// Creates an empty topic.
    fn topic(&self) -> String {
        let topic = format!("bench-{}-{}", self.load.size, self.number());
        self.runtime
            .block_on(self.client().create_topic(NewTopic::new(&topic, PARTITIONS)))
            .expect("a new topic");
        topic
    }

    fn delete(&self, topic: &str) {
        self.runtime
            .block_on(self.client().delete_topic(topic))
            .expect("the topic exists");
    }

    /// Records per second of `produce` into a new topic.
    fn measure(&self, produce: impl FnOnce(&str)) -> f64 {
        let topic = self.topic();
        let clock = SystemClock::new();
        produce(&topic);
        let elapsed = clock.elapsed();
        self.delete(&topic);
        per_second(self.load.records as u64, elapsed)
    }

    fn filled_topic(&self) -> String {
        let topic = self.topic();
        self.runtime.block_on(self.write_batches(&topic));
        topic
    }

    fn produce_batches(&self) -> f64 {
        self.measure(|topic| self.runtime.block_on(self.write_batches(topic)))
    }

    async fn write_batches(&self, topic: &str) {
        let (client, producer) = self.producer().await;
        let (topic, value) = (TopicName::from(topic), self.value());
        let calls = (0..self.load.records / BATCH).map(|_| {
            let records = (0..BATCH).map(|_| ProducerRecord::new(&topic).with_value(value.clone()));
            client.produce_messages(&producer, records.collect())
        });
        let mut calls = stream::iter(calls).buffer_unordered(WINDOW / BATCH);
        while let Some(results) = calls.next().await {
            for result in results.expect("the producer is open") {
                result.expect("the record is acknowledged");
            }
        }
    }

    fn produce_singles(&self) -> f64 {
        self.measure(|topic| {
            self.runtime.block_on(async {
                let (client, producer) = self.producer().await;
                let (topic, value) = (TopicName::from(topic), self.value());
                let mut calls = FuturesUnordered::new();
                for _ in 0..self.load.records {
                    if calls.len() == WINDOW
                        && let Some(result) = calls.next().await
                    {
                        acknowledged(result);
                    }
                    let record = ProducerRecord::new(&topic).with_value(value.clone());
                    calls.push(client.produce_message(&producer, record));
                }
                while let Some(result) = calls.next().await {
                    acknowledged(result);
                }
            });
        })
    }

    async fn producer(&self) -> (RdKafkaClient, ProducerId) {
        let client = self.client();
        let config = ProducerConfig::new()
            .with_linger(LINGER)
            .with_batch_size(BATCH_BYTES)
            .with_queue_size(WINDOW * 2);
        let producer = client.create_producer(config).await.expect("a producer");
        (client, producer)
    }

    fn value(&self) -> Bytes {
        Bytes::from(vec![7_u8; self.load.size])
    }

    fn raw_settings(&self) -> ClientConfig {
        let mut settings = ClientConfig::new();
        settings
            .set("bootstrap.servers", self.bootstrap)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", LINGER.as_millis().to_string())
            .set("batch.size", BATCH_BYTES.to_string())
            .set("queue.buffering.max.messages", (WINDOW * 2).to_string());
        settings
    }

    fn raw_threaded(&self) -> f64 {
        self.measure(|topic| {
            let producer: ThreadedProducer<Deliveries> = self
                .raw_settings()
                .create_with_context(Deliveries::default())
                .expect("valid settings");
            let value = self.value();
            for _ in 0..self.load.records {
                let mut record = BaseRecord::<(), _>::to(topic).payload(value.as_ref());
                while let Err((error, again)) = producer.send(record) {
                    assert_eq!(
                        error,
                        KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull),
                        "only the queue may be full"
                    );
                    std::thread::yield_now();
                    record = again;
                }
            }
            producer.flush(PATIENCE).expect("all records are acknowledged in time");
            let delivered = producer.context().0.load(Ordering::Relaxed);
            assert_eq!(delivered, self.load.records as u64, "every record was acknowledged");
        })
    }

    fn raw_futures(&self) -> f64 {
        self.measure(|topic| {
            self.runtime.block_on(async {
                let producer: FutureProducer = self.raw_settings().create().expect("valid settings");
                let value = self.value();
                let mut calls = FuturesUnordered::new();
                for _ in 0..self.load.records {
                    if calls.len() == WINDOW
                        && let Some(delivery) = calls.next().await
                    {
                        delivered(delivery);
                    }
                    let record = FutureRecord::<(), _>::to(topic).payload(value.as_ref());
                    calls.push(producer.send_result(record).expect("the queue has room"));
                }
                while let Some(delivery) = calls.next().await {
                    delivered(delivery);
                }
            });
        })
    }

    fn consume(&self, topic: &str) -> f64 {
        self.runtime.block_on(async {
            let client = self.client();
            let config = ConsumerConfig::new(format!("ours-{}", self.number()), [topic])
                .with_offset_reset(OffsetReset::Earliest);
            let consumer = client.create_consumer(config).await.expect("a consumer");
            let options = ConsumeOptions::new().with_max_messages(BATCH).with_max_wait(PATIENCE);
            let mut reading = Reading::new(self.load);
            while !reading.is_complete() {
                let messages = client.consume_messages(&consumer, options).await.expect("messages");
                assert!(!messages.is_empty(), "everything has been written already");
                for message in messages {
                    reading.add(message.value.as_ref().map_or(0, Bytes::len));
                }
            }
            let rate = reading.rate();
            client.close_consumer(&consumer).await.expect("it was open");
            rate
        })
    }

    fn raw_consume(&self, topic: &str) -> f64 {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.bootstrap)
            .set("group.id", format!("raw-{}", self.number()))
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false")
            .set("fetch.queue.backoff.ms", "20")
            .create()
            .expect("valid settings");
        consumer.subscribe(&[topic]).expect("a valid topic");
        let mut reading = Reading::new(self.load);
        while !reading.is_complete() {
            // `None` also after an event of the group.
            let Some(message) = consumer.poll(PATIENCE) else {
                continue;
            };
            let message = message.expect("a message");
            let payload = message.payload().unwrap_or_default().to_vec();
            reading.add(std::hint::black_box(payload).len());
        }
        reading.rate()
    }
}

fn acknowledged(result: networking_spi::Result<networking_spi::kafka::RecordMetadata>) {
    result.expect("the record is acknowledged");
}

fn delivered<E: std::fmt::Debug>(
    delivery: Result<std::result::Result<rdkafka::producer::future_producer::Delivery, E>, impl std::fmt::Debug>,
) {
    delivery
        .expect("the producer is open")
        .expect("the record is acknowledged");
}

/// Counts messages and bytes, and the time from the first message.
struct Reading {
    load: Load,
    messages: usize,
    bytes: usize,
    clock: Option<SystemClock>,
}

impl Reading {
    fn new(load: Load) -> Self {
        Self {
            load,
            messages: 0,
            bytes: 0,
            clock: None,
        }
    }

    fn add(&mut self, bytes: usize) {
        self.clock.get_or_insert_with(SystemClock::new);
        self.messages += 1;
        self.bytes += bytes;
    }

    fn is_complete(&self) -> bool {
        self.messages >= self.load.records
    }

    fn rate(&self) -> f64 {
        let elapsed = self.clock.as_ref().map(Clock::elapsed).unwrap_or_default();
        assert_eq!(
            self.bytes,
            self.load.records * self.load.size,
            "every payload was whole"
        );
        per_second(self.messages as u64, elapsed)
    }
}

/// Counts the acknowledged records.
#[derive(Default)]
struct Deliveries(AtomicU64);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Kafka's own performance tools, whose classes are in `KAFKA_LIBRARIES`.
struct Tools {
    classes: String,
}

impl Tools {
    fn find() -> Option<Self> {
        let libraries = std::env::var("KAFKA_LIBRARIES").ok()?;
        Some(Self {
            classes: format!("{libraries}/*"),
        })
    }

    fn run(&self, main: &str, arguments: &[String]) -> String {
        let output = Command::new("java")
            .args(["-Xms256m", "-Xmx512m", "-cp", &self.classes, main])
            .args(arguments)
            .output()
            .expect("java can be run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{main} failed: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        text
    }

    /// The records per second that the tool reports.
    fn produce(&self, bench: &Bench<'_>) -> f64 {
        let topic = bench.topic();
        let arguments = [
            "--topic".to_owned(),
            topic.clone(),
            "--num-records".to_owned(),
            bench.load.records.to_string(),
            "--record-size".to_owned(),
            bench.load.size.to_string(),
            "--throughput".to_owned(),
            "-1".to_owned(),
            "--producer-props".to_owned(),
            format!("bootstrap.servers={}", bench.bootstrap),
            "acks=all".to_owned(),
            format!("linger.ms={}", LINGER.as_millis()),
            format!("batch.size={BATCH_BYTES}"),
        ];
        let text = self.run("org.apache.kafka.tools.ProducerPerformance", &arguments);
        bench.delete(&topic);
        // The last line is a summary: `500000 records sent, 113148.9 records/sec (10.79 MB/sec), ...`.
        let rate = text
            .lines()
            .rev()
            .find_map(|line| line.split(" records sent, ").nth(1)?.split(' ').next()?.parse().ok());
        rate.unwrap_or_else(|| panic!("no rate in: {text}"))
    }

    /// The records per second that the tool reports for its fetches, which leave joining the group out.
    fn consume(&self, bench: &Bench<'_>, topic: &str) -> f64 {
        let arguments = [
            "--bootstrap-server".to_owned(),
            bench.bootstrap.to_owned(),
            "--topic".to_owned(),
            topic.to_owned(),
            "--messages".to_owned(),
            bench.load.records.to_string(),
            "--group".to_owned(),
            format!("java-{}", bench.number()),
            "--timeout".to_owned(),
            PATIENCE.as_millis().to_string(),
        ];
        let text = self.run("org.apache.kafka.tools.ConsumerPerformance", &arguments);
        // A header and a line of values, whose last column is `fetch.nMsg.sec`.
        let rate = text
            .lines()
            .rev()
            .find_map(|line| line.rsplit(", ").next()?.trim().parse().ok());
        rate.unwrap_or_else(|| panic!("no rate in: {text}"))
    }
}
