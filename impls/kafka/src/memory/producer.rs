//! Producers of the in-memory cluster.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::join_all;
use networking_spi::error::context;
use networking_spi::kafka::{Acks, ProducerConfig, ProducerMetrics, ProducerRecord, RecordMetadata, partition_of_key};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::client_ids::ClientIdUse;
use super::cluster::Cluster;
use super::fault::FaultPoint;
use super::linger::Linger;
use super::log::{StoredRecord, millis, time_of};
use super::mark::Mark;
use super::topic::{Appender, Topic};
use super::transaction::Transaction;
use crate::counters::ProducerCounters;
use crate::record_size::batch_size;

const PRODUCE: &str = "kafka.produce_message";

/// A producer of a client.
#[derive(Debug)]
pub(super) struct Producer {
    cluster: Arc<Cluster>,
    config: ProducerConfig,
    counters: ProducerCounters,
    _client_id: Option<ClientIdUse>,
    /// Present if the producer has a transactional id.
    transaction: Option<Transaction>,
    linger: Linger,
    /// Records that wait for more records in their batch, or for their topic to become available.
    in_flight: AtomicUsize,
    /// Notified when no record is in flight.
    drained: Notify,
}

/// How many records were written, with their bytes, and how many failed.
#[derive(Debug, Default)]
struct Tally {
    messages: u64,
    bytes: u64,
    errors: u64,
}

/// A record with its index in the batch.
type Indexed = (usize, ProducerRecord);

/// The result of the record at an index in the batch.
type Completion = (usize, Result<RecordMetadata>);

