//! The cluster that clients share.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use networking_spi::clock::Clock;
use networking_spi::kafka::{ConsumerConfig, NewTopic, PartitionMetadata, TopicMetadata};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::RwLock;

use super::client::MemoryKafka;
use super::fault::{Fault, Faults};
use super::group::{Group, MemberLink};
use super::log::Retention;
use super::topic::{Topic, TopicSettings};
use networking_runtime::clock::TokioClock;

/// A Kafka cluster inside the process: topics, records, groups and committed offsets.
///
/// Its clients share everything but producers and consumers, which belong to the client that made them. A clone is the same
/// cluster. It lives as long as somebody holds it or one of its clients.
///
/// ```
/// use networking_kafka::memory::MemoryCluster;
/// use networking_spi::kafka::{
///     ConsumeOptions, ConsumerConfig, KafkaClient, NewTopic, OffsetReset, ProducerConfig, ProducerRecord,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> networking_spi::Result<()> {
/// let cluster = MemoryCluster::new();
/// let (orders, billing) = (cluster.client(), cluster.client());
/// orders.create_topic(NewTopic::new("orders", 3)).await?;
///
/// let producer = orders.create_producer(ProducerConfig::new()).await?;
/// orders.produce_message(&producer, ProducerRecord::new("orders").with_value("one")).await?;
///
/// let config = ConsumerConfig::new("billing", ["orders"]).with_offset_reset(OffsetReset::Earliest);
/// let consumer = billing.create_consumer(config).await?;
/// let messages = billing.consume_messages(&consumer, ConsumeOptions::new()).await?;
/// assert_eq!(messages[0].value_str(), Some("one"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryCluster(Arc<Cluster>);

impl MemoryCluster {
    /// A cluster with the defaults of [`MemoryClusterBuilder`].
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A cluster to be configured.
    pub fn builder() -> MemoryClusterBuilder {
        MemoryClusterBuilder::default()
    }

    /// A new client of this cluster.
    pub fn client(&self) -> MemoryKafka {
        MemoryKafka::on(self.0.clone())
    }

    /// Has operations fail on purpose. Faults that were injected earlier come first.
    pub fn inject(&self, fault: Fault) {
        self.0.faults.add(fault);
    }

    /// Forgets the faults that were not played yet.
    pub fn clear_faults(&self) {
        self.0.faults.clear();
    }

    /// Makes a topic unavailable, as if its brokers were down, or available again. While it is unavailable, producers wait
    /// up to their `delivery_timeout`, and consumers get nothing from it.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub fn set_topic_available(&self, topic: &str, available: bool) -> Result<()> {
        let topic = self.0.existing_topic(topic, "kafka.set_topic_available")?;
        topic.set_available(available);
        Ok(())
    }

    pub(super) fn from_inner(inner: Arc<Cluster>) -> Self {
        Self(inner)
    }
}

impl Default for MemoryCluster {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Makes a [`MemoryCluster`].
///
/// Everything is bounded: the oldest records of a partition go when it is full, and new topics, partitions, groups,
/// producers and consumers beyond the limits are [`Exhausted`](ErrorKind::Exhausted).
#[derive(Debug, Clone)]
pub struct MemoryClusterBuilder {
    clock: Option<Arc<dyn Clock>>,
    seed: usize,
    brokers: i32,
    auto_create: Option<i32>,
    limits: Limits,
    retention: Retention,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) partitions: usize,
    pub(super) groups: usize,
    pub(super) handles: usize,
}

impl Default for MemoryClusterBuilder {
    /// One broker; topics are created only by [`create_topic`](networking_spi::kafka::KafkaClient::create_topic); each
    /// partition keeps 1 000 000 records and 256 MiB; 100 000 partitions, 10 000 groups, and 10 000 producers and as many
    /// consumers per client; time is tokio's.
    fn default() -> Self {
        Self {
            clock: None,
            seed: 0,
            brokers: 1,
            auto_create: None,
            limits: Limits {
                partitions: 100_000,
                groups: 10_000,
                handles: 10_000,
            },
            retention: Retention {
                records: 1_000_000,
                bytes: 256 << 20,
                age: None,
            },
        }
    }
}

