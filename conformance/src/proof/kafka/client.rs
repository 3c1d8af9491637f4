//! The client of each saboteur.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerAssignment, ConsumerConfig, ConsumerGroupInfo, ConsumerId, GroupState,
    KafkaCapabilities, KafkaClient, KafkaCompression, KafkaHeaders, KafkaMessage, KafkaMetrics, NewTopic,
    PartitionMetadata, PartitionOffset, ProducerConfig, ProducerId, ProducerRecord, RecordMetadata, TopicMetadata,
    TopicPartition,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};

use super::{Saboteur, config};

/// Numbers the clients, for saboteurs that depend on which client it is.
static CLIENTS: AtomicUsize = AtomicUsize::new(0);

/// Wraps a correct client, and makes one mistake.
#[derive(Debug)]
pub(super) struct SaboteurClient {
    inner: Arc<dyn KafkaClient>,
    saboteur: Saboteur,
    number: usize,
    consumers: Mutex<HashMap<ConsumerId, Consumer>>,
    /// The inner client's ids of producers that have another id outside.
    renamed: Mutex<HashMap<ProducerId, ProducerId>>,
    /// Messages that the inner client returned too early.
    taken: Mutex<HashMap<ConsumerId, Vec<KafkaMessage>>>,
    /// Producers that are closed only outside.
    closed: Mutex<HashSet<ProducerId>>,
}

/// What saboteurs need to know about a consumer.
#[derive(Debug, Clone)]
struct Consumer {
    /// The consumer of the inner client.
    id: ConsumerId,
    config: ConsumerConfig,
    /// The next offsets to read.
    returned: BTreeMap<TopicPartition, i64>,
    /// The latest committed offsets.
    committed: BTreeMap<TopicPartition, i64>,
    /// The first committed offsets.
    first_committed: Option<BTreeMap<TopicPartition, i64>>,
    /// Whether a call to consume has failed.
    has_failed: bool,
    closed: bool,
}

impl SaboteurClient {
    pub(super) fn new(inner: Arc<dyn KafkaClient>, saboteur: Saboteur) -> Self {
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
        Self {
            inner,
            saboteur,
            number,
            consumers: Mutex::default(),
            renamed: Mutex::default(),
            taken: Mutex::default(),
            closed: Mutex::default(),
        }
    }

    fn is(&self, saboteur: Saboteur) -> bool {
        self.saboteur == saboteur
    }

