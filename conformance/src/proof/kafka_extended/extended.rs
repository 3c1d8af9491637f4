//! The instance of each saboteur.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::kafka::{
    CompatibilityReport, DeliveryGuarantee, KafkaDiagnostics, KafkaExtended, KafkaExtendedCapabilities, KafkaSecurity,
    OptimizationGoal, OptimizationReport, PoisonPolicy, ProcessorId, RegisteredSchema, Schema, SchemaType,
    SchemaVersion, SettingChange, StreamProcessor, StreamProcessorConfig, StreamState, StreamStatus,
};
use networking_spi::{ErrorKind, NetworkError, Result};

use super::Saboteur;
use super::processor::SaboteurProcessor;

/// Makes the names of groups unique.
static GROUPS: AtomicUsize = AtomicUsize::new(0);

/// Wraps a correct instance, and makes one mistake.
#[derive(Debug)]
pub(super) struct SaboteurExtended {
    inner: Arc<dyn KafkaExtended>,
    saboteur: Saboteur,
    /// How often each schema was registered.
    registered: Mutex<HashMap<(String, Schema), u32>>,
    changes: Mutex<Vec<SettingChange>>,
    secured: AtomicBool,
}

impl SaboteurExtended {
    pub(super) fn new(inner: Arc<dyn KafkaExtended>, saboteur: Saboteur) -> Self {
        Self {
            inner,
            saboteur,
            registered: Mutex::default(),
            changes: Mutex::default(),
            secured: AtomicBool::new(false),
        }
    }

    fn is(&self, saboteur: Saboteur) -> bool {
        self.saboteur == saboteur
    }

