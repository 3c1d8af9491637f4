//! A client that tunes its producers and whose underlying client can be replaced.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerAssignment, ConsumerConfig, ConsumerGroupInfo, ConsumerId,
    KafkaCapabilities, KafkaClient, KafkaMessage, KafkaMetrics, NewTopic, ProducerConfig, ProducerId, ProducerRecord,
    RecordMetadata, SettingChange, TopicMetadata,
};
use networking_spi::{NetworkError, Result};
use parking_lot::{Mutex, RwLock};

use super::tuning::Preset;

/// The maximum number of groups that diagnostics cover.
const MAX_GROUPS: usize = 1_000;

/// Forwards to the current client. Producers and consumers stay with the client that created them.
///
/// It assigns its own ids, because two clients may use the same ids.
pub(super) struct ConfiguredClient {
    current: RwLock<Arc<dyn KafkaClient>>,
    preset: RwLock<Preset>,
    /// Makes the ids of this client different from those of other clients.
    number: u64,
    handles: AtomicU64,
    producers: Mutex<HashMap<ProducerId, Route<ProducerId>>>,
    consumers: Mutex<HashMap<ConsumerId, Route<ConsumerId>>>,
    groups: Mutex<BTreeSet<String>>,
}

/// The client that created a producer or consumer, and the id that it uses.
#[derive(Clone)]
struct Route<I> {
    client: Arc<dyn KafkaClient>,
    id: I,
}

static CLIENTS: AtomicU64 = AtomicU64::new(1);

impl ConfiguredClient {
    pub(super) fn new(client: Arc<dyn KafkaClient>) -> Self {
        Self {
            current: RwLock::new(client),
            preset: RwLock::default(),
            number: CLIENTS.fetch_add(1, Ordering::Relaxed),
            handles: AtomicU64::new(1),
            producers: Mutex::default(),
            consumers: Mutex::default(),
            groups: Mutex::default(),
        }
    }

    /// Sets the preset of new producers and returns what it changes.
    pub(super) fn tune(&self, preset: Preset) -> Vec<SettingChange> {
        let preset = preset.supported_by(self.current().capabilities());
        let mut active = self.preset.write();
        let changes = active.changes_to(&preset);
        *active = preset;
        changes
    }

