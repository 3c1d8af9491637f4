//! Writing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use networking_spi::kafka::{Acks, ProducerConfig, ProducerMetrics, ProducerRecord, RecordMetadata};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::fault::FaultPoint;
use super::log::{StoredRecord, millis, time_of};
use super::partitioner::partition_of;
use super::topic::{Appender, Topic};

const PRODUCE: &str = "kafka.produce_message";

/// A producer of a client.
#[derive(Debug)]
pub(super) struct Producer {
    cluster: Arc<Cluster>,
    config: ProducerConfig,
    messages: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    /// Records that wait for their topic.
    in_flight: AtomicUsize,
    landed: Notify,
}

/// What became of some records.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) errors: u64,
}

/// A record on its way, with its place in the batch.
type Placed = (usize, ProducerRecord);

/// The answer to the record at a place in the batch.
type Answer = (usize, Result<RecordMetadata>);

impl Producer {
    pub(super) fn new(cluster: Arc<Cluster>, config: ProducerConfig) -> Self {
        Self {
            cluster,
            config,
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            landed: Notify::new(),
        }
    }

    /// Writes records. What can be written is written before the first wait.
    pub(super) async fn produce(&self, records: Vec<ProducerRecord>) -> (Vec<Result<RecordMetadata>>, Tally) {
        let mut run = Run {
            producer: self,
            now: self.cluster.clock.now(),
            tally: Tally::default(),
        };
        let mut answers = Vec::with_capacity(records.len());
        let mut late = Vec::new();
        let mut waiting = Vec::<(Arc<Topic>, Vec<Placed>)>::new();

        let mut records = records.into_iter().enumerate().peekable();
        while let Some((_, record)) = records.peek() {
            let topic = record
                .validate()
                .and_then(|()| self.cluster.used_topic(&record.topic, PRODUCE));
            let name = record.topic.clone();
            let mut of_topic = std::iter::from_fn(|| records.next_if(|(_, record)| record.topic == name));
            match topic {
                Ok(topic) if topic.gate.is_free() => run.write(&topic, of_topic, &mut answers),
                Ok(topic) => match waiting.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &topic)) {
                    Some((_, queue)) => queue.extend(of_topic),
                    None => waiting.push((topic, of_topic.collect())),
                },
                // The record that was looked at; the next one of the same topic is looked at by itself.
                Err(error) => {
                    run.tally.errors += 1;
                    answers.extend(of_topic.next().map(|(place, _)| (place, Err(error))));
                }
            }
        }
        if !waiting.is_empty() {
            let writes = waiting
                .into_iter()
                .map(|(topic, records)| self.write_when_available(topic, records));
            for (answered, tally) in join_all(writes).await {
                late.extend(answered);
                run.tally.add(&tally);
            }
            answers.append(&mut late);
            answers.sort_unstable_by_key(|(place, _)| *place);
        }

        let tally = run.tally;
        self.messages.fetch_add(tally.messages, Ordering::Relaxed);
        self.bytes.fetch_add(tally.bytes, Ordering::Relaxed);
        self.errors.fetch_add(tally.errors, Ordering::Relaxed);
        (answers.into_iter().map(|(_, answer)| answer).collect(), tally)
    }

    /// Waits until nothing is on its way.
    pub(super) async fn flush(&self, timeout: Duration) -> Result<()> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let landed = self.landed.notified();
            if self.in_flight.load(Ordering::Acquire) == 0 {
                return Ok(());
            }
            let Some(deadline) = deadline else {
                landed.await;
                continue;
            };
            if tokio::time::timeout_at(deadline, landed).await.is_err() {
                return Err(NetworkError::timeout("kafka.flush", Phase::Total, timeout));
            }
        }
    }

    pub(super) fn delivery_timeout(&self) -> Duration {
        self.config.delivery_timeout
    }

    pub(super) fn metrics(&self) -> ProducerMetrics {
        let mut metrics = ProducerMetrics::default();
        metrics.messages = self.messages.load(Ordering::Relaxed);
        metrics.bytes = self.bytes.load(Ordering::Relaxed);
        metrics.errors = self.errors.load(Ordering::Relaxed);
        metrics.in_flight = self.in_flight.load(Ordering::Relaxed) as u64;
        metrics
    }

    /// Writes records behind those that already wait for their topic, within the delivery timeout.
    async fn write_when_available(&self, topic: Arc<Topic>, records: Vec<Placed>) -> (Vec<Answer>, Tally) {
        let queued = Queued::enter(self, records.len());
        let limit = self.config.delivery_timeout;
        let places: Vec<usize> = records.iter().map(|(place, _)| *place).collect();
        let written = tokio::time::timeout(
            limit,
            topic.pass(|| {
                let mut run = Run {
                    producer: self,
                    now: self.cluster.clock.now(),
                    tally: Tally::default(),
                };
                let mut answers = Vec::with_capacity(records.len());
                run.write(&topic, records.into_iter(), &mut answers);
                (answers, run.tally)
            }),
        );
        if let Ok(done) = written.await {
            return done;
        }
        let tally = Tally {
            errors: places.len() as u64,
            ..Tally::default()
        };
        let expired = places.into_iter().enumerate().map(|(position, place)| {
            let error = if position < queued.records {
                NetworkError::timeout(PRODUCE, Phase::Total, limit).with_send_state(SendState::NotSent)
            } else {
                NetworkError::new(ErrorKind::Exhausted, PRODUCE, "the queue stayed full")
                    .with_context("queue_size", self.config.queue_size.to_string())
            };
            (place, Err(error.with_context("topic", &*topic.name)))
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

/// Places in the producer's queue, as many as were left.
struct Queued<'p> {
    producer: &'p Producer,
    records: usize,
}

impl<'p> Queued<'p> {
    fn enter(producer: &'p Producer, wanted: usize) -> Self {
        let limit = producer.config.queue_size;
        let mut records = 0;
        // `Err` never comes: the closure always gives a value.
        let _ = producer
            .in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |in_flight| {
                records = wanted.min(limit.saturating_sub(in_flight));
                Some(in_flight + records)
            });
        Self { producer, records }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if self.producer.in_flight.fetch_sub(self.records, Ordering::AcqRel) == self.records {
            self.producer.landed.notify_waiters();
        }
    }
}

/// Records that are written at one time.
struct Run<'p> {
    producer: &'p Producer,
    now: SystemTime,
    tally: Tally,
}

