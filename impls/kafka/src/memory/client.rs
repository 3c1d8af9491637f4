//! The in-memory client.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::error::{ResultExt, context};
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerAssignment, ConsumerConfig, ConsumerGroupInfo, ConsumerId,
    KafkaCapabilities, KafkaClient, KafkaMessage, KafkaMetrics, NewTopic, ProducerConfig, ProducerId, ProducerRecord,
    ReaderConfig, RecordMetadata, Subscription, TopicMetadata, TransactionalProducerConfig, validate_topic_name,
};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::RwLock;
use tokio::task::coop::consume_budget;

use super::cluster::Cluster;
use super::consumer::Consumer;
use super::fault::FaultPoint;
use super::producer::Producer;
use super::transaction::Transaction;
use crate::counters::{ClientCounters, ConsumerCounters, ProducerCounters};

/// A Kafka client of a cluster in this process.
///
/// Clones share producers, consumers and metrics. When the last clone is dropped, its consumers leave their groups.
/// [`cluster`](Self::cluster) returns the cluster, to create more clients and to inject faults.
///
/// * Records are written after `linger`, or at once if it is zero, their call and those before it have `batch_size` bytes, or
///   the producer is flushed. `compression` has no effect, because records take no space on a network or a disk.
/// * Consecutive records without a key of one call and topic go to one partition until `batch_size` bytes are written, then to
///   the next partition. The next call also starts with the next partition (KIP-480).
/// * A consumer takes unassigned partitions when it is created. It takes a partition of another member after the next call to
///   consume of that member, or after that member has left the group or was removed from it (KIP-429).
/// * Topics have the settings of a broker, with its ranges. Those of compression, segments, disks and replication have no effect.
///   A compacted topic refuses records without a key and keeps all others: compaction never runs, as if the broker had not come
///   to it yet.
/// * With `acks = none`, a record that a broker would refuse is not written, and the call succeeds, as on a broker.
/// * [`KafkaTransactions`](networking_spi::kafka::KafkaTransactions) works as on brokers: isolation, fencing, and the offsets that the
///   ends of transactions take.
///
/// # Cancel safety
/// Dropping a call to consume loses no record. If a call to produce is dropped, records of available topics are already
/// written, and records that wait for an unavailable topic are not written.
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
    next_handle: AtomicU64,
    producers: RwLock<HashMap<ProducerId, Arc<Producer>>>,
    consumers: RwLock<HashMap<ConsumerId, Arc<Consumer>>>,
    counters: Arc<ClientCounters>,
}

impl MemoryKafka {
    /// Ends a consumer as if its process had crashed: it does not leave its group, and its partitions go to other members
    /// when its `session_timeout` has passed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a consumer that does not exist or is closed.
    pub fn crash_consumer(&self, consumer: &ConsumerId) -> Result<()> {
        self.0.remove_consumer(consumer, "kafka.crash_consumer")?.crash();
        Ok(())
    }

    pub(super) fn on(cluster: Arc<Cluster>) -> Self {
        Self(Arc::new(Client {
            number: cluster.next_number(),
            cluster,
            next_handle: AtomicU64::new(0),
            producers: RwLock::default(),
            consumers: RwLock::default(),
            counters: Arc::default(),
        }))
    }

    /// Adds a producer, which is transactional if there is a configuration for that.
    pub(super) fn add_producer(
        &self,
        config: ProducerConfig,
        operation: &'static str,
        transactional: Option<TransactionalProducerConfig>,
    ) -> Result<ProducerId> {
        config.validate()?;
        no_backend_settings(config.backend.keys().next())?;
        self.capabilities().check_producer(operation, &config)?;
        let id = ProducerId::new(self.0.next_id("producer"));
        let mut producers = self.0.producers.write();
        self.0.ensure_room(producers.len(), operation)?;
        let cluster = &self.0.cluster;
        let transaction = transactional.map(|config| Transaction::new(Arc::clone(cluster), config, operation));
        let counters = ProducerCounters::new(Arc::clone(&self.0.counters));
        let producer = Producer::new(Arc::clone(cluster), config, counters, transaction.transpose()?);
        producers.insert(id.clone(), Arc::new(producer));
        Ok(id)
    }

    pub(super) fn open_producer(&self, id: &ProducerId, operation: &'static str) -> Result<Arc<Producer>> {
        self.0.producer(id, operation)
    }

    /// Creates a consumer. The caller has checked the capabilities of reading.
    pub(super) fn open(&self, reader: ReaderConfig, operation: &'static str) -> Result<ConsumerId> {
        reader.validate()?;
        let ReaderConfig {
            mut consumer,
            subscription,
            ..
        } = reader;
        no_backend_settings(consumer.backend.keys().next())?;
        self.capabilities().check_consumer(operation, &consumer)?;
        let cluster = &self.0.cluster;
        let (shortest, longest) = cluster.limits.sessions;
        if self.capabilities().session_timeouts && !(shortest..=longest).contains(&consumer.session_timeout) {
            return Err(NetworkError::invalid_input(
                "session_timeout",
                format!("must be between {shortest:?} and {longest:?}"),
            ));
        }
        for topic in &consumer.topics {
            cluster.used_topic(topic, operation)?;
        }
        if let Subscription::Partitions(partitions) = &subscription {
            for of in partitions {
                if cluster
                    .used_topic(&of.topic, operation)?
                    .partition(of.partition)
                    .is_none()
                {
                    return Err(NetworkError::not_found(operation, "partition", of));
                }
            }
        }
        let number = cluster.next_number();
        if !self.capabilities().groups {
            // Alone in its group, a consumer reads all partitions.
            consumer.group = format!("{}#{number}", consumer.group);
        }
        let id = ConsumerId::new(self.0.next_id("consumer"));
        let mut consumers = self.0.consumers.write();
        self.0.ensure_room(consumers.len(), operation)?;
        let counters = ConsumerCounters::new(Arc::clone(&self.0.counters));
        let consumer = Consumer::join(id.clone(), number, cluster.clone(), consumer, subscription, counters)?;
        consumers.insert(id.clone(), Arc::new(consumer));
        Ok(id)
    }

