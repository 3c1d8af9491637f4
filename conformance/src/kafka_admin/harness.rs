//! The harness of an administrator.

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::kafka::{KafkaAdmin, KafkaAdminCapabilities};

use crate::kafka::KafkaHarness;
use crate::kit::Failure;

/// Makes administrators of one cluster, whose clients and topics the methods of [`KafkaHarness`] make.
///
/// The suite changes and deletes only topics and groups that it has created. Of a broker it changes `message.max.bytes` by one
/// byte, and removes the value afterwards.
#[async_trait]
pub trait KafkaAdminHarness: KafkaHarness {
    /// Another administrator of the cluster.
    ///
    /// # Errors
    /// If it cannot be made. The case fails.
    async fn admin(&self) -> Result<Arc<dyn KafkaAdmin>, Failure>;

    /// The capabilities that each administrator must declare, as a constant that the author writes down. Do not ask an
    /// administrator: a capability that gets lost must be a failure and not fewer cases.
    fn admin_capabilities(&self) -> &'static KafkaAdminCapabilities;
}
