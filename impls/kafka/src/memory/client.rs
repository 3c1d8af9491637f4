//! The client.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerConfig, ConsumerGroupInfo, ConsumerId, KafkaCapabilities, KafkaClient,
    KafkaMessage, KafkaMetrics, NewTopic, ProducerConfig, ProducerId, ProducerRecord, RecordMetadata, TopicMetadata,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::RwLock;
use tokio::task::coop::consume_budget;

use super::cluster::{Cluster, MemoryCluster};
use super::consumer::Consumer;
use super::fault::FaultPoint;
use super::producer::{Producer, Tally};

/// A Kafka client whose cluster is in the process.
///
/// A clone is the same client: producers, consumers and metrics are shared. When the last clone is dropped, its consumers
/// leave their groups. [`cluster`](Self::cluster) gives the cluster, for more clients and for faults.
///
/// * Records are written at once: `linger`, `batch_size` (but for how long records without a key stay in one partition) and
///   `compression` change nothing, and there is nothing to flush while a topic is available.
/// * Records without a key go to one partition per call, or per `batch_size`; the next call goes to the next partition.
/// * A consumer takes free partitions as soon as it is made. What another member holds, it gets when that one consumes next,
///   leaves, or is out of the group.
/// * Isolation levels have no effect, as there are no transactions.
///
/// ```
/// use networking_kafka::memory::MemoryKafka;
/// use networking_spi::kafka::{
///     CommitOffsets, ConsumeOptions, ConsumerConfig, KafkaClient, NewTopic, OffsetReset, ProducerConfig, ProducerRecord,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> networking_spi::Result<()> {
/// let kafka = MemoryKafka::new();
/// kafka.create_topic(NewTopic::new("orders", 3)).await?;
///
/// let producer = kafka.create_producer(ProducerConfig::new()).await?;
/// let record = ProducerRecord::new("orders").with_key("customer-7").with_value("one");
/// let written = kafka.produce_message(&producer, record).await?;
///
/// let config = ConsumerConfig::new("billing", ["orders"]).with_offset_reset(OffsetReset::Earliest);
/// let consumer = kafka.create_consumer(config).await?;
/// let messages = kafka.consume_messages(&consumer, ConsumeOptions::new()).await?;
/// assert_eq!(messages[0].partition, written.partition);
/// kafka.commit_offsets(&consumer, CommitOffsets::of(&messages)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryKafka(Arc<Client>);

struct Client {
    cluster: Arc<Cluster>,
    number: u64,
    handles: AtomicU64,
    producers: RwLock<HashMap<ProducerId, Arc<Producer>>>,
    consumers: RwLock<HashMap<ConsumerId, Arc<Consumer>>>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    messages_produced: AtomicU64,
    bytes_produced: AtomicU64,
    produce_errors: AtomicU64,
    messages_consumed: AtomicU64,
    bytes_consumed: AtomicU64,
    consume_errors: AtomicU64,
    commits: AtomicU64,
    commit_errors: AtomicU64,
    /// Rebalances of consumers that are closed.
    rebalances: AtomicU64,
}

impl MemoryKafka {
    /// A client of a cluster of its own, with the defaults of [`MemoryClusterBuilder`](super::MemoryClusterBuilder).
    pub fn new() -> Self {
        MemoryCluster::new().client()
    }

    /// The cluster.
    pub fn cluster(&self) -> MemoryCluster {
        MemoryCluster::from_inner(self.0.cluster.clone())
    }

    /// Has a consumer vanish as if its process had died: it does not leave its group, and its partitions go to other members
    /// only when its `session_timeout` has passed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub fn crash_consumer(&self, consumer: &ConsumerId) -> Result<()> {
        self.0.remove_consumer(consumer, "kafka.crash_consumer")?.crash();
        Ok(())
    }

    pub(super) fn on(cluster: Arc<Cluster>) -> Self {
        Self(Arc::new(Client {
            number: cluster.next_number(),
            cluster,
            handles: AtomicU64::new(0),
            producers: RwLock::default(),
            consumers: RwLock::default(),
            counters: Counters::default(),
        }))
    }
}

