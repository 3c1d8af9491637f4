//! [`KafkaTransactions`] of the client.

use std::time::Duration;

use async_trait::async_trait;
use networking_spi::Result;
use networking_spi::error::ResultExt;
use networking_spi::kafka::{CommitOffsets, ConsumerId, KafkaTransactions, ProducerId, TransactionalProducerConfig};
use networking_spi::validate::Validate;
use rdkafka::producer::{self as librdkafka, Producer as _};

use super::{Inner, RdKafkaClient};
use crate::rdkafka::producer::{Call, Transaction};

/// The calls of librdkafka that wait for the coordinator run on the runtime's blocking threads, one at a time for each producer.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaTransactions for RdKafkaClient {
    async fn create_transactional_producer(&self, config: TransactionalProducerConfig) -> Result<ProducerId> {
        const OPERATION: &str = "kafka.create_transactional_producer";
        self.inner.require_transactions(OPERATION)?;
        config.validate().in_operation(OPERATION)?;
        let settings = self.inner.settings.producer(&config.producer);
        let mut settings = settings.in_field("producer").in_operation(OPERATION)?;
        let timeout = millis(config.transaction_timeout);
        let socket = settings.get("socket.timeout.ms").and_then(|value| value.parse().ok());
        settings
            .set("transactional.id", &config.transactional_id)
            .set("transaction.timeout.ms", timeout.to_string())
            .set("enable.idempotence", "true")
            // librdkafka requires that a request ends before the transaction does.
            .set("socket.timeout.ms", socket.unwrap_or(timeout).min(timeout).to_string());
        let transaction = Transaction::new(&config);
        self.inner
            .add_producer(OPERATION, config.producer, settings, Some(transaction))
            .await
    }

    async fn init_transactions(&self, producer: &ProducerId) -> Result<()> {
        const OPERATION: &str = "kafka.init_transactions";
        self.inner.require_transactions(OPERATION)?;
        let producer = self.inner.producer(OPERATION, producer)?;
        let init = producer.transact(Call::Init, librdkafka::Producer::init_transactions);
        init.await
    }

    async fn begin_transaction(&self, producer: &ProducerId) -> Result<()> {
        const OPERATION: &str = "kafka.begin_transaction";
        self.inner.require_transactions(OPERATION)?;
        let producer = self.inner.producer(OPERATION, producer)?;
        producer
            .transact(Call::Begin, |handle, _| handle.begin_transaction())
            .await
    }

    async fn send_offsets_to_transaction(
        &self,
        producer: &ProducerId,
        consumer: &ConsumerId,
        offsets: CommitOffsets,
    ) -> Result<()> {
        const OPERATION: &str = "kafka.send_offsets_to_transaction";
        self.inner.require_transactions(OPERATION)?;
        let producer = self.inner.producer(OPERATION, producer)?;
        let consumer = self.inner.consumer(OPERATION, consumer)?;
        let transaction = producer.transaction(OPERATION)?;
        transaction.enter(Call::SendOffsets)?;
        let offsets = match consumer.transaction_offsets(OPERATION, offsets) {
            Ok(offsets) => offsets,
            Err(error) if error.kind() == networking_spi::ErrorKind::Conflict => return Err(transaction.fail(error)),
            Err(error) => return Err(error),
        };
        if offsets.count() == 0 {
            return Ok(());
        }
        let group = consumer.group_metadata(OPERATION).await;
        let group = group.map_err(|error| transaction.fail(error))?;
        let send = producer.transact(Call::SendOffsets, move |handle, limit| {
            handle.send_offsets_to_transaction(&offsets, &group, limit)
        });
        send.await
    }

    async fn commit_transaction(&self, producer: &ProducerId) -> Result<()> {
        const OPERATION: &str = "kafka.commit_transaction";
        self.inner.require_transactions(OPERATION)?;
        let producer = self.inner.producer(OPERATION, producer)?;
        let commit = producer.transact(Call::Commit, librdkafka::Producer::commit_transaction);
        commit.await
    }

    async fn abort_transaction(&self, producer: &ProducerId) -> Result<()> {
        const OPERATION: &str = "kafka.abort_transaction";
        self.inner.require_transactions(OPERATION)?;
        let producer = self.inner.producer(OPERATION, producer)?;
        producer.abort_transaction().await
    }
}

impl Inner {
    fn require_transactions(&self, operation: &'static str) -> Result<()> {
        self.settings.capabilities.require(operation, "transactions")
    }
}

fn millis(timeout: Duration) -> i64 {
    i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)
}
