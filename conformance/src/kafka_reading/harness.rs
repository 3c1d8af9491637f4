//! The harness of a client that implements `KafkaReading`.

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::kafka::{KafkaClient, KafkaReading, KafkaReadingCapabilities};

use crate::kafka::KafkaHarness;
use crate::kit::Failure;

/// The two contracts of one client: they share the ids of consumers.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "harnesses construct it")]
pub struct ReadingClient {
    /// The client.
    pub client: Arc<dyn KafkaClient>,
    /// The same client.
    pub reading: Arc<dyn KafkaReading>,
}

/// Makes clients of one cluster, whose topics the methods of [`KafkaHarness`] make.
#[async_trait]
pub trait KafkaReadingHarness: KafkaHarness {
    /// Another client of the cluster.
    ///
    /// # Errors
    /// If the client cannot be made. The case fails.
    async fn reading_client(&self) -> Result<ReadingClient, Failure>;

    /// The capabilities that each client must declare, as the author writes them down. Do not ask a client: a capability that
    /// gets lost must be a failure and not fewer cases.
    fn reading_capabilities(&self) -> &'static KafkaReadingCapabilities;

    /// Creates an empty topic with this name that can be written to immediately.
    ///
    /// # Errors
    /// If the topic cannot be created. The case fails.
    async fn topic_named(&self, name: &str, partitions: i32) -> Result<(), Failure>;
}
