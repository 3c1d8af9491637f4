//! [`KafkaTransactions`] of the in-memory client.

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::error::ResultExt;
use networking_spi::kafka::{
    CommitOffsets, ConsumerId, KafkaClient, KafkaTransactions, ProducerId, TransactionRemedy,
    TransactionalProducerConfig,
};
use networking_spi::validate::Validate;
use networking_spi::{NetworkError, Result};
use tokio::task::coop::consume_budget;

use super::client::MemoryKafka;
use super::fault::{Failure, FaultPoint};
use super::mark::Outcome;
use super::producer::Producer;
use super::transaction::Transaction;

/// A transaction ends at once, in all partitions together. A transaction that exceeds its timeout is aborted when a consumer waits
/// for its end or its producer is used.
///
/// ```
/// use std::sync::Arc;
///
/// use networking_kafka::memory::MemoryKafka;
/// use networking_spi::kafka::{
///     CommitOffsets, ConsumeOptions, ConsumerConfig, KafkaClient, KafkaTransactions, NewTopic, OffsetReset, ProducerConfig,
///     ProducerRecord, TransactionalProducerConfig,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> networking_spi::Result<()> {
/// let kafka = MemoryKafka::new();
/// let client: Arc<dyn KafkaClient> = Arc::new(kafka.clone());
/// let transactions: Arc<dyn KafkaTransactions> = Arc::new(kafka);
/// for topic in ["orders", "invoices"] {
///     client.create_topic(NewTopic::new(topic, 1)).await?;
/// }
/// let plain = client.create_producer(ProducerConfig::new()).await?;
/// client.produce_message(&plain, ProducerRecord::new("orders").with_value("one")).await?;
///
/// let config = ConsumerConfig::new("billing", ["orders"]).with_offset_reset(OffsetReset::Earliest);
/// let consumer = client.create_consumer(config).await?;
/// let producer = transactions.create_transactional_producer(TransactionalProducerConfig::new("billing-1")).await?;
/// transactions.init_transactions(&producer).await?;
///
/// let orders = client.consume_messages(&consumer, ConsumeOptions::new()).await?;
/// transactions.begin_transaction(&producer).await?;
/// for order in &orders {
///     let invoice = ProducerRecord::new("invoices").with_value(order.value.clone().unwrap_or_default());
///     client.produce_message(&producer, invoice).await?;
/// }
/// transactions.send_offsets_to_transaction(&producer, &consumer, CommitOffsets::of(&orders)).await?;
/// transactions.commit_transaction(&producer).await?;
/// assert_eq!(client.consumer_group_info("billing").await?.offsets[0].committed, Some(1));
/// # Ok(())
/// # }
/// ```
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaTransactions for MemoryKafka {
    async fn create_transactional_producer(&self, config: TransactionalProducerConfig) -> Result<ProducerId> {
        const OPERATION: &str = "kafka.create_transactional_producer";
        self.require(OPERATION)?;
        config.validate().in_operation(OPERATION)?;
        self.add_producer(config.producer.clone(), OPERATION, Some(config))
            .map_err(|error| error.in_field("producer"))
    }

    async fn init_transactions(&self, producer: &ProducerId) -> Result<()> {
        const OPERATION: &str = "kafka.init_transactions";
        self.call(OPERATION, producer, |transaction, _| transaction.init(OPERATION))
            .await
    }

    async fn begin_transaction(&self, producer: &ProducerId) -> Result<()> {
        const OPERATION: &str = "kafka.begin_transaction";
        self.require(OPERATION)?;
        let producer = self.transactional(producer, OPERATION)?;
        transaction_of(&producer, OPERATION)?.begin(OPERATION)
    }

    async fn send_offsets_to_transaction(
        &self,
        producer: &ProducerId,
        consumer: &ConsumerId,
        offsets: CommitOffsets,
    ) -> Result<()> {
        const OPERATION: &str = "kafka.send_offsets_to_transaction";
        self.require(OPERATION)?;
        self.capabilities().require(OPERATION, "groups")?;
        let consumer = self.consumer(consumer, OPERATION)?;
        self.call(OPERATION, producer, |transaction, _| {
            transaction.send_offsets(OPERATION, &consumer, offsets)
        })
        .await
    }

    async fn commit_transaction(&self, producer: &ProducerId) -> Result<()> {
        const OPERATION: &str = "kafka.commit_transaction";
        self.require(OPERATION)?;
        let flushed = self.transactional(producer, OPERATION)?;
        let limit = transaction_of(&flushed, OPERATION)?.operation_timeout;
        let remedy = |error: NetworkError| TransactionRemedy::Retry.mark(error.with_operation(OPERATION));
        flushed.flush(limit).await.map_err(remedy)?;
        self.call(OPERATION, producer, |transaction, unreported| {
            transaction.end(OPERATION, Outcome::Committed, unreported)
        })
        .await
    }

    async fn abort_transaction(&self, producer: &ProducerId) -> Result<()> {
        const OPERATION: &str = "kafka.abort_transaction";
        self.call(OPERATION, producer, |transaction, unreported| {
            transaction.end(OPERATION, Outcome::Aborted, unreported)
        })
        .await
    }
}

impl MemoryKafka {
    fn require(&self, operation: &'static str) -> Result<()> {
        self.capabilities().require(operation, "transactions")
    }

    /// Runs an operation to which injected faults apply. It is informed whether its effect is not reported.
    async fn call(
        &self,
        operation: &'static str,
        producer: &ProducerId,
        run: impl FnOnce(&Transaction, bool) -> Result<()> + Send,
    ) -> Result<()> {
        consume_budget().await;
        self.require(operation)?;
        let producer = self.transactional(producer, operation)?;
        let transaction = transaction_of(&producer, operation)?;
        let failure = self.shared_cluster().faults.next(FaultPoint::Transaction, |_| false);
        match failure {
            None => run(transaction, false),
            Some(failure) => {
                if failure.after_effect {
                    run(transaction, true)?;
                }
                Err(injected(failure, operation))
            }
        }
    }

    fn transactional(&self, producer: &ProducerId, operation: &'static str) -> Result<Arc<Producer>> {
        self.open_producer(producer, operation)
    }
}

fn transaction_of<'p>(producer: &'p Producer, operation: &'static str) -> Result<&'p Transaction> {
    producer
        .transaction()
        .ok_or_else(|| NetworkError::invalid_input("producer", "has no transactional id").with_operation(operation))
}

/// An injected fault that is transient can be retried. After others the transaction must be aborted.
fn injected(failure: Failure, operation: &'static str) -> NetworkError {
    let error = failure.error(operation);
    if error.retryability().is_retryable() {
        TransactionRemedy::Retry.mark(error)
    } else {
        TransactionRemedy::Abort.mark(error)
    }
}
