//! The client.

mod builder;
mod reading;
mod transactions;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::error::ResultExt;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerAssignment, ConsumerConfig, ConsumerGroupInfo, ConsumerId,
    KafkaAdminCapabilities, KafkaCapabilities, KafkaClient, KafkaMessage, KafkaMetrics, KafkaReadingCapabilities,
    NewTopic, ProducerConfig, ProducerId, ProducerRecord, RecordMetadata, TopicMetadata, validate_topic_name,
};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, Retryability};
use parking_lot::Mutex;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

pub use self::builder::RdKafkaClientBuilder;
use super::admin::{self, Admin};
use super::config::ConnectionSettings;
use super::consumer::{Consumer, What};
use super::context::Callbacks;
use super::control::{BlockingCalls, Control, interrupted};
use super::group;
use super::producer::{Producer, Transaction};
use super::topic_watch::TopicWatch;
use crate::counters::{ClientCounters, ConsumerCounters, ProducerCounters};
use crate::topic_pattern::TopicPattern;

/// A [`KafkaClient`] over librdkafka.
///
/// [`builder`](Self::builder) creates it. It connects on first use, and needs a tokio runtime with time and I/O enabled.
/// Clones share producers, consumers, connections and metrics. The documentation of the [module](crate::rdkafka) describes
/// its behaviour.
#[derive(Clone)]
pub struct RdKafkaClient {
    inner: Arc<Inner>,
}

struct Inner {
    /// Makes the ids of this client different from those of other clients.
    number: u64,
    settings: ConnectionSettings,
    reading: KafkaReadingCapabilities,
    limits: Limits,
    counters: Arc<ClientCounters>,
    callbacks: Callbacks,
    next_handle: AtomicU64,
    producers: Mutex<BTreeMap<ProducerId, Arc<Producer>>>,
    consumers: Mutex<BTreeMap<ConsumerId, OpenConsumer>>,
    control: OnceCell<Arc<Control>>,
    admin: OnceCell<Admin>,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    producers: usize,
    consumers: usize,
    close: Duration,
}

struct OpenConsumer {
    consumer: Arc<Consumer>,
    /// Completes when the consumer has left the group.
    left: oneshot::Receiver<()>,
}

static CLIENTS: AtomicU64 = AtomicU64::new(1);

impl RdKafkaClient {
    /// Starts to configure a client of a cluster. `bootstrap_servers` are some of its brokers, as `host:port` separated by
    /// commas.
    pub fn builder(bootstrap_servers: impl Into<String>) -> RdKafkaClientBuilder {
        RdKafkaClientBuilder::new(bootstrap_servers)
    }