impl Producer {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        config: ProducerConfig,
        counters: ProducerCounters,
        transaction: Option<Transaction>,
    ) -> Self {
        Self {
            _client_id: cluster.client_ids.enter(config.client_id.as_deref()),
            cluster,
            config,
            counters,
            transaction,
            linger: Linger::default(),
            in_flight: AtomicUsize::new(0),
            drained: Notify::new(),
        }
    }

    /// Writes records, after `linger`. A transactional producer writes them in its open transaction.
    pub(super) async fn produce(&self, records: Vec<ProducerRecord>) -> Vec<Result<RecordMetadata>> {
        let Some(transaction) = &self.transaction else {
            return self.produce_in(None, records).await;
        };
        match transaction.open(PRODUCE) {
            Ok(mark) => transaction.note(&mark, self.produce_in(Some(&mark), records).await),
            Err(error) => {
                self.counters.count_errors(records.len() as u64);
                records.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    async fn produce_in(&self, mark: Option<&Arc<Mark>>, records: Vec<ProducerRecord>) -> Vec<Result<RecordMetadata>> {
        let ProducerConfig { linger, batch_size, .. } = self.config;
        // A time beyond the range of the timer never comes.
        let deadline = Instant::now().checked_add(self.config.delivery_timeout);
        if linger.is_zero() || records.is_empty() {
            return self.write(mark, records, None, deadline).await;
        }
        let queued = Queued::enter(self, records.len());
        let bytes = records.iter().map(ProducerRecord::size).sum();
        let turn = self.linger.wait(bytes, batch_size, linger).await;
        let write = self.write(mark, records, Some(queued), deadline);
        tokio::pin!(write);
        // The first poll writes, or takes a place in the queue of an unavailable topic. Then the next call may follow.
        if let Some(results) = write.as_mut().now_or_never() {
            return results;
        }
        drop(turn);
        write.await
    }

    /// Writes records. Records of available topics are written before this waits for unavailable ones. `queued` has the slots
    /// that the records already occupy.
    async fn write(
        &self,
        mark: Option<&Arc<Mark>>,
        records: Vec<ProducerRecord>,
        mut queued: Option<Queued<'_>>,
        deadline: Option<Instant>,
    ) -> Vec<Result<RecordMetadata>> {
        let mut run = Run {
            producer: self,
            mark,
            now: self.cluster.clock().now(),
            tally: Tally::default(),
        };
        let mut completions = Vec::with_capacity(records.len());
        let mut waiting = Vec::<(Arc<Topic>, Vec<Indexed>)>::new();

        let mut records = records.into_iter().enumerate().peekable();
        while let Some((_, record)) = records.peek() {
            let topic = record
                .validate()
                .and_then(|()| self.cluster.used_topic(&record.topic, PRODUCE));
            let name = record.topic.clone();
            let mut of_topic = std::iter::from_fn(|| records.next_if(|(_, record)| record.topic == name));
            match topic {
                Ok(topic) if topic.gate.is_free() && self.has_replicas(&topic) => {
                    run.write(&topic, of_topic, &mut completions);
                }
                Ok(topic) => match waiting.iter_mut().find(|(known, _)| known.is_same(&topic)) {
                    Some((_, queue)) => queue.extend(of_topic),
                    None => waiting.push((topic, of_topic.collect())),
                },
                // Only this record: the next one of the same topic may be valid.
                Err(error) => {
                    run.tally.errors += 1;
                    completions.extend(of_topic.next().map(|(index, _)| (index, Err(error))));
                }
            }
        }
        if !waiting.is_empty() {
            let writes = waiting
                .into_iter()
                .map(|(topic, records)| {
                    let queued = match &mut queued {
                        Some(queued) => queued.split(records.len()),
                        None => Queued::enter(self, records.len()),
                    };
                    self.write_when_available(mark, topic, records, queued, deadline)
                })
                .collect::<Vec<_>>();
            drop(queued);
            for (completed, tally) in join_all(writes).await {
                completions.extend(completed);
                run.tally.add(&tally);
            }
            completions.sort_unstable_by_key(|(index, _)| *index);
        }

        let tally = run.tally;
        self.counters.count_acknowledged(tally.messages, tally.bytes);
        self.counters.count_errors(tally.errors);
        completions.into_iter().map(|(_, result)| result).collect()
    }

    /// Ends the wait of lingering records, and waits until no record is in flight.
    pub(super) async fn flush(&self, timeout: Duration) -> Result<()> {
        self.linger.flush();
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let drained = self.drained.notified();
            if self.in_flight.load(Ordering::Acquire) == 0 {
                return Ok(());
            }
            let Some(deadline) = deadline else {
                drained.await;
                continue;
            };
            if tokio::time::timeout_at(deadline, drained).await.is_err() {
                return Err(NetworkError::timeout("kafka.flush", Phase::Total, timeout));
            }
        }
    }

    /// Whether the topic has enough replicas for the acknowledgement of all that are in sync.
    fn has_replicas(&self, topic: &Topic) -> bool {
        self.config.acks != Acks::All || topic.replicas >= topic.settings.min_in_sync_replicas
    }

    pub(super) fn transaction(&self) -> Option<&Transaction> {
        self.transaction.as_ref()
    }

    pub(super) fn delivery_timeout(&self) -> Duration {
        self.config.delivery_timeout
    }

    pub(super) fn metrics(&self) -> ProducerMetrics {
        self.counters.snapshot(self.in_flight.load(Ordering::Relaxed) as u64)
    }

    /// Waits for the topic, behind records that already wait for it, and writes. Fails after the delivery timeout.
    async fn write_when_available(
        &self,
        mark: Option<&Arc<Mark>>,
        topic: Arc<Topic>,
        records: Vec<Indexed>,
        queued: Queued<'_>,
        deadline: Option<Instant>,
    ) -> (Vec<Completion>, Tally) {
        let limit = self.config.delivery_timeout;
        let indexes: Vec<usize> = records.iter().map(|(index, _)| *index).collect();
        let written = async {
            if !self.has_replicas(&topic) {
                // The broker refuses the record, and the producer tries again until its timeout.
                std::future::pending::<()>().await;
            }
            topic
                .write_when_available(|| {
                    let mut run = Run {
                        producer: self,
                        mark,
                        now: self.cluster.clock().now(),
                        tally: Tally::default(),
                    };
                    let mut completions = Vec::with_capacity(records.len());
                    run.write(&topic, records.into_iter(), &mut completions);
                    (completions, run.tally)
                })
                .await
        };
        let written = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, written).await,
            None => Ok(written.await),
        };
        if let Ok(done) = written {
            return done;
        }
        let tally = Tally {
            errors: indexes.len() as u64,
            ..Tally::default()
        };
        let expired = indexes.into_iter().enumerate().map(|(position, index)| {
            let error = if position < queued.records {
                NetworkError::timeout(PRODUCE, Phase::Total, limit).with_send_state(SendState::NotSent)
            } else {
                NetworkError::new(ErrorKind::Exhausted, PRODUCE, "the queue was full for delivery_timeout")
                    .with_context("queue_size", self.config.queue_size.to_string())
            };
            (index, Err(error.with_context(context::TOPIC, &*topic.name)))
        });
        (expired.collect(), tally)
    }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.errors += other.errors;
    }
}