impl Default for MemoryKafka {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryKafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryKafka")
            .field("client", &self.0.number)
            .field("producers", &self.0.producers.read().len())
            .field("consumers", &self.0.consumers.read().len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl KafkaClient for MemoryKafka {
    async fn create_producer(&self, config: ProducerConfig) -> Result<ProducerId> {
        config.validate()?;
        no_backend_settings(config.backend.keys().next())?;
        let id = ProducerId::new(self.0.next_id("producer"));
        let mut producers = self.0.producers.write();
        self.0.ensure_room(producers.len(), "kafka.create_producer")?;
        producers.insert(id.clone(), Arc::new(Producer::new(self.0.cluster.clone(), config)));
        Ok(id)
    }

    async fn create_consumer(&self, config: ConsumerConfig) -> Result<ConsumerId> {
        config.validate()?;
        no_backend_settings(config.backend.keys().next())?;
        for topic in &config.topics {
            self.0.cluster.used_topic(topic, "kafka.create_consumer")?;
        }
        let number = self.0.cluster.next_number();
        let id = ConsumerId::new(self.0.next_id("consumer"));
        let mut consumers = self.0.consumers.write();
        self.0.ensure_room(consumers.len(), "kafka.create_consumer")?;
        let consumer = Consumer::join(id.clone(), number, self.0.cluster.clone(), config)?;
        consumers.insert(id.clone(), Arc::new(consumer));
        Ok(id)
    }

    async fn produce_message(&self, producer: &ProducerId, record: ProducerRecord) -> Result<RecordMetadata> {
        let mut results = self.produce_messages(producer, vec![record]).await?;
        results.pop().expect("one record has one result")
    }

    async fn produce_messages(
        &self,
        producer: &ProducerId,
        records: Vec<ProducerRecord>,
    ) -> Result<Vec<Result<RecordMetadata>>> {
        // Nothing here waits as a rule: without this, a caller in a loop would keep others from running.
        consume_budget().await;
        let producer = self.0.producer(producer, "kafka.produce_messages")?;
        let (results, tally) = producer.produce(records).await;
        self.0.counters.produced(&tally);
        Ok(results)
    }

    async fn consume_messages(&self, consumer: &ConsumerId, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        consume_budget().await;
        let consumer = self.0.consumer(consumer, "kafka.consume_messages")?;
        let counters = &self.0.counters;
        match consumer.consume(options).await {
            Ok(batch) => {
                counters
                    .messages_consumed
                    .fetch_add(batch.messages.len() as u64, Ordering::Relaxed);
                counters.bytes_consumed.fetch_add(batch.bytes, Ordering::Relaxed);
                Ok(batch.messages)
            }
            Err(error) => {
                counters.consume_errors.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    async fn commit_offsets(&self, consumer: &ConsumerId, offsets: CommitOffsets) -> Result<()> {
        consume_budget().await;
        let result = self.0.consumer(consumer, "kafka.commit_offsets")?.commit(offsets);
        let counter = if result.is_ok() {
            &self.0.counters.commits
        } else {
            &self.0.counters.commit_errors
        };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }

    async fn consumer_group_info(&self, group: &str) -> Result<ConsumerGroupInfo> {
        const OPERATION: &str = "kafka.consumer_group_info";
        self.0.cluster.faults.check(FaultPoint::Admin, OPERATION, |_| false)?;
        let known = self.0.cluster.group(group);
        known
            .map(|known| known.info(&self.0.cluster))
            .ok_or_else(|| NetworkError::not_found(OPERATION, "group", group))
    }

    async fn create_topic(&self, topic: NewTopic) -> Result<()> {
        self.0
            .cluster
            .faults
            .check(FaultPoint::Admin, "kafka.create_topic", |name| name == topic.name)?;
        self.0.cluster.create_topic(&topic)
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.0
            .cluster
            .faults
            .check(FaultPoint::Admin, "kafka.delete_topic", |name| name == topic)?;
        self.0.cluster.delete_topic(topic)
    }

    async fn topic_metadata(&self, topic: &str) -> Result<TopicMetadata> {
        self.0
            .cluster
            .faults
            .check(FaultPoint::Admin, "kafka.topic_metadata", |name| name == topic)?;
        self.0.cluster.topic_metadata(topic)
    }

    async fn kafka_metrics(&self) -> Result<KafkaMetrics> {
        Ok(self.0.metrics())
    }

    async fn flush(&self, producer: &ProducerId, timeout: Duration) -> Result<()> {
        self.0.producer(producer, "kafka.flush")?.flush(timeout).await
    }

    async fn close_producer(&self, producer: &ProducerId) -> Result<()> {
        const OPERATION: &str = "kafka.close_producer";
        let removed = self.0.producers.write().remove(producer);
        let removed = removed.ok_or_else(|| NetworkError::not_found(OPERATION, "producer", producer))?;
        removed
            .flush(removed.delivery_timeout())
            .await
            .map_err(|error| error.with_operation(OPERATION))
    }

    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<()> {
        self.0.remove_consumer(consumer, "kafka.close_consumer")?.close();
        Ok(())
    }

    fn capabilities(&self) -> KafkaCapabilities {
        let mut capabilities = KafkaCapabilities::none();
        capabilities.topic_admin = true;
        capabilities.group_info = true;
        capabilities.idempotent_producer = true;
        capabilities.static_membership = true;
        capabilities.timestamps = true;
        capabilities
    }
}

impl Client {
    fn next_id(&self, what: &str) -> String {
        format!(
            "memory-{}-{what}-{}",
            self.number,
            self.handles.fetch_add(1, Ordering::Relaxed)
        )
    }

    fn ensure_room(&self, open: usize, operation: &'static str) -> Result<()> {
        let limit = self.cluster.limits.handles;
        if open < limit {
            return Ok(());
        }
        Err(
            NetworkError::new(ErrorKind::Exhausted, operation, "the client has no room for more")
                .with_context("limit", limit.to_string()),
        )
    }

    fn producer(&self, id: &ProducerId, operation: &'static str) -> Result<Arc<Producer>> {
        self.producers
            .read()
            .get(id)
            .cloned()
            .ok_or_else(|| NetworkError::not_found(operation, "producer", id))
    }

    fn consumer(&self, id: &ConsumerId, operation: &'static str) -> Result<Arc<Consumer>> {
        self.consumers
            .read()
            .get(id)
            .cloned()
            .ok_or_else(|| NetworkError::not_found(operation, "consumer", id))
    }

    fn remove_consumer(&self, id: &ConsumerId, operation: &'static str) -> Result<Arc<Consumer>> {
        let removed = self.consumers.write().remove(id);
        let removed = removed.ok_or_else(|| NetworkError::not_found(operation, "consumer", id))?;
        self.counters
            .rebalances
            .fetch_add(removed.rebalances(), Ordering::Relaxed);
        Ok(removed)
    }

    fn metrics(&self) -> KafkaMetrics {
        let counters = &self.counters;
        let mut metrics = KafkaMetrics::default();
        metrics.messages_produced = counters.messages_produced.load(Ordering::Relaxed);
        metrics.bytes_produced = counters.bytes_produced.load(Ordering::Relaxed);
        metrics.produce_errors = counters.produce_errors.load(Ordering::Relaxed);
        metrics.messages_consumed = counters.messages_consumed.load(Ordering::Relaxed);
        metrics.bytes_consumed = counters.bytes_consumed.load(Ordering::Relaxed);
        metrics.consume_errors = counters.consume_errors.load(Ordering::Relaxed);
        metrics.commits = counters.commits.load(Ordering::Relaxed);
        metrics.commit_errors = counters.commit_errors.load(Ordering::Relaxed);
        metrics.rebalances = counters.rebalances.load(Ordering::Relaxed);
        metrics.producers = self
            .producers
            .read()
            .iter()
            .map(|(id, producer)| (id.clone(), producer.metrics()))
            .collect();
        for (id, consumer) in self.consumers.read().iter() {
            metrics.rebalances += consumer.rebalances();
            metrics.consumers.insert(id.clone(), consumer.metrics());
        }
        metrics
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for consumer in self.consumers.get_mut().values() {
            consumer.close();
        }
    }
}

impl Counters {
    fn produced(&self, tally: &Tally) {
        self.messages_produced.fetch_add(tally.messages, Ordering::Relaxed);
        self.bytes_produced.fetch_add(tally.bytes, Ordering::Relaxed);
        self.produce_errors.fetch_add(tally.errors, Ordering::Relaxed);
    }
}

fn no_backend_settings(first: Option<&String>) -> Result<()> {
    first.map_or(Ok(()), |name| {
        Err(NetworkError::invalid_input(
            format!("backend.{name}"),
            "the in-memory client has no settings of its own",
        ))
    })
}
