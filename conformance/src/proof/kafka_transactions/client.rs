//! The client of each saboteur, which writes and reads in transactions.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerAssignment, ConsumerConfig, ConsumerGroupInfo, ConsumerId, IsolationLevel,
    KafkaCapabilities, KafkaClient, KafkaMessage, KafkaMetrics, NewTopic, ProducerConfig, ProducerId, ProducerRecord,
    RecordMetadata, TopicMetadata, TransactionRemedy,
};
use networking_spi::{ErrorKind, Result};

use super::Saboteur;
use super::transactions::SaboteurTransactions;

impl SaboteurTransactions {
    /// Writes without a transaction.
    async fn write_plain(&self, record: ProducerRecord) -> Result<RecordMetadata> {
        let known = self.plain.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let producer = match known {
            Some(producer) => producer,
            None => self.inner.client.create_producer(ProducerConfig::new()).await?,
        };
        *self.plain.lock().unwrap_or_else(PoisonError::into_inner) = Some(producer.clone());
        self.inner.client.produce_message(&producer, record).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaClient for SaboteurTransactions {
    async fn create_producer(&self, config: ProducerConfig) -> Result<ProducerId> {
        self.inner.client.create_producer(config).await
    }

    async fn create_consumer(&self, mut config: ConsumerConfig) -> Result<ConsumerId> {
        match self.saboteur {
            Saboteur::ReadsEverything => config.isolation_level = Some(IsolationLevel::ReadUncommitted),
            Saboteur::ReadsOnlyCommitted => config.isolation_level = Some(IsolationLevel::ReadCommitted),
            _ => {}
        }
        self.inner.client.create_consumer(config).await
    }

    async fn produce_message(&self, producer: &ProducerId, record: ProducerRecord) -> Result<RecordMetadata> {
        let client = &self.inner.client;
        if !self.knows(producer) {
            return client.produce_message(producer, record).await;
        }
        if self.is(Saboteur::WritesTwice) {
            client.produce_message(producer, record.clone()).await?;
        }
        let result = client.produce_message(producer, record.clone()).await;
        self.count(producer);
        match (self.saboteur, result) {
            (Saboteur::WritesOutside, Err(error))
                if error.kind() == ErrorKind::Conflict && TransactionRemedy::of(&error).is_none() =>
            {
                self.write_plain(record).await
            }
            (Saboteur::CountsRecords, Ok(mut written)) => {
                let mut count = self.written.lock().unwrap_or_else(PoisonError::into_inner);
                written.offset = Some(*count);
                *count += 1;
                Ok(written)
            }
            (_, result) => self.altered(result),
        }
    }

    async fn produce_messages(
        &self,
        producer: &ProducerId,
        records: Vec<ProducerRecord>,
    ) -> Result<Vec<Result<RecordMetadata>>> {
        self.inner.client.produce_messages(producer, records).await
    }

    async fn consume_messages(&self, consumer: &ConsumerId, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        self.inner.client.consume_messages(consumer, options).await
    }

    async fn commit_offsets(&self, consumer: &ConsumerId, offsets: CommitOffsets) -> Result<()> {
        self.inner.client.commit_offsets(consumer, offsets).await
    }

    async fn consumer_assignment(&self, consumer: &ConsumerId) -> Result<ConsumerAssignment> {
        self.inner.client.consumer_assignment(consumer).await
    }

    async fn consumer_group_info(&self, group: &str) -> Result<ConsumerGroupInfo> {
        let mut info = self.inner.client.consumer_group_info(group).await?;
        if self.is(Saboteur::CountsEnds) {
            for offset in &mut info.offsets {
                let next = offset.committed.unwrap_or_default();
                offset.lag = Some(offset.latest - next);
            }
        }
        Ok(info)
    }

    async fn create_topic(&self, topic: NewTopic) -> Result<()> {
        self.inner.client.create_topic(topic).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.inner.client.delete_topic(topic).await
    }

    async fn topic_metadata(&self, topic: &str) -> Result<TopicMetadata> {
        self.inner.client.topic_metadata(topic).await
    }

    async fn kafka_metrics(&self) -> Result<KafkaMetrics> {
        self.inner.client.kafka_metrics().await
    }

    async fn flush(&self, producer: &ProducerId, timeout: Duration) -> Result<()> {
        self.inner.client.flush(producer, timeout).await
    }

    async fn close_producer(&self, producer: &ProducerId) -> Result<()> {
        if self.is(Saboteur::ClosingCommits) && self.knows(producer) {
            // Fails if no transaction is open.
            let _ = self.inner.transactions.commit_transaction(producer).await;
        }
        self.inner.client.close_producer(producer).await
    }

    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<()> {
        self.inner.client.close_consumer(consumer).await
    }

    fn capabilities(&self) -> KafkaCapabilities {
        let mut capabilities = self.inner.client.capabilities();
        if matches!(self.saboteur, Saboteur::DeclaresNothing | Saboteur::HidesTransactions) {
            capabilities.transactions = false;
        }
        capabilities
    }
}