impl MemoryClusterBuilder {
    /// Sets the clock of timestamps, session timeouts, poll intervals and retention. Waiting itself always follows tokio's
    /// timers.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets where each topic begins to spread records without a key.
    pub fn seed(mut self, seed: usize) -> Self {
        self.seed = seed;
        self
    }

    /// Sets how many brokers there seem to be: the limit of replication factors, and who leads which partition. At least 1.
    pub fn brokers(mut self, brokers: u16) -> Self {
        self.brokers = i32::from(brokers.max(1));
        self
    }

    /// Creates a topic with so many partitions, at least 1, when a producer writes to it or a consumer subscribes to it.
    pub fn auto_create_topics(mut self, partitions: u16) -> Self {
        self.auto_create = Some(i32::from(partitions.clamp(1, 10_000)));
        self
    }

    /// Sets how many records a partition keeps, at least 1.
    pub fn max_records_per_partition(mut self, records: u64) -> Self {
        self.retention.records = records.max(1);
        self
    }

    /// Sets how many bytes of keys, values and headers a partition keeps. The newest record is always kept.
    pub fn max_bytes_per_partition(mut self, bytes: u64) -> Self {
        self.retention.bytes = bytes;
        self
    }

    /// Sets how many partitions all topics together may have.
    pub fn max_partitions(mut self, partitions: usize) -> Self {
        self.limits.partitions = partitions;
        self
    }

    /// Sets how many groups there may be.
    pub fn max_groups(mut self, groups: usize) -> Self {
        self.limits.groups = groups;
        self
    }

    /// Sets how many producers, and how many consumers, a client may have open.
    pub fn max_handles_per_client(mut self, handles: usize) -> Self {
        self.limits.handles = handles;
        self
    }

    /// The cluster.
    pub fn build(self) -> MemoryCluster {
        MemoryCluster(Arc::new(Cluster {
            clock: self.clock.unwrap_or_else(|| Arc::new(TokioClock::new())),
            faults: Faults::default(),
            limits: self.limits,
            seed: self.seed,
            brokers: self.brokers,
            auto_create: self.auto_create,
            retention: self.retention,
            numbers: AtomicU64::new(0),
            topics: RwLock::default(),
            groups: RwLock::default(),
        }))
    }
}

/// What clients share.
pub(super) struct Cluster {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) faults: Faults,
    pub(super) limits: Limits,
    seed: usize,
    brokers: i32,
    auto_create: Option<i32>,
    retention: Retention,
    numbers: AtomicU64,
    topics: RwLock<HashMap<Arc<str>, Arc<Topic>>>,
    groups: RwLock<HashMap<String, Arc<Group>>>,
}

