//! The harness of `MemoryKafka`, for all tests that run the suite.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use networking_conformance::kafka::KafkaHarness;
use networking_conformance::kafka_admin::KafkaAdminHarness;
use networking_conformance::kafka_extended::KafkaExtendedHarness;
use networking_conformance::kafka_reading::{KafkaReadingHarness, ReadingClient};
use networking_conformance::kafka_transactions::{KafkaTransactionsHarness, TransactionalClient};
use networking_conformance::{CaseResult, CaseRuntime, Failure, Harness};
use networking_kafka::memory::{MemoryCluster, MemoryKafka};
use networking_kafka::schema_registry::SchemaRegistry;
use networking_kafka::toolkit::KafkaToolkit;
use networking_spi::kafka::{
    AssignmentStrategy, CompatibilityLevel, ConsumerId, GroupProtocol, KafkaAdmin, KafkaAdminCapabilities,
    KafkaCapabilities, KafkaClient, KafkaExtended, KafkaExtendedCapabilities, KafkaReading, KafkaReadingCapabilities,
    KafkaTransactions, NewTopic, ProducerRecord, SchemaType, TransactionalProducerConfig,
};
use parking_lot::Mutex;

/// What `MemoryKafka` declares.
const CAPABILITIES: KafkaCapabilities = {
    let mut capabilities = KafkaCapabilities::none();
    capabilities.topic_admin = true;
    capabilities.topic_configs = true;
    capabilities.groups = true;
    capabilities.group_info = true;
    capabilities.static_membership = true;
    capabilities.session_timeouts = true;
    capabilities.acks = true;
    capabilities.idempotent_producer = true;
    capabilities.batching = true;
    capabilities.client_ids = true;
    capabilities.timestamps = true;
    capabilities.header_order = true;
    capabilities.leaders = true;
    capabilities.read_committed = true;
    capabilities.transactions = true;
    capabilities
};

/// The toolkit hands out ids of its own, which the transactions of its client do not know.
const TOOLKIT_CAPABILITIES: KafkaCapabilities = {
    let mut capabilities = CAPABILITIES;
    capabilities.transactions = false;
    capabilities
};

/// A new in-memory cluster, under a paused clock.
pub(crate) struct MemoryHarness {
    cluster: MemoryCluster,
    clients: Mutex<Vec<MemoryKafka>>,
    registry: SchemaRegistry,
    names: AtomicUsize,
    capabilities: &'static KafkaCapabilities,
    behind_pointers: bool,
    behind_toolkit: bool,
}

impl MemoryHarness {
    /// With `behind_pointers`, every client is `Arc<Arc<Box<dyn KafkaClient>>>`.
    pub(crate) fn new(behind_pointers: bool) -> Self {
        Self {
            cluster: MemoryCluster::new(),
            clients: Mutex::default(),
            registry: SchemaRegistry::new(),
            names: AtomicUsize::new(0),
            capabilities: &CAPABILITIES,
            behind_pointers,
            behind_toolkit: false,
        }
    }

    /// Every client is that of a toolkit.
    #[allow(dead_code, reason = "only the binary that runs the suites uses it")]
    pub(crate) fn behind_toolkit() -> Self {
        Self {
            behind_toolkit: true,
            capabilities: &TOOLKIT_CAPABILITIES,
            ..Self::new(false)
        }
    }

    /// A cluster whose clients have only these capabilities.
    pub(crate) fn limited(capabilities: KafkaCapabilities) -> Self {
        Self {
            cluster: {
                let admin = if capabilities == KafkaCapabilities::none() {
                    KafkaAdminCapabilities::none()
                } else {
                    KafkaAdminCapabilities::all()
                };
                let reading = reading_capabilities(&capabilities);
                let builder = MemoryCluster::builder()
                    .capabilities(capabilities)
                    .reading_capabilities(reading);
                builder.admin_capabilities(admin).build()
            },
            capabilities: Box::leak(Box::new(capabilities)),
            ..Self::new(false)
        }
    }
}

