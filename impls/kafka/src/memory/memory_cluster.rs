//! The handle of a cluster, and its builder.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use networking_runtime::clock::TokioClock;
use networking_spi::Result;
use networking_spi::clock::Clock;
use networking_spi::kafka::{KafkaAdminCapabilities, KafkaCapabilities, KafkaReadingCapabilities, NewTopic};

use super::broker_settings::Administration;
use super::client::MemoryKafka;
use super::cluster::{Cluster, Limits};
use super::fault::Fault;
use super::log::Retention;
use super::reading;
use super::topics::{TopicRules, Topics};

/// A Kafka cluster in this process: topics, records, groups and committed offsets.
///
/// Clients of one cluster share its topics and groups. Producers and consumers belong to the client that created them.
/// Clones are handles to the same cluster. The cluster is dropped when its last handle and its last client are dropped.
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

    /// Starts to configure a cluster.
    pub fn builder() -> MemoryClusterBuilder {
        MemoryClusterBuilder::default()
    }

    /// A new client of this cluster.
    pub fn client(&self) -> MemoryKafka {
        MemoryKafka::on(self.0.clone())
    }

    /// Creates a topic, also if the clients lack the capability `topic_admin`.
    ///
    /// # Errors
    /// Same as [`KafkaClient::create_topic`](networking_spi::kafka::KafkaClient::create_topic).
    pub fn create_topic(&self, topic: &NewTopic) -> Result<()> {
        self.0.create_topic(topic)
    }

    /// The client ids of the open producers and consumers of all clients. Default client ids are not included.
    pub fn client_ids(&self) -> BTreeSet<String> {
        self.0.client_ids.in_use()
    }

    /// Makes operations fail. If several faults match an operation, the one injected first applies.
    pub fn inject(&self, fault: Fault) {
        self.0.faults.add(fault);
    }

    /// Removes all injected faults.
    pub fn clear_faults(&self) {
        self.0.faults.clear();
    }

    /// Makes a topic unavailable, as if its brokers were down, or available again. While a topic is unavailable, writing to
    /// it waits up to the producer's `delivery_timeout`, and consumers get no records from it.
    ///
    /// # Errors
    /// [`NotFound`](networking_spi::ErrorKind::NotFound) if the topic does not exist.
    pub fn set_topic_available(&self, topic: &str, available: bool) -> Result<()> {
        let topic = self.0.topics.existing(topic, "kafka.set_topic_available")?;
        topic.set_available(available);
        Ok(())
    }
}

// In this file, so that `client` does not depend on it: a handle creates clients, and a client does not need a handle.
impl MemoryKafka {
    /// A client of a new cluster with the defaults of [`MemoryClusterBuilder`].
    pub fn new() -> Self {
        MemoryCluster::new().client()
    }

    /// The cluster of this client, to create more clients and to inject faults.
    pub fn cluster(&self) -> MemoryCluster {
        MemoryCluster(Arc::clone(self.shared_cluster()))
    }
}

