//! Stream processors over the in-memory cluster: order, retries, poison messages, commits and stopping.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use networking_kafka::memory::{Fault, FaultPoint, MemoryCluster, MemoryKafka};
use networking_kafka::toolkit::KafkaToolkit;
use networking_spi::backoff::{Backoff, Jitter};
use networking_spi::kafka::{
    ConsumerConfig, DeliveryGuarantee, KafkaClient, KafkaClientExt, KafkaExtended, KafkaMessage, NewTopic, OffsetReset,
    PoisonPolicy, ProcessedRecord, ProcessorId, ProducerConfig, ProducerRecord, StreamProcessor, StreamProcessorConfig,
    StreamState, StreamStatus, stream_fn,
};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability};
use tokio::sync::{Barrier, Notify};
use tokio::time::{Instant, sleep};

/// A cluster with the topics `in` (two partitions), `out` and `dead`, and a toolkit over it.
struct Fixture {
    cluster: MemoryCluster,
    kafka: MemoryKafka,
    toolkit: KafkaToolkit,
}

impl Fixture {
    async fn new() -> Self {
        let cluster = MemoryCluster::new();
        let kafka = cluster.client();
        for (topic, partitions) in [("in", 2), ("out", 1), ("dead", 1)] {
            kafka.create_topic(NewTopic::new(topic, partitions)).await.expect("new");
        }
        let toolkit = KafkaToolkit::builder(Arc::new(cluster.client())).build();
        Self {
            cluster,
            kafka,
            toolkit,
        }
    }

    /// Writes values to a partition of `in`.
    async fn write(&self, partition: i32, values: &[&str]) {
        let producer = self
            .kafka
            .create_producer(ProducerConfig::new())
            .await
            .expect("created");
        let records = values.iter().map(|value| {
            ProducerRecord::new("in")
                .with_partition(partition)
                .with_key("k")
                .with_value((*value).to_owned())
        });
        for result in self
            .kafka
            .produce_messages(&producer, records.collect())
            .await
            .expect("open")
        {
            result.expect("written");
        }
    }

    async fn start(&self, config: StreamProcessorConfig, code: impl StreamProcessor) -> ProcessorId {
        let id = self
            .toolkit
            .create_stream_processor(config, Arc::new(code))
            .await
            .expect("valid");
        self.toolkit.process_kafka_stream(&id).await.expect("started");
        id
    }

    async fn status(&self, id: &ProcessorId) -> StreamStatus {
        self.toolkit.stream_status(id).await.expect("known")
    }

    async fn until(&self, id: &ProcessorId, done: impl Fn(&StreamStatus) -> bool) -> StreamStatus {
        let deadline = Instant::now() + Duration::from_secs(6_000);
        loop {
            let status = self.status(id).await;
            if done(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{status:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// All messages of a topic.
    async fn read(&self, topic: &str) -> Vec<KafkaMessage> {
        let config = ConsumerConfig::new("reader", [topic]).with_offset_reset(OffsetReset::Earliest);
        let consumer = self.kafka.create_consumer(config).await.expect("created");
        let messages = self
            .kafka
            .consume_exactly(&consumer, 1_000, Duration::from_millis(1))
            .await
            .expect("read");
        self.kafka.close_consumer(&consumer).await.expect("closed");
        messages
    }

    async fn values(&self, topic: &str) -> Vec<String> {
        self.read(topic)
            .await
            .iter()
            .map(|message| message.value_str().expect("text").to_owned())
            .collect()
    }

    /// Committed offsets of the application by partition.
    async fn committed(&self) -> BTreeMap<i32, i64> {
        match self.kafka.consumer_group_info("app").await {
            Ok(info) => info
                .offsets
                .iter()
                .filter_map(|offset| Some((offset.partition.partition, offset.committed?)))
                .collect(),
            // A group without members and committed offsets is removed.
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::NotFound);
                BTreeMap::new()
            }
        }
    }
}

/// A processor whose code is a closure over the value and the number of the call, from 1.
struct Code<F>(F, AtomicUsize);

impl<F> fmt::Debug for Code<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code")
    }
}

fn code<F: Fn(&str, usize) -> Result<ProcessedRecord> + Send + Sync + 'static>(code: F) -> Code<F> {
    Code(code, AtomicUsize::new(0))
}

#[async_trait]
impl<F: Fn(&str, usize) -> Result<ProcessedRecord> + Send + Sync + 'static> StreamProcessor for Code<F> {
    async fn process(&self, message: KafkaMessage) -> Result<ProcessedRecord> {
        let call = self.1.fetch_add(1, Ordering::Relaxed) + 1;
        (self.0)(message.value_str().expect("text"), call)
    }
}