impl Cluster {
    /// A number that nothing else in the cluster has.
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A topic by name.
    pub(super) fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.read().get(name).cloned()
    }

    /// A topic that must exist.
    pub(super) fn existing_topic(&self, name: &str, operation: &'static str) -> Result<Arc<Topic>> {
        self.topic(name)
            .ok_or_else(|| NetworkError::not_found(operation, "topic", name))
    }

    /// A topic to be written to or subscribed to, which may create it.
    pub(super) fn used_topic(&self, name: &str, operation: &'static str) -> Result<Arc<Topic>> {
        if let Some(topic) = self.topic(name) {
            return Ok(topic);
        }
        if let Some(partitions) = self.auto_create {
            match self.create_topic(&NewTopic::new(name, partitions)) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.with_operation(operation)),
                _ => {}
            }
        }
        self.existing_topic(name, operation)
    }

    pub(super) fn create_topic(&self, new: &NewTopic) -> Result<()> {
        const OPERATION: &str = "kafka.create_topic";
        new.validate()?;
        if new
            .replication_factor
            .is_some_and(|factor| i32::from(factor) > self.brokers)
        {
            return Err(NetworkError::invalid_input(
                "replication_factor",
                "must not be larger than the number of brokers",
            ));
        }
        let defaults = TopicSettings {
            retention: self.retention,
            max_message_bytes: usize::MAX,
        };
        let settings = defaults.with_config(&new.config)?;
        let partitions = usize::try_from(new.partitions)
            .map_err(|_| NetworkError::invalid_input("partitions", "must not be negative"))?;
        {
            let mut topics = self.topics.write();
            if topics.contains_key(new.name.as_str()) {
                return Err(
                    NetworkError::new(ErrorKind::AlreadyExists, OPERATION, "the topic exists already")
                        .with_context("topic", &new.name),
                );
            }
            let existing: usize = topics.values().map(|topic| topic.partitions.len()).sum();
            if existing + partitions > self.limits.partitions {
                return Err(NetworkError::new(
                    ErrorKind::Exhausted,
                    OPERATION,
                    "the cluster has no room for more partitions",
                )
                .with_context("limit", self.limits.partitions.to_string()));
            }
            let replicas = new.replication_factor.map_or(1, i32::from);
            let topic = Arc::new(Topic::new(&new.name, partitions, replicas, settings, self.seed));
            topics.insert(topic.name.clone(), topic);
        }
        self.tell_groups(&new.name, false);
        Ok(())
    }

    pub(super) fn delete_topic(&self, name: &str) -> Result<()> {
        let Some(topic) = self.topics.write().remove(name) else {
            return Err(NetworkError::not_found("kafka.delete_topic", "topic", name));
        };
        topic.delete();
        self.tell_groups(name, true);
        Ok(())
    }

    pub(super) fn topic_metadata(&self, name: &str) -> Result<TopicMetadata> {
        let topic = self.existing_topic(name, "kafka.topic_metadata")?;
        let now = self.clock.now();
        let partitions = (0_i32..).zip(&topic.partitions).map(|(number, partition)| {
            partition.expire(now);
            let mut metadata =
                PartitionMetadata::new(number, number % self.brokers, partition.start(), partition.end());
            metadata.replicas = (0..topic.replicas)
                .map(|replica| (number + replica) % self.brokers)
                .collect();
            metadata.in_sync_replicas.clone_from(&metadata.replicas);
            if !topic.gate.is_open() {
                metadata.leader = None;
                metadata.earliest_offset = -1;
                metadata.latest_offset = -1;
                metadata.in_sync_replicas.clear();
            }
            metadata
        });
        Ok(TopicMetadata::new(name, partitions.collect()))
    }

    /// A group by name.
    pub(super) fn group(&self, name: &str) -> Option<Arc<Group>> {
        self.groups.read().get(name).cloned()
    }

    /// Has a consumer join its group, which may be a new one.
    pub(super) fn join_group(&self, config: &ConsumerConfig, link: &Arc<MemberLink>) -> Result<(Arc<Group>, u64)> {
        // The lock is held while joining: a group is forgotten only when nobody is in it.
        let mut groups = self.groups.write();
        if !groups.contains_key(&config.group) {
            if groups.len() >= self.limits.groups {
                groups.retain(|_, group| !group.is_forgettable(self));
            }
            if groups.len() >= self.limits.groups {
                return Err(NetworkError::new(
                    ErrorKind::Exhausted,
                    "kafka.create_consumer",
                    "the cluster has no room for more groups",
                )
                .with_context("limit", self.limits.groups.to_string()));
            }
            groups.insert(config.group.clone(), Arc::new(Group::new(&config.group)));
        }
        let group = groups[&config.group].clone();
        let member = group.join(self, config, link);
        Ok((group, member))
    }

    /// Forgets a group that has neither members nor offsets.
    pub(super) fn forget_idle_group(&self, name: &str) {
        let mut groups = self.groups.write();
        if groups.get(name).is_some_and(|group| group.is_forgettable(self)) {
            groups.remove(name);
        }
    }

    fn tell_groups(&self, topic: &str, deleted: bool) {
        let groups: Vec<_> = self.groups.read().values().cloned().collect();
        for group in groups {
            group.topic_changed(self, topic, deleted);
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCluster")
            .field("topics", &self.topics.read().len())
            .field("groups", &self.groups.read().len())
            .finish_non_exhaustive()
    }
}