    pub(super) fn consumer(&self, id: &ConsumerId, operation: &'static str) -> Result<Arc<Consumer>> {
        self.0.consumer(id, operation)
    }

    pub(super) fn shared_cluster(&self) -> &Arc<Cluster> {
        &self.0.cluster
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
        self.add_producer(config, "kafka.create_producer", None)
    }

    async fn create_consumer(&self, config: ConsumerConfig) -> Result<ConsumerId> {
        self.open(ReaderConfig::topics(config), "kafka.create_consumer")
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
        // Producing usually does not wait. Without this, a caller in a loop would starve other tasks.
        consume_budget().await;
        let producer = self.0.producer(producer, "kafka.produce_messages")?;
        Ok(producer.produce(records).await)
    }

    async fn consume_messages(&self, consumer: &ConsumerId, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        consume_budget().await;
        self.0
            .consumer(consumer, "kafka.consume_messages")?
            .consume(options)
            .await
    }

    async fn commit_offsets(&self, consumer: &ConsumerId, offsets: CommitOffsets) -> Result<()> {
        consume_budget().await;
        self.capabilities().require("kafka.commit_offsets", "groups")?;
        self.0.consumer(consumer, "kafka.commit_offsets")?.commit(offsets)
    }

    async fn consumer_assignment(&self, consumer: &ConsumerId) -> Result<ConsumerAssignment> {
        Ok(self.0.consumer(consumer, "kafka.consumer_assignment")?.assignment())
    }

    async fn consumer_group_info(&self, group: &str) -> Result<ConsumerGroupInfo> {
        const OPERATION: &str = "kafka.consumer_group_info";
        self.capabilities().require(OPERATION, "group_info")?;
        validate::name(group, 255, "group").in_operation(OPERATION)?;
        self.0.cluster.faults.check(FaultPoint::Admin, OPERATION, |_| false)?;
        let info = self.0.cluster.group_info(group);
        info.ok_or_else(|| NetworkError::not_found(OPERATION, "group", group))
    }

    async fn create_topic(&self, topic: NewTopic) -> Result<()> {
        const OPERATION: &str = "kafka.create_topic";
        self.capabilities().check_topic(OPERATION, &topic)?;
        self.0
            .cluster
            .faults
            .check(FaultPoint::Admin, OPERATION, |name| name == topic.name)?;
        self.0.cluster.create_topic(&topic)
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.capabilities().require("kafka.delete_topic", "topic_admin")?;
        validate_topic_name(topic, "topic").in_operation("kafka.delete_topic")?;
        self.0
            .cluster
            .faults
            .check(FaultPoint::Admin, "kafka.delete_topic", |name| name == topic)?;
        self.0.cluster.delete_topic(topic)
    }

    async fn topic_metadata(&self, topic: &str) -> Result<TopicMetadata> {
        validate_topic_name(topic, "topic").in_operation("kafka.topic_metadata")?;
        self.0
            .cluster
            .faults
            .check(FaultPoint::Admin, "kafka.topic_metadata", |name| name == topic)?;
        let mut metadata = self.0.cluster.topics.metadata(topic)?;
        if !self.capabilities().leaders {
            for partition in &mut metadata.partitions {
                partition.leader = None;
                partition.replicas.clear();
                partition.in_sync_replicas.clear();
            }
        }
        Ok(metadata)
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
        if let Some(transaction) = removed.transaction() {
            transaction.close();
        }
        removed.flush(removed.delivery_timeout()).await.in_operation(OPERATION)
    }

    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<()> {
        self.0.remove_consumer(consumer, "kafka.close_consumer")?.close();
        Ok(())
    }

    fn capabilities(&self) -> KafkaCapabilities {
        self.0.cluster.capabilities
    }
}

impl Client {
    fn next_id(&self, what: &str) -> String {
        format!(
            "memory-{}-{what}-{}",
            self.number,
            self.next_handle.fetch_add(1, Ordering::Relaxed)
        )
    }

    fn ensure_room(&self, open: usize, operation: &'static str) -> Result<()> {
        let limit = self.cluster.limits.handles;
        if open < limit {
            return Ok(());
        }
        Err(NetworkError::new(
            ErrorKind::Exhausted,
            operation,
            "the client has reached its limit of open producers or consumers; close some",
        )
        .with_context(context::LIMIT, limit.to_string()))
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
        removed.ok_or_else(|| NetworkError::not_found(operation, "consumer", id))
    }

    fn metrics(&self) -> KafkaMetrics {
        let mut metrics = self.counters.snapshot();
        metrics.producers = self
            .producers
            .read()
            .iter()
            .map(|(id, producer)| (id.clone(), producer.metrics()))
            .collect();
        metrics.consumers = self
            .consumers
            .read()
            .iter()
            .map(|(id, consumer)| (id.clone(), consumer.metrics()))
            .collect();
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

fn no_backend_settings(first: Option<&String>) -> Result<()> {
    first.map_or(Ok(()), |name| {
        Err(NetworkError::invalid_input(
            format!("backend.{name}"),
            "the in-memory client has no backend settings",
        ))
    })
}
