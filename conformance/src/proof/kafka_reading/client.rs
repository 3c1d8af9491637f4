//! The client beside a broken `KafkaReading`: correct, but for what its mistakes need.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::Result;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerAssignment, ConsumerConfig, ConsumerGroupInfo, ConsumerId,
    KafkaCapabilities, KafkaClient, KafkaMessage, KafkaMetrics, NewTopic, ProducerConfig, ProducerId, ProducerRecord,
    RecordMetadata, TopicMetadata,
};

use super::reading::SaboteurReading;

#[derive(Debug)]
pub(super) struct SaboteurClient(Arc<SaboteurReading>);

impl SaboteurClient {
    pub(super) fn new(reading: Arc<SaboteurReading>) -> Self {
        Self(reading)
    }

    fn inner(&self) -> &dyn KafkaClient {
        &*self.0.inner.client
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaClient for SaboteurClient {
    async fn create_producer(&self, config: ProducerConfig) -> Result<ProducerId> {
        self.inner().create_producer(config).await
    }

    async fn create_consumer(&self, config: ConsumerConfig) -> Result<ConsumerId> {
        self.inner().create_consumer(config).await
    }

    async fn produce_message(&self, producer: &ProducerId, record: ProducerRecord) -> Result<RecordMetadata> {
        self.inner().produce_message(producer, record).await
    }

    async fn produce_messages(
        &self,
        producer: &ProducerId,
        records: Vec<ProducerRecord>,
    ) -> Result<Vec<Result<RecordMetadata>>> {
        self.inner().produce_messages(producer, records).await
    }

    async fn consume_messages(&self, consumer: &ConsumerId, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        let _turn = self.0.turn.lock().await;
        self.inner().consume_messages(consumer, options).await
    }

    async fn commit_offsets(&self, consumer: &ConsumerId, offsets: CommitOffsets) -> Result<()> {
        self.inner().commit_offsets(consumer, offsets).await
    }

    async fn consumer_assignment(&self, consumer: &ConsumerId) -> Result<ConsumerAssignment> {
        self.inner().consumer_assignment(consumer).await
    }

    async fn consumer_group_info(&self, group: &str) -> Result<ConsumerGroupInfo> {
        self.inner().consumer_group_info(group).await
    }

    async fn create_topic(&self, topic: NewTopic) -> Result<()> {
        self.inner().create_topic(topic).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.inner().delete_topic(topic).await
    }

    async fn topic_metadata(&self, topic: &str) -> Result<TopicMetadata> {
        self.inner().topic_metadata(topic).await
    }

    async fn kafka_metrics(&self) -> Result<KafkaMetrics> {
        self.inner().kafka_metrics().await
    }

    async fn flush(&self, producer: &ProducerId, timeout: Duration) -> Result<()> {
        self.inner().flush(producer, timeout).await
    }

    async fn close_producer(&self, producer: &ProducerId) -> Result<()> {
        self.inner().close_producer(producer).await
    }

    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<()> {
        self.inner().close_consumer(consumer).await
    }

    fn capabilities(&self) -> KafkaCapabilities {
        self.inner().capabilities()
    }
}
