//! The contract `KafkaExtended`: operations beyond producing and consuming.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    CompatibilityReport, KafkaDiagnostics, KafkaSecurity, OptimizationGoal, OptimizationReport, ProcessorId,
    RegisteredSchema, Schema, SchemaType, SchemaVersion, StreamProcessor, StreamProcessorConfig, StreamStatus,
};
use crate::capabilities::capabilities;
use crate::error::Result;

capabilities! {
    /// What a [`KafkaExtended`] supports.
    pub struct KafkaExtendedCapabilities {
        /// Stream processing with [`DeliveryGuarantee::AtLeastOnce`](super::DeliveryGuarantee::AtLeastOnce).
        streams: bool,
        /// [`DeliveryGuarantee::ExactlyOnce`](super::DeliveryGuarantee::ExactlyOnce).
        exactly_once: bool,
        /// The schema languages that can be registered.
        schema_types: Vec<SchemaType>,
        /// The schema languages whose compatibility can be checked.
        compatibility_types: Vec<SchemaType>,
        /// [`KafkaExtended::kafka_diagnostics`].
        diagnostics: bool,
        /// [`KafkaExtended::optimize_kafka_performance`].
        tuning: bool,
        /// [`KafkaExtended::configure_kafka_security`].
        security: bool,
    }
}

/// Stream processing, schemas, diagnostics, tuning and security.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait KafkaExtended: fmt::Debug + Send + Sync + 'static {
    /// Creates a stream processor. Call [`process_kafka_stream`](Self::process_kafka_stream) to start it.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field,
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) for an application id in use,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `streams`, or for a guarantee that the
    /// capabilities do not declare.
    async fn create_stream_processor(
        &self,
        config: StreamProcessorConfig,
        processor: Arc<dyn StreamProcessor>,
    ) -> Result<ProcessorId>;

    /// Starts a processor. It runs until it is stopped or fails. Starting a running processor is not an error.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such processor, [`Closed`](crate::ErrorKind::Closed) if it
    /// was stopped, and connection errors.
    async fn process_kafka_stream(&self, processor: &ProcessorId) -> Result<()>;

    /// Returns the status of a processor.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such processor.
    async fn stream_status(&self, processor: &ProcessorId) -> Result<StreamStatus>;

    /// Stops a processor, and returns its final status. The processor consumes no further messages, finishes the messages
    /// in progress, commits, and leaves the group. Stopping a stopped processor is not an error.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such processor, [`Timeout`](crate::ErrorKind::Timeout) after
    /// [`drain_timeout`](StreamProcessorConfig::drain_timeout). Messages that were not committed are processed again after a
    /// restart.
    async fn stop_stream(&self, processor: &ProcessorId) -> Result<StreamStatus>;

    /// Registers a schema as the next version of a subject. If the subject already has the schema, returns its id and
    /// version.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the schema cannot be parsed,
    /// [`Incompatible`](crate::ErrorKind::Incompatible) if it is not compatible with earlier versions,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a language that the capabilities do not list.
    async fn register_schema(&self, subject: &str, schema: Schema) -> Result<RegisteredSchema>;

    /// Returns a version of a subject's schema.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such subject or version.
    async fn schema(&self, subject: &str, version: SchemaVersion) -> Result<RegisteredSchema>;

    /// Checks whether a schema could be registered. A subject without versions accepts every schema.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the schema cannot be parsed,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a language that the capabilities do not list.
    async fn check_schema_compatibility(&self, subject: &str, schema: Schema) -> Result<CompatibilityReport>;

    /// Tunes the producers and consumers that are created afterwards. Returns the changed settings.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `tuning`.
    async fn optimize_kafka_performance(&self, goal: OptimizationGoal) -> Result<OptimizationReport>;

    /// Returns the health of a topic.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such topic,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `diagnostics`.
    async fn kafka_diagnostics(&self, topic: &str) -> Result<KafkaDiagnostics>;

    /// Sets encryption and credentials for connections that are opened afterwards.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `security`.
    async fn configure_kafka_security(&self, security: KafkaSecurity) -> Result<()>;

    /// What this implementation supports.
    fn extended_capabilities(&self) -> KafkaExtendedCapabilities;
}

macro_rules! delegate {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<C: KafkaExtended + ?Sized> KafkaExtended for $pointer<C> {
            async fn create_stream_processor(
                &self,
                config: StreamProcessorConfig,
                processor: Arc<dyn StreamProcessor>,
            ) -> Result<ProcessorId> {
                (**self).create_stream_processor(config, processor).await
            }

            async fn process_kafka_stream(&self, processor: &ProcessorId) -> Result<()> {
                (**self).process_kafka_stream(processor).await
            }

            async fn stream_status(&self, processor: &ProcessorId) -> Result<StreamStatus> {
                (**self).stream_status(processor).await
            }

            async fn stop_stream(&self, processor: &ProcessorId) -> Result<StreamStatus> {
                (**self).stop_stream(processor).await
            }

            async fn register_schema(&self, subject: &str, schema: Schema) -> Result<RegisteredSchema> {
                (**self).register_schema(subject, schema).await
            }

            async fn schema(&self, subject: &str, version: SchemaVersion) -> Result<RegisteredSchema> {
                (**self).schema(subject, version).await
            }

            async fn check_schema_compatibility(&self, subject: &str, schema: Schema) -> Result<CompatibilityReport> {
                (**self).check_schema_compatibility(subject, schema).await
            }

            async fn optimize_kafka_performance(&self, goal: OptimizationGoal) -> Result<OptimizationReport> {
                (**self).optimize_kafka_performance(goal).await
            }

            async fn kafka_diagnostics(&self, topic: &str) -> Result<KafkaDiagnostics> {
                (**self).kafka_diagnostics(topic).await
            }

            async fn configure_kafka_security(&self, security: KafkaSecurity) -> Result<()> {
                (**self).configure_kafka_security(security).await
            }

            fn extended_capabilities(&self) -> KafkaExtendedCapabilities {
                (**self).extended_capabilities()
            }
        }
    )+};
}

delegate!(Arc, Box);
