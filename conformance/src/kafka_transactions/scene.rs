//! The setup of most cases: a topic, and a client with a transactional producer that is registered.

use std::sync::Arc;

use networking_spi::kafka::{
    ConsumerConfig, ConsumerId, IsolationLevel, KafkaMessage, OffsetReset, ProducerId, RecordMetadata,
    TransactionRemedy, TransactionalProducerConfig,
};
use networking_spi::{ErrorKind, NetworkError, Result as SpiResult};
use tokio::time::Instant;

use super::{KafkaTransactionsHarness, TransactionalClient};
use crate::kafka::stage::{self, Stage};
use crate::kit::{CaseResult, Failure};
use crate::{check, check_eq};

/// A topic and a registered producer of one client.
pub(super) struct Scene {
    pub(super) harness: Arc<dyn KafkaTransactionsHarness>,
    /// The plain producer, the topic and the group. Its client is that of `pair`.
    pub(super) stage: Stage,
    pub(super) pair: TransactionalClient,
    pub(super) id: String,
    pub(super) producer: ProducerId,
}

impl Scene {
    pub(super) async fn new(harness: Arc<dyn KafkaTransactionsHarness>, partitions: i32) -> Result<Self, Failure> {
        let mut scene = Self::unregistered(harness, partitions).await?;
        scene.producer = scene.register(&scene.pair).await?;
        Ok(scene)
    }

    /// The producer exists, but is not registered.
    pub(super) async fn unregistered(
        harness: Arc<dyn KafkaTransactionsHarness>,
        partitions: i32,
    ) -> Result<Self, Failure> {
        let pair = harness.transactional().await?;
        let mut stage = Stage::new(Arc::<dyn KafkaTransactionsHarness>::clone(&harness), partitions).await?;
        stage.client = Arc::clone(&pair.client);
        stage.producer = pair
            .client
            .create_producer(networking_spi::kafka::ProducerConfig::new())
            .await?;
        let id = harness.unique("transactional-id");
        let config = TransactionalProducerConfig::new(id.as_str());
        let producer = pair.transactions.create_transactional_producer(config).await?;
        Ok(Self {
            harness,
            stage,
            pair,
            id,
            producer,
        })
    }

    /// Another producer with the id of the scene, registered.
    pub(super) async fn register(&self, pair: &TransactionalClient) -> Result<ProducerId, Failure> {
        self.register_with(pair, TransactionalProducerConfig::new(self.id.as_str()))
            .await
    }

    pub(super) async fn register_with(
        &self,
        pair: &TransactionalClient,
        config: TransactionalProducerConfig,
    ) -> Result<ProducerId, Failure> {
        let producer = pair.transactions.create_transactional_producer(config).await?;
        let deadline = Instant::now() + self.harness.patience();
        loop {
            match pair.transactions.init_transactions(&producer).await {
                Err(error) if retries(&error) && Instant::now() < deadline => {}
                result => return Ok(result.map(|()| producer)?),
            }
        }
    }

    pub(super) async fn begin(&self) -> CaseResult {
        Ok(self.pair.transactions.begin_transaction(&self.producer).await?)
    }

    /// Writes a value to partition 0 with the transactional producer.
    pub(super) async fn write(&self, value: &str) -> SpiResult<RecordMetadata> {
        self.write_to(0, value).await
    }

    pub(super) async fn write_to(&self, partition: i32, value: &str) -> SpiResult<RecordMetadata> {
        let record = self
            .stage
            .record()
            .with_partition(partition)
            .with_value(value.to_owned());
        self.pair.client.produce_message(&self.producer, record).await
    }

    /// Writes a value to partition 0 without a transaction.
    pub(super) async fn write_plain(&self, value: &str) -> Result<RecordMetadata, Failure> {
        let record = self.stage.record().with_partition(0).with_value(value.to_owned());
        self.stage.write(record).await
    }

    /// Commits, and repeats that as the remedy of the error says.
    pub(super) async fn commit(&self) -> SpiResult<()> {
        let deadline = Instant::now() + self.harness.patience();
        loop {
            match self.pair.transactions.commit_transaction(&self.producer).await {
                Err(error) if retries(&error) && Instant::now() < deadline => {}
                result => return result,
            }
        }
    }

    /// Aborts, and repeats that as the remedy of the error says.
    pub(super) async fn abort(&self) -> SpiResult<()> {
        let deadline = Instant::now() + self.harness.patience();
        loop {
            match self.pair.transactions.abort_transaction(&self.producer).await {
                Err(error) if retries(&error) && Instant::now() < deadline => {}
                result => return result,
            }
        }
    }

    /// The only consumer of a new group. It reads from the start.
    pub(super) async fn reader(&self, level: IsolationLevel) -> Result<ConsumerId, Failure> {
        let config = ConsumerConfig::new(self.harness.unique("reader"), [self.stage.topic.as_str()])
            .with_isolation_level(level)
            .with_offset_reset(OffsetReset::Earliest);
        Ok(self.pair.client.create_consumer(config).await?)
    }

    /// Fails unless these values, and no others, are read with this isolation level.
    pub(super) async fn check_values(&self, level: IsolationLevel, expected: &[&str]) -> CaseResult {
        let consumer = self.reader(level).await?;
        let messages = self.read(&consumer, expected.len()).await?;
        check_eq!(stage::values(&messages), expected, "values with {level}");
        self.stage.read_nothing(&consumer).await?;
        self.pair.client.close_consumer(&consumer).await?;
        Ok(())
    }

    pub(super) async fn read(&self, consumer: &ConsumerId, count: usize) -> Result<Vec<KafkaMessage>, Failure> {
        self.stage.read(consumer, count).await
    }
}

/// Fails unless the result is a conflict with this remedy.
pub(super) fn check_conflict<T>(
    result: SpiResult<T>,
    remedy: Option<TransactionRemedy>,
    what: &str,
) -> Result<NetworkError, Failure> {
    let error = crate::check_error!(result, ErrorKind::Conflict, "{what}");
    check_eq!(TransactionRemedy::of(&error), remedy, "{what}: the remedy of {error}");
    Ok(error)
}

/// Fails unless the error has this remedy.
pub(super) fn check_remedy<T>(result: SpiResult<T>, remedy: TransactionRemedy, what: &str) -> CaseResult {
    match result {
        Err(error) => check_eq!(
            TransactionRemedy::of(&error),
            Some(remedy),
            "{what}: the remedy of {error}"
        ),
        Ok(_) => check!(false, "{what}: expected an error, got success"),
    }
    Ok(())
}

fn retries(error: &NetworkError) -> bool {
    TransactionRemedy::of(error) == Some(TransactionRemedy::Retry)
}