/// Copies the value to the processor's output topic.
#[allow(clippy::unnecessary_wraps, reason = "it has the signature of a processor's code")]
fn copy(value: &str) -> Result<ProcessedRecord> {
    Ok(ProcessedRecord::emit([
        ProducerRecord::new("").with_value(value.to_owned())
    ]))
}

fn config() -> StreamProcessorConfig {
    StreamProcessorConfig::new("app", ["in"]).with_output_topic("out")
}

fn broken() -> NetworkError {
    NetworkError::new(ErrorKind::Decode, "test", "cannot be read")
}

fn busy() -> NetworkError {
    NetworkError::new(ErrorKind::RateLimited, "test", "busy")
}

#[tokio::test(start_paused = true)]
async fn messages_are_transformed_in_order_and_committed_after_their_outputs() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a", "b", "c"]).await;
    let upper = code(|value, _| {
        let twice = [value.to_uppercase(), format!("{value}{value}")];
        Ok(ProcessedRecord::emit(
            twice.map(|value| ProducerRecord::new("").with_value(value)),
        ))
    });
    let id = fixture.start(config(), upper).await;
    assert_eq!(fixture.status(&id).await.state, StreamState::Running);
    fixture.until(&id, |status| status.processed == 3).await;
    let status = fixture.toolkit.stop_stream(&id).await.expect("drained");
    assert_eq!(
        (status.state, status.processed, status.emitted),
        (StreamState::Stopped, 3, 6)
    );
    assert_eq!(fixture.values("out").await, ["A", "aa", "B", "bb", "C", "cc"]);
    assert_eq!(fixture.committed().await, BTreeMap::from([(0, 3)]));

    fixture.write(0, &["d"]).await;
    let id = fixture.start(config(), code(|value, _| copy(value))).await;
    fixture.until(&id, |status| status.processed == 1).await;
    assert_eq!(
        fixture.values("out").await.last().map(String::as_str),
        Some("d"),
        "it continues where the first one ended"
    );
}

#[tokio::test(start_paused = true)]
async fn a_closure_is_a_processor() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a", "b"]).await;
    let upper = stream_fn(|message: KafkaMessage| async move {
        let value = message.value.expect("every record has one");
        Ok(ProcessedRecord::value(value.to_ascii_uppercase()))
    });
    let id = fixture
        .toolkit
        .create_stream_processor(config().with_output_topic("out"), upper)
        .await
        .expect("valid");
    fixture.toolkit.process_kafka_stream(&id).await.expect("started");
    fixture.until(&id, |status| status.processed == 2).await;
    assert_eq!(fixture.values("out").await, ["A", "B"]);
}

#[derive(Debug)]
struct WaitsForOtherLane(Barrier);

#[async_trait]
impl StreamProcessor for WaitsForOtherLane {
    async fn process(&self, _message: KafkaMessage) -> Result<ProcessedRecord> {
        self.0.wait().await;
        Ok(ProcessedRecord::skip())
    }
}

#[tokio::test(start_paused = true)]
async fn partitions_run_concurrently() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a", "b"]).await;
    fixture.write(1, &["a", "b"]).await;
    let id = fixture.start(config(), WaitsForOtherLane(Barrier::new(2))).await;
    fixture.until(&id, |status| status.processed == 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_retryable_failure_is_retried_with_doubling_waits() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a"]).await;
    let began = Instant::now();
    let third_time = code(|value, call| if call < 3 { Err(busy()) } else { copy(value) });
    let exact = Backoff::new(Duration::from_secs(10), Duration::from_secs(60)).with_jitter(Jitter::None);
    let id = fixture
        .start(
            config().with_attempts(3, Duration::ZERO).with_backoff(exact),
            third_time,
        )
        .await;
    let status = fixture.until(&id, |status| status.processed == 1).await;
    assert_eq!((status.retries, status.skipped), (2, 0));
    assert!(began.elapsed() >= Duration::from_secs(10 + 20), "{:?}", began.elapsed());
    assert!(status.last_error.expect("noted").contains("busy"));
}