/// Slots in the producer's queue: one per record, or fewer if fewer were free.
struct Queued<'p> {
    producer: &'p Producer,
    records: usize,
}

impl<'p> Queued<'p> {
    fn enter(producer: &'p Producer, wanted: usize) -> Self {
        let limit = producer.config.queue_size;
        let mut records = 0;
        // The closure always returns a value, so the update cannot fail.
        let _ = producer
            .in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |in_flight| {
                records = wanted.min(limit.saturating_sub(in_flight));
                Some(in_flight + records)
            });
        Self { producer, records }
    }

    /// Moves slots for `wanted` records, or fewer if there are fewer.
    fn split(&mut self, wanted: usize) -> Self {
        let records = wanted.min(self.records);
        self.records -= records;
        Self {
            producer: self.producer,
            records,
        }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if self.producer.in_flight.fetch_sub(self.records, Ordering::AcqRel) == self.records {
            self.producer.drained.notify_waiters();
        }
    }
}

/// One write of records, which get the same timestamp unless they have their own.
struct Run<'p> {
    producer: &'p Producer,
    /// The transaction that the records belong to.
    mark: Option<&'p Arc<Mark>>,
    now: SystemTime,
    tally: Tally,
}

/// The partition for records without a key, until `batch_size` bytes are written to it.
struct Sticky {
    partition: usize,
    bytes: usize,
}