/// The partition for records without a key, until it has had its batch.
struct Sticky {
    partition: usize,
    bytes: usize,
}

impl Run<'_> {
    /// Writes records of one topic. Neighbours in the same partition share its lock.
    fn write(&mut self, topic: &Topic, records: impl Iterator<Item = Placed>, answers: &mut Vec<Answer>) {
        let mut sticky = None;
        let mut appender: Option<(usize, Appender<'_>)> = None;
        for (place, record) in records {
            let bytes = record.size();
            let result = self
                .partition(topic, &record, bytes, &mut sticky)
                .and_then(|partition| {
                    let faults = &self.producer.cluster.faults;
                    let failure = faults.next(FaultPoint::Produce, |name| name == record.topic);
                    if let Some(failure) = failure.filter(|failure| !failure.after_effect) {
                        return Err(failure.error(PRODUCE));
                    }
                    if appender.as_ref().is_none_or(|(current, _)| *current != partition) {
                        // The lock of one partition is given back before the next is taken.
                        drop(appender.take());
                        appender = Some((partition, topic.partitions[partition].appender(self.now)));
                    }
                    let (_, log) = appender.as_mut().expect("there is one by now");
                    let timestamp_millis = millis(record.timestamp.unwrap_or(self.now));
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
                    });
                    let offset = (self.producer.config.acks != Acks::None).then_some(offset);
                    let number = i32::try_from(partition).expect("a topic has at most 10 000 partitions");
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
            answers.push((place, result));
        }
    }

    /// Checks a record and finds its partition.
    fn partition(
        &self,
        topic: &Topic,
        record: &ProducerRecord,
        bytes: usize,
        sticky: &mut Option<Sticky>,
    ) -> Result<usize> {
        record.validate()?;
        if topic.is_deleted() {
            return Err(NetworkError::not_found(PRODUCE, "topic", &topic.name));
        }
        let limit = self.producer.config.max_message_size.min(topic.max_message_bytes);
        if bytes > limit {
            return Err(
                NetworkError::new(ErrorKind::TooLarge, PRODUCE, "the record is larger than allowed")
                    .with_context("bytes", bytes.to_string())
                    .with_context("limit", limit.to_string())
                    .with_send_state(SendState::NotSent),
            );
        }
        if let Some(number) = record.partition {
            let partition = usize::try_from(number)
                .ok()
                .filter(|number| *number < topic.partitions.len());
            return partition.ok_or_else(|| {
                NetworkError::not_found(PRODUCE, "partition", number).with_context("topic", &*topic.name)
            });
        }
        if let Some(key) = &record.key {
            return Ok(partition_of(key, topic.partitions.len()));
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