    /// Sets the client that creates new producers and consumers.
    pub(super) fn replace(&self, client: Arc<dyn KafkaClient>) {
        *self.current.write() = client;
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

    fn current(&self) -> Arc<dyn KafkaClient> {
        Arc::clone(&self.current.read())
    }

    fn producer(&self, operation: &'static str, id: &ProducerId) -> Result<Route<ProducerId>> {
        let found = self.producers.lock().get(id).cloned();
        found.ok_or_else(|| NetworkError::not_found(operation, "producer", id))
    }

    fn consumer(&self, operation: &'static str, id: &ConsumerId) -> Result<Route<ConsumerId>> {
        let found = self.consumers.lock().get(id).cloned();
        found.ok_or_else(|| NetworkError::not_found(operation, "consumer", id))
    }

    fn next_id(&self, what: &str) -> String {
        let handle = self.handles.fetch_add(1, Ordering::Relaxed);
        format!("toolkit-{}-{what}-{handle}", self.number)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaClient for ConfiguredClient {
    async fn create_producer(&self, config: ProducerConfig) -> Result<ProducerId> {
        let client = self.current();
        let config = {
            let preset = self.preset.read();
            // A replaced client may have had other capabilities.
            preset.clone().supported_by(client.capabilities()).apply(config)
        };
        let id = client.create_producer(config).await?;
        let own = ProducerId::new(self.next_id("producer"));
        self.producers.lock().insert(own.clone(), Route { client, id });
        Ok(own)
    }

    async fn create_consumer(&self, config: ConsumerConfig) -> Result<ConsumerId> {
        let group = config.group.clone();
        let client = self.current();
        let id = client.create_consumer(config).await?;
        let own = ConsumerId::new(self.next_id("consumer"));
        self.consumers.lock().insert(own.clone(), Route { client, id });
        self.watch_group(&group);
        Ok(own)
    }

    async fn produce_message(&self, producer: &ProducerId, record: ProducerRecord) -> Result<RecordMetadata> {
        let Route { client, id } = self.producer("kafka.produce_message", producer)?;
        client.produce_message(&id, record).await
    }

    async fn produce_messages(
        &self,
        producer: &ProducerId,
        records: Vec<ProducerRecord>,
    ) -> Result<Vec<Result<RecordMetadata>>> {
        let Route { client, id } = self.producer("kafka.produce_messages", producer)?;
        client.produce_messages(&id, records).await
    }

    async fn consume_messages(&self, consumer: &ConsumerId, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        let Route { client, id } = self.consumer("kafka.consume_messages", consumer)?;
        client.consume_messages(&id, options).await
    }

    async fn commit_offsets(&self, consumer: &ConsumerId, offsets: CommitOffsets) -> Result<()> {
        let Route { client, id } = self.consumer("kafka.commit_offsets", consumer)?;
        client.commit_offsets(&id, offsets).await
    }

    async fn consumer_assignment(&self, consumer: &ConsumerId) -> Result<ConsumerAssignment> {
        let Route { client, id } = self.consumer("kafka.consumer_assignment", consumer)?;
        client.consumer_assignment(&id).await
    }

    async fn consumer_group_info(&self, group: &str) -> Result<ConsumerGroupInfo> {
        self.current().consumer_group_info(group).await
    }

    async fn create_topic(&self, topic: NewTopic) -> Result<()> {
        self.current().create_topic(topic).await
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        self.current().delete_topic(topic).await
    }

    async fn topic_metadata(&self, topic: &str) -> Result<TopicMetadata> {
        self.current().topic_metadata(topic).await
    }

    /// The sum over the current client and the replaced clients that still have open producers or consumers.
    async fn kafka_metrics(&self) -> Result<KafkaMetrics> {
        let producers = self.producers.lock().clone();
        let consumers = self.consumers.lock().clone();
        let mut clients = vec![self.current()];
        let routed = producers.values().map(|route| &route.client);
        for client in routed.chain(consumers.values().map(|route| &route.client)) {
            if !clients.iter().any(|known| Arc::ptr_eq(known, client)) {
                clients.push(Arc::clone(client));
            }
        }
        let mut sum = KafkaMetrics::default();
        for client in clients {
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
            for (own, route) in producers
                .iter()
                .filter(|(_, route)| Arc::ptr_eq(&route.client, &client))
            {
                sum.producers
                    .extend(part.producers.get(&route.id).map(|metrics| (own.clone(), *metrics)));
            }
            for (own, route) in consumers
                .iter()
                .filter(|(_, route)| Arc::ptr_eq(&route.client, &client))
            {
                sum.consumers
                    .extend(part.consumers.get(&route.id).map(|metrics| (own.clone(), *metrics)));
            }
        }
        Ok(sum)
    }

    async fn flush(&self, producer: &ProducerId, timeout: Duration) -> Result<()> {
        let Route { client, id } = self.producer("kafka.flush", producer)?;
        client.flush(&id, timeout).await
    }

    async fn close_producer(&self, producer: &ProducerId) -> Result<()> {
        let Route { client, id } = self.producer("kafka.close_producer", producer)?;
        let result = client.close_producer(&id).await;
        // Also after an error: a producer is closed even if its records were not flushed in time.
        self.producers.lock().remove(producer);
        result
    }

    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<()> {
        let Route { client, id } = self.consumer("kafka.close_consumer", consumer)?;
        let result = client.close_consumer(&id).await;
        self.consumers.lock().remove(consumer);
        result
    }

    fn capabilities(&self) -> KafkaCapabilities {
        let mut capabilities = self.current().capabilities();
        // The ids of this client are not those of the client that has the transactions.
        capabilities.transactions = false;
        capabilities
    }
}

impl fmt::Debug for ConfiguredClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfiguredClient")
            .field("current", &self.current())
            .field("preset", &*self.preset.read())
            .field("producers", &self.producers.lock().len())
            .field("consumers", &self.consumers.lock().len())
            .field("groups", &self.groups.lock().len())
            .finish_non_exhaustive()
    }
}
