//! Harnesses over librdkafka: its mock cluster, and a real cluster.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use networking_conformance::kafka::KafkaHarness;
use networking_conformance::kafka_admin::KafkaAdminHarness;
use networking_conformance::kafka_extended::KafkaExtendedHarness;
use networking_conformance::kafka_reading::{KafkaReadingHarness, ReadingClient};
use networking_conformance::kafka_transactions::{KafkaTransactionsHarness, TransactionalClient};
use networking_conformance::{CaseResult, Failure, Harness};
use networking_kafka::rdkafka::RdKafkaClient;
use networking_kafka::schema_registry::SchemaRegistry;
use networking_kafka::toolkit::KafkaToolkit;
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::kafka::{
    AssignmentStrategy, CompatibilityLevel, GroupProtocol, KafkaAdmin, KafkaAdminCapabilities, KafkaCapabilities,
    KafkaClient, KafkaExtended, KafkaExtendedCapabilities, KafkaReadingCapabilities, NewTopic, SchemaType,
};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::mock_cluster::MockBrokers;

/// What librdkafka declares.
const CAPABILITIES: KafkaCapabilities = {
    let mut capabilities = MOCK_CAPABILITIES;
    capabilities.topic_admin = true;
    capabilities.topic_configs = true;
    capabilities.group_info = true;
    capabilities.static_membership = true;
    capabilities.session_timeouts = true;
    capabilities.read_committed = true;
    capabilities.transactions = true;
    capabilities
};

/// The mock cannot create topics or describe groups, has no transactions (its answers are those of success), does not hide records of aborted transactions, and rejects a second member
/// with the same instance id instead of fencing the first. With KIP-848 the broker configures session timeouts.
const MOCK_CAPABILITIES: KafkaCapabilities = {
    let mut capabilities = KafkaCapabilities::none();
    capabilities.groups = true;
    capabilities.acks = true;
    capabilities.idempotent_producer = true;
    capabilities.batching = true;
    capabilities.client_ids = true;
    capabilities.timestamps = true;
    capabilities.header_order = true;
    capabilities.leaders = true;
    capabilities
};

/// With KIP-848 the broker configures session timeouts, and refuses a second member with the same instance id instead of fencing
/// the first.
const NEW_PROTOCOL_CAPABILITIES: KafkaCapabilities = {
    let mut capabilities = CAPABILITIES;
    capabilities.static_membership = false;
    capabilities.session_timeouts = false;
    capabilities
};

/// The protocol of groups makes no difference to the rest, which runs without it at the same time: both would change the settings
/// of the same broker.
const NEW_PROTOCOL_ADMIN_CAPABILITIES: KafkaAdminCapabilities = {
    let mut capabilities = KafkaAdminCapabilities::none();
    capabilities.groups = true;
    capabilities.group_offsets = true;
    capabilities.cluster = true;
    capabilities
};

/// A mock cluster for each case.
pub(crate) struct Mock {
    brokers: MockBrokers,
    registry: SchemaRegistry,
    names: AtomicU64,
}

impl Mock {
    pub(crate) fn start() -> Self {
        Self {
            brokers: MockBrokers::start(1),
            registry: SchemaRegistry::new(),
            names: AtomicU64::new(0),
        }
    }

    fn connect(&self) -> Result<RdKafkaClient, Failure> {
        Ok(RdKafkaClient::builder(self.brokers.bootstrap_servers())
            .capabilities(MOCK_CAPABILITIES)
            .reading_capabilities(MOCK_READING.clone())
            // The mock responds to a fetch at the end of a partition only after this time, even if records arrive meanwhile.
            .consumer_setting("fetch.wait.max.ms", "10")
            // With the classic protocol the mock waits 3 s before the first assignment.
            .consumer_setting("group.protocol", "consumer")
            // The broker restarts immediately; the client should reconnect immediately.
            .setting("reconnect.backoff.ms", "10")
            .setting("reconnect.backoff.max.ms", "50")
            .build()?)
    }
}

impl Harness for Mock {
    fn backend(&self) -> &'static str {
        "rdkafka-mock"
    }

    fn patience(&self) -> Duration {
        // The mock takes many seconds for an incremental rebalance.
        Duration::from_secs(60)
    }
}

#[async_trait]
impl KafkaHarness for Mock {
    async fn client(&self) -> Result<Arc<dyn KafkaClient>, Failure> {
        Ok(Arc::new(self.connect()?))
    }

    fn capabilities(&self) -> &'static KafkaCapabilities {
        &MOCK_CAPABILITIES
    }

    async fn topic(&self, partitions: i32) -> Result<String, Failure> {
        let name = self.unique("topic");
        self.brokers.create_topic(&name, partitions);
        Ok(name)
    }

    fn unique(&self, what: &str) -> String {
        format!("{what}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    fn quiet(&self) -> Duration {
        Duration::from_millis(200)
    }

    fn can_interrupt(&self) -> bool {
        true
    }

    async fn interrupt(&self, _topic: &str, interrupted: bool) -> CaseResult {
        self.brokers
            .with(move |cluster| {
                if interrupted {
                    cluster.broker_down(1)
                } else {
                    cluster.broker_up(1)
                }
            })
            .map_err(|error| Failure::with_error("the mock cluster", &error))
    }
}

