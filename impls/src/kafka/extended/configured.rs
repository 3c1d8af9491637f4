//! A client whose producers are tuned and whose connections can be changed.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerConfig, ConsumerGroupInfo, ConsumerId, KafkaCapabilities, KafkaClient,
    KafkaMessage, KafkaMetrics, NewTopic, ProducerConfig, ProducerId, ProducerRecord, RecordMetadata, SettingChange,
    TopicMetadata,
};
use networking_spi::{NetworkError, Result};
use parking_lot::{Mutex, RwLock};

use super::tuning::Preset;

/// Groups that are remembered for diagnostics.
const MAX_GROUPS: usize = 1_000;

/// Forwards to the newest client; producers and consumers stay with the client that made them.
pub(super) struct ConfiguredClient {
    newest: RwLock<Arc<dyn KafkaClient>>,
    preset: RwLock<Preset>,
    producers: Mutex<HashMap<ProducerId, Arc<dyn KafkaClient>>>,
    consumers: Mutex<HashMap<ConsumerId, Arc<dyn KafkaClient>>>,
    groups: Mutex<BTreeSet<String>>,
}

impl ConfiguredClient {
    pub(super) fn new(client: Arc<dyn KafkaClient>) -> Self {
        Self {
            newest: RwLock::new(client),
            preset: RwLock::default(),
            producers: Mutex::default(),
            consumers: Mutex::default(),
            groups: Mutex::default(),
        }
    }

    /// Tunes producers made from now on.
    pub(super) fn tune(&self, preset: Preset) -> Vec<SettingChange> {
        let mut current = self.preset.write();
        let changes = current.changes_to(&preset);
        *current = preset;
        changes
    }

    /// Has another client make producers and consumers from now on.
    pub(super) fn replace(&self, client: Arc<dyn KafkaClient>) {
        *self.newest.write() = client;
    }

    pub(super) fn watch_group(&self, group: &str) {
        let mut groups = self.groups.lock();
        if groups.len() < MAX_GROUPS {
            groups.insert(group.to_owned());
        }
    }

    pub(super) fn groups(&self) -> BTreeSet<String> {
        self.groups.lock().clone()
    }

    fn newest(&self) -> Arc<dyn KafkaClient> {
        Arc::clone(&self.newest.read())
    }

    fn of_producer(&self, operation: &'static str, id: &ProducerId) -> Result<Arc<dyn KafkaClient>> {
        let found = self.producers.lock().get(id).cloned();
        found.ok_or_else(|| NetworkError::not_found(operation, "producer", id))
    }

    fn of_consumer(&self, operation: &'static str, id: &ConsumerId) -> Result<Arc<dyn KafkaClient>> {
        let found = self.consumers.lock().get(id).cloned();
        found.ok_or_else(|| NetworkError::not_found(operation, "consumer", id))
    }

    /// The newest client and the former ones that still have producers or consumers.
    fn clients(&self) -> Vec<Arc<dyn KafkaClient>> {
        let mut clients = vec![self.newest()];
        let producers = self.producers.lock();
        let consumers = self.consumers.lock();
        for client in producers.values().chain(consumers.values()) {
            if !clients.iter().any(|known| Arc::ptr_eq(known, client)) {
                clients.push(Arc::clone(client));
            }
        }
        clients
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaClient for ConfiguredClient {
    async fn create_producer(&self, config: ProducerConfig) -> Result<ProducerId> {
        let config = self.preset.read().apply(config);
        let client = self.newest();
        let id = client.create_producer(config).await?;
        self.producers.lock().insert(id.clone(), client);
        Ok(id)
    }

    async fn create_consumer(&self, config: ConsumerConfig) -> Result<ConsumerId> {
        let group = config.group.clone();
        let client = self.newest();
        let id = client.create_consumer(config).await?;
        self.consumers.lock().insert(id.clone(), client);
        self.watch_group(&group);
        Ok(id)
    }

    async fn produce_message(&self, producer: &ProducerId, record: ProducerRecord) -> Result<RecordMetadata> {
        self.of_producer("kafka.produce_message", producer)?
            .produce_message(producer, record)
            .await
    }

    async fn produce_messages(
        &self,
        producer: &ProducerId,
        records: Vec<ProducerRecord>,
    ) -> Result<Vec<Result<RecordMetadata>>> {
        self.of_producer("kafka.produce_messages", producer)?
            .produce_messages(producer, records)
            .await
    }

    async fn consume_messages(&self, consumer: &ConsumerId, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        self.of_consumer("kafka.consume_messages", consumer)?
            .consume_messages(consumer, options)
            .await
    }

    async fn commit_offsets(&self, consumer: &ConsumerId, offsets: CommitOffsets) -> Result<()> {
        self.of_consumer("kafka.commit_offsets", consumer)?
            .commit_offsets(consumer, offsets)
            .await
    }

    async fn consumer_group_info(&self, group: &str) -> Result<ConsumerGroupInfo> {
        self.newest().consumer_group_info(group).await
    }

    async fn create_topic(&self, topic: NewTopic) -> Result<()> {
        self.newest().create_topic(topic).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.newest().delete_topic(topic).await
    }

    async fn topic_metadata(&self, topic: &str) -> Result<TopicMetadata> {
        self.newest().topic_metadata(topic).await
    }

    /// The sum over the newest client and those that still have producers or consumers.
    async fn kafka_metrics(&self) -> Result<KafkaMetrics> {
        let mut sum = KafkaMetrics::default();
        for client in self.clients() {
            let part = client.kafka_metrics().await?;
            sum.messages_produced += part.messages_produced;
            sum.bytes_produced += part.bytes_produced;
            sum.produce_errors += part.produce_errors;
            sum.messages_consumed += part.messages_consumed;
            sum.bytes_consumed += part.bytes_consumed;
            sum.consume_errors += part.consume_errors;
            sum.commits += part.commits;
            sum.commit_errors += part.commit_errors;
            sum.rebalances += part.rebalances;
            sum.producers.extend(part.producers);
            sum.consumers.extend(part.consumers);
        }
        Ok(sum)
    }

    async fn flush(&self, producer: &ProducerId, timeout: Duration) -> Result<()> {
        self.of_producer("kafka.flush", producer)?
            .flush(producer, timeout)
            .await
    }

    async fn close_producer(&self, producer: &ProducerId) -> Result<()> {
        let client = self.of_producer("kafka.close_producer", producer)?;
        let result = client.close_producer(producer).await;
        // It is closed even if flushing took too long.
        self.producers.lock().remove(producer);
        result
    }

    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<()> {
        let client = self.of_consumer("kafka.close_consumer", consumer)?;
        let result = client.close_consumer(consumer).await;
        self.consumers.lock().remove(consumer);
        result
    }

    fn capabilities(&self) -> KafkaCapabilities {
        self.newest().capabilities()
    }
}

impl fmt::Debug for ConfiguredClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfiguredClient")
            .field("newest", &self.newest())
            .field("preset", &*self.preset.read())
            .field("producers", &self.producers.lock().len())
            .field("consumers", &self.consumers.lock().len())
            .field("groups", &self.groups.lock().len())
            .finish()
    }
}