#[tokio::test(start_paused = true)]
async fn a_member_stays_in_its_group_during_a_long_wait() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a", "b"]).await;
    let began = Instant::now();
    let later = Retryability::After(Duration::from_secs(1_000));
    let second_time = code(move |value, call| {
        if call < 2 {
            Err(busy().with_retryability(later))
        } else {
            copy(value)
        }
    });
    let mut config = config();
    config.max_batch = 1;
    let id = fixture.start(config, second_time).await;
    fixture.until(&id, |status| status.processed == 2).await;
    assert!(
        began.elapsed() >= Duration::from_secs(1_000),
        "the requested wait is kept"
    );
    fixture.toolkit.stop_stream(&id).await.expect("drained");
    assert_eq!(
        fixture.values("out").await,
        ["a", "b"],
        "no message was delivered twice"
    );
    assert_eq!(fixture.committed().await, BTreeMap::from([(0, 2)]));
}

#[tokio::test(start_paused = true)]
async fn the_policy_fail_stops_at_the_message() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a", "bad", "c"]).await;
    let id = fixture
        .start(
            config(),
            code(|value, _| if value == "bad" { Err(broken()) } else { copy(value) }),
        )
        .await;
    let status = fixture.until(&id, |status| status.state == StreamState::Failed).await;
    assert_eq!((status.processed, status.skipped, status.retries), (1, 0, 0));
    assert!(status.last_error.expect("noted").contains("in[0] at 1"));
    assert_eq!(
        (fixture.values("out").await, fixture.committed().await),
        (vec!["a".into()], BTreeMap::from([(0, 1)]))
    );
    assert_eq!(
        fixture
            .toolkit
            .process_kafka_stream(&id)
            .await
            .expect_err("failed")
            .kind(),
        ErrorKind::Closed
    );

    let id = fixture.start(config(), code(|value, _| copy(value))).await;
    fixture.until(&id, |status| status.processed == 2).await;
    assert_eq!(fixture.values("out").await, ["a", "bad", "c"], "nothing is lost");
}

#[tokio::test(start_paused = true)]
async fn the_policy_skip_skips_the_message_after_the_last_attempt() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a", "bad", "c"]).await;
    let config = config()
        .with_on_poison(PoisonPolicy::Skip)
        .with_attempts(3, Duration::from_millis(1));
    let id = fixture
        .start(
            config,
            code(|value, _| if value == "bad" { Err(busy()) } else { copy(value) }),
        )
        .await;
    let status = fixture.until(&id, |status| status.processed == 2).await;
    assert_eq!(
        (status.skipped, status.retries, status.state),
        (1, 2, StreamState::Running)
    );
    fixture.toolkit.stop_stream(&id).await.expect("drained");
    assert_eq!(
        (fixture.values("out").await, fixture.committed().await),
        (vec!["a".into(), "c".into()], BTreeMap::from([(0, 3)]))
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_names_its_origin_and_its_error() {
    let fixture = Fixture::new().await;
    fixture.write(1, &["a", "bad", "c"]).await;
    let config = config().with_on_poison(PoisonPolicy::DeadLetter { topic: "dead".into() });
    let panics = code(|value, _| {
        assert!(value != "bad", "on purpose");
        copy(value)
    });
    let id = fixture.start(config, panics).await;
    let status = fixture.until(&id, |status| status.processed == 2).await;
    assert_eq!((status.dead_lettered, status.emitted), (1, 2));
    fixture.toolkit.stop_stream(&id).await.expect("drained");
    assert_eq!(fixture.values("out").await, ["a", "c"]);
    let dead_letter = &fixture.read("dead").await[0];
    assert_eq!(
        (dead_letter.key.as_deref(), dead_letter.value_str()),
        (Some(&b"k"[..]), Some("bad"))
    );
    let header = |name: &str| {
        dead_letter
            .headers
            .get_str(&format!("__streams.errors.{name}"))
            .map(str::to_owned)
    };
    assert_eq!(header("topic").as_deref(), Some("in"));
    assert_eq!(
        (header("partition").as_deref(), header("offset").as_deref()),
        (Some("1"), Some("1"))
    );
    assert_eq!(header("exception").as_deref(), Some("internal"));
    assert!(header("message").expect("set").contains("panicked"));
}

#[tokio::test(start_paused = true)]
async fn outputs_that_fail_temporarily_are_written_again_in_order() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a", "b", "c"]).await;
    fixture.cluster.inject(
        Fault::new(FaultPoint::Produce, ErrorKind::Timeout)
            .on_topic("out")
            .after(1)
            .times(1),
    );
    let id = fixture.start(config(), code(|value, _| copy(value))).await;
    let status = fixture.until(&id, |status| status.processed == 3).await;
    assert_eq!((status.retries, status.emitted), (1, 3));
    fixture.toolkit.stop_stream(&id).await.expect("drained");
    // The first attempt also wrote the third output: delivery is at least once, and the last copies are in order.
    assert_eq!(fixture.values("out").await, ["a", "c", "b", "c"]);
    assert_eq!(fixture.committed().await, BTreeMap::from([(0, 3)]));
}

