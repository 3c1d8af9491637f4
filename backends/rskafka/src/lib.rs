//! A backend outside of the reference implementations: [`KafkaClient`] over the pure Rust client `rskafka`.
//!
//! `rskafka` writes to partitions and reads them by offset. It has no consumer groups, no idempotence and no transactions, and
//! its capabilities say so. These limits have no capability:
//!
//! * Topics cannot be created with a configuration: a `NewTopic::config` is refused.
//! * Partitions to which a transaction has written cannot be read: `rskafka` cannot decode the end of a transaction, and consuming
//!   fails with `Protocol`.
//! * Topics that Kafka marks as internal, such as `__consumer_offsets`, are not found.
//! * A consumer opens one connection for each partition that it reads, and holds at most 1 MiB of records, or one larger batch, of each.

mod cluster;
mod consumer;
mod error;
mod producer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerAssignment, ConsumerConfig, ConsumerGroupInfo, ConsumerId,
    KafkaCapabilities, KafkaClient, KafkaMessage, KafkaMetrics, NewTopic, PartitionMetadata, ProducerConfig,
    ProducerId, ProducerRecord, RecordMetadata, TopicMetadata, validate_topic_name,
};
use networking_spi::validate::{Validate, ensure};
use networking_spi::{ErrorKind, NetworkError, Result};
use rskafka::client::partition::OffsetAt;

use crate::cluster::{Cluster, within};
use crate::consumer::Consumer;
use crate::producer::Producer;

/// What [`RsKafkaClient`] supports.
pub(crate) const CAPABILITIES: KafkaCapabilities = {
    let mut capabilities = KafkaCapabilities::none();
    capabilities.topic_admin = true;
    capabilities.timestamps = true;
    capabilities
};

/// Numbers the producers and consumers of all clients, so that no two have the same id.
static HANDLES: AtomicU64 = AtomicU64::new(0);

/// A client over `rskafka`. Clones share the connections, the producers and the consumers.
#[derive(Debug, Clone)]
pub struct RsKafkaClient(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    cluster: Arc<Cluster>,
    producers: Mutex<BTreeMap<ProducerId, Arc<Producer>>>,
    consumers: Mutex<BTreeMap<ConsumerId, Arc<Consumer>>>,
    totals: Arc<Mutex<KafkaMetrics>>,
}

impl RsKafkaClient {
    /// Connects to a cluster by the addresses of some of its brokers, such as `127.0.0.1:9092`. Call it in a tokio runtime,
    /// where the tasks of the client run.
    ///
    /// Cancel safety: nothing remains if the future is dropped.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming `bootstrap` without an address, and connection errors.
    pub async fn connect<A: Into<String>>(bootstrap: impl IntoIterator<Item = A>) -> Result<Self> {
        let bootstrap: Vec<String> = bootstrap.into_iter().map(Into::into).collect();
        ensure(!bootstrap.is_empty(), "bootstrap", "must not be empty")?;
        Ok(Self(Arc::new(Shared {
            cluster: Arc::new(Cluster::connect(bootstrap).await?),
            producers: Mutex::default(),
            consumers: Mutex::default(),
            totals: Arc::default(),
        })))
    }

    fn producer(&self, operation: &'static str, id: &ProducerId) -> Result<Arc<Producer>> {
        let found = lock(&self.0.producers).get(id).cloned();
        found.ok_or_else(|| NetworkError::not_found(operation, "producer", id))
    }