impl Run<'_> {
    /// Writes records of one topic. Consecutive records of one partition are written under one lock.
    fn write(&mut self, topic: &Arc<Topic>, records: impl Iterator<Item = Indexed>, completions: &mut Vec<Completion>) {
        let mut sticky = None;
        let transaction = self.producer.transaction.as_ref().zip(self.mark);
        // Until all records are written, the transaction does not end.
        let mut transaction = transaction.map(|(transaction, mark)| transaction.write(PRODUCE, mark));
        let mut appender: Option<(usize, Appender<'_>)> = None;
        for (index, record) in records {
            let bytes = record.size();
            let result = self
                .partition(topic, &record, bytes, &mut sticky)
                .and_then(|partition| {
                    if let Some(Err(ended)) = &transaction {
                        return Err(ended.clone());
                    }
                    let faults = &self.producer.cluster.faults;
                    let failure = faults.next(FaultPoint::Produce, |name| name == record.topic);
                    if let Some(failure) = failure.filter(|failure| !failure.after_effect) {
                        return Err(failure.error(PRODUCE));
                    }
                    let number = i32::try_from(partition).expect("a topic has at most 10 000 partitions");
                    if let Err(refused) = self.check_by_broker(topic, number, &record) {
                        return match self.producer.config.acks {
                            // The broker sends no response.
                            Acks::None => Ok(RecordMetadata::new(record.topic, number, None, record.timestamp)),
                            Acks::Leader | Acks::All => Err(refused),
                        };
                    }
                    let mark = match &mut transaction {
                        Some(Ok(open)) => Some(open.mark(topic, partition)),
                        _ => None,
                    };
                    if appender.as_ref().is_none_or(|(current, _)| *current != partition) {
                        // Unlock one partition before locking the next.
                        drop(appender.take());
                        appender = Some((partition, topic.partitions[partition].appender(self.now)));
                    }
                    let (_, log) = appender.as_mut().expect("the appender was set above");
                    let timestamp_millis = match record.timestamp {
                        Some(timestamp) if !topic.settings.log_append_time => millis(timestamp),
                        _ => millis(self.now),
                    };
                    let ProducerRecord {
                        topic,
                        key,
                        value,
                        headers,
                        ..
                    } = record;
                    let offset = log.append(StoredRecord {
                        key,
                        value,
                        headers,
                        timestamp_millis,
                        transaction: mark,
                        is_control: false,
                    });
                    let offset = (self.producer.config.acks != Acks::None).then_some(offset);
                    match failure {
                        Some(failure) => Err(failure.error(PRODUCE)),
                        None => Ok(RecordMetadata::new(
                            topic,
                            number,
                            offset,
                            Some(time_of(timestamp_millis)),
                        )),
                    }
                });
            match &result {
                Ok(_) => {
                    self.tally.messages += 1;
                    self.tally.bytes += bytes as u64;
                }
                Err(_) => self.tally.errors += 1,
            }
            completions.push((index, result));
        }
    }

    /// Checks what only a broker checks, because it depends on the settings of the topic.
    fn check_by_broker(&self, topic: &Topic, partition: i32, record: &ProducerRecord) -> Result<()> {
        let settings = &topic.settings;
        let bytes = batch_size(record.key.as_ref(), record.value.as_ref(), &record.headers);
        let of_broker = || self.producer.cluster.largest_batch(partition);
        let limit = settings.max_message_bytes.unwrap_or_else(of_broker);
        if bytes > limit {
            return Err(NetworkError::new(
                ErrorKind::TooLarge,
                PRODUCE,
                "the record is larger than the topic allows",
            )
            .with_context(context::BYTES, bytes.to_string())
            .with_context(context::LIMIT, limit.to_string())
            .with_send_state(SendState::Sent));
        }
        if settings.is_compacted && record.key.is_none() {
            return Err(NetworkError::new(
                ErrorKind::Rejected,
                PRODUCE,
                "a record of a compacted topic needs a key",
            )
            .with_context(context::TOPIC, &*topic.name)
            .with_send_state(SendState::Sent));
        }
        let Some(timestamp) = record.timestamp.filter(|_| !settings.log_append_time) else {
            return Ok(());
        };
        let in_range = match timestamp.duration_since(self.now) {
            Ok(ahead) => ahead <= settings.max_ahead,
            Err(before) => before.duration() <= settings.max_age,
        };
        if in_range {
            Ok(())
        } else {
            Err(NetworkError::invalid_input(
                "timestamp",
                "is further from the time of the cluster than the topic allows",
            )
            .with_operation(PRODUCE)
            .with_send_state(SendState::Sent))
        }
    }

    /// Checks a record and selects its partition.
    fn partition(
        &self,
        topic: &Topic,
        record: &ProducerRecord,
        bytes: usize,
        sticky: &mut Option<Sticky>,
    ) -> Result<usize> {
        record.validate()?;
        self.producer.cluster.capabilities.check_record(PRODUCE, record)?;
        if topic.is_deleted() {
            return Err(NetworkError::not_found(PRODUCE, "topic", &topic.name));
        }
        let limit = self.producer.config.max_message_size;
        if bytes > limit {
            return Err(
                NetworkError::new(ErrorKind::TooLarge, PRODUCE, "the record is too large")
                    .with_context(context::BYTES, bytes.to_string())
                    .with_context(context::LIMIT, limit.to_string())
                    .with_send_state(SendState::NotSent),
            );
        }
        if let Some(number) = record.partition {
            let partition = usize::try_from(number)
                .ok()
                .filter(|number| *number < topic.partitions.len());
            return partition.ok_or_else(|| {
                NetworkError::not_found(PRODUCE, "partition", number).with_context(context::TOPIC, &*topic.name)
            });
        }
        if let Some(key) = &record.key {
            let partitions = i32::try_from(topic.partitions.len()).expect("a topic has at most 10 000 partitions");
            let partition = partition_of_key(key, partitions);
            return Ok(usize::try_from(partition).expect("partitions are not negative"));
        }
        let batch = self.producer.config.batch_size;
        let current = match sticky.take() {
            Some(current) if current.bytes < batch => current,
            _ => Sticky {
                partition: topic.next_keyless(),
                bytes: 0,
            },
        };
        let partition = current.partition;
        *sticky = Some(Sticky {
            partition,
            bytes: current.bytes.saturating_add(bytes),
        });
        Ok(partition)
    }
}