    /// Removes the field from an error, for the saboteur that does not name fields.
    fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            if self.is(Saboteur::FieldsAreUnnamed) && error.kind() == ErrorKind::InvalidInput {
                NetworkError::new(ErrorKind::InvalidInput, "saboteur", error.message().to_owned())
            } else {
                error
            }
        })
    }

    /// Whether this error is to be reported as a success.
    fn hides<T>(&self, saboteur: Saboteur, result: &Result<T>, kind: ErrorKind) -> bool {
        self.is(saboteur) && matches!(result, Err(error) if error.kind() == kind)
    }

    /// Alters the configuration of a processor. Invalid values stay invalid.
    fn alter_config(&self, config: &mut StreamProcessorConfig) {
        match self.saboteur {
            Saboteur::IgnoresGuarantees => config.guarantee = DeliveryGuarantee::AtLeastOnce,
            Saboteur::NoCommits if !config.application_id.trim().is_empty() => {
                let number = GROUPS.fetch_add(1, Ordering::Relaxed);
                config.application_id = format!("{}-{number}", config.application_id);
            }
            Saboteur::AlwaysSkips if config.on_poison == PoisonPolicy::Fail => config.on_poison = PoisonPolicy::Skip,
            Saboteur::AlwaysFails if config.on_poison == PoisonPolicy::Skip => config.on_poison = PoisonPolicy::Fail,
            Saboteur::NoDeadLetters if matches!(&config.on_poison, PoisonPolicy::DeadLetter { topic } if !config.input_topics.contains(topic)) =>
            {
                config.on_poison = PoisonPolicy::Skip;
            }
            Saboteur::RetriesOnceMore if config.max_attempts > 0 => config.max_attempts += 1,
            Saboteur::StopsAtOnce if !config.drain_timeout.is_zero() => config.drain_timeout = Duration::from_nanos(1),
            Saboteur::NoDrainTimeout if !config.drain_timeout.is_zero() => {
                config.drain_timeout = Duration::from_secs(86_400);
            }
            _ => {}
        }
    }

    fn alter_schema(&self, mut schema: RegisteredSchema) -> RegisteredSchema {
        match self.saboteur {
            Saboteur::RewritesSchemas => schema.schema.text.push(' '),
            Saboteur::VersionsFromZero => schema.version = schema.version.saturating_sub(1),
            Saboteur::IdsPerSubject => schema.id = schema.version,
            _ => {}
        }
        schema
    }

    fn registered(&self) -> MutexGuard<'_, HashMap<(String, Schema), u32>> {
        self.registered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaExtended for SaboteurExtended {
    async fn create_stream_processor(
        &self,
        mut config: StreamProcessorConfig,
        processor: Arc<dyn StreamProcessor>,
    ) -> Result<ProcessorId> {
        self.alter_config(&mut config);
        let code: Arc<dyn StreamProcessor> = Arc::new(SaboteurProcessor::new(processor, self.saboteur));
        let mut result = self
            .inner
            .create_stream_processor(config.clone(), Arc::clone(&code))
            .await;
        if self.hides(Saboteur::RunsTwice, &result, ErrorKind::AlreadyExists) {
            config.application_id.push_str("-again");
            result = self.inner.create_stream_processor(config, code).await;
        }
        let id = self.named(result)?;
        if self.is(Saboteur::StartsOnCreation) {
            self.inner.process_kafka_stream(&id).await?;
        }
        Ok(id)
    }

    async fn process_kafka_stream(&self, processor: &ProcessorId) -> Result<()> {
        if self.is(Saboteur::SecurityBreaksEverything) && self.secured.load(Ordering::SeqCst) {
            return Err(NetworkError::new(
                ErrorKind::Tls,
                "saboteur",
                "no connection is possible",
            ));
        }
        let result = self.inner.process_kafka_stream(processor).await;
        if self.hides(Saboteur::RestartsStopped, &result, ErrorKind::Closed)
            || self.hides(Saboteur::EveryProcessorExists, &result, ErrorKind::NotFound)
        {
            return Ok(());
        }
        result
    }

    async fn stream_status(&self, processor: &ProcessorId) -> Result<StreamStatus> {
        let result = self.inner.stream_status(processor).await;
        if self.hides(Saboteur::EveryProcessorExists, &result, ErrorKind::NotFound) {
            return Ok(StreamStatus::default());
        }
        result
    }

    async fn stop_stream(&self, processor: &ProcessorId) -> Result<StreamStatus> {
        let result = self.inner.stop_stream(processor).await;
        if self.hides(Saboteur::StopsAtOnce, &result, ErrorKind::Timeout) {
            return self.inner.stream_status(processor).await;
        }
        if self.hides(Saboteur::EveryProcessorExists, &result, ErrorKind::NotFound) {
            let mut status = StreamStatus::default();
            status.state = StreamState::Stopped;
            return Ok(status);
        }
        result
    }

    async fn register_schema(&self, subject: &str, schema: Schema) -> Result<RegisteredSchema> {
        let result = self.inner.register_schema(subject, schema.clone()).await;
        if self.hides(Saboteur::AcceptsBadSchemas, &result, ErrorKind::InvalidInput)
            || self.hides(Saboteur::AcceptsIncompatible, &result, ErrorKind::Incompatible)
        {
            return Ok(RegisteredSchema::new(1, subject, 1, schema));
        }
        let mut registered = self.alter_schema(result?);
        if self.is(Saboteur::RepeatsVersions) {
            let mut known = self.registered();
            let times = known.entry((subject.to_owned(), schema)).or_default();
            registered.version += *times;
            *times += 1;
        }
        Ok(registered)
    }

    async fn schema(&self, subject: &str, mut version: SchemaVersion) -> Result<RegisteredSchema> {
        if self.is(Saboteur::LatestIsFirst) && version == SchemaVersion::Latest {
            version = SchemaVersion::Number(1);
        }
        let result = self.inner.schema(subject, version).await;
        if self.hides(Saboteur::EverySubjectExists, &result, ErrorKind::NotFound) {
            return Ok(RegisteredSchema::new(1, subject, 1, Schema::new(SchemaType::Avro, "")));
        }
        result.map(|schema| self.alter_schema(schema))
    }

    async fn check_schema_compatibility(&self, subject: &str, schema: Schema) -> Result<CompatibilityReport> {
        let mut report = self.inner.check_schema_compatibility(subject, schema.clone()).await?;
        if self.is(Saboteur::ChecksRegister) && report.compatible {
            self.inner.register_schema(subject, schema).await?;
        }
        if self.is(Saboteur::AlwaysCompatible) {
            report.compatible = true;
            report.problems.clear();
        }
        Ok(report)
    }

    async fn optimize_kafka_performance(&self, goal: OptimizationGoal) -> Result<OptimizationReport> {
        let mut report = self.inner.optimize_kafka_performance(goal).await?;
        if self.is(Saboteur::AlwaysBalanced) {
            report.goal = OptimizationGoal::Balanced;
        }
        if self.is(Saboteur::RepeatsChanges) {
            let mut last = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
            if report.changes.is_empty() {
                report.changes.clone_from(&last);
            }
            last.clone_from(&report.changes);
        }
        Ok(report)
    }

    async fn kafka_diagnostics(&self, topic: &str) -> Result<KafkaDiagnostics> {
        let result = self.inner.kafka_diagnostics(topic).await;
        if self.hides(Saboteur::EveryTopicIsHealthy, &result, ErrorKind::NotFound) {
            return Ok(KafkaDiagnostics::new(topic, Vec::new(), Vec::new(), Vec::new()));
        }
        let mut found = result?;
        if self.is(Saboteur::CountsNoMessages) {
            for partition in &mut found.partitions {
                partition.messages = 0;
            }
        }
        if self.is(Saboteur::NoGroups) {
            found.groups.clear();
        }
        Ok(found)
    }

    async fn configure_kafka_security(&self, security: KafkaSecurity) -> Result<()> {
        self.secured.store(true, Ordering::SeqCst);
        let result = self.named(self.inner.configure_kafka_security(security).await);
        if self.hides(Saboteur::AcceptsBadSecurity, &result, ErrorKind::InvalidInput) {
            return Ok(());
        }
        result
    }

    fn extended_capabilities(&self) -> KafkaExtendedCapabilities {
        if self.is(Saboteur::HidesCapabilities) {
            return KafkaExtendedCapabilities::none();
        }
        let mut capabilities = self.inner.extended_capabilities();
        capabilities.exactly_once |= self.is(Saboteur::ClaimsExactlyOnce);
        capabilities
    }
}