impl Default for MemoryKafka {
    fn default() -> Self {
        Self::new()
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

/// Configures and builds a [`MemoryCluster`].
///
/// Every resource is bounded. A partition that is full drops its oldest records. Creating a topic, group, producer or
/// consumer beyond its limit fails with [`Exhausted`](networking_spi::ErrorKind::Exhausted).
#[derive(Debug, Clone)]
#[must_use = "call `build`"]
pub struct MemoryClusterBuilder {
    clock: Option<Arc<dyn Clock>>,
    rules: TopicRules,
    limits: Limits,
    capabilities: KafkaCapabilities,
    admin_capabilities: KafkaAdminCapabilities,
    racks: Vec<String>,
    reading: KafkaReadingCapabilities,
}

impl Default for MemoryClusterBuilder {
    /// One broker. Topics are created only by [`create_topic`](networking_spi::kafka::KafkaClient::create_topic). A
    /// partition keeps at most 1 000 000 records and 256 MiB. A cluster has at most 100 000 partitions and 10 000 groups, a
    /// client at most 10 000 producers and 10 000 consumers. The clock is tokio's. Clients have all capabilities.
    fn default() -> Self {
        Self {
            clock: None,
            rules: TopicRules {
                seed: 0,
                brokers: 1,
                auto_create: None,
                max_partitions: 100_000,
                retention: Retention {
                    records: 1_000_000,
                    bytes: 256 << 20,
                    age: None,
                },
            },
            limits: Limits {
                groups: 10_000,
                handles: 10_000,
                sessions: (Duration::from_secs(6), Duration::from_secs(1800)),
            },
            capabilities: KafkaCapabilities::all(),
            admin_capabilities: KafkaAdminCapabilities::all(),
            racks: Vec::new(),
            reading: reading::supported(),
        }
    }
}

impl MemoryClusterBuilder {
    /// Sets the clock for timestamps, session timeouts, poll intervals and retention. Default: a
    /// [`TokioClock`](networking_runtime::clock::TokioClock). Waiting always uses tokio's timers.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the partition (modulo the number of partitions) that gets a topic's first records without a key. Default: 0.
    pub fn seed(mut self, seed: usize) -> Self {
        self.rules.seed = seed;
        self
    }

    /// Sets the number of brokers in metadata, at least 1. It is the maximum replication factor. The brokers lead the
    /// partitions in turn. Default: 1.
    pub fn brokers(mut self, brokers: u16) -> Self {
        self.rules.brokers = i32::from(brokers.max(1));
        self
    }

    /// Creates a topic when a producer first writes to it or a consumer first subscribes to it, with this number of
    /// partitions (1 to 10 000). Default: topics are not created on first use.
    pub fn auto_create_topics(mut self, partitions: u16) -> Self {
        self.rules.auto_create = Some(i32::from(partitions.clamp(1, 10_000)));
        self
    }

    /// Sets the maximum number of records that a partition keeps, at least 1. Default: 1 000 000.
    pub fn max_records_per_partition(mut self, records: u64) -> Self {
        self.rules.retention.records = records.max(1);
        self
    }

    /// Sets the maximum size of the keys, values and headers that a partition keeps, in bytes. The newest record is kept even
    /// if it is larger. Default: 256 MiB.
    pub fn max_bytes_per_partition(mut self, bytes: u64) -> Self {
        self.rules.retention.bytes = bytes;
        self
    }

    /// Sets the maximum number of partitions of all topics together. Default: 100 000.
    pub fn max_partitions(mut self, partitions: usize) -> Self {
        self.rules.max_partitions = partitions;
        self
    }

    /// Sets the maximum number of consumer groups. At the limit, groups without members and committed offsets are removed to
    /// make room for a new one. Default: 10 000.
    pub fn max_groups(mut self, groups: usize) -> Self {
        self.limits.groups = groups;
        self
    }

    /// Sets the maximum number of open producers, and of open consumers, of one client. Default: 10 000 each.
    pub fn max_handles_per_client(mut self, handles: usize) -> Self {
        self.limits.handles = handles;
        self
    }

    /// Sets the shortest and the longest session timeout that a consumer may have, as `group.min.session.timeout.ms` and
    /// `group.max.session.timeout.ms` of a broker do. Default: 6 s and 30 min.
    pub fn session_timeouts(mut self, shortest: Duration, longest: Duration) -> Self {
        self.limits.sessions = (shortest, longest.max(shortest));
        self
    }

    /// Restricts the capabilities of all clients, to test how an application copes with a client or a cluster that lacks
    /// some. What is not declared fails with [`Unsupported`](networking_spi::ErrorKind::Unsupported). A capability that
    /// requires `groups` is not declared without it. Default: all.
    ///
    /// ```
    /// use networking_kafka::memory::MemoryCluster;
    /// use networking_spi::kafka::{KafkaCapabilities, KafkaClient};
    ///
    /// let mut capabilities = KafkaCapabilities::all();
    /// capabilities.groups = false;
    /// let kafka = MemoryCluster::builder().capabilities(capabilities).build().client();
    /// assert!(!kafka.capabilities().groups && !kafka.capabilities().group_info);
    /// ```
    pub fn capabilities(mut self, capabilities: KafkaCapabilities) -> Self {
        self.capabilities = capabilities;
        self.capabilities.topic_configs &= capabilities.topic_admin;
        self.capabilities.group_info &= capabilities.groups;
        self.capabilities.static_membership &= capabilities.groups;
        self.capabilities.session_timeouts &= capabilities.groups;
        self
    }

    /// Restricts the capabilities of all clients as [`KafkaAdmin`](networking_spi::kafka::KafkaAdmin). Without the capability
    /// `groups` of [`capabilities`](Self::capabilities), those about groups stay undeclared. Default: all.
    pub fn admin_capabilities(mut self, capabilities: KafkaAdminCapabilities) -> Self {
        self.admin_capabilities = capabilities;
        self
    }

    /// Sets the racks of the brokers, which get them in turn. Default: the brokers have no rack.
    pub fn racks<R: Into<String>>(mut self, racks: impl IntoIterator<Item = R>) -> Self {
        self.racks = racks.into_iter().map(Into::into).collect();
        self
    }

    /// Restricts what all clients declare about reading, as [`capabilities`](Self::capabilities) does for the client. Default:
    /// everything that the in-memory cluster supports.
    pub fn reading_capabilities(mut self, capabilities: KafkaReadingCapabilities) -> Self {
        let all = reading::supported();
        self.reading = capabilities;
        let declared = &mut self.reading;
        declared
            .assignment_strategies
            .retain(|of| all.assignment_strategies.contains(of));
        declared.group_protocols.retain(|of| all.group_protocols.contains(of));
        self
    }

    /// Builds the cluster.
    pub fn build(self) -> MemoryCluster {
        let mut admin_capabilities = self.admin_capabilities;
        admin_capabilities.groups &= self.capabilities.groups;
        admin_capabilities.group_offsets &= self.capabilities.groups;
        let administration = Administration::new(admin_capabilities, self.rules.brokers, self.racks);
        let clock = self.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
        let topics = Topics::new(clock, self.rules);
        MemoryCluster(Arc::new(Cluster::new(
            topics,
            self.limits,
            self.capabilities,
            administration,
            self.reading,
        )))
    }
}