#[tokio::test(start_paused = true)]
async fn no_policy_skips_messages_if_the_output_topic_fails() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a", "b"]).await;
    fixture.cluster.inject(
        Fault::new(FaultPoint::Produce, ErrorKind::PermissionDenied)
            .on_topic("out")
            .times(usize::MAX),
    );
    let id = fixture
        .start(
            config().with_on_poison(PoisonPolicy::Skip),
            code(|value, _| copy(value)),
        )
        .await;
    let status = fixture.until(&id, |status| status.state == StreamState::Failed).await;
    assert_eq!((status.processed, status.skipped), (0, 0));
    assert_eq!(
        fixture.committed().await,
        BTreeMap::new(),
        "all messages are processed again when the permission is granted"
    );
}

#[tokio::test(start_paused = true)]
async fn an_output_that_is_too_large_makes_its_message_poison() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a", "large", "c"]).await;
    let config = config().with_on_poison(PoisonPolicy::DeadLetter { topic: "dead".into() });
    let sized = code(|value, _| {
        let size = if value == "large" { 2_000_000 } else { 1 };
        Ok(ProcessedRecord::emit([
            ProducerRecord::new("").with_value(value.repeat(size))
        ]))
    });
    let id = fixture.start(config, sized).await;
    let status = fixture.until(&id, |status| status.processed == 2).await;
    assert_eq!(status.dead_lettered, 1);
    fixture.toolkit.stop_stream(&id).await.expect("drained");
    assert_eq!(fixture.values("dead").await, ["large"]);
    assert_eq!(fixture.values("out").await.last().map(String::as_str), Some("c"));
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_written_stops_the_processor() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["bad"]).await;
    fixture.cluster.inject(
        Fault::new(FaultPoint::Produce, ErrorKind::TooLarge)
            .on_topic("dead")
            .times(usize::MAX),
    );
    let config = config().with_on_poison(PoisonPolicy::DeadLetter { topic: "dead".into() });
    let id = fixture.start(config, code(|_, _| Err(broken()))).await;
    fixture.until(&id, |status| status.state == StreamState::Failed).await;
    assert_eq!(fixture.committed().await, BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn outages_of_consuming_and_committing_are_retried() {
    let fixture = Fixture::new().await;
    fixture
        .cluster
        .inject(Fault::new(FaultPoint::Consume, ErrorKind::ConnectionClosed).times(2));
    fixture
        .cluster
        .inject(Fault::new(FaultPoint::Commit, ErrorKind::Timeout).times(4));
    fixture.write(0, &["a"]).await;
    let id = fixture.start(config(), code(|value, _| copy(value))).await;
    fixture
        .until(&id, |status| status.processed == 1 && status.retries == 2 + 3)
        .await;
    // Three attempts to commit failed; the next batch commits both offsets.
    fixture.write(1, &["b"]).await;
    fixture.until(&id, |status| status.processed == 2).await;
    let status = fixture.toolkit.stop_stream(&id).await.expect("drained");
    assert_eq!(status.state, StreamState::Stopped);
    assert_eq!(fixture.committed().await, BTreeMap::from([(0, 1), (1, 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_stops_the_processor() {
    let fixture = Fixture::new().await;
    fixture
        .cluster
        .inject(Fault::new(FaultPoint::Consume, ErrorKind::Authentication).times(1));
    let id = fixture.start(config(), code(|value, _| copy(value))).await;
    let status = fixture.until(&id, |status| status.state == StreamState::Failed).await;
    assert!(status.last_error.expect("noted").contains("authentication"));
    let stopped = fixture.toolkit.stop_stream(&id).await.expect("it has ended");
    assert_eq!(stopped.state, StreamState::Failed);
}

#[derive(Debug, Clone, Default)]
struct Gate {
    entered: Arc<Notify>,
    open: Arc<Notify>,
}

#[async_trait]
impl StreamProcessor for Gate {
    async fn process(&self, message: KafkaMessage) -> Result<ProcessedRecord> {
        self.entered.notify_one();
        self.open.notified().await;
        copy(message.value_str().expect("text"))
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_finishes_the_current_batch() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a"]).await;
    let gate = Gate::default();
    let id = fixture.start(config(), gate.clone()).await;
    gate.entered.notified().await;
    let stopping = {
        let (toolkit, id) = (fixture.toolkit.clone(), id.clone());
        tokio::spawn(async move { toolkit.stop_stream(&id).await })
    };
    fixture.until(&id, |status| status.state == StreamState::Stopping).await;
    fixture.write(0, &["b"]).await;
    gate.open.notify_one();
    let status = stopping.await.expect("no panic").expect("drained");
    assert_eq!((status.state, status.processed), (StreamState::Stopped, 1));
    assert_eq!(fixture.committed().await, BTreeMap::from([(0, 1)]));
    assert_eq!(fixture.toolkit.stop_stream(&id).await.expect("again").processed, 1);
    assert!(
        fixture
            .kafka
            .consumer_group_info("app")
            .await
            .expect("known")
            .members
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_no_longer_than_the_drain_timeout() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a"]).await;
    let gate = Gate::default();
    let mut config = config();
    config.drain_timeout = Duration::from_secs(5);
    let id = fixture.start(config, gate.clone()).await;
    gate.entered.notified().await;
    let began = Instant::now();
    let error = fixture.toolkit.stop_stream(&id).await.expect_err("still processing");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(began.elapsed() < Duration::from_secs(6));
    assert_eq!(fixture.status(&id).await.state, StreamState::Stopped);
    let id = fixture.start(self::config(), code(|value, _| copy(value))).await;
    fixture.until(&id, |status| status.processed == 1).await;
    assert_eq!(
        fixture.values("out").await,
        ["a"],
        "uncommitted messages are processed by the next processor"
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_the_toolkit_leaves_the_group() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a"]).await;
    let id = fixture.start(config(), code(|value, _| copy(value))).await;
    fixture.until(&id, |status| status.processed == 1).await;
    let Fixture { kafka, toolkit, .. } = fixture;
    drop(toolkit);
    while !kafka
        .consumer_group_info("app")
        .await
        .expect("known")
        .members
        .is_empty()
    {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_output_without_a_topic_is_poison_if_the_processor_has_no_output_topic() {
    let fixture = Fixture::new().await;
    fixture.write(0, &["a"]).await;
    let config = StreamProcessorConfig::new("app", ["in"]);
    let id = fixture.start(config, code(|value, _| copy(value))).await;
    let status = fixture.until(&id, |status| status.state == StreamState::Failed).await;
    assert!(status.last_error.expect("noted").contains("output_topic"));
}

#[tokio::test(start_paused = true)]
async fn misuse_is_reported() {
    let fixture = Fixture::new().await;
    let create = |config: StreamProcessorConfig| {
        let toolkit = fixture.toolkit.clone();
        async move {
            toolkit
                .create_stream_processor(config, Arc::new(code(|value, _| copy(value))))
                .await
        }
    };
    let exactly_once = config().with_guarantee(DeliveryGuarantee::ExactlyOnce);
    assert_eq!(
        create(exactly_once).await.expect_err("no transactions").kind(),
        ErrorKind::Unsupported
    );
    let nothing_to_read = StreamProcessorConfig::new("app", Vec::<String>::new());
    assert_eq!(
        create(nothing_to_read).await.expect_err("invalid").field(),
        Some("input_topics")
    );

    let id = create(config()).await.expect("valid");
    assert_eq!(
        create(config()).await.expect_err("in use").kind(),
        ErrorKind::AlreadyExists
    );
    assert_eq!(fixture.status(&id).await.state, StreamState::Created);
    fixture.toolkit.process_kafka_stream(&id).await.expect("started");
    fixture.toolkit.process_kafka_stream(&id).await.expect("is running");
    fixture.toolkit.stop_stream(&id).await.expect("drained");
    assert_eq!(
        fixture
            .toolkit
            .process_kafka_stream(&id)
            .await
            .expect_err("stopped")
            .kind(),
        ErrorKind::Closed
    );

    let id = create(config()).await.expect("the previous one has ended");
    let stopped = fixture.toolkit.stop_stream(&id).await.expect("never ran");
    assert_eq!(stopped.state, StreamState::Stopped);

    let missing = StreamProcessorConfig::new("other", ["missing"]);
    let id = create(missing).await.expect("valid");
    assert_eq!(
        fixture
            .toolkit
            .process_kafka_stream(&id)
            .await
            .expect_err("no topic")
            .kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        fixture.status(&id).await.state,
        StreamState::Created,
        "it can be started when the topic exists"
    );
    let unknown = ProcessorId::new("unknown");
    assert_eq!(
        fixture
            .toolkit
            .stream_status(&unknown)
            .await
            .expect_err("unknown")
            .kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        fixture.toolkit.stop_stream(&unknown).await.expect_err("unknown").kind(),
        ErrorKind::NotFound
    );
}
