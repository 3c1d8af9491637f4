//! The setup of most cases: a client, and a consumer with assigned partitions.

use std::sync::Arc;

use networking_spi::kafka::{
    ConsumeOptions, ConsumerId, KafkaMessage, KafkaReading, OffsetReset, ReaderConfig, TopicPartition,
};
use tokio::time::Instant;

use super::KafkaReadingHarness;
use crate::check;
use crate::kafka::KafkaHarness;
use crate::kafka::stage::{Stage, read};
use crate::kit::Failure;

/// A client under both contracts, with a producer and a topic.
pub(super) struct Scene {
    pub(super) harness: Arc<dyn KafkaReadingHarness>,
    pub(super) stage: Stage,
    pub(super) reading: Arc<dyn KafkaReading>,
}

impl Scene {
    pub(super) async fn new(harness: Arc<dyn KafkaReadingHarness>, partitions: i32) -> Result<Self, Failure> {
        let client = harness.reading_client().await?;
        let mut stage = Stage::new(Arc::clone(&harness) as Arc<dyn KafkaHarness>, partitions).await?;
        stage.producer = client
            .client
            .create_producer(networking_spi::kafka::ProducerConfig::new())
            .await?;
        stage.client = client.client;
        Ok(Self {
            harness,
            stage,
            reading: client.reading,
        })
    }

    pub(super) fn partition(&self, number: i32) -> TopicPartition {
        TopicPartition::new(self.stage.topic.as_str(), number)
    }

    /// The configuration of a consumer of the topic, from its first record.
    pub(super) fn member_config(&self) -> ReaderConfig {
        ReaderConfig::topics(self.stage.consumer_config())
    }

    /// The configuration of a consumer of these partitions of the topic, from their first record.
    pub(super) fn partitions_config(&self, numbers: &[i32]) -> ReaderConfig {
        ReaderConfig::partitions(
            numbers.iter().map(|number| self.partition(*number)),
            self.stage.group.as_str(),
        )
        .with_consumer(|consumer| consumer.with_offset_reset(OffsetReset::Earliest))
    }

    /// A member of a group that has read the numbers `0..count` of each partition. So it has them assigned.
    pub(super) async fn reader(&self, partitions: i32, count: usize) -> Result<ConsumerId, Failure> {
        for partition in 0..partitions {
            self.write(partition, 0..count).await?;
        }
        let consumer = self.reading.create_reader(self.member_config()).await?;
        let total = usize::try_from(partitions).unwrap_or_default() * count;
        self.stage.read(&consumer, total).await?;
        Ok(consumer)
    }

    /// Writes numbered values to a partition.
    pub(super) async fn write(&self, partition: i32, numbers: std::ops::Range<usize>) -> Result<(), Failure> {
        for number in numbers {
            let record = self.stage.record().with_partition(partition);
            self.stage.write(record.with_value(number.to_string())).await?;
        }
        Ok(())
    }

    /// The places of the next `count` messages: partition and offset, in order.
    pub(super) async fn places(&self, consumer: &ConsumerId, count: usize) -> Result<Vec<(i32, i64)>, Failure> {
        let harness: &dyn KafkaHarness = &*self.stage.harness;
        Ok(places(&read(harness, &self.stage.client, consumer, count).await?))
    }

    /// Rounds of calls to consume, for at most the patience of the harness.
    pub(super) fn rounds(&self, what: impl Into<String>) -> Rounds<'_> {
        Rounds {
            scene: self,
            what: what.into(),
            deadline: Instant::now() + self.harness.patience(),
            // A paused clock does not advance while messages arrive.
            left: 10_000,
        }
    }
}

/// See [`Scene::rounds`].
pub(super) struct Rounds<'s> {
    scene: &'s Scene,
    what: String,
    deadline: Instant,
    left: usize,
}

impl Rounds<'_> {
    /// Calls each consumer once, for a short time. Fails if there were too many rounds.
    pub(super) async fn next(&mut self, consumers: &[&ConsumerId]) -> Result<Vec<KafkaMessage>, Failure> {
        let patience = self.scene.harness.patience();
        check!(
            self.left > 0 && Instant::now() < self.deadline,
            "no {} within {patience:?}",
            self.what
        );
        self.left -= 1;
        let mut messages = Vec::new();
        for consumer in consumers {
            let options = ConsumeOptions::new().with_max_wait(self.scene.harness.quiet() / 5);
            messages.extend(self.scene.stage.client.consume_messages(consumer, options).await?);
        }
        Ok(messages)
    }
}

/// Partition and offset of each message, in order.
pub(super) fn places(messages: &[KafkaMessage]) -> Vec<(i32, i64)> {
    let mut places: Vec<_> = messages
        .iter()
        .map(|message| (message.partition, message.offset))
        .collect();
    places.sort_unstable();
    places
}