    fn consumers(&self) -> MutexGuard<'_, HashMap<ConsumerId, Consumer>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn consumer(&self, id: &ConsumerId) -> Option<Consumer> {
        self.consumers().get(id).filter(|consumer| !consumer.closed).cloned()
    }

    /// The inner client's id of a consumer. An unknown id is returned unchanged; the inner client does not find it.
    fn inner_id(&self, id: &ConsumerId) -> ConsumerId {
        match self.consumers().get(id) {
            Some(consumer) if consumer.closed => ConsumerId::new("closed"),
            Some(consumer) => consumer.id.clone(),
            None => id.clone(),
        }
    }

    fn producer_id(&self, id: &ProducerId) -> ProducerId {
        if self.closed.lock().unwrap_or_else(PoisonError::into_inner).contains(id) {
            return ProducerId::new("closed");
        }
        self.renamed().get(id).unwrap_or(id).clone()
    }

    fn renamed(&self) -> MutexGuard<'_, HashMap<ProducerId, ProducerId>> {
        self.renamed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes the field from an error, for the saboteur that does not name fields.
    fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            if self.is(Saboteur::FieldsAreUnnamed) && error.kind() == ErrorKind::InvalidInput {
                NetworkError::new(ErrorKind::InvalidInput, "saboteur", error.message().to_owned())
            } else {
                error
            }
        })
    }

    /// Replaces the error about an invalid name, for the saboteur that looks up every name.
    fn looked_up(&self, error: NetworkError, what: &'static str, name: &str) -> NetworkError {
        if self.is(Saboteur::LooksUpEveryName) && error.kind() == ErrorKind::InvalidInput {
            NetworkError::not_found("saboteur", what, name)
        } else {
            error
        }
    }

    /// Alters a record before it is written.
    async fn alter_record(&self, mut record: ProducerRecord) -> ProducerRecord {
        match self.saboteur {
            Saboteur::NoClock => record.timestamp = record.timestamp.or(Some(UNIX_EPOCH)),
            Saboteur::KeyOverridesPartition if record.key.is_some() => record.partition = None,
            Saboteur::OtherPartitioner | Saboteur::PartitionsWrap => {
                let metadata = self.inner.topic_metadata(&record.topic).await;
                let count = metadata.map_or(1, |topic| i32::try_from(topic.partitions.len()).unwrap_or(1));
                if self.is(Saboteur::PartitionsWrap) {
                    record.partition = record.partition.map(|partition| partition.min(partition.abs() % count));
                } else if let (None, Some(key)) = (record.partition, &record.key) {
                    let sum: i32 = key.iter().map(|byte| i32::from(*byte)).sum();
                    record.partition = Some(sum % count);
                }
            }
            _ => {}
        }
        record
    }

    /// Alters the result of a write.
    async fn alter_answer(&self, topic: &str, result: Result<RecordMetadata>) -> Result<RecordMetadata> {
        match (self.saboteur, self.named(result)) {
            (Saboteur::OffsetZero, Ok(mut written)) => {
                written.offset = written.offset.map(|_| 0);
                Ok(written)
            }
            (Saboteur::UnknownTopicTimesOut, Err(error)) if error.kind() == ErrorKind::NotFound => {
                match self.inner.topic_metadata(topic).await {
                    Err(_) => Err(NetworkError::timeout("saboteur", Phase::Total, Duration::from_secs(1))),
                    Ok(_) => Err(error),
                }
            }
            (_, result) => result,
        }
    }

    /// Alters a message that was read.
    fn alter_message(&self, message: &mut KafkaMessage) {
        match self.saboteur {
            Saboteur::ValuesAreText => {
                let text = message
                    .value
                    .as_ref()
                    .map(|value| String::from_utf8_lossy(value).into_owned());
                message.value = text.map(Bytes::from);
            }
            Saboteur::NoHeaders => message.headers = KafkaHeaders::new(),
            Saboteur::HeadersAreAMap => {
                let map: BTreeMap<String, Option<Bytes>> = message
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.cloned()))
                    .collect();
                message.headers = KafkaHeaders::new();
                for (name, value) in map {
                    message.headers.push(name, value);
                }
            }
            Saboteur::EmptyIsAbsent => message.value = message.value.take().filter(|value| !value.is_empty()),
            Saboteur::SecondsOnly => {
                let since = message
                    .timestamp
                    .and_then(|timestamp| timestamp.duration_since(UNIX_EPOCH).ok());
                message.timestamp = since.map(|since| UNIX_EPOCH + Duration::from_secs(since.as_secs()));
            }
            _ => {}
        }
    }

    async fn read(&self, consumer: &ConsumerId, mut options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        let id = self.inner_id(consumer);
        match self.saboteur {
            Saboteur::OneTooMany if options.max_messages > 0 => options.max_messages += 1,
            Saboteur::LooksOnlyOnce => {
                let there = self
                    .inner
                    .consume_messages(&id, options.with_max_wait(Duration::ZERO))
                    .await?;
                if there.is_empty() {
                    tokio::time::sleep(options.max_wait).await;
                }
                return Ok(there);
            }
            _ => {}
        }
        if self.is(Saboteur::AssignmentConsumes) {
            let taken = self
                .taken
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(consumer);
            if let Some(taken) = taken.filter(|taken| !taken.is_empty()) {
                return Ok(taken);
            }
        }
        let messages = self.inner.consume_messages(&id, options).await?;
        if self.is(Saboteur::LosesOnCancel) {
            tokio::task::yield_now().await;
        }
        if self.is(Saboteur::EmptyIsATimeout) && messages.is_empty() && options.max_wait.is_zero() {
            return Err(NetworkError::timeout("saboteur", Phase::Total, options.max_wait));
        }
        Ok(messages)
    }

    /// Alters a commit. Returns `None` if nothing is to be committed.
    async fn alter_commit(&self, consumer: &ConsumerId, offsets: CommitOffsets) -> Result<Option<CommitOffsets>> {
        Ok(Some(match (self.saboteur, offsets) {
            (Saboteur::CommitsTheLast, CommitOffsets::Exact(mut offsets)) => {
                for offset in &mut offsets {
                    offset.offset -= i64::from(offset.offset > 0);
                }
                CommitOffsets::Exact(offsets)
            }
            (Saboteur::NegativeIsIgnored, CommitOffsets::Exact(offsets))
                if offsets.iter().any(|offset| offset.offset < 0) =>
            {
                return Ok(None);
            }
            (Saboteur::CommitsTheEnd, CommitOffsets::Consumed) => {
                let mut offsets = Vec::new();
                for topic in self
                    .consumer(consumer)
                    .map(|consumer| consumer.config.topics)
                    .unwrap_or_default()
                {
                    for partition in self.inner.topic_metadata(&topic).await?.partitions {
                        let place = TopicPartition::new(topic.as_str(), partition.partition);
                        offsets.push(PartitionOffset::new(place, partition.latest_offset));
                    }
                }
                CommitOffsets::Exact(offsets)
            }
            (Saboteur::CommitsOnlyForward, CommitOffsets::Exact(offsets)) => {
                let consumers = self.consumers();
                let known = consumers.get(consumer).map(|consumer| &consumer.committed);
                let higher = |offset: &PartitionOffset| {
                    known
                        .and_then(|known| known.get(&offset.partition))
                        .is_none_or(|committed| offset.offset > *committed)
                };
                CommitOffsets::Exact(offsets.into_iter().filter(higher).collect())
            }
            (_, offsets) => offsets,
        }))
    }

    fn remember_messages(&self, consumer: &ConsumerId, messages: &[KafkaMessage]) {
        if let Some(consumer) = self.consumers().get_mut(consumer) {
            for message in messages {
                consumer
                    .returned
                    .insert(message.topic_partition(), message.next_offset());
            }
        }
    }

    fn remember_commit(&self, consumer: &ConsumerId, offsets: CommitOffsets) {
        if let Some(consumer) = self.consumers().get_mut(consumer) {
            match offsets {
                CommitOffsets::Exact(offsets) => {
                    consumer
                        .committed
                        .extend(offsets.into_iter().map(|offset| (offset.partition, offset.offset)));
                }
                _ => consumer.committed.clone_from(&consumer.returned),
            }
            if consumer.first_committed.is_none() {
                consumer.first_committed = Some(consumer.committed.clone());
            }
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaClient for SaboteurClient {
    async fn create_producer(&self, mut config: ProducerConfig) -> Result<ProducerId> {
        if self.is(Saboteur::CompressionIsInvalid) && config.compression != KafkaCompression::None {
            return Err(NetworkError::invalid_input("compression", "is unknown"));
        }
        config::alter_producer(self.saboteur, &mut config);
        let id = self.named(self.inner.create_producer(config).await)?;
        if !self.is(Saboteur::NumbersHandles) {
            return Ok(id);
        }
        let mut renamed = self.renamed();
        let own = ProducerId::new(format!("producer-{}", renamed.len()));
        renamed.insert(own.clone(), id);
        Ok(own)
    }

    async fn create_consumer(&self, mut config: ConsumerConfig) -> Result<ConsumerId> {
        config::alter_consumer(self.saboteur, self.number, &mut config);
        let id = self.named(self.inner.create_consumer(config.clone()).await)?;
        let mut consumers = self.consumers();
        let own = if self.is(Saboteur::NumbersHandles) {
            ConsumerId::new(format!("consumer-{}", consumers.len()))
        } else {
            id.clone()
        };
        let consumer = Consumer {
            id,
            config,
            returned: BTreeMap::new(),
            committed: BTreeMap::new(),
            first_committed: None,
            has_failed: false,
            closed: false,
        };
        consumers.insert(own.clone(), consumer);
        Ok(own)
    }

    async fn produce_message(&self, producer: &ProducerId, record: ProducerRecord) -> Result<RecordMetadata> {
        if self.is(Saboteur::FlushesTooEarly) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let record = self.alter_record(record).await;
        let topic = record.topic.clone();
        let mut result = self
            .inner
            .produce_message(&self.producer_id(producer), record.clone())
            .await;
        let lost = matches!(&result, Err(error) if concerns(error, "producer"));
        if self.is(Saboteur::RecreatesProducers) && lost {
            let again = self.inner.create_producer(ProducerConfig::new()).await?;
            self.renamed().insert(producer.clone(), again.clone());
            result = self.inner.produce_message(&again, record).await;
        }
        self.alter_answer(&topic, result).await
    }

    async fn produce_messages(
        &self,
        producer: &ProducerId,
        records: Vec<ProducerRecord>,
    ) -> Result<Vec<Result<RecordMetadata>>> {
        let count = records.len();
        let mut altered = Vec::with_capacity(count);
        for record in records {
            altered.push(self.alter_record(record).await);
        }
        if self.is(Saboteur::BatchesAreShuffled) && count > 50 {
            // The records alternate between three partitions, or are all in one. In both cases the fourth from the end
            // is in the same partition as the last.
            altered.swap(count - 1, count - 4);
        }
        let topics: Vec<_> = altered.iter().map(|record| record.topic.clone()).collect();
        let producer = self.producer_id(producer);
        let mut results = if self.is(Saboteur::FailureEndsTheBatch) && count > 0 {
            let mut results = Vec::new();
            for record in altered {
                results.push(self.inner.produce_message(&producer, record).await);
                if results.last().is_some_and(Result::is_err) {
                    break;
                }
            }
            results.resize_with(count, || {
                Err(NetworkError::new(ErrorKind::Cancelled, "saboteur", "the batch ended"))
            });
            results
        } else {
            self.inner.produce_messages(&producer, altered).await?
        };
        let by_broker = |error: &NetworkError| error.send_state() == SendState::Sent;
        if self.is(Saboteur::RefusesTheBatch)
            && let Some(Err(refused)) = results.iter().find(|result| result.as_ref().is_err_and(by_broker))
        {
            let (kind, message) = (refused.kind(), refused.message().to_owned());
            results.fill_with(|| Err(NetworkError::new(kind, "saboteur", message.clone())));
        }
        if self.is(Saboteur::EmptyBatchFails) && results.is_empty() {
            return Err(NetworkError::invalid_input("records", "must not be empty"));
        }
        let mut answers = Vec::with_capacity(count);
        for (topic, result) in topics.iter().zip(results.drain(..)) {
            let answer = self.alter_answer(topic, result).await;
            answers.push(match answer {
                Err(_) if self.is(Saboteur::FailuresAreSuccesses) => {
                    Ok(RecordMetadata::new(topic.as_str(), 0, None, None))
                }
                answer => answer,
            });
        }
        Ok(answers)
    }

    async fn consume_messages(&self, consumer: &ConsumerId, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        let result = self.named(self.read(consumer, options).await);
        let mut messages = match result {
            Err(error) if self.is(Saboteur::UnknownConsumersReadNothing) && concerns(&error, "consumer") => Vec::new(),
            Err(error) if self.is(Saboteur::DeletedIsEmpty) && concerns(&error, "topic") => Vec::new(),
            Err(error) if self.is(Saboteur::FailsOnce) && error.kind() == ErrorKind::NotFound => {
                let mut consumers = self.consumers();
                match consumers.get_mut(consumer) {
                    Some(known) if known.has_failed && !concerns(&error, "topic") => Vec::new(),
                    Some(known) => {
                        known.has_failed = true;
                        return Err(error);
                    }
                    None => return Err(error),
                }
            }
            result => result?,
        };
        if self.is(Saboteur::NeverGoesBack)
            && let Some(known) = self.consumer(consumer)
        {
            messages.retain(|message| {
                known
                    .returned
                    .get(&message.topic_partition())
                    .is_none_or(|next| message.offset >= *next)
            });
        }
        if self.is(Saboteur::LosesMessages) {
            messages.retain(|message| message.partition == 0 || message.offset % 9 != 8);
        }
        for message in &mut messages {
            self.alter_message(message);
        }
        self.remember_messages(consumer, &messages);
        Ok(messages)
    }

    async fn commit_offsets(&self, consumer: &ConsumerId, offsets: CommitOffsets) -> Result<()> {
        let exact = matches!(offsets, CommitOffsets::Exact(_));
        let Some(offsets) = self.alter_commit(consumer, offsets).await? else {
            return Ok(());
        };
        let id = self.inner_id(consumer);
        let result = self.named(self.inner.commit_offsets(&id, offsets.clone()).await);
        if self.is(Saboteur::ConflictsAreIgnored)
            && matches!(&result, Err(error) if error.kind() == ErrorKind::Conflict)
        {
            return Ok(());
        }
        result?;
        self.remember_commit(consumer, offsets);
        if self.is(Saboteur::CommitSeeks)
            && exact
            && let Some(known) = self.consumer(consumer)
        {
            self.inner.close_consumer(&id).await?;
            let again = self.inner.create_consumer(known.config).await?;
            if let Some(known) = self.consumers().get_mut(consumer) {
                known.id = again;
            }
        }
        Ok(())
    }

    async fn consumer_assignment(&self, consumer: &ConsumerId) -> Result<ConsumerAssignment> {
        let id = self.inner_id(consumer);
        if self.is(Saboteur::AssignmentConsumes) && self.consumer(consumer).is_some() {
            let options = ConsumeOptions::new().with_max_wait(Duration::ZERO).with_max_messages(1);
            let taken = self.inner.consume_messages(&id, options).await?;
            self.taken
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(consumer.clone())
                .or_default()
                .extend(taken);
        }
        let assignment = self.inner.consumer_assignment(&id).await?;
        Ok(match self.saboteur {
            Saboteur::NothingIsAssigned => ConsumerAssignment::default(),
            Saboteur::EpochsNeverChange => assignment.iter().map(|(partition, _)| (partition.clone(), 1)).collect(),
            _ => assignment,
        })
    }

    async fn consumer_group_info(&self, group: &str) -> Result<ConsumerGroupInfo> {
        let name = match self.saboteur {
            Saboteur::OneGroup => "one-group".to_owned(),
            Saboteur::OneGroupPerClient => format!("{group}-{}", self.number),
            _ => group.to_owned(),
        };
        let result = self.inner.consumer_group_info(&name).await.map(|mut info| {
            group.clone_into(&mut info.group);
            info
        });
        match (self.saboteur, result) {
            (Saboteur::NoLag, Ok(mut info)) => {
                for offset in &mut info.offsets {
                    offset.lag = None;
                }
                Ok(info)
            }
            (Saboteur::ForgetsEmptyGroups, Ok(info)) if info.members.is_empty() => {
                Err(NetworkError::not_found("saboteur", "group", group))
            }
            (Saboteur::EveryGroupExists, Err(error)) if error.kind() == ErrorKind::NotFound => {
                Ok(ConsumerGroupInfo::new(group, GroupState::Empty, Vec::new(), Vec::new()))
            }
            (_, result) => result.map_err(|error| self.looked_up(error, "group", group)),
        }
    }

    async fn create_topic(&self, mut topic: NewTopic) -> Result<()> {
        if self.is(Saboteur::CreatesNothing) {
            return Ok(());
        }
        if self.is(Saboteur::IgnoresTopicSettings) {
            topic.config.clear();
        }
        if self.is(Saboteur::AllowsCollisions) && topic.validate().is_ok() {
            return match self.inner.create_topic(topic).await {
                Err(error) if error.field() == Some("name") => Ok(()),
                result => result,
            };
        }
        match self.named(self.inner.create_topic(topic).await) {
            Err(error) if self.is(Saboteur::CreatesAgain) && error.kind() == ErrorKind::AlreadyExists => Ok(()),
            result => result,
        }
    }

    async fn delete_topic(&self, topic: &str) -> Result<()> {
        if self.is(Saboteur::DeletesNothing) {
            return Ok(());
        }
        let result = self.inner.delete_topic(topic).await;
        result.map_err(|error| self.looked_up(error, "topic", topic))
    }

    async fn topic_metadata(&self, topic: &str) -> Result<TopicMetadata> {
        let mut result = self.inner.topic_metadata(topic).await;
        if self.is(Saboteur::MetadataRequestsCreate) && result.is_err() {
            self.inner.create_topic(NewTopic::new(topic, 1)).await?;
            result = self.inner.topic_metadata(topic).await;
        }
        let mut metadata = result.map_err(|error| self.looked_up(error, "topic", topic))?;
        if self.is(Saboteur::DescribesTooEarly) {
            let empty = |partition: &PartitionMetadata| partition.latest_offset == 0;
            if metadata.partitions.len() == 4 && metadata.partitions.iter().all(empty) {
                metadata.partitions[3].latest_offset = -1;
            }
        }
        if self.is(Saboteur::NoLeader) {
            for partition in &mut metadata.partitions {
                partition.leader = None;
            }
        }
        Ok(metadata)
    }

    async fn kafka_metrics(&self) -> Result<KafkaMetrics> {
        if self.is(Saboteur::CountsNothing) {
            return Ok(KafkaMetrics::default());
        }
        let mut metrics = self.inner.kafka_metrics().await?;
        if self.is(Saboteur::NothingInFlight) {
            for producer in metrics.producers.values_mut() {
                producer.in_flight = 0;
            }
        }
        Ok(metrics)
    }

    async fn flush(&self, producer: &ProducerId, timeout: Duration) -> Result<()> {
        self.inner.flush(&self.producer_id(producer), timeout).await
    }

    async fn close_producer(&self, producer: &ProducerId) -> Result<()> {
        let id = self.producer_id(producer);
        if self.is(Saboteur::ClosesWithoutFlush) {
            // An unknown producer is reported.
            self.inner.produce_messages(&id, Vec::new()).await?;
            self.closed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(producer.clone());
            return Ok(());
        }
        self.inner.close_producer(&id).await
    }

    async fn close_consumer(&self, consumer: &ConsumerId) -> Result<()> {
        let id = self.inner_id(consumer);
        if self.is(Saboteur::CommitsOnClose) {
            // An unknown consumer is reported by the close below.
            let _ = self.inner.commit_offsets(&id, CommitOffsets::Consumed).await;
        }
        if self.is(Saboteur::ClosingRestoresTheFirstCommit)
            && let Some(first) = self.consumer(consumer).and_then(|consumer| consumer.first_committed)
        {
            let first = first
                .into_iter()
                .map(|(place, offset)| PartitionOffset::new(place, offset));
            // An error is that of the close below.
            let _ = self
                .inner
                .commit_offsets(&id, CommitOffsets::Exact(first.collect()))
                .await;
        }
        if self.is(Saboteur::NeverLeaves) && self.consumer(consumer).is_some() {
            if let Some(known) = self.consumers().get_mut(consumer) {
                known.closed = true;
            }
            return Ok(());
        }
        self.inner.close_consumer(&id).await
    }

    fn capabilities(&self) -> KafkaCapabilities {
        let mut capabilities = self.saboteur.declared(self.inner.capabilities());
        capabilities.read_committed ^= self.is(Saboteur::MisdeclaresReadCommitted);
        capabilities
    }
}

/// Whether an error says that a handle of this kind is not found.
fn concerns(error: &NetworkError, what: &str) -> bool {
    error.kind() == ErrorKind::NotFound && error.context().any(|(key, _)| key == what)
}