impl Harness for MemoryHarness {
    fn backend(&self) -> &'static str {
        if *self.capabilities == KafkaCapabilities::none() {
            "memory-minimal"
        } else if self.behind_toolkit {
            "memory-toolkit"
        } else if self.behind_pointers {
            "memory-arc-box"
        } else {
            "memory"
        }
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

#[async_trait]
impl KafkaHarness for MemoryHarness {
    async fn client(&self) -> Result<Arc<dyn KafkaClient>, Failure> {
        let client = self.cluster.client();
        self.clients.lock().push(client.clone());
        if self.behind_toolkit {
            return Ok(KafkaToolkit::builder(Arc::new(client)).build().client());
        }
        if self.behind_pointers {
            let boxed: Box<dyn KafkaClient> = Box::new(client);
            let shared: Arc<Box<dyn KafkaClient>> = Arc::new(boxed);
            return Ok(Arc::new(shared));
        }
        Ok(Arc::new(client))
    }

    fn capabilities(&self) -> &'static KafkaCapabilities {
        self.capabilities
    }

    async fn topic(&self, partitions: i32) -> Result<String, Failure> {
        let name = self.unique("topic");
        self.cluster.create_topic(&NewTopic::new(name.as_str(), partitions))?;
        Ok(name)
    }

    fn unique(&self, what: &str) -> String {
        format!("{what}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    fn quiet(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn client_ids(&self) -> Option<BTreeSet<String>> {
        Some(self.cluster.client_ids())
    }

    fn can_crash(&self) -> bool {
        // The toolkit has ids that the cluster does not know.
        !self.behind_toolkit
    }

    async fn crash(&self, consumer: &ConsumerId) -> CaseResult {
        let clients = self.clients.lock();
        let crashed = clients.iter().any(|client| client.crash_consumer(consumer).is_ok());
        crashed
            .then_some(())
            .ok_or_else(|| Failure::new(format!("{consumer} is not open")))
    }

    fn can_abort(&self) -> bool {
        true
    }

    async fn write_aborted(&self, topic: &str, value: &str) -> CaseResult {
        let kafka = self.cluster.client();
        let config = TransactionalProducerConfig::new(self.unique("transactional-id"));
        let producer = kafka.create_transactional_producer(config).await?;
        kafka.init_transactions(&producer).await?;
        kafka.begin_transaction(&producer).await?;
        let record = ProducerRecord::new(topic)
            .with_partition(0)
            .with_value(value.to_owned());
        kafka.produce_message(&producer, record).await?;
        Ok(kafka.abort_transaction(&producer).await?)
    }

    fn can_interrupt(&self) -> bool {
        true
    }

    async fn interrupt(&self, topic: &str, interrupted: bool) -> CaseResult {
        Ok(self.cluster.set_topic_available(topic, !interrupted)?)
    }
}

#[async_trait]
impl KafkaTransactionsHarness for MemoryHarness {
    async fn transactional(&self) -> Result<TransactionalClient, Failure> {
        let client = self.cluster.client();
        self.clients.lock().push(client.clone());
        if self.behind_pointers {
            let boxed: Box<dyn KafkaTransactions> = Box::new(client.clone());
            let shared: Arc<Box<dyn KafkaTransactions>> = Arc::new(boxed);
            return Ok(TransactionalClient {
                client: Arc::new(client),
                transactions: Arc::new(shared),
            });
        }
        Ok(TransactionalClient {
            client: Arc::new(client.clone()),
            transactions: Arc::new(client),
        })
    }
}

#[async_trait]
impl KafkaAdminHarness for MemoryHarness {
    async fn admin(&self) -> Result<Arc<dyn KafkaAdmin>, Failure> {
        let client = self.cluster.client();
        if self.behind_pointers {
            let boxed: Box<dyn KafkaAdmin> = Box::new(client);
            let shared: Arc<Box<dyn KafkaAdmin>> = Arc::new(boxed);
            return Ok(Arc::new(shared));
        }
        Ok(Arc::new(client))
    }

    fn admin_capabilities(&self) -> &'static KafkaAdminCapabilities {
        if *self.capabilities == KafkaCapabilities::none() {
            const { &KafkaAdminCapabilities::none() }
        } else {
            const { &KafkaAdminCapabilities::all() }
        }
    }
}

