//! The toolkit and its builder.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::error::ResultExt;
use networking_spi::kafka::{
    CompatibilityReport, KafkaClient, KafkaDiagnostics, KafkaExtended, KafkaExtendedCapabilities, KafkaSecurity,
    OptimizationGoal, OptimizationReport, ProcessorId, RegisteredSchema, Schema, SchemaVersion, StreamProcessor,
    StreamProcessorConfig, StreamStatus, validate_topic_name,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result};

use super::configured::ConfiguredClient;
use super::diagnostics::diagnose;
use super::tuning::Preset;
use crate::schema_registry::SchemaRegistry;
use crate::streams::Streams;

/// Creates a client with the given encryption and credentials.
pub type ClientFactory = Arc<dyn Fn(KafkaSecurity) -> Result<Arc<dyn KafkaClient>> + Send + Sync>;

/// Implements [`KafkaExtended`] over any [`KafkaClient`]. Clones share the client, the stream processors and the registry.
///
/// When the last clone is dropped, running stream processors finish their batch, commit and leave their groups in the
/// background. [`stop_stream`](KafkaExtended::stop_stream) waits for that.
#[derive(Clone)]
pub struct KafkaToolkit {
    inner: Arc<Inner>,
}

struct Inner {
    client: Arc<ConfiguredClient>,
    factory: Option<ClientFactory>,
    registry: SchemaRegistry,
    streams: Streams,
    lag_limit: i64,
}

/// Configures a [`KafkaToolkit`].
#[must_use = "call `build`"]
pub struct KafkaToolkitBuilder {
    client: ConfiguredClient,
    factory: Option<ClientFactory>,
    registry: SchemaRegistry,
    lag_limit: i64,
}

impl KafkaToolkit {
    /// Starts to configure a toolkit over `client`.
    pub fn builder(client: Arc<dyn KafkaClient>) -> KafkaToolkitBuilder {
        KafkaToolkitBuilder {
            client: ConfiguredClient::new(client),
            factory: None,
            registry: SchemaRegistry::new(),
            lag_limit: 10_000,
        }
    }

    /// A client that applies the tuning and the security of the toolkit to new producers and consumers.
    pub fn client(&self) -> Arc<dyn KafkaClient> {
        Arc::clone(&self.inner.client) as _
    }

    /// The schema registry. It has operations that [`KafkaExtended`] lacks: compatibility levels, ids, subjects.
    pub fn schema_registry(&self) -> &SchemaRegistry {
        &self.inner.registry
    }

    /// Runs work on schemas on a blocking thread, because it takes milliseconds of processor time.
    async fn on_registry<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&SchemaRegistry) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let registry = self.inner.registry.clone();
        tokio::task::spawn_blocking(move || work(&registry))
            .await
            .unwrap_or_else(|error| {
                let kind = if error.is_cancelled() {
                    ErrorKind::Cancelled
                } else {
                    ErrorKind::Internal
                };
                Err(
                    NetworkError::new(kind, operation, "the work on the schema was cancelled or panicked")
                        .with_source(error),
                )
            })
    }
}

impl KafkaToolkitBuilder {
    /// Sets the schema registry, which several toolkits may share. Default: a new one.
    pub fn schema_registry(mut self, registry: SchemaRegistry) -> Self {
        self.registry = registry;
        self
    }

    /// Sets the factory that [`configure_kafka_security`](KafkaExtended::configure_kafka_security) creates clients with.
    /// Default: none, and that operation is [`Unsupported`](ErrorKind::Unsupported).
    pub fn client_factory(
        mut self,
        factory: impl Fn(KafkaSecurity) -> Result<Arc<dyn KafkaClient>> + Send + Sync + 'static,
    ) -> Self {
        self.factory = Some(Arc::new(factory));
        self
    }

    /// Adds a consumer group to the diagnostics, for consumers that are not created through the toolkit. Diagnostics cover at
    /// most 1 000 groups; further groups are ignored.
    pub fn watch_group(self, group: &str) -> Self {
        self.client.watch_group(group);
        self
    }