    fn consumer(&self, operation: &'static str, id: &ConsumerId) -> Result<Arc<Consumer>> {
        let found = lock(&self.0.consumers).get(id).cloned();
        found.ok_or_else(|| NetworkError::not_found(operation, "consumer", id))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaClient for RsKafkaClient {
    async fn create_producer(&self, config: ProducerConfig) -> Result<ProducerId> {
        config.validate()?;
        CAPABILITIES.check_producer("kafka.create_producer", &config)?;
        no_settings(&config.backend)?;
        let (cluster, totals) = (Arc::clone(&self.0.cluster), Arc::clone(&self.0.totals));
        let producer = Producer::new(cluster, config, totals)?;
        let id = ProducerId::new(next_id("producer"));
        lock(&self.0.producers).insert(id.clone(), Arc::new(producer));
        Ok(id)
    }

    async fn create_consumer(&self, config: ConsumerConfig) -> Result<ConsumerId> {
        config.validate()?;
        CAPABILITIES.check_consumer("kafka.create_consumer", &config)?;
        no_settings(&config.backend)?;
        let consumer = Consumer::new(Arc::clone(&self.0.cluster), config).await?;
        let id = ConsumerId::new(next_id("consumer"));
        lock(&self.0.consumers).insert(id.clone(), Arc::new(consumer));
        Ok(id)
    }

    async fn produce_message(&self, producer: &ProducerId, record: ProducerRecord) -> Result<RecordMetadata> {
        let mut results = self.produce_messages(producer, vec![record]).await?;
        let missing = || NetworkError::new(ErrorKind::Internal, "kafka.produce_message", "no result");
        results.pop().unwrap_or_else(|| Err(missing()))
    }

    async fn produce_messages(
        &self,
        producer: &ProducerId,
        records: Vec<ProducerRecord>,
    ) -> Result<Vec<Result<RecordMetadata>>> {
        let producer = self.producer("kafka.produce_messages", producer)?;
        Ok(producer.write(records).await)
    }

    async fn consume_messages(&self, consumer: &ConsumerId, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        let consumer = self.consumer("kafka.consume_messages", consumer)?;
        let result = consumer.next(options).await;
        let mut totals = lock(&self.0.totals);
        match &result {
            Ok(messages) => {
                totals.messages_consumed += messages.len() as u64;
                totals.bytes_consumed += messages.iter().map(consumer::size).sum::<u64>();
            }
            Err(_) => totals.consume_errors += 1,
        }
        result
    }

    async fn commit_offsets(&self, _: &ConsumerId, _: CommitOffsets) -> Result<()> {
        Err(NetworkError::unsupported("kafka.commit_offsets", "groups"))
    }

    async fn consumer_assignment(&self, consumer: &ConsumerId) -> Result<ConsumerAssignment> {
        Ok(self.consumer("kafka.consumer_assignment", consumer)?.assignment())
    }

    async fn consumer_group_info(&self, _: &str) -> Result<ConsumerGroupInfo> {
        Err(NetworkError::unsupported("kafka.consumer_group_info", "group_info"))
    }

    async fn create_topic(&self, topic: NewTopic) -> Result<()> {
        CAPABILITIES.check_topic("kafka.create_topic", &topic)?;
        topic.validate()?;
        let (partitions, replicas) = (topic.partitions, topic.replication_factor);
        self.0.cluster.create_topic(&topic.name, partitions, replicas).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        validate_topic_name(topic, "topic")?;
        self.0.cluster.delete_topic(topic).await
    }

    async fn topic_metadata(&self, topic: &str) -> Result<TopicMetadata> {
        const OPERATION: &str = "kafka.topic_metadata";
        validate_topic_name(topic, "topic")?;
        let cluster = &self.0.cluster;
        let query = |place| async move {
            let leader = cluster.leader(OPERATION, &place).await?;
            let earliest = within(OPERATION, leader.get_offset(OffsetAt::Earliest)).await?;
            let latest = within(OPERATION, leader.get_offset(OffsetAt::Latest)).await?;
            Ok(PartitionMetadata::without_leader(place.partition, earliest, latest))
        };
        let partitions = Cluster::each(cluster.places(OPERATION, topic).await?, query).await?;
        Ok(TopicMetadata::new(topic, partitions))
    }

    async fn kafka_metrics(&self) -> Result<KafkaMetrics> {
        let mut metrics = lock(&self.0.totals).clone();
        let producers = lock(&self.0.producers);
        metrics.producers = producers
            .iter()
            .map(|(id, producer)| (id.clone(), producer.metrics()))
            .collect();
        let consumers = lock(&self.0.consumers);
        metrics.consumers = consumers
            .iter()
            .map(|(id, consumer)| (id.clone(), consumer.metrics()))
            .collect();
        Ok(metrics)
    }

    async fn flush(&self, producer: &ProducerId, timeout: Duration) -> Result<()> {
        self.producer("kafka.flush", producer)?
            .flush("kafka.flush", timeout)
            .await
    }

    async fn close_producer(&self, producer: &ProducerId) -> Result<()> {
        let removed = lock(&self.0.producers).remove(producer);
        let missing = || NetworkError::not_found("kafka.close_producer", "producer", producer);
        removed.ok_or_else(missing)?.close().await
    }

    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<()> {
        let removed = lock(&self.0.consumers).remove(consumer);
        let missing = || NetworkError::not_found("kafka.close_consumer", "consumer", consumer);
        removed.ok_or_else(missing)?.close();
        Ok(())
    }

    fn capabilities(&self) -> KafkaCapabilities {
        CAPABILITIES
    }
}

/// The client has no settings besides those of the contract.
fn no_settings(settings: &BTreeMap<String, String>) -> Result<()> {
    match settings.keys().next() {
        Some(name) => Err(NetworkError::invalid_input(
            format!("backend.{name}"),
            "unknown setting",
        )),
        None => Ok(()),
    }
}

fn next_id(kind: impl fmt::Display) -> String {
    format!("rskafka-{kind}-{}", HANDLES.fetch_add(1, Ordering::Relaxed))
}

/// Ignores poisoning: no lock is held where the code can panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
