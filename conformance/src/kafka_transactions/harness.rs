//! The harness of an implementation of transactions.

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::kafka::{KafkaClient, KafkaTransactions};

use crate::kafka::KafkaHarness;
use crate::kit::Failure;

/// Makes clients with transactions of one cluster, whose topics the methods of [`KafkaHarness`] make.
///
/// [`capabilities`](KafkaHarness::capabilities) states whether they have transactions.
#[async_trait]
pub trait KafkaTransactionsHarness: KafkaHarness {
    /// Another client of the cluster, as both of its traits.
    ///
    /// # Errors
    /// If the client cannot be made. The case fails.
    async fn transactional(&self) -> Result<TransactionalClient, Failure>;
}

/// A client and its transactions, which share producers and consumers.
#[derive(Debug, Clone)]
#[allow(clippy::exhaustive_structs, reason = "a pair that harnesses make")]
pub struct TransactionalClient {
    /// The client.
    pub client: Arc<dyn KafkaClient>,
    /// The transactions of the same client.
    pub transactions: Arc<dyn KafkaTransactions>,
}
