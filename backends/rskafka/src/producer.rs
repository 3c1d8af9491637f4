//! Producers. Records pass through a queue to one task per partition, which writes all that wait in one request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join_all;
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::kafka::{
    KafkaCompression, KafkaMetrics, ProducerConfig, ProducerMetrics, ProducerRecord, RecordMetadata, TopicPartition,
    partition_of_key,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use rskafka::chrono::DateTime;
use rskafka::client::partition::Compression;
use rskafka::record::Record;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::cluster::Cluster;
use crate::error::classify;
use crate::{CAPABILITIES, lock};

const OPERATION: &str = "kafka.produce_message";
/// The largest number of records in a request.
const MAX_BATCH: usize = 5000;
/// More than the bytes that the protocol adds to a record.
const OVERHEAD: usize = 64;
/// The pause before a write is repeated.
const PAUSE: Duration = Duration::from_millis(50);

/// A producer. Its tasks end when it is dropped and its queue is empty.
#[derive(Debug)]
pub(crate) struct Producer {
    state: Arc<State>,
    jobs: mpsc::UnboundedSender<Job>,
}

#[derive(Debug)]
struct State {
    cluster: Arc<Cluster>,
    config: ProducerConfig,
    compression: Compression,
    /// One permit per record that may be in flight.
    room: Arc<Semaphore>,
    counters: Mutex<ProducerMetrics>,
    totals: Arc<Mutex<KafkaMetrics>>,
}

enum Job {
    Write(Pending),
    /// Is answered when all jobs before it are done.
    Flush(oneshot::Sender<()>),
}

/// A record that waits for its acknowledgement.
struct Pending {
    record: ProducerRecord,
    deadline: Instant,
    room: OwnedSemaphorePermit,
    done: oneshot::Sender<Result<RecordMetadata>>,
}

impl Producer {
    /// Call it in a tokio runtime, where the producer's tasks run.
    pub(crate) fn new(cluster: Arc<Cluster>, config: ProducerConfig, totals: Arc<Mutex<KafkaMetrics>>) -> Result<Self> {
        let compression = compression(config.compression)?;
        let state = Arc::new(State {
            cluster,
            compression,
            room: Arc::new(Semaphore::new(config.queue_size.min(Semaphore::MAX_PERMITS))),
            config,
            counters: Mutex::default(),
            totals,
        });
        let (jobs, queue) = mpsc::unbounded_channel();
        tokio::spawn(dispatch(Arc::clone(&state), queue));
        Ok(Self { state, jobs })
    }

    /// Writes records in order. Returns one result per record.
    pub(crate) async fn write(&self, records: Vec<ProducerRecord>) -> Vec<Result<RecordMetadata>> {
        let limit = self.state.config.delivery_timeout;
        let deadline = after(limit);
        let mut queued = Vec::with_capacity(records.len());
        for record in records {
            let passed = self.pass(record, deadline).await;
            queued.push(passed.inspect_err(|_| self.state.count_error()));
        }
        let answers = queued.into_iter().map(|passed| async move {
            match timeout_at(deadline, passed?).await {
                Ok(answer) => answer.unwrap_or_else(|_| Err(NetworkError::closed(OPERATION, "the producer"))),
                Err(_) => Err(NetworkError::timeout(OPERATION, Phase::Total, limit)),
            }
        });
        join_all(answers).await
    }

    /// Checks a record and puts it into the queue, when there is room.
    async fn pass(
        &self,
        record: ProducerRecord,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Result<RecordMetadata>>> {
        let state = &self.state;
        record.validate()?;
        CAPABILITIES.check_record(OPERATION, &record)?;
        if record.size() > state.config.max_message_size {
            return Err(
                NetworkError::new(ErrorKind::TooLarge, OPERATION, "larger than max_message_size")
                    .with_send_state(SendState::NotSent),
            );
        }
        let room = timeout_at(deadline, Arc::clone(&state.room).acquire_owned()).await;
        let room = room.map_err(|_| NetworkError::new(ErrorKind::Exhausted, OPERATION, "the queue stays full"))?;
        let room = room.map_err(|_| closed())?;
        let (done, answer) = oneshot::channel();
        let pending = Pending {
            record,
            deadline,
            room,
            done,
        };
        self.jobs.send(Job::Write(pending)).map_err(|_| closed())?;
        Ok(answer)
    }

    /// Waits until all records in the queue are acknowledged or have failed.
    pub(crate) async fn flush(&self, operation: &'static str, limit: Duration) -> Result<()> {
        let (done, flushed) = oneshot::channel();
        self.jobs.send(Job::Flush(done)).map_err(|_| closed())?;
        match timeout_at(after(limit), flushed).await {
            Ok(_) => Ok(()),
            Err(_) => Err(NetworkError::timeout(operation, Phase::Total, limit)),
        }
    }

    /// Flushes, and refuses the calls that wait for room.
    pub(crate) async fn close(&self) -> Result<()> {
        self.state.room.close();
        self.flush("kafka.close_producer", self.state.config.delivery_timeout)
            .await
    }

    pub(crate) fn metrics(&self) -> ProducerMetrics {
        let state = &self.state;
        let mut metrics = *lock(&state.counters);
        let capacity = state.config.queue_size.min(Semaphore::MAX_PERMITS);
        metrics.in_flight = (capacity - state.room.available_permits()) as u64;
        metrics
    }
}

impl State {
    fn count_error(&self) {
        lock(&self.counters).errors += 1;
        lock(&self.totals).produce_errors += 1;
    }

    fn count_acknowledged(&self, bytes: u64) {
        let mut counters = lock(&self.counters);
        counters.messages += 1;
        counters.bytes += bytes;
        let mut totals = lock(&self.totals);
        totals.messages_produced += 1;
        totals.bytes_produced += bytes;
    }

    /// Counts a record, makes room for another one, and answers.
    fn finish(&self, pending: Pending, result: Result<RecordMetadata>) {
        match &result {
            Ok(_) => self.count_acknowledged(pending.record.size() as u64),
            Err(_) => self.count_error(),
        }
        drop(pending.room);
        // An error means that the caller is gone.
        let _ = pending.done.send(result);
    }
}

/// Passes the jobs of a producer to the tasks of the partitions, in order.
async fn dispatch(state: Arc<State>, mut queue: mpsc::UnboundedReceiver<Job>) {
    let mut lanes = HashMap::<TopicPartition, mpsc::UnboundedSender<Job>>::new();
    let mut turn = 0;
    while let Some(job) = queue.recv().await {
        match job {
            Job::Write(pending) => {
                let chosen = timeout_at(pending.deadline, choose(&state.cluster, &pending.record, &mut turn)).await;
                let limit = state.config.delivery_timeout;
                let late = |_| Err(NetworkError::timeout(OPERATION, Phase::Total, limit));
                match chosen.unwrap_or_else(late) {
                    Err(error) => state.finish(pending, Err(error)),
                    Ok(place) => {
                        let lane = lanes.entry(place.clone()).or_insert_with(|| {
                            let (lane, queue) = mpsc::unbounded_channel();
                            tokio::spawn(write_partition(Arc::clone(&state), place, queue));
                            lane
                        });
                        // The task of a partition ends after this one.
                        let _ = lane.send(Job::Write(pending));
                    }
                }
            }
            Job::Flush(done) => {
                let mut answers = Vec::new();
                for lane in lanes.values() {
                    let (done, answer) = oneshot::channel();
                    let _ = lane.send(Job::Flush(done));
                    answers.push(answer);
                }
                tokio::spawn(async move {
                    join_all(answers).await;
                    let _ = done.send(());
                });
            }
        }
    }
}

/// The partition of a record: its own, that of its key, or the next one in turn.
async fn choose(cluster: &Cluster, record: &ProducerRecord, turn: &mut i32) -> Result<TopicPartition> {
    let topic = record.topic.as_str();
    let missing = || NetworkError::not_found(OPERATION, "topic", topic);
    let mut count = cluster.partitions(topic).await?.ok_or_else(missing)?;
    if record.partition.is_some_and(|partition| partition >= count) {
        count = cluster.partitions_now(topic).await?.ok_or_else(missing)?;
    }
    let partition = match (record.partition, &record.key) {
        (Some(partition), _) => partition,
        (None, Some(key)) => partition_of_key(key, count),
        (None, None) => {
            *turn = turn.wrapping_add(1);
            turn.rem_euclid(count)
        }
    };
    let place = TopicPartition::new(topic, partition);
    if partition < count {
        Ok(place)
    } else {
        Err(NetworkError::not_found(OPERATION, "partition", place))
    }
}

/// Writes the records of a partition, one request at a time, which keeps their order.
async fn write_partition(state: Arc<State>, place: TopicPartition, mut queue: mpsc::UnboundedReceiver<Job>) {
    let mut jobs = Vec::new();
    while queue.recv_many(&mut jobs, MAX_BATCH).await > 0 {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for job in jobs.drain(..) {
            match job {
                Job::Write(pending) => {
                    let size = pending.record.size() + OVERHEAD;
                    if bytes + size > state.config.batch_size {
                        write_batch(&state, &place, std::mem::take(&mut batch)).await;
                        bytes = 0;
                    }
                    bytes += size;
                    batch.push(pending);
                }
                Job::Flush(done) => {
                    write_batch(&state, &place, std::mem::take(&mut batch)).await;
                    bytes = 0;
                    let _ = done.send(());
                }
            }
        }
        write_batch(&state, &place, batch).await;
    }
}

/// Writes records, and answers for each. If they are too large together, writes each half alone.
async fn write_batch(state: &State, place: &TopicPartition, batch: Vec<Pending>) {
    let mut batches = vec![batch];
    while let Some(batch) = batches.pop() {
        let now = Instant::now();
        let (mut batch, late): (Vec<_>, Vec<_>) = batch.into_iter().partition(|pending| pending.deadline > now);
        for pending in late {
            let limit = state.config.delivery_timeout;
            state.finish(pending, Err(NetworkError::timeout(OPERATION, Phase::Queue, limit)));
        }
        let Some(deadline) = batch.iter().map(|pending| pending.deadline).max() else {
            continue;
        };
        let clock = SystemClock::new();
        let sent = clock.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let records: Vec<Record> = batch.iter().map(|pending| to_record(&pending.record, sent)).collect();
        match send(state, place, deadline, &records).await {
            Ok(offsets) => {
                for ((pending, offset), record) in batch.into_iter().zip(offsets).zip(&records) {
                    let millis = u64::try_from(record.timestamp.timestamp_millis()).unwrap_or_default();
                    let timestamp = UNIX_EPOCH.checked_add(Duration::from_millis(millis));
                    let written = RecordMetadata::new(place.topic.as_str(), place.partition, Some(offset), timestamp);
                    state.finish(pending, Ok(written));
                }
            }
            Err(error) if error.kind() == ErrorKind::TooLarge && batch.len() > 1 => {
                let half = batch.split_off(batch.len() / 2);
                batches.push(half);
                batches.push(batch);
            }
            Err(error) => {
                for pending in batch {
                    state.finish(pending, Err(error.clone()));
                }
            }
        }
    }
}

/// Repeats a write until it succeeds, fails for good, or is late. A write whose response was lost is repeated too: without
/// idempotence, its records may be there twice.
async fn send(state: &State, place: &TopicPartition, deadline: Instant, records: &[Record]) -> Result<Vec<i64>> {
    let mut last = None;
    let attempts = async {
        loop {
            let error = match state.cluster.leader(OPERATION, place).await {
                Ok(leader) => match leader.produce(records.to_vec(), state.compression).await {
                    Ok(offsets) => return Ok(offsets),
                    Err(error) => classify(OPERATION, error),
                },
                Err(error) => error,
            };
            // Brokers do not know a new partition at once.
            let is_new = error.kind() == ErrorKind::NotFound && state.cluster.has(place).await?;
            if !is_new && !error.retryability().is_transient() {
                return Err(error);
            }
            last = Some(error);
            sleep(PAUSE).await;
        }
    };
    let result = timeout_at(deadline, attempts).await;
    result.unwrap_or_else(|_| {
        let error = NetworkError::timeout(OPERATION, Phase::Total, state.config.delivery_timeout);
        Err(match last.take() {
            Some(cause) => error.with_source(cause),
            None => error,
        })
    })
}

/// The record as `rskafka` takes it. Names of headers are unique here, see [`CAPABILITIES`].
fn to_record(record: &ProducerRecord, sent: Duration) -> Record {
    let since_1970 = |time: std::time::SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let timestamp = record.timestamp.map_or(sent, since_1970);
    let millis = i64::try_from(timestamp.as_millis()).unwrap_or(i64::MAX);
    let headers = record.headers.iter();
    Record {
        key: record.key.as_ref().map(|key| key.to_vec()),
        value: record.value.as_ref().map(|value| value.to_vec()),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.map(|value| value.to_vec()).unwrap_or_default()))
            .collect(),
        timestamp: DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::UNIX_EPOCH),
    }
}

fn compression(compression: KafkaCompression) -> Result<Compression> {
    match compression {
        KafkaCompression::None => Ok(Compression::NoCompression),
        KafkaCompression::Gzip => Ok(Compression::Gzip),
        KafkaCompression::Snappy => Ok(Compression::Snappy),
        KafkaCompression::Lz4 => Ok(Compression::Lz4),
        KafkaCompression::Zstd => Ok(Compression::Zstd),
        _ => Err(NetworkError::unsupported("kafka.create_producer", "compression")),
    }
}

fn closed() -> NetworkError {
    NetworkError::new(ErrorKind::NotFound, OPERATION, "the producer was closed").with_send_state(SendState::NotSent)
}

/// The time after `limit`. Durations that the clock cannot add are as good as endless.
pub(crate) fn after(limit: Duration) -> Instant {
    const ENDLESS: Duration = Duration::from_secs(86_400 * 365 * 30);
    Instant::now() + limit.min(ENDLESS)
}