/// What the toolkit supports over a client without capabilities.
static OVER_A_MINIMAL_CLIENT: LazyLock<KafkaExtendedCapabilities> = LazyLock::new(|| {
    let mut capabilities = KafkaExtendedCapabilities::none();
    capabilities.schema_types = if cfg!(feature = "json-schema") {
        vec![SchemaType::Avro, SchemaType::Json, SchemaType::Protobuf]
    } else {
        vec![SchemaType::Avro, SchemaType::Protobuf]
    };
    capabilities.compatibility_types.clone_from(&capabilities.schema_types);
    capabilities.diagnostics = true;
    capabilities.tuning = true;
    capabilities
});

/// What the toolkit supports over a client with groups, which it can replace.
static OVER_A_REPLACEABLE_CLIENT: LazyLock<KafkaExtendedCapabilities> = LazyLock::new(|| {
    let mut capabilities = OVER_A_MINIMAL_CLIENT.clone();
    capabilities.streams = true;
    capabilities.security = true;
    capabilities
});

/// The toolkit over the clients of this harness. With all capabilities, it can replace its client.
#[async_trait]
impl KafkaExtendedHarness for MemoryHarness {
    async fn extended(&self) -> Result<Arc<dyn KafkaExtended>, Failure> {
        let toolkit = KafkaToolkit::builder(self.client().await?).schema_registry(self.registry.clone());
        if *self.capabilities == KafkaCapabilities::none() {
            return Ok(Arc::new(toolkit.build()));
        }
        let cluster = self.cluster.clone();
        let toolkit = toolkit.client_factory(move |_security| Ok(Arc::new(cluster.client()) as _));
        if self.behind_pointers {
            let boxed: Box<dyn KafkaExtended> = Box::new(toolkit.build());
            let shared: Arc<Box<dyn KafkaExtended>> = Arc::new(boxed);
            return Ok(Arc::new(shared));
        }
        Ok(Arc::new(toolkit.build()))
    }

    fn extended_capabilities(&self) -> &'static KafkaExtendedCapabilities {
        if *self.capabilities == KafkaCapabilities::none() {
            &OVER_A_MINIMAL_CLIENT
        } else {
            &OVER_A_REPLACEABLE_CLIENT
        }
    }

    fn can_set_level(&self) -> bool {
        true
    }

    async fn set_level(&self, subject: &str, level: CompatibilityLevel) -> CaseResult {
        Ok(self.registry.set_subject_level(subject, Some(level))?)
    }
}

/// What `MemoryKafka` declares about reading.
static READING_CAPABILITIES: LazyLock<KafkaReadingCapabilities> = LazyLock::new(|| {
    let mut capabilities = KafkaReadingCapabilities::none();
    capabilities.patterns = true;
    capabilities.partitions = true;
    capabilities.seek = true;
    capabilities.times = true;
    capabilities.pause = true;
    capabilities.list_offsets = true;
    capabilities.rebalance_events = true;
    capabilities.assignment_strategies = vec![AssignmentStrategy::CooperativeSticky];
    capabilities.group_protocols = vec![GroupProtocol::Classic];
    capabilities
});

/// A client without capabilities has none for reading either.
fn reading_capabilities(client: &KafkaCapabilities) -> KafkaReadingCapabilities {
    if *client == KafkaCapabilities::none() {
        KafkaReadingCapabilities::none()
    } else {
        READING_CAPABILITIES.clone()
    }
}

#[async_trait]
impl KafkaReadingHarness for MemoryHarness {
    async fn reading_client(&self) -> Result<ReadingClient, Failure> {
        let client = self.cluster.client();
        self.clients.lock().push(client.clone());
        if self.behind_pointers {
            let boxed: Box<dyn KafkaReading> = Box::new(client.clone());
            let reading: Arc<Box<dyn KafkaReading>> = Arc::new(boxed);
            return Ok(ReadingClient {
                client: Arc::new(client),
                reading: Arc::new(reading),
            });
        }
        Ok(ReadingClient {
            client: Arc::new(client.clone()),
            reading: Arc::new(client),
        })
    }

    fn reading_capabilities(&self) -> &'static KafkaReadingCapabilities {
        static NONE: KafkaReadingCapabilities = KafkaReadingCapabilities::none();
        if *self.capabilities == KafkaCapabilities::none() {
            &NONE
        } else {
            &READING_CAPABILITIES
        }
    }

    async fn topic_named(&self, name: &str, partitions: i32) -> Result<(), Failure> {
        Ok(self.cluster.create_topic(&NewTopic::new(name, partitions))?)
    }
}
