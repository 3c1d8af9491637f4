//! The harness of an implementation of the extended operations.

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::kafka::{CompatibilityLevel, KafkaExtended, KafkaExtendedCapabilities};

use crate::kafka::KafkaHarness;
use crate::kit::{CaseResult, Failure};

/// Makes implementations of the extended operations over one cluster, whose clients and topics the methods of [`KafkaHarness`]
/// make.
#[async_trait]
pub trait KafkaExtendedHarness: KafkaHarness {
    /// Another instance. All instances of a harness use the same cluster and the same schema registry.
    ///
    /// # Errors
    /// If the instance cannot be made. The case fails.
    async fn extended(&self) -> Result<Arc<dyn KafkaExtended>, Failure>;

    /// The capabilities that each instance must declare, as the author writes them down. Do not ask an instance: a capability
    /// that gets lost must be a failure and not fewer cases. A `LazyLock` holds the lists of languages.
    ///
    /// ```
    /// use std::sync::LazyLock;
    ///
    /// use networking_spi::kafka::{KafkaExtendedCapabilities, SchemaType};
    ///
    /// static CAPABILITIES: LazyLock<KafkaExtendedCapabilities> = LazyLock::new(|| {
    ///     let mut capabilities = KafkaExtendedCapabilities::none();
    ///     capabilities.schema_types = vec![SchemaType::Avro];
    ///     capabilities.diagnostics = true;
    ///     capabilities
    /// });
    /// fn extended_capabilities() -> &'static KafkaExtendedCapabilities {
    ///     &CAPABILITIES
    /// }
    /// # assert!(extended_capabilities().diagnostics);
    /// ```
    fn extended_capabilities(&self) -> &'static KafkaExtendedCapabilities;

    /// Whether [`set_level`](Self::set_level) works.
    fn can_set_level(&self) -> bool {
        false
    }

    /// Sets the compatibility level of a subject in the schema registry. The subject need not exist.
    ///
    /// # Errors
    /// If that cannot be done. The case fails.
    async fn set_level(&self, subject: &str, level: CompatibilityLevel) -> CaseResult {
        Err(Failure::new(format!(
            "the harness cannot set the level of {subject} to {level}"
        )))
    }
}