    /// Sets the lag of a group in a topic, in records, above which diagnostics warn. Default: 10 000.
    pub fn lag_limit(mut self, records: i64) -> Self {
        self.lag_limit = records;
        self
    }

    /// Builds the toolkit.
    pub fn build(self) -> KafkaToolkit {
        let inner = Inner {
            client: Arc::new(self.client),
            factory: self.factory,
            registry: self.registry,
            streams: Streams::new(),
            lag_limit: self.lag_limit,
        };
        KafkaToolkit { inner: Arc::new(inner) }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaExtended for KafkaToolkit {
    async fn create_stream_processor(
        &self,
        config: StreamProcessorConfig,
        processor: Arc<dyn StreamProcessor>,
    ) -> Result<ProcessorId> {
        self.extended_capabilities()
            .require("kafka.create_stream_processor", "streams")?;
        self.inner.streams.create(config, processor)
    }

    async fn process_kafka_stream(&self, processor: &ProcessorId) -> Result<()> {
        self.inner.streams.start(processor, self.client()).await
    }

    async fn stream_status(&self, processor: &ProcessorId) -> Result<StreamStatus> {
        self.inner.streams.status(processor)
    }

    async fn stop_stream(&self, processor: &ProcessorId) -> Result<StreamStatus> {
        self.inner.streams.stop(processor).await
    }

    async fn register_schema(&self, subject: &str, schema: Schema) -> Result<RegisteredSchema> {
        let subject = subject.to_owned();
        self.on_registry("kafka.register_schema", move |registry| {
            registry.register(&subject, schema)
        })
        .await
    }

    async fn schema(&self, subject: &str, version: SchemaVersion) -> Result<RegisteredSchema> {
        self.inner.registry.schema(subject, version)
    }

    async fn check_schema_compatibility(&self, subject: &str, schema: Schema) -> Result<CompatibilityReport> {
        let subject = subject.to_owned();
        self.on_registry("kafka.check_schema_compatibility", move |registry| {
            registry.check(&subject, &schema)
        })
        .await
    }

    async fn optimize_kafka_performance(&self, goal: OptimizationGoal) -> Result<OptimizationReport> {
        Ok(OptimizationReport::new(goal, self.inner.client.tune(Preset::of(goal))))
    }

    async fn kafka_diagnostics(&self, topic: &str) -> Result<KafkaDiagnostics> {
        const DIAGNOSE: &str = "kafka.kafka_diagnostics";
        validate_topic_name(topic, "topic").in_operation(DIAGNOSE)?;
        let groups = self.inner.client.groups();
        diagnose(&*self.inner.client, topic, groups, self.inner.lag_limit)
            .await
            .in_operation(DIAGNOSE)
    }

    async fn configure_kafka_security(&self, security: KafkaSecurity) -> Result<()> {
        const CONFIGURE: &str = "kafka.configure_kafka_security";
        let Some(factory) = &self.inner.factory else {
            return Err(NetworkError::unsupported(CONFIGURE, "security"));
        };
        security.validate().in_operation(CONFIGURE)?;
        let client = factory(security).in_operation(CONFIGURE)?;
        self.inner.client.replace(client);
        Ok(())
    }

    fn extended_capabilities(&self) -> KafkaExtendedCapabilities {
        let mut capabilities = KafkaExtendedCapabilities::default();
        // A processor commits the offsets of its group.
        capabilities.streams = self.inner.client.capabilities().groups;
        capabilities.exactly_once = false;
        capabilities.schema_types = SchemaRegistry::SCHEMA_TYPES.to_vec();
        capabilities.compatibility_types = capabilities.schema_types.clone();
        capabilities.diagnostics = true;
        capabilities.tuning = true;
        capabilities.security = self.inner.factory.is_some();
        capabilities
    }
}

impl fmt::Debug for KafkaToolkit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaToolkit")
            .field("client", &self.inner.client)
            .field("streams", &self.inner.streams)
            .field("capabilities", &self.extended_capabilities())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for KafkaToolkitBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaToolkitBuilder")
            .field("client", &self.client)
            .field("client_factory", &self.factory.is_some())
            .field("lag_limit", &self.lag_limit)
            .finish_non_exhaustive()
    }
}