/// A real cluster, which other programs may use at the same time.
pub(crate) struct RealCluster {
    bootstrap: String,
    /// Whether groups use the protocol of KIP-848.
    new_protocol: bool,
    /// Unique for each run and process.
    run: u128,
    registry: SchemaRegistry,
    names: AtomicU64,
    topics: Mutex<Vec<String>>,
}

static HARNESSES: AtomicU64 = AtomicU64::new(0);

impl RealCluster {
    pub(crate) fn new(bootstrap: &str, new_protocol: bool) -> Self {
        let run = SystemClock::new()
            .now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos();
        let harness = HARNESSES.fetch_add(1, Ordering::Relaxed);
        Self {
            bootstrap: bootstrap.to_owned(),
            new_protocol,
            run: run.wrapping_add(u128::from(harness)),
            registry: SchemaRegistry::new(),
            names: AtomicU64::new(0),
            topics: Mutex::default(),
        }
    }

    fn connect(&self) -> Result<RdKafkaClient, Failure> {
        let mut builder = RdKafkaClient::builder(self.bootstrap.as_str())
            .capabilities(*KafkaHarness::capabilities(self))
            .admin_capabilities(*self.admin_capabilities());
        if self.new_protocol {
            builder = builder.consumer_setting("group.protocol", "consumer");
        }
        Ok(builder.build()?)
    }
}

/// Deletes the topics of the harness.
impl Drop for RealCluster {
    fn drop(&mut self) {
        let topics = std::mem::take(&mut *self.topics.lock().expect("no panic while the lock is held"));
        let Ok(client) = self.connect() else { return };
        let cleanup = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("the runtime starts").block_on(async {
                for topic in topics {
                    // The broker may be down after a failed case. The names are not used again.
                    if let Err(error) = client.delete_topic(&topic).await {
                        eprintln!("{topic} remains: {error}");
                    }
                }
            });
        });
        cleanup.join().expect("the clean-up does not panic");
    }
}

impl Harness for RealCluster {
    fn backend(&self) -> &'static str {
        if self.new_protocol { "rdkafka-kip848" } else { "rdkafka" }
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}

#[async_trait]
impl KafkaHarness for RealCluster {
    async fn client(&self) -> Result<Arc<dyn KafkaClient>, Failure> {
        Ok(Arc::new(self.connect()?))
    }

    fn capabilities(&self) -> &'static KafkaCapabilities {
        if self.new_protocol {
            &NEW_PROTOCOL_CAPABILITIES
        } else {
            &CAPABILITIES
        }
    }

    async fn topic(&self, partitions: i32) -> Result<String, Failure> {
        let name = self.unique("topic");
        self.connect()?
            .create_topic(NewTopic::new(name.as_str(), partitions))
            .await?;
        Ok(name)
    }

    fn unique(&self, what: &str) -> String {
        format!(
            "conformance-{what}-{}-{}",
            self.run,
            self.names.fetch_add(1, Ordering::Relaxed)
        )
    }

    fn quiet(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn can_abort(&self) -> bool {
        true
    }

    async fn write_aborted(&self, topic: &str, value: &str) -> CaseResult {
        let (topic, value) = (topic.to_owned(), value.to_owned());
        let transaction = self.unique("transaction");
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap)
            .set("transactional.id", transaction)
            .create()
            .map_err(|error: KafkaError| Failure::new(error.to_string()))?;
        tokio::task::spawn_blocking(move || {
            let limit = Duration::from_secs(20);
            producer.init_transactions(limit)?;
            producer.begin_transaction()?;
            let record = BaseRecord::<(), str>::to(&topic).partition(0).payload(&value);
            producer.send(record).map_err(|(error, _)| error)?;
            producer.flush(limit)?;
            producer.abort_transaction(limit)
        })
        .await
        .map_err(|error| Failure::new(error.to_string()))?
        .map_err(|error: KafkaError| Failure::new(error.to_string()))
    }
}

#[async_trait]
impl KafkaTransactionsHarness for RealCluster {
    async fn transactional(&self) -> Result<TransactionalClient, Failure> {
        let client = self.connect()?;
        Ok(TransactionalClient {
            client: Arc::new(client.clone()),
            transactions: Arc::new(client),
        })
    }
}

#[async_trait]
impl KafkaTransactionsHarness for Mock {
    async fn transactional(&self) -> Result<TransactionalClient, Failure> {
        let client = self.connect()?;
        Ok(TransactionalClient {
            client: Arc::new(client.clone()),
            transactions: Arc::new(client),
        })
    }
}