    fn new(settings: ConnectionSettings, reading: KafkaReadingCapabilities, limits: Limits) -> Self {
        let callbacks = Callbacks::new(&settings.security);
        let inner = Inner {
            number: CLIENTS.fetch_add(1, Ordering::Relaxed),
            settings,
            reading,
            limits,
            counters: Arc::default(),
            callbacks,
            next_handle: AtomicU64::new(1),
            producers: Mutex::default(),
            consumers: Mutex::default(),
            control: OnceCell::new(),
            admin: OnceCell::new(),
        };
        Self { inner: Arc::new(inner) }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaClient for RdKafkaClient {
    async fn create_producer(&self, config: ProducerConfig) -> Result<ProducerId> {
        const OPERATION: &str = "kafka.create_producer";
        let inner = &self.inner;
        config.validate().in_operation(OPERATION)?;
        let settings = inner.settings.producer(&config).in_operation(OPERATION)?;
        inner.add_producer(OPERATION, config, settings, None).await
    }

    async fn create_consumer(&self, config: ConsumerConfig) -> Result<ConsumerId> {
        const OPERATION: &str = "kafka.create_consumer";
        let inner = &self.inner;
        config.validate().in_operation(OPERATION)?;
        inner.require_topics(OPERATION, config.topics.clone()).await?;
        let topics = config.topics.clone();
        inner
            .open(OPERATION, &config, What::Topics(topics.clone()), topics, None)
            .await
    }

    async fn produce_message(&self, producer: &ProducerId, record: ProducerRecord) -> Result<RecordMetadata> {
        const OPERATION: &str = "kafka.produce_message";
        self.inner.producer(OPERATION, producer)?.produce_one(record).await
    }

    async fn produce_messages(
        &self,
        producer: &ProducerId,
        records: Vec<ProducerRecord>,
    ) -> Result<Vec<Result<RecordMetadata>>> {
        Ok(self
            .inner
            .producer("kafka.produce_messages", producer)?
            .produce(records)
            .await)
    }

    async fn consume_messages(&self, consumer: &ConsumerId, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        const OPERATION: &str = "kafka.consume_messages";
        let open = self.inner.consumer(OPERATION, consumer)?;
        open.consume(options).await.map_err(|error| match error.kind() {
            // The consumer was closed during the call.
            ErrorKind::Closed => NetworkError::not_found(OPERATION, "consumer", consumer),
            _ => error,
        })
    }

    async fn commit_offsets(&self, consumer: &ConsumerId, offsets: CommitOffsets) -> Result<()> {
        self.inner
            .consumer("kafka.commit_offsets", consumer)?
            .commit(offsets)
            .await
    }

    async fn consumer_assignment(&self, consumer: &ConsumerId) -> Result<ConsumerAssignment> {
        Ok(self.inner.consumer("kafka.consumer_assignment", consumer)?.assignment())
    }

    async fn consumer_group_info(&self, group: &str) -> Result<ConsumerGroupInfo> {
        const OPERATION: &str = "kafka.consumer_group_info";
        let inner = &self.inner;
        if !inner.settings.capabilities.group_info {
            return Err(NetworkError::unsupported(OPERATION, "group_info"));
        }
        validate::name(group, 255, "group").in_operation(OPERATION)?;
        let reader = inner.settings.group_reader(group);
        group::info(inner.control().await?, group, reader, inner.callbacks.for_new_handle()).await
    }

    async fn create_topic(&self, topic: NewTopic) -> Result<()> {
        const OPERATION: &str = "kafka.create_topic";
        self.inner.settings.capabilities.check_topic(OPERATION, &topic)?;
        topic.validate().in_operation(OPERATION)?;
        let (admin, control) = self.inner.admin(OPERATION).await?;
        admin.create(control, topic).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        const OPERATION: &str = "kafka.delete_topic";
        validate_topic_name(topic, "topic").in_operation(OPERATION)?;
        let (admin, control) = self.inner.admin(OPERATION).await?;
        admin.delete(control, topic).await
    }

    async fn topic_metadata(&self, topic: &str) -> Result<TopicMetadata> {
        validate_topic_name(topic, "topic").in_operation("kafka.topic_metadata")?;
        let mut metadata = admin::describe(self.inner.control().await?, topic).await?;
        self.hide_leaders(&mut metadata);
        Ok(metadata)
    }

    async fn kafka_metrics(&self) -> Result<KafkaMetrics> {
        let inner = &self.inner;
        let mut metrics = inner.counters.snapshot();
        let producers = inner.producers.lock();
        metrics.producers = producers
            .iter()
            .map(|(id, producer)| (id.clone(), producer.metrics()))
            .collect();
        drop(producers);
        let consumers = inner.consumers.lock();
        metrics.consumers = consumers
            .iter()
            .map(|(id, open)| (id.clone(), open.consumer.metrics()))
            .collect();
        Ok(metrics)
    }

    async fn flush(&self, producer: &ProducerId, timeout: Duration) -> Result<()> {
        self.inner.producer("kafka.flush", producer)?.flush(timeout).await
    }

    async fn close_producer(&self, producer: &ProducerId) -> Result<()> {
        const OPERATION: &str = "kafka.close_producer";
        let closing = self.inner.producers.lock().remove(producer);
        let closing = closing.ok_or_else(|| NetworkError::not_found(OPERATION, "producer", producer))?;
        closing.abort_open().await.in_operation(OPERATION)?;
        closing.flush(closing.delivery_timeout()).await.in_operation(OPERATION)
    }

    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<()> {
        const OPERATION: &str = "kafka.close_consumer";
        let closing = self.inner.consumers.lock().remove(consumer);
        let OpenConsumer { consumer, left } =
            closing.ok_or_else(|| NetworkError::not_found(OPERATION, "consumer", consumer))?;
        consumer.stop();
        drop(consumer);
        // Calls in progress hold the consumer. It leaves the group when the last of them has ended.
        match timeout(self.inner.limits.close, left).await {
            Ok(_left) => Ok(()),
            Err(_elapsed) => Err(NetworkError::timeout(OPERATION, Phase::Total, self.inner.limits.close)),
        }
    }

    fn capabilities(&self) -> KafkaCapabilities {
        self.inner.settings.capabilities
    }
}

/// For the client as an administrator.
impl RdKafkaClient {
    pub(super) fn administration(&self) -> KafkaAdminCapabilities {
        self.inner.settings.admin_capabilities
    }

    pub(super) async fn control(&self) -> Result<&Arc<Control>> {
        self.inner.control().await
    }

    /// Waits until a topic has so many partitions, and all have a leader.
    pub(super) async fn wait_for_partitions(
        &self,
        operation: &'static str,
        topic: &str,
        partitions: usize,
    ) -> Result<()> {
        let limit = self.inner.settings.request_timeout;
        admin::wait_for_partitions(operation, self.inner.control().await?, topic, partitions, limit).await
    }

    /// Removes from metadata what the capabilities do not declare.
    pub(super) fn hide_leaders(&self, topic: &mut TopicMetadata) {
        if !self.inner.settings.capabilities.leaders {
            for partition in &mut topic.partitions {
                partition.leader = None;
                partition.replicas.clear();
                partition.in_sync_replicas.clear();
            }
        }
    }
}

impl Inner {
    /// Starts a producer, which is transactional if there is a transaction.
    async fn add_producer(
        &self,
        operation: &'static str,
        config: ProducerConfig,
        settings: rdkafka::ClientConfig,
        transaction: Option<Transaction>,
    ) -> Result<ProducerId> {
        let full = || exhausted(operation, "max_producers", self.limits.producers);
        if self.producers.lock().len() >= self.limits.producers {
            return Err(full());
        }
        let callbacks = self.callbacks.for_new_handle();
        let counters = Arc::new(ProducerCounters::new(Arc::clone(&self.counters)));
        let limit = self.settings.request_timeout;
        let capabilities = self.settings.capabilities;
        let start = move || {
            Producer::start(
                &settings,
                &config,
                capabilities,
                callbacks,
                counters,
                limit,
                transaction,
            )
        };
        let producer = spawn_blocking(start)
            .await
            .map_err(interrupted)?
            .in_operation(operation)?;
        let id = ProducerId::new(self.next_id("producer"));
        let mut producers = self.producers.lock();
        // Checked again: other calls may have created producers meanwhile.
        if producers.len() >= self.limits.producers {
            return Err(full());
        }
        producers.insert(id.clone(), Arc::new(producer));
        Ok(id)
    }

    /// Creates a consumer. `topics` are those that it reads now.
    async fn open(
        &self,
        operation: &'static str,
        config: &ConsumerConfig,
        what: What,
        topics: Vec<String>,
        pattern: Option<TopicPattern>,
    ) -> Result<ConsumerId> {
        let settings = self.settings.consumer(config).in_operation(operation)?;
        let full = || exhausted(operation, "max_consumers", self.limits.consumers);
        if self.consumers.lock().len() >= self.limits.consumers {
            return Err(full());
        }
        let callbacks = self.callbacks.for_new_handle();
        let counters = Arc::new(ConsumerCounters::new(Arc::clone(&self.counters)));
        let limit = self.settings.request_timeout;
        let watch = TopicWatch::start(Arc::clone(self.control().await?), topics, pattern).await;
        let start = move || Consumer::start(&settings, what, callbacks, counters, watch, limit);
        let (consumer, left) = spawn_blocking(start).await.map_err(interrupted)??;
        let id = ConsumerId::new(self.next_id("consumer"));
        let mut consumers = self.consumers.lock();
        if consumers.len() >= self.limits.consumers {
            return Err(full());
        }
        let consumer = Arc::new(consumer);
        consumers.insert(id.clone(), OpenConsumer { consumer, left });
        Ok(id)
    }

    async fn control(&self) -> Result<&Arc<Control>> {
        let start = async || {
            Control::start(&self.settings, self.callbacks.for_new_handle())
                .await
                .map(Arc::new)
        };
        self.control.get_or_try_init(start).await
    }

    async fn admin(&self, operation: &'static str) -> Result<(&Admin, &Control)> {
        if !self.settings.capabilities.topic_admin {
            return Err(NetworkError::unsupported(operation, "topic_admin"));
        }
        let control = self.control().await?;
        let start = || Admin::start(&self.settings, self.callbacks.for_new_handle());
        Ok((self.admin.get_or_try_init(start).await?, control))
    }

    /// Fails if a topic does not exist: a consumer would wait forever for its records.
    async fn require_topics(&self, operation: &'static str, topics: Vec<String>) -> Result<()> {
        let check = move |calls: &BlockingCalls<'_>| {
            for topic in &topics {
                if calls.topic(topic, |_| ())?.is_none() {
                    return Err(NetworkError::not_found(operation, "topic", topic));
                }
            }
            Ok(())
        };
        self.control().await?.call(operation, check).await
    }

    fn producer(&self, operation: &'static str, id: &ProducerId) -> Result<Arc<Producer>> {
        let found = self.producers.lock().get(id).cloned();
        found.ok_or_else(|| NetworkError::not_found(operation, "producer", id))
    }

    fn consumer(&self, operation: &'static str, id: &ConsumerId) -> Result<Arc<Consumer>> {
        let found = self.consumers.lock().get(id).map(|open| Arc::clone(&open.consumer));
        found.ok_or_else(|| NetworkError::not_found(operation, "consumer", id))
    }

    fn next_id(&self, what: &str) -> String {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        format!("rdkafka-{}-{what}-{handle}", self.number)
    }
}

fn exhausted(operation: &'static str, limit: &'static str, value: usize) -> NetworkError {
    NetworkError::new(
        ErrorKind::Exhausted,
        operation,
        "the client has reached its limit of open producers or consumers; close some or raise the limit",
    )
    .with_context(limit, value.to_string())
    .with_retryability(Retryability::Never)
}

impl fmt::Debug for RdKafkaClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RdKafkaClient")
            .field("settings", &self.inner.settings)
            .field("limits", &self.inner.limits)
            .field("producers", &self.inner.producers.lock().len())
            .field("consumers", &self.inner.consumers.lock().len())
            .finish_non_exhaustive()
    }
}