/// The mock cluster has no administrative requests, so only the real cluster has this harness.
#[async_trait]
impl KafkaAdminHarness for RealCluster {
    async fn admin(&self) -> Result<Arc<dyn KafkaAdmin>, Failure> {
        Ok(Arc::new(self.connect()?))
    }

    fn admin_capabilities(&self) -> &'static KafkaAdminCapabilities {
        if self.new_protocol {
            &NEW_PROTOCOL_ADMIN_CAPABILITIES
        } else {
            const { &KafkaAdminCapabilities::all() }
        }
    }
}

/// The toolkit over any client, with a registry that the instances of a harness share.
fn toolkit(client: Arc<dyn KafkaClient>, registry: &SchemaRegistry) -> Arc<dyn KafkaExtended> {
    let toolkit = KafkaToolkit::builder(client).schema_registry(registry.clone());
    Arc::new(toolkit.build())
}

/// What the toolkit supports without a factory of clients.
static TOOLKIT_CAPABILITIES: LazyLock<KafkaExtendedCapabilities> = LazyLock::new(|| {
    let mut capabilities = KafkaExtendedCapabilities::none();
    capabilities.streams = true;
    capabilities.schema_types = vec![SchemaType::Avro, SchemaType::Protobuf];
    if cfg!(feature = "json-schema") {
        capabilities.schema_types.insert(1, SchemaType::Json);
    }
    capabilities.compatibility_types.clone_from(&capabilities.schema_types);
    capabilities.diagnostics = true;
    capabilities.tuning = true;
    capabilities
});

#[async_trait]
impl KafkaExtendedHarness for Mock {
    async fn extended(&self) -> Result<Arc<dyn KafkaExtended>, Failure> {
        Ok(toolkit(self.client().await?, &self.registry))
    }

    fn extended_capabilities(&self) -> &'static KafkaExtendedCapabilities {
        &TOOLKIT_CAPABILITIES
    }

    fn can_set_level(&self) -> bool {
        true
    }

    async fn set_level(&self, subject: &str, level: CompatibilityLevel) -> CaseResult {
        Ok(self.registry.set_subject_level(subject, Some(level))?)
    }
}

#[async_trait]
impl KafkaExtendedHarness for RealCluster {
    async fn extended(&self) -> Result<Arc<dyn KafkaExtended>, Failure> {
        Ok(toolkit(self.client().await?, &self.registry))
    }

    fn extended_capabilities(&self) -> &'static KafkaExtendedCapabilities {
        &TOOLKIT_CAPABILITIES
    }

    fn can_set_level(&self) -> bool {
        true
    }

    async fn set_level(&self, subject: &str, level: CompatibilityLevel) -> CaseResult {
        Ok(self.registry.set_subject_level(subject, Some(level))?)
    }
}

/// What librdkafka and a broker support of reading.
static READING: LazyLock<KafkaReadingCapabilities> = LazyLock::new(|| {
    let mut capabilities = MOCK_READING.clone();
    capabilities.times = true;
    capabilities
});

/// The mock cluster answers with the end for every time.
static MOCK_READING: LazyLock<KafkaReadingCapabilities> = LazyLock::new(|| {
    let mut capabilities = KafkaReadingCapabilities::none();
    capabilities.patterns = true;
    capabilities.partitions = true;
    capabilities.seek = true;
    capabilities.pause = true;
    capabilities.list_offsets = true;
    capabilities.rebalance_events = true;
    capabilities.assignment_strategies = vec![
        AssignmentStrategy::Range,
        AssignmentStrategy::RoundRobin,
        AssignmentStrategy::CooperativeSticky,
    ];
    capabilities.group_protocols = vec![GroupProtocol::Classic, GroupProtocol::Consumer];
    capabilities
});

#[async_trait]
impl KafkaReadingHarness for Mock {
    async fn reading_client(&self) -> Result<ReadingClient, Failure> {
        let client = self.connect()?;
        Ok(ReadingClient {
            client: Arc::new(client.clone()),
            reading: Arc::new(client),
        })
    }

    fn reading_capabilities(&self) -> &'static KafkaReadingCapabilities {
        &MOCK_READING
    }

    async fn topic_named(&self, name: &str, partitions: i32) -> Result<(), Failure> {
        self.brokers.create_topic(name, partitions);
        Ok(())
    }
}

#[async_trait]
impl KafkaReadingHarness for RealCluster {
    async fn reading_client(&self) -> Result<ReadingClient, Failure> {
        let client = self.connect()?;
        Ok(ReadingClient {
            client: Arc::new(client.clone()),
            reading: Arc::new(client),
        })
    }

    fn reading_capabilities(&self) -> &'static KafkaReadingCapabilities {
        &READING
    }

    async fn topic_named(&self, name: &str, partitions: i32) -> Result<(), Failure> {
        self.connect()?.create_topic(NewTopic::new(name, partitions)).await?;
        self.topics
            .lock()
            .expect("no panic while the lock is held")
            .push(name.to_owned());
        Ok(())
    }
}
